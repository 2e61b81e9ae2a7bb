"""RISE: its estimators as loops over the same masks, their error, and when it stops."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from sightline import Axis, Class, Model, create
from sightline.errors import BadField
from sightline.explainers.mask._estimate import MaskedMean
from sightline.explainers.mask._fitted import _fit
from sightline.worlds import analytic
from sightline.worlds.miniatures import MINIATURES

CNN = MINIATURES["pooled-cnn"]


def drawn(fields: dict, images: Tensor) -> Tensor:
    return torch.cat(list(create("explainer", "rise", **fields)._random_masks(images)))


@pytest.mark.parametrize("centred", [True, False])
def test_it_is_its_equation_over_the_same_masks(centred: bool) -> None:
    fields = {"masks": 100, "grid": 4, "keep": 0.4, "agreement": 1.0, "seed": 5}
    net, images = CNN(), torch.rand(2, 3, *CNN.size)
    heat = create("explainer", "rise", centred=centred, fitted=False, **fields)(
        Model(net, size=CNN.size), images, 1
    )
    masks, net = drawn(fields, images).double(), net.double()
    for i in range(2):
        with torch.no_grad():
            scores = [net(images[i].double() * m[None])[0].softmax(0)[1] for m in masks]
        mean = sum(scores) / len(scores) if centred else 0.0
        expected = sum((s - mean) * m[0] for s, m in zip(scores, masks, strict=True)) / 100 / 0.4
        assert_close(heat.native[i], expected.float(), atol=1e-6, rtol=1e-3)
    assert heat.masks.tolist() == [100, 100]


def test_masks_are_soft_shifted_and_keep_the_stated_share() -> None:
    masks = drawn({"masks": 256, "grid": 5}, torch.zeros(1, 3, 33, 47))
    assert masks.shape == (256, 1, 33, 47)
    assert masks.min() >= 0 and masks.max() <= 1 + 1e-6
    assert_close(masks.mean(), torch.tensor(0.5), atol=0.02, rtol=0)
    assert masks.mean((0, 1)).std() < 0.05  # no place is favoured: sampling error only


def test_on_an_additive_model_the_order_of_cells_is_the_order_of_their_evidence() -> None:
    known = analytic.linear(row=14, col=14)
    explain = create("explainer", "rise", masks=2048, agreement=1.0)
    heat = explain(known.model, known.images, Axis(1))
    cells = known.expected.unflatten(1, (7, 2)).unflatten(3, (7, 2)).sum((2, 4)).flatten(1)
    found = heat.values.unflatten(1, (7, 2)).unflatten(3, (7, 2)).sum((2, 4)).flatten(1)
    for i in range(2):
        assert torch.corrcoef(torch.stack([cells[i], found[i]]))[0, 1] > 0.65


@pytest.mark.parametrize(
    "fields", [{}, {"fitted": False}, {"centred": False}], ids=["fitted", "centred", "plain"]
)
def test_the_standard_error_is_the_spread_between_seeds(fields: dict) -> None:
    known = analytic.dead_pixel(batch=1)
    fields = {"masks": 128, "agreement": 1.0, **fields}
    runs = [create("explainer", "rise", seed=s, **fields)(*known) for s in range(20)]
    spread = torch.stack([r.native for r in runs]).std(0)
    claimed = torch.stack([r.standard_error for r in runs]).mean(0)
    assert 0.8 < float((claimed / spread).mean()) < 1.25


def test_each_image_stops_by_itself_at_a_block_of_64() -> None:
    known = analytic.dead_pixel(batch=4)
    heat = create("explainer", "rise", agreement=0.8)(*known)
    assert all(n % 64 == 0 for n in heat.masks.tolist()) and heat.masks.min() < 512
    for i in range(4):
        alone = create("explainer", "rise", agreement=0.8)(
            known.model, known.images[i : i + 1], known.target
        )
        assert alone.masks.tolist() == heat.masks[i : i + 1].tolist()
        assert_close(alone.native[0], heat.native[i])


def test_the_centred_map_is_better_with_the_same_masks_and_the_fitted_one_better_still() -> None:
    known = analytic.planted_patch(batch=1)
    truth = known.expected[0].flatten()

    def quality(**fields: bool) -> float:
        found = create("explainer", "rise", masks=128, agreement=1.0, **fields)(*known)
        return float(torch.corrcoef(torch.stack([truth, found.values[0].flatten()]))[0, 1])

    assert quality() > quality(fitted=False) > quality(centred=False)


@pytest.mark.parametrize("fields", [{"grid": 5}, {"grid": 3, "keep": 0.3}])
def test_how_masks_vary_together_is_known_in_closed_form(fields: dict) -> None:
    explain, like = create("explainer", "rise", masks=6000, **fields), torch.zeros(1, 3, 21, 34)
    masks = torch.cat(list(explain._random_masks(like)))[:, 0].double()
    blocks = explain._estimator(like[0, 0]).blocks
    shares = blocks.shares(masks)
    sampled = torch.einsum("mb,mrc->brc", shares - shares.mean(0), masks) / len(masks)
    known = blocks.spread(torch.eye(shares.shape[1], dtype=torch.float64))
    assert_close(known, sampled, atol=0.02, rtol=0)
    assert torch.corrcoef(torch.stack([known.flatten(), sampled.flatten()]))[0, 1] > 0.99


def test_a_score_that_is_linear_in_the_visible_blocks_is_known_from_few_masks() -> None:
    explain, like = create("explainer", "rise", masks=512, grid=3), torch.zeros(1, 3, 24, 30)
    masks = torch.cat(list(explain._random_masks(like)))[:, 0]
    fitted, plain = explain._estimator(like[0, 0]), MaskedMean(like[0, 0])
    weights = torch.randn(36, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = fitted.blocks.spread(weights)
    for part in masks[:192].split(64):
        scores = (fitted.blocks.shares(part) @ weights).float()
        fitted.add(scores, part)
        plain.add(scores, part)
    fit_error = (fitted.estimate() - exact).abs().mean()
    assert fit_error < 0.01 * exact.abs().mean()
    assert fit_error < 0.1 * (plain.estimate() - exact).abs().mean()


def test_leaving_one_mask_out_is_what_the_fit_says_it_is() -> None:
    draw = torch.Generator().manual_seed(1)
    shares = torch.rand(40, 9, generator=draw, dtype=torch.float64)
    scores = shares[:, 0] + torch.rand(40, generator=draw, dtype=torch.float64)
    _, weigh, errors = _fit(shares, scores)
    seen = shares - shares.mean(0)
    penalty = float(
        (torch.linalg.inv(weigh @ seen @ torch.linalg.inv(seen.T @ seen)))
        .sub(seen.T @ seen)
        .diagonal()
        .mean()
    )
    ridge, ones = penalty * torch.eye(9, dtype=torch.float64), torch.ones(40, 1)
    for k in (0, 17, 39):
        rest = [i for i in range(40) if i != k]
        x = torch.cat([seen, ones.double()], 1)
        square = x[rest].T @ x[rest]
        square[:9, :9] += ridge
        weights = torch.linalg.solve(square, x[rest].T @ scores[rest])
        assert_close(errors[k], scores[k] - x[k] @ weights)


def test_the_two_halves_of_pure_noise_do_not_agree() -> None:
    mean = MaskedMean(torch.zeros(8, 8))
    assert mean.agreement() == 0
    mean.add(torch.randn(64), torch.rand(64, 8, 8))
    assert abs(mean.agreement()) < 0.6
    mean = MaskedMean(torch.zeros(8, 8))
    mean.add(torch.ones(64), torch.rand(64, 8, 8))  # nothing changes: no agreement
    assert mean.agreement() == 0


def test_large_scores_that_hardly_differ_keep_their_digits() -> None:
    masks = torch.rand(512, 6, 6)
    small = masks[:, 2, 3] * 1e-4
    lifted, plain = MaskedMean(torch.zeros(6, 6)), MaskedMean(torch.zeros(6, 6))
    for part in range(0, 512, 64):
        lifted.add(small[part : part + 64] + 0.9, masks[part : part + 64])
        plain.add(small[part : part + 64], masks[part : part + 64])
    assert_close(lifted.covariance(), plain.covariance(), atol=2e-8, rtol=1e-2)
    assert_close(
        lifted.standard_error(),
        plain.standard_error(),
        atol=1e-7,
        rtol=0.02,
    )


@pytest.mark.parametrize(
    "fields", [{"masks": 1}, {"grid": 0}, {"keep": 1.0}, {"agreement": 0.0}, {"fill": "pink"}]
)
def test_bad_fields_are_refused(fields: dict) -> None:
    with pytest.raises(BadField):
        create("explainer", "rise", **fields)


def test_a_black_box_is_explained_as_its_network_is() -> None:
    known = analytic.dead_pixel(batch=1)
    net = known.model.module
    box = Model.from_function(lambda x: net(x).detach().numpy(), size=(8, 9))
    explain = create("explainer", "rise", masks=64)
    assert_close(
        explain(box, known.images, Class(2)).values, explain(*known).values, atol=1e-5, rtol=1e-3
    )
