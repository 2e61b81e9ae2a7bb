"""The control: Adam's steps as the library takes them, and what saturation does to it."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Class, Model, create
from sightline.errors import BadField, NotExplainable
from sightline.explainers.structure._descent import DescentState, Stop
from sightline.explainers.structure._evidence import Evidence, MaskPath, Term
from sightline.explainers.structure._objective import Objective
from sightline.explainers.structure._optimised_mask import OptimisedMask
from sightline.explainers.structure._optimisers import Adam
from sightline.worlds import analytic

pytestmark = pytest.mark.filterwarnings("ignore:.*no step lowered the objective")


class Sure(nn.Module):
    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, images: Tensor) -> Tensor:
        logit = self.slope * (images[:, :, 8:16, 16:24].mean((1, 2, 3)) - 0.3)
        return torch.stack([logit, torch.zeros_like(logit)], 1)


def explained(slope: float, name: str = "meaningful-perturbation", **fields: Any) -> Any:
    explain = create("explainer", name, cells=8, smooth=1.0, fill=0.0, **fields)
    return explain(Model(Sure(slope), size=(32, 32)), torch.ones(1, 3, 32, 32), 0)


def test_it_finds_the_evidence_of_a_model_that_is_not_too_sure() -> None:
    heat = explained(8.0, area=0.1)
    cells, planted = heat.native[0].flatten(), [20, 21, 28, 29]
    rest = [cell for cell in range(64) if cell not in planted]
    assert cells[planted].min() >= cells[rest].max() and cells[rest].min() < cells[planted].min()
    assert heat.objective[0].min() < heat.objective[0, 0]


def test_a_saturated_score_stops_it_where_igos_goes_on() -> None:
    with pytest.raises(NotExplainable, match="map of zeros"):
        explained(40.0)
    assert explained(40.0, "igos").deletion < 0.05


def test_its_steps_are_those_of_adam() -> None:
    known = analytic.dead_pixel(batch=1)
    evidence = Evidence(
        model=known.model,
        target=Class(0, probability=True),
        images=known.images,
        filled=known.images + 1,
        terms=(Term(1.0, True),),
        path=MaskPath(points=1, middles=False, noise=0.0, seed=0, purpose="test"),
    )
    objective = Objective(evidence=evidence, masks=1, area=0.0, smooth=1.0)
    course = DescentState.begin(objective, (2, 3), Stop(iterations=4, tolerance=0.0))
    leaf = torch.zeros(1, 1, 2, 3, requires_grad=True)
    library, ours, rows = torch.optim.Adam([leaf], lr=0.1), Adam(0.1), torch.arange(1)
    for direction in torch.rand(4, 1, 1, 2, 3):  # positive, so that nothing is clipped
        leaf.grad = -direction
        library.step()
        ours.here(course, rows)
        ours.move(objective, course, rows, direction)
    assert ours.place is not None
    assert_close(ours.place, leaf.detach())


def test_alone_is_as_in_a_batch() -> None:
    known = analytic.dead_pixel(batch=2)
    explain = create("explainer", "meaningful-perturbation", cells=4, iterations=12, area=0.01)
    together = explain(known.model, known.images, [0, 1])
    for i in range(2):
        alone = explain(known.model, known.images[i : i + 1], i)
        scale = together.native.max()
        assert_close(alone.native[0] / scale, together.native[i] / scale, atol=1e-5, rtol=1e-4)


def test_black_boxes_and_bad_fields_are_refused() -> None:
    box = Model.from_function(lambda x: x.mean((2, 3)).numpy(), size=(8, 8))
    with pytest.raises(NotExplainable, match="needs gradients"):
        create("explainer", "meaningful-perturbation")(box, torch.rand(1, 3, 8, 8), 0)
    for fields in ({"cells": 0}, {"rate": 0.0}, {"area": -1.0}, {"tolerance": -0.1}):
        with pytest.raises(BadField):
            create("explainer", "meaningful-perturbation", **fields)


def test_a_cell_of_which_nothing_is_hidden_feels_what_hiding_it_costs() -> None:
    """|h| has the slopes -1 and 1 at 0; with neither, a cell that pays for less than its size set
    off as far as all others, and which cells lie at 0 exactly is up to rounding."""
    known = analytic.dead_pixel(batch=1)
    evidence = Evidence(
        model=known.model,
        target=Class(0, probability=True),
        images=known.images,
        filled=known.images + 1,
        terms=(Term(1.0, True),),
        path=MaskPath(points=1, middles=False, noise=0.0, seed=0, purpose="test"),
    )
    objective = Objective(evidence=evidence, masks=1, area=6.0, smooth=0.0)  # each of 6 cells: 1
    course = DescentState.begin(objective, (2, 3), Stop(iterations=4, tolerance=0.0))
    walk, rows = Adam(0.1), torch.arange(1)
    walk.here(course, rows)
    gain = torch.tensor([[[[0.5, 0.9, 1.1], [1e-9, 2.0, -1.0]]]])
    walk.move(objective, course, rows, gain)
    assert_close(walk.place, torch.tensor([[[[0, 0, 0.1], [0, 0.1, 0]]]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["igos", "igos++", "meaningful-perturbation"])
def test_optimised_masks_are_one_family_that_differs_in_its_descent_alone(name: str) -> None:
    method = create("explainer", name)
    assert isinstance(method, OptimisedMask)
    assert type(method).explain is OptimisedMask.explain
    with pytest.raises(BadField, match=rf"{re.escape(name)} needs area"):
        create("explainer", name, area=-1.0)
