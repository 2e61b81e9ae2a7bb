"""Attacks on networks whose answer is known in closed form, and the card's acceptance list."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from attacks.shapes_net import pictures, trained
from sightline import Model, Top, create
from sightline.attacks._edges import SHARP, edges
from sightline.attacks._losses import BestPicture, ClassGoal, random_label, soft_label
from sightline.attacks.manipulation import corner
from sightline.attacks.sparse_points import SparsePoints, points_of
from sightline.attacks.st_adv import roughness, warp
from sightline.ops.noise import generator


class TwoClasses(nn.Module):
    """Logits (s, -s), s the product of the picture with `weight`."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images: Tensor) -> Tensor:
        s = (images * self.weight).flatten(1).sum(1)
        return torch.stack([s, -s], 1)


def linear(side: int = 8) -> tuple[Model, Tensor]:
    dice = torch.Generator().manual_seed(3)
    model = Model(TwoClasses(0.2 * torch.randn(3, side, side, generator=dice)), size=(side, side))
    return model, 0.3 + 0.4 * torch.rand(2, 3, side, side, generator=dice)


def test_pgd_on_a_linear_model_goes_to_the_corner_of_its_box() -> None:
    model, images = linear()
    for target, sign in ((0, 1), (1, -1)):
        fooled = create("attack", "pgd", epsilon=0.05, steps=20)(model, images, target)
        expected = (images + sign * 0.05 * model.module.weight.sign()).clamp(0, 1)
        assert_close(fooled, expected.detach())
        left = create("attack", "pgd", epsilon=0.05, steps=20)(model, images, -Top())
        away = -torch.where(model.outputs(images)[:, :1, None, None] > 0, 1.0, -1.0)
        assert_close(left, (images + away * 0.05 * model.module.weight.sign()).detach())


@pytest.mark.parametrize("name", ["adv-edge", "adv-edge+"])
def test_without_edges_nothing_moves_and_off_the_edges_nothing_does(name: str) -> None:
    made = create("attack", name, edges="always", first=6, second=6)
    flat = torch.full((1, 3, 16, 16), 0.4)
    assert torch.equal(made(trained(), flat, None, "cam"), flat)
    images, _ = pictures(2, 3)
    change = made(trained(), images, None, "cam") - images
    weights = edges(images)
    still = (weights <= (SHARP if name == "adv-edge+" else 0)).expand_as(change)
    assert (change[still] == 0).all() and change.abs().flatten(1).amax(1).gt(0).all()
    freed = create("attack", name, first=0, second=6)(trained(), images, None, "cam") - images
    assert not (freed[still] == 0).all() or not still.any()


@pytest.mark.parametrize("explainer", ["cam", "gradient", None])
@pytest.mark.parametrize("name", ["pgd", "adv-edge", "adv-edge+", "manipulation"])
def test_the_change_stays_in_its_budget(name: str, explainer: str | None) -> None:
    if name == "manipulation" and explainer is None:
        pytest.skip("it needs an explainer")
    few: dict[str, Any] = {"steps": 12} if name in ("pgd", "manipulation") else {"second": 12}
    few |= {"first": 12} if "second" in few else {}
    images = pictures(2, 4)[0]
    fooled = create("attack", name, epsilon=0.02, **few)(trained(), images, None, explainer)
    assert (fooled - images).abs().max() <= 0.02 + 1e-6
    assert fooled.min() >= 0 and fooled.max() <= 1


def test_the_soft_label_sums_to_one_whatever_the_number_of_classes() -> None:
    dice = generator(0, "labels")
    for classes in (2, 10, 1000):
        for progress in (0.0, 0.5, 1.0):
            label = random_label(classes, 1, progress, dice)
            assert_close(label.sum(), torch.tensor(1.0))
            assert 0.95 + 0.04 * progress - 1e-6 <= label[1] <= 1
    assert_close(soft_label(4, 0), torch.tensor([1.0, 0, 0, 0]))


def test_edges_are_the_sobel_magnitude_and_a_flat_border_has_none() -> None:
    images = torch.zeros(1, 3, 5, 6)
    images[..., 3:] = 0.5
    found = edges(images)[0, 0]
    assert_close(found[:, 2:4], torch.full((5, 2), 2.0))  # (1 + 2 + 1) * 0.5
    assert (found[:, :2] == 0).all() and (found[:, 4:] == 0).all()


def test_a_flow_of_zero_is_the_identity_and_one_of_one_pixel_a_shift() -> None:
    images = torch.rand(2, 3, 7, 9)
    assert_close(warp(images, torch.zeros(2, 2, 7, 9)), images)
    flow = torch.zeros(2, 2, 7, 9)
    flow[:, 1] = 1
    assert_close(warp(images, flow)[..., :-1], images[..., 1:])
    flow = torch.zeros(2, 2, 7, 9)
    flow[:, 0] = -1
    assert_close(warp(images, flow)[:, :, 1:], images[:, :, :-1])


def test_roughness_is_its_equation_written_as_loops() -> None:
    flow = torch.rand(1, 2, 4, 5, dtype=torch.float64)
    total = 0.0
    for r in range(4):
        for c in range(5):
            for dr, dc in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
                if 0 <= r + dr < 4 and 0 <= c + dc < 5:
                    step = flow[0, :, r, c] - flow[0, :, r + dr, c + dc]
                    total += float(torch.sqrt(step.square().sum() + 1e-8))
    assert_close(roughness(flow), torch.tensor(total, dtype=torch.float64))


def test_sparse_points_of_a_linear_toy_lie_in_its_patch() -> None:  # the card's own example
    weight = torch.zeros(1, 16, 16)
    weight[:, 4:8, 6:10] = 1
    model = Model(TwoClasses(weight))
    images = 0.5 + torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    made = SparsePoints(weight=0.2, rounds=2, steps=150)
    with model.unharmed():
        fooled = made.search(model, images, -images, ClassGoal(0, away=True))
    (points,) = points_of(images, fooled)
    assert model.outputs(fooled).argmax() == 1
    assert 0 < len(points) <= 16
    assert ((points[:, 0] >= 4) & (points[:, 0] < 8)).all()
    assert ((points[:, 1] >= 6) & (points[:, 1] < 10)).all()


@pytest.mark.parametrize("occluder", ["blur", "zero", "noise", "learned"])
def test_sparse_points_flip_the_class_with_part_of_the_pixels(occluder: str) -> None:
    images, labels = pictures(2, 8)
    made = create("attack", "sparse-points", steps=60, rounds=3, occluder=occluder)
    fooled = made(trained(), images)
    assert (trained().outputs(fooled).argmax(1) != labels).all()
    assert all(0 < len(points) < 160 for points in points_of(images, fooled))


def test_a_higher_margin_means_farther_from_the_end() -> None:
    logits = torch.tensor([[2.0, 0.5, -1.0]])
    assert ClassGoal(1).margin(logits).item() == 1.5
    assert ClassGoal(0, away=True).margin(logits).item() == 1.5
    assert ClassGoal(0).margin(logits).item() == -1.5


def test_what_is_kept_is_sure_first_and_near_second() -> None:
    images = [torch.full((1,), float(i)) for i in range(5)]
    kept = BestPicture(images[0])
    for image, confidence, distance in (
        (images[1], 0.5, 0.01),
        (images[2], 0.9, 0.5),
        (images[3], 0.85, 0.2),
        (images[4], 0.99, 0.3),
    ):
        kept.offer(image, confidence, distance)
    assert torch.equal(kept.image, images[3])


def test_the_wanted_corner_is_the_farthest_one() -> None:
    maps = torch.zeros(1, 9, 9)
    maps[0, 7, 1] = 1
    peak = corner(maps)[0].flatten().argmax().item()
    assert peak // 9 < 4 and peak % 9 > 4
