"""igos and igos++: planted evidence, their equations as loops, and each picture by itself."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Axis, Class, Heatmap, Model, create
from sightline.errors import BadField, NotExplainable, SightlineWarning
from sightline.explainers.structure._descent import Stop
from sightline.explainers.structure._evidence import Evidence, MaskPath, Term, filled_like
from sightline.explainers.structure._objective import Objective, joined
from sightline.explainers.structure._smoothing import smoothed
from sightline.explainers.structure._variation import (
    bilateral_variation,
    edge_weights,
    total_variation,
)
from sightline.explainers.structure.igos_plus_plus import TERMS
from sightline.worlds import analytic

pytestmark = pytest.mark.filterwarnings("ignore:.*no step lowered the objective")
PLANTED = [20, 21, 28, 29]  # of 8 x 8 cells
BOTH = ("igos", "igos++")
ALL = (*[(name, {}) for name in BOTH], ("igos++", {"optimiser": "nesterov"}))


class Saturated(nn.Module):
    """Sure of class 0 as long as 30 % of four cells is there; at 100 % its gradient is 0."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(40.0))

    def forward(self, images: Tensor) -> Tensor:
        logit = self.slope * (images[:, :, 8:16, 16:24].mean((1, 2, 3)) - 0.3)
        return torch.stack([logit, torch.zeros_like(logit)], 1)


def saturated() -> tuple[Model, Tensor, int]:
    return Model(Saturated(), size=(32, 32)), torch.ones(1, 3, 32, 32), 0


def planted(name: str, **fields: Any) -> Heatmap:
    asked = {"cells": 8, "iterations": 20, "smooth": 1.0, "fill": 0.0, **fields}
    return create("explainer", name, **asked)(*saturated())


def highest(heat: Heatmap) -> list[int]:
    assert heat.native is not None
    return sorted(heat.native[0].flatten().topk(4).indices.tolist())


def quick(name: str, **fields: Any) -> Any:
    return create("explainer", name, cells=5, points=4, iterations=5, **fields)


# planted evidence


def test_the_plain_gradient_of_a_saturated_score_moves_nothing() -> None:
    with pytest.raises(NotExplainable, match="map of zeros"):
        planted("igos", points=1)


@pytest.mark.parametrize("plain", [True, False])
def test_the_integrated_gradient_finds_the_planted_cells(plain: bool) -> None:
    heat = planted("igos", smoothed=not plain)
    assert highest(heat) == PLANTED
    assert heat.deletion < 0.05


@pytest.mark.parametrize("fields", [{}, {"optimiser": "nesterov"}])
def test_both_masks_find_the_planted_cells_which_are_enough(fields: dict[str, Any]) -> None:
    heat = planted("igos++", **fields)
    assert highest(heat) == PLANTED
    assert heat.deletion <= 0.1 and heat.insertion >= 0.9


@pytest.mark.parametrize("name", BOTH)
def test_the_objective_never_rises_over_accepted_steps(name: str) -> None:
    curve = planted(name).objective[0].tolist()
    assert all(after <= before for before, after in pairwise(curve))
    known = analytic.dead_pixel()
    curves = quick(name, tolerance=0.0)(*known).objective
    assert (curves.diff(dim=1) <= 0).all()


def test_the_scores_that_are_told_are_those_of_the_mask_that_is_shown() -> None:
    heat, (model, images, _) = planted("igos++"), saturated()
    aim = Class(0, probability=True)
    assert_close(heat.deletion, model.scores(images * (1 - heat.values[:, None]), aim))
    assert_close(heat.insertion, model.scores(images * heat.values[:, None], aim))


# variation


def loop_variation(mask: list[list[float]], weight: Any = None) -> float:
    rows, cols = len(mask), len(mask[0])
    down = [
        (weight[0][i][j] if weight else 1) * (mask[i + 1][j] - mask[i][j]) ** 2
        for i in range(rows - 1)
        for j in range(cols)
    ]
    across = [
        (weight[1][i][j] if weight else 1) * (mask[i][j + 1] - mask[i][j]) ** 2
        for i in range(rows)
        for j in range(cols - 1)
    ]
    return sum(down) / len(down) + sum(across) / len(across)


def test_both_variations_are_their_loops() -> None:
    mask = torch.rand(5, 7, dtype=torch.float64)
    picture = 0.1 * torch.randn(3, 5, 7, dtype=torch.float64)
    wanted = loop_variation(mask.tolist())
    assert_close(total_variation(mask[None], 2.0)[0].item(), wanted)
    down = [
        [
            float(torch.exp(-((picture[:, i + 1, j] - picture[:, i, j]) ** 2).mean() / 0.01))
            for j in range(7)
        ]
        for i in range(4)
    ]
    across = [
        [
            float(torch.exp(-((picture[:, i, j + 1] - picture[:, i, j]) ** 2).mean() / 0.01))
            for j in range(6)
        ]
        for i in range(5)
    ]
    found = bilateral_variation(mask[None], mask[None], edge_weights(picture[None], 0.01), 2.0)
    both = 0.5 * (wanted + loop_variation(mask.tolist(), (down, across)))
    assert_close(found[0].item(), both)


def test_an_edge_of_the_picture_takes_half_the_variation_away() -> None:
    mask = torch.ones(1, 6, 6, dtype=torch.float64)
    flat = edge_weights(torch.zeros(1, 3, 6, 6, dtype=torch.float64), 0.01)
    assert bilateral_variation(mask, mask, flat, 2.0) == 0
    mask[:, :, 3:] = 0
    whole = total_variation(mask, 2.0)
    assert_close(bilateral_variation(mask, mask, flat, 2.0), whole)
    edge = edge_weights(mask[:, None].expand(-1, 3, -1, -1), 0.01)
    assert_close(bilateral_variation(mask, mask, edge, 2.0), whole / 2)


def test_a_smoothed_step_solves_for_the_variation() -> None:
    direction = torch.randn(1, 1, 4, 6, dtype=torch.float64)
    cells = torch.rand(24, dtype=torch.float64)  # bent alike everywhere
    bent = torch.autograd.functional.hessian(
        lambda h: total_variation(h.view(1, 4, 6), 2.0)[0], cells
    )
    wanted = torch.linalg.solve(torch.eye(24).double() + 3 * 20 * bent, direction.flatten())
    found = smoothed(direction, torch.tensor([3.0]), 20.0)
    assert_close(found.flatten(), wanted)


# one direction, as loops


def enlarged(cells: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, corners not aligned, pixel by pixel."""
    rows, cols = cells.shape
    lines = []
    for i in range(size[0]):
        y = min(max((i + 0.5) * rows / size[0] - 0.5, 0), rows - 1)
        top, low = int(y), min(int(y) + 1, rows - 1)
        for j in range(size[1]):
            x = min(max((j + 0.5) * cols / size[1] - 0.5, 0), cols - 1)
            left, right = int(x), min(int(x) + 1, cols - 1)
            up = cells[top, left] * (1 - (x - left)) + cells[top, right] * (x - left)
            down = cells[low, left] * (1 - (x - left)) + cells[low, right] * (x - left)
            lines.append(up * (1 - (y - top)) + down * (y - top))
    return torch.stack(lines).view(size)


@pytest.mark.parametrize("middles", [False, True])
@pytest.mark.parametrize("terms", [(Term(1.0, True),), TERMS])
def test_a_direction_is_the_card_written_with_loops(terms: tuple[Term, ...], middles: bool) -> None:
    known = analytic.dead_pixel(batch=2)
    model, images = known.model, known.images
    target = Class(2, probability=True)
    path = MaskPath(points=3, middles=middles, noise=0.2, seed=4, purpose="test")
    filled = filled_like(images, model, None)
    masks = 1 + max(max(term.masks) for term in terms)
    evidence = Evidence(
        model=model, target=target, images=images, filled=filled, terms=terms, path=path
    )
    objective = Objective(evidence=evidence, masks=masks, area=0.7, smooth=1.3)
    hidden = 0.1 + 0.8 * torch.rand(2, masks, 3, 4)
    found = objective.direction(hidden, torch.arange(2), 6)
    noise, net = path.noise_at(6, images), model.module.double()
    assert noise is not None
    for row in range(2):
        leaf = (1 - hidden[row]).double().requires_grad_()
        total = leaf.sum() * 0
        for term in terms:
            for k in range(3):
                share = (k + (0.5 if middles else 1.0)) / 3
                cover = torch.ones(8, 9).double()
                for which in term.masks:
                    cover = cover * enlarged(leaf[which], (8, 9))
                ends = images[row].double(), filled[row].double()
                first, second = ends if term.keeps else ends[::-1]
                shown = first * (share * cover) + second * (1 - share * cover) + noise[k].double()
                total = total + term.weight * net(shown[None]).softmax(1)[0, 2] / 3
        product = leaf.prod(0)
        down, across = product[1:] - product[:-1], product[:, 1:] - product[:, :-1]
        total = total + 0.7 * (1 - product).abs().mean()
        total = total + 1.3 * ((down**2).mean() + (across**2).mean())
        (wanted,) = torch.autograd.grad(total, leaf)
        assert_close(found[row], wanted.float(), atol=1e-6, rtol=1e-4)
    model.module.float()


# each picture by itself


@pytest.mark.parametrize(("name", "fields"), ALL)
def test_alone_is_as_in_a_batch_on_pictures_that_are_not_square(
    name: str, fields: dict[str, Any]
) -> None:
    known = analytic.dead_pixel(batch=3)
    explain = quick(name, **fields)
    together = explain(known.model, known.images, [0, 1, 2])
    assert together.native.shape == (3, 5, 5) and together.values.shape == (3, 8, 9)
    for i in range(3):
        alone = explain(known.model, known.images[i : i + 1], i)
        scale = together.native.max()
        assert_close(alone.native[0] / scale, together.native[i] / scale, atol=1e-5, rtol=1e-4)
        assert_close(alone.objective[0], together.objective[i], atol=1e-5, rtol=1e-4)
        assert alone.iterations[0] == together.iterations[i]


@pytest.mark.parametrize("name", BOTH)
def test_the_seed_decides_and_nothing_else_does(name: str) -> None:
    known = analytic.dead_pixel(batch=1)
    first = quick(name)(*known).native
    torch.manual_seed(77)
    assert torch.equal(quick(name)(*known).native, first)
    assert not torch.equal(quick(name, seed=1)(*known).native, first)
    still = [quick(name, seed=seed, noise=0.0)(*known).native for seed in (0, 1)]
    assert torch.equal(*still)


@pytest.mark.parametrize("name", BOTH)
def test_where_no_step_is_good_the_map_tells_only_the_first_direction(name: str) -> None:
    known = analytic.dead_pixel(batch=1)
    heat = quick(name, largest=1e-7, smallest=1e-9)(*known)
    assert heat.accepted.tolist() == [0] and heat.iterations.tolist() == [3]
    assert 0 < heat.native.max() < 1e-6
    assert (heat.objective == heat.objective[0, 0]).all()


@pytest.mark.parametrize("name", BOTH)
def test_the_tolerance_says_when_a_picture_is_done(name: str) -> None:
    assert planted(name, tolerance=0.0).iterations.tolist() == [20]
    assert planted(name, tolerance=1.0).iterations.tolist() == [3]
    assert 3 <= int(planted(name).iterations) <= 20
    assert Stop(iterations=300, tolerance=0.1).patience == 30


def test_cells_are_as_many_as_asked_but_no_more_than_pixels() -> None:
    known = analytic.dead_pixel(batch=1)
    for cells, shape in ((1, (1, 1)), (7, (7, 7)), (28, (8, 9))):
        found = quick("igos")  # the defaults of the test, with other cells
        found = create("explainer", "igos", cells=cells, points=4, iterations=found.iterations)
        assert found(*known).native.shape == (1, *shape)


def test_other_targets_than_classes_are_explained() -> None:
    known = analytic.dead_pixel(batch=1)
    heat = quick("igos", area=0.01, smooth=0.01)(known.model, known.images, Axis(0))
    assert heat.native.max() > 0


def test_two_masks_hide_what_either_hides() -> None:
    hidden = torch.rand(2, 2, 3, 3)
    assert_close(joined(hidden), 1 - (1 - hidden[:, 0]) * (1 - hidden[:, 1]))


@pytest.mark.parametrize("name", BOTH)
def test_black_boxes_are_refused(name: str) -> None:
    box = Model.from_function(lambda x: x.mean((2, 3)).numpy(), size=(8, 8))
    with pytest.raises(NotExplainable, match="needs gradients"):
        create("explainer", name)(box, torch.rand(1, 3, 8, 8), 0)


@pytest.mark.parametrize("name", BOTH)
def test_fast_takes_a_third_of_the_points_in_the_middles(name: str) -> None:
    fast = create("explainer", name).fast()
    assert (fast.points, fast.nodes) == (6, "middles")


@pytest.mark.parametrize(
    "fields",
    [
        {"cells": 0},
        {"points": 0},
        {"iterations": 0},
        {"tolerance": -1.0},
        {"area": -1.0},
        {"smallest": 0.0},
        {"largest": 1e-9},
        {"shrink": 1.0},
        {"fill": "pink"},
    ],
)
@pytest.mark.parametrize("name", BOTH)
def test_bad_fields_are_refused(name: str, fields: dict[str, Any]) -> None:
    with pytest.raises(BadField):
        create("explainer", name, **fields)


@pytest.mark.parametrize("fields", [{"edge": 0.0}, {"rate": 0.0}])
def test_fields_of_both_masks_are_checked_too(fields: dict[str, Any]) -> None:
    with pytest.raises(BadField):
        create("explainer", "igos++", **fields)


class Blind(nn.Module):
    """Hardly looks at its picture: nothing is worth being hidden."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(1e-3))

    def forward(self, images: Tensor) -> Tensor:
        logit = self.slope * images[:, :, :16].mean((1, 2, 3))
        return torch.stack([logit, torch.zeros_like(logit)], 1)


@pytest.mark.parametrize("name", [*BOTH, "meaningful-perturbation"])
def test_a_map_of_next_to_nothing_says_so(name: str) -> None:
    model, images = Model(Blind(), size=(32, 32)), torch.rand(2, 3, 32, 32)
    explain = create("explainer", name, cells=8, iterations=4)
    with pytest.warns(SightlineWarning, match="no step lowered the objective"):
        found = explain(model, images, Class(0))
    assert found.accepted.tolist() == [0, 0] and found.values.max() < 1e-3
    assert all("only shows which cells" in remark for remark in found.remark)
    assert found.take([1]).details["remark"] == found.remark[1:]


@pytest.mark.parametrize("name", [*BOTH, "meaningful-perturbation"])
def test_a_picture_that_hiding_does_not_change_is_refused(name: str) -> None:
    model, images, target = saturated()
    both = torch.cat([torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)), images])
    with pytest.raises(NotExplainable, match="equals its own fill"):
        create("explainer", name, cells=8)(model, both[1:], target)  # the blur of a white picture
    with pytest.warns(
        SightlineWarning, match=r"1 of 2 pictures. images\[1\]: .*equals its own fill"
    ):
        found = create("explainer", name, cells=8)(model, both, target)
    assert found.values[1].isnan().all() and found.empty.tolist() == [False, True]
    alone = create("explainer", name, cells=8)(model, both[:1], target)
    torch.testing.assert_close(found.values[0], alone.values[0])


def test_a_map_of_something_says_nothing() -> None:
    model, images, target = saturated()
    explain = create("explainer", "igos", cells=8, iterations=4, fill=0.0, smooth=1.0)
    found = explain(model, images, target)
    assert found.accepted.tolist() != [0] and found.remark == [""]
