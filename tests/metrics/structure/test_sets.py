"""Sets of patches judged where the truth is planted: what is enough, what is needed, and what only
pads."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Case, Class, Heatmap, Metric, Model, Regions, create
from sightline.errors import BadField, NotExplainable, UnknownName
from sightline.metric import Truth, judged
from sightline.registry import from_json, to_json

GRID, CELL = 4, 12
SIDE = GRID * CELL
BOTH, ALONE = ((0, 0), (2, 3)), ((3, 1),)  # together enough; enough by itself
NEEDED = ((0, 0), (3, 1))
NAMES = ("minimality", "necessity", "sufficiency")
NULLS = {"random", "centred blob", "edge map", "uniform map"}


class Planted(nn.Module):
    """Class 1 where both cells of BOTH are lit, or the one of ALONE; a cell is its centre."""

    def forward(self, images: Tensor) -> Tensor:
        def lit(cell: tuple[int, int]) -> Tensor:
            row, col = (CELL * place + CELL // 2 for place in cell)
            spot = images[:, :, row - 1 : row + 1, col - 1 : col + 1].mean((1, 2, 3))
            return (4 * (spot - 0.6)).clamp(0, 1)

        together = torch.stack([lit(cell) for cell in BOTH]).amin(0)
        logit = 8 * torch.maximum(together, lit(ALONE[0])) - 4
        return torch.stack([0 * logit, logit], 1)


def images(batch: int = 2) -> Tensor:
    found = 0.3 * torch.rand((batch, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    for row, col in (*BOTH, *ALONE):
        found[:, :, CELL * row : CELL * (row + 1), CELL * col : CELL * (col + 1)] = 1
    return found


def case(
    sets: Sequence[Sequence[tuple[int, int]]],
    needed: Sequence[tuple[int, int]] | None = NEEDED,
    batch: int = 2,
) -> Case:
    model = Model(Planted(), size=(SIDE, SIDE))
    claimed = Regions(grid=(GRID, GRID), minimal=[sets] * batch, necessary=[needed] * batch)
    return Case(model, images(batch), Class(1), claimed)


def metric(name: str, **fields: object) -> Metric:
    return create("metric", name, fill=0.0, **fields)


@pytest.mark.parametrize("edges", ["soft", "hard"])
@pytest.mark.parametrize("name", NAMES)
def test_planted_sets_win_over_sets_that_know_nothing(name: str, edges: str) -> None:
    judge, planted = metric(name, edges=edges), case([BOTH, ALONE])
    assert judge(planted).min() > 0.97
    levels = {null: judge.null_levels(planted, seed) for seed in range(3) for null in NULLS}
    assert set(levels) == NULLS
    for level in (value for each in levels.values() for value in each.values()):
        assert level.shape == (2,) and level.max() < 0.7


def test_a_superset_loses_minimality_and_keeps_sufficiency() -> None:
    padded = [(*BOTH, (1, 1)), (*ALONE, (1, 1), (1, 2))]
    assert_close(metric("minimality")(case([padded[0]])), torch.full((2,), 2 / 3))
    assert_close(metric("minimality")(case([padded[1]])), torch.full((2,), 1 / 3))
    assert_close(metric("minimality")(case(padded)), torch.full((2,), 0.5))
    assert metric("sufficiency")(case(padded)).min() > 0.99


def test_a_set_that_lacks_a_needed_cell_loses_sufficiency_and_is_not_minimal() -> None:
    lacking = case([BOTH[:1]])
    blank = float(torch.tensor(-4.0).sigmoid() / torch.tensor(4.0).sigmoid())
    assert_close(metric("sufficiency")(lacking), torch.full((2,), blank), atol=1e-5, rtol=0)
    assert torch.equal(metric("minimality")(lacking), torch.zeros(2))
    assert metric("sufficiency")(case([BOTH[:1], ALONE])).max() < 0.52


def test_half_of_what_is_needed_is_not_needed_while_another_set_is_enough() -> None:
    assert metric("necessity")(case([], NEEDED)).min() > 0.97
    for part in (NEEDED[:1], NEEDED[1:], ((1, 1), (1, 2))):
        assert metric("necessity")(case([], part)).max() < 1e-5


def test_two_sets_that_may_stand_for_one_another_are_each_minimal() -> None:
    for sets in ([BOTH], [ALONE], [ALONE, BOTH]):
        assert torch.equal(metric("minimality")(case(sets)), torch.ones(2))


def test_what_was_not_found_has_no_number_and_nothing_at_all_may_be_enough() -> None:
    nothing = case([], None)
    for name in NAMES:
        assert metric(name)(nothing).isnan().all()
        assert metric(name).null_levels(nothing)["random"].isnan().all()
    blank = create("metric", "sufficiency", fill=1.0)(case([()]))
    assert blank.min() > 0.99 and create("metric", "minimality", fill=1.0)(case([()])).all()


def test_a_picture_that_scores_nothing_has_no_number() -> None:
    model = Model(nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, 2)), size=(SIDE, SIDE))
    with torch.no_grad():
        model.module[1].weight.zero_()  # type: ignore[index]
        model.module[1].bias.copy_(torch.tensor([-1.0, 1.0]))  # type: ignore[index]
    sets = Regions(grid=(4, 4), minimal=[[ALONE]], necessary=[ALONE])
    for name in NAMES:
        whole = Case(model, images(1), Class(0).with_probability(False), sets)
        assert metric(name)(whole).isnan().all()
        assert metric(name)(Case(model, images(1), Class(1), sets)).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_alone_is_as_in_a_batch_and_chunks_change_nothing(name: str) -> None:
    whole = case([BOTH, ALONE], batch=3)
    mixed = Regions(
        grid=(GRID, GRID),
        minimal=[[BOTH], [ALONE, (*BOTH, (1, 1))], [BOTH[:1]]],
        necessary=[NEEDED, ALONE, None],
    )
    whole = Case(whole.model, whole.images, whole.target, mixed)
    together = metric(name)(whole)
    levels = metric(name).null_levels(whole)
    for i in range(3):
        kept = Regions(grid=mixed.grid, minimal=[mixed.minimal[i]], necessary=[mixed.necessary[i]])
        alone = Case(whole.model, whole.images[i : i + 1], Class(1), kept)
        assert_close(metric(name)(alone)[0], together[i], equal_nan=True)
        for null, level in metric(name).null_levels(alone).items():
            assert_close(level[0], levels[null][i], equal_nan=True)
    whole.model.batch = 2
    assert_close(metric(name)(whole), together, equal_nan=True)


@pytest.mark.parametrize("name", NAMES)
def test_the_contract_of_a_metric_holds_without_a_map(name: str) -> None:
    made, whole = create("metric", name), case([BOTH, ALONE])
    assert from_json("metric", to_json(made)) == made
    found = made(whole)
    assert found.dtype == torch.float32 and found.isfinite().all()
    assert ((found >= 0) & (found <= 1)).all()
    assert made.direction == "higher" and made.unit and made.curves(whole) is None
    assert np.isfinite(made.summary(found))
    with pytest.raises(UnknownName, match="no field"):
        create("metric", name, fil="mean")
    with pytest.raises(BadField, match="no fill"):
        create("metric", name, fill="plaid")


@pytest.mark.parametrize("name", NAMES)
def test_a_heatmap_has_no_sets(name: str) -> None:
    whole = case([BOTH])
    mapped = Case(whole.model, whole.images, Class(1), Heatmap(torch.rand(2, SIDE, SIDE)))
    for ask in (create("metric", name), create("metric", name).null_levels):
        with pytest.raises(NotExplainable, match="reads sets of patches"):
            ask(mapped)


MAPS = ("deletion", "pointing", "energy-pointing", "complexity", "average-drop", "part-iou")


@pytest.mark.parametrize("name", MAPS)
def test_sets_are_no_map(name: str) -> None:
    truth = Truth(masks=[np.ones((SIDE, SIDE), dtype=bool)] * 2)
    whole = case([BOTH])
    whole = Case(whole.model, whole.images, whole.target, whole.explanation, truth=truth)
    with pytest.raises(NotExplainable):
        create("metric", name)(whole)


def test_the_sets_that_sag_finds_in_the_planted_picture_are_what_it_says() -> None:
    sag = create("explainer", "sag", explainer="rise", grid=GRID, fill=0.0)
    found = judged(sag, Model(Planted(), size=(SIDE, SIDE)), images(1), Class(1))
    assert set(found.explanation.minimal[0]) == {frozenset(BOTH), frozenset(ALONE)}
    for name in NAMES:
        assert metric(name)(found).min() > 0.97
