"""The loss of masks: each term by hand on 4 x 4 masks, the swapped roles, and what is hidden."""

from math import sqrt

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from sightline import Class, Model, Preprocess
from sightline.nets.mask_loss import (
    MaskedBatch,
    MaskLoss,
    RandomFill,
    area,
    hinges,
    margins,
    roughness,
)
from sightline.worlds.miniatures import MINIATURES

CNN = MINIATURES["pooled-cnn"]


def usual(mean: float = 0.5, std: float = 0.225) -> Model:
    """A model with the mean and deviation that the sizes are for, unless it is given others."""
    return Model(CNN(), Preprocess(size=CNN.size, mean=mean, std=std))


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def corner() -> Tensor:
    """1 in one corner, a half beside it, 0 elsewhere."""
    mask = torch.zeros(1, 1, 4, 4)
    mask[0, 0, 0, 0], mask[0, 0, 0, 1] = 1, 0.5
    return mask


def test_area_is_the_mean_of_a_power_that_never_has_an_infinite_slope() -> None:
    expected = (1.0005**0.3 + 0.5005**0.3 + 14 * 0.0005**0.3) / 16
    assert_close(area(corner()), torch.tensor([expected]))
    empty = torch.zeros(1, 1, 4, 4, requires_grad=True)
    assert torch.isfinite(torch.autograd.grad(area(empty).sum(), empty)[0]).all()


def test_roughness_is_half_the_squared_steps_and_the_squares_at_the_border() -> None:
    steps = (1 - 0.5) ** 2 + 0.5**2 + 1**2 + 0.5**2  # two to the right, two down
    border = 1 + 0.25 + 1  # the upper edge, and the corner again on the left edge
    assert_close(roughness(corner()), torch.tensor([(steps + 0.3 * border) / 2]))
    assert_close(roughness(corner(), border=0.0), torch.tensor([steps / 2]))
    assert_close(roughness(torch.ones(1, 1, 4, 4)), torch.tensor([0.3 * 16 / 2]))


def test_the_margin_is_the_best_other_class_minus_the_class() -> None:
    scores = torch.tensor([[3.0, 1.0, 2.5], [3.0, 1.0, -20000.0]])
    assert margins(scores, torch.tensor([0, 2])).tolist() == [-0.5, 20003.0]


@pytest.mark.parametrize(
    ("kept", "cut", "real", "preserver", "destroyer"),
    [
        (-2.0, 6.0, True, 0.0, 0.0),  # kept shows it, cut does not, by 5 at least
        (-0.5, 3.0, True, 0.5, 2.0),
        (4.0, -1.0, True, 5.0, 6.0),
        (4.0, -2.0, False, 0.0, 0.0),  # a fake mask keeps nothing of the true class
        (-2.0, 0.5, False, 3.0, 1.5),
    ],
)
def test_the_hinges_of_real_and_fake_classes(
    kept: float, cut: float, real: bool, preserver: float, destroyer: float
) -> None:
    found = hinges(torch.tensor([kept]), torch.tensor([cut]), torch.tensor([real]))
    assert [float(value) for value in found] == [preserver, destroyer]


def test_what_is_kept_is_the_picture_with_a_little_grain() -> None:
    images = torch.rand(4, 3, 64, 64)
    away = RandomFill()(usual(), images, torch.ones(4, 1, 16, 16), dice()) - images
    assert 0.012 < float(away.std()) < 0.018 and float(away.abs().max()) < 0.1


@pytest.mark.parametrize("blurred", [0.0, 1.0])
def test_what_is_hidden_does_not_depend_on_the_picture_unless_it_is_blurred(blurred: float) -> None:
    hide, empty = RandomFill(blurred=blurred), torch.zeros(2, 1, 16, 16)
    one, other = (hide(usual(), torch.rand(2, 3, 64, 64), empty, dice()) for _ in range(2))
    assert torch.equal(one, other) == (blurred == 0)
    if blurred:
        assert float(one.std()) < 0.1  # the noise of the picture is gone
    else:
        assert_close(float((one - one.mean((2, 3), keepdim=True)).std()), 0.055, atol=3e-3, rtol=0)
        assert (one.mean((2, 3)) - 0.5).abs().max() < 0.165 + 0.01


@pytest.mark.parametrize(("mean", "std"), [(0.5, 0.225), (0.4, 0.1), (0.0, 1.0)])
def test_what_is_hidden_is_in_parts_of_the_models_own_deviation(mean: float, std: float) -> None:
    images, empty = torch.rand(2, 3, 64, 64), torch.zeros(2, 1, 16, 16)
    found = RandomFill(blurred=0.0)(usual(mean, std), images, empty, dice())
    colours = (found.mean((2, 3)) - mean) / std
    assert 0.1 < float(colours.abs().max()) < (0.165 + 0.01) / 0.225
    spread = float((found - found.mean((2, 3), keepdim=True)).std())
    assert_close(spread / std, 0.055 / 0.225, atol=3e-3, rtol=2e-2)


@pytest.mark.parametrize("blurred", [0.0, 1.0])
def test_a_network_is_masked_alike_whether_it_normalises_inside_or_outside(blurred: float) -> None:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    outside = Model(CNN(), Preprocess(size=CNN.size, mean=mean.tolist(), std=std.tolist()))
    images, masks = torch.rand(2, 3, *CNN.size), torch.rand(2, 1, 8, 8)
    hide = RandomFill(blurred=blurred)
    eaten = (images - outside.mean) / outside.std
    wrapped = hide(outside, images, masks, dice())
    bare = hide(Model(CNN()), eaten, masks, dice())
    assert_close((wrapped - outside.mean) / outside.std, bare, atol=1e-5, rtol=0)


def test_half_of_the_pictures_are_blurred_and_alike_means_one_draw() -> None:
    images = torch.full((400, 3, 8, 8), 0.123)
    other = RandomFill().alternatives(usual(), images, dice(), alike=False)
    same = (other - images).abs().amax((1, 2, 3)) < 1e-5  # a flat picture blurred is itself
    assert 0.4 < float(same.float().mean()) < 0.6
    drawn = RandomFill(blurred=0.0).alternatives(usual(), images, dice(), alike=True)
    assert torch.equal(drawn[0], drawn[-1])


def test_the_loss_is_the_weighted_sum_and_its_slope_is_that_of_the_plain_formula() -> None:
    net, images = CNN(), torch.rand(2, 3, *CNN.size)
    with torch.no_grad():
        net.head.weight *= 8
    model, classes, real = (
        Model(net, size=CNN.size),
        torch.tensor([1, 4]),
        torch.tensor([True, False]),
    )
    masks = torch.rand(2, 1, 8, 8, requires_grad=True)
    loss = MaskLoss(destroyer=1.5, area=3.0, smooth=0.02, preserver=0.7)
    found, terms = loss(model, MaskedBatch(images, classes, real), masks, dice())
    slope = torch.autograd.grad(found.sum(), masks)[0]

    net, same = net.double(), dice()
    kept, cut = (loss.hiding(model, images, m, same).double() for m in (masks, 1 - masks))
    plain = torch.zeros(2, dtype=torch.float64)
    for i in range(2):
        scores = [net(pictures[i : i + 1])[0] for pictures in (kept, cut)]
        rest = [j for j in range(5) if j != classes[i]]
        ahead = [s[rest].max() - s[classes[i]] for s in scores]
        signs = (1, -1) if real[i] else (-1, 1)
        preserver = (signs[0] * ahead[0] + 1).relu()
        destroyer = (signs[1] * ahead[1] + (5 if real[i] else 1)).relu()
        assert_close(terms["preserver"][i].double(), preserver, atol=1e-5, rtol=1e-4)
        assert_close(terms["destroyer"][i].double(), destroyer, atol=1e-5, rtol=1e-4)
        mask = masks[i : i + 1]
        rest_of_it = 3.0 * area(mask)[0] + 0.02 * roughness(mask)[0]
        plain[i] = 0.7 * preserver + 1.5 * destroyer + rest_of_it
    assert_close(found.double(), plain, atol=1e-5, rtol=1e-4)
    wanted = torch.autograd.grad(plain.sum(), masks)[0]
    assert_close(slope, wanted, atol=1e-5, rtol=1e-3)
    assert float(slope.norm()) > sqrt(1e-6)


def test_the_model_is_asked_about_its_own_class() -> None:
    net, images = CNN(), torch.rand(3, 3, *CNN.size)
    model, classes = Model(net, size=CNN.size), torch.tensor([0, 1, 2])
    still = MaskLoss(hiding=RandomFill(grain=0.0))
    shown = MaskedBatch(images, classes, torch.ones(3).bool())
    _, terms = still(model, shown, torch.ones(3, 1, 8, 8), dice())
    for i in range(3):
        others = torch.cat([model.scores(images[i : i + 1], Class(j)) for j in range(5) if j != i])
        ahead = others.max() - model.scores(images[i : i + 1], Class(i))[0]
        assert_close(terms["preserver"][i], (ahead + 1).relu(), atol=1e-5, rtol=1e-4)
