"""Maps and sets of patches in one table: each is judged by the metrics that can read it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import sightline as sl
from sightline.errors import BadField, SightlineWarning
from sightline.evaluation.plan import BLIND
from sightline.ops.null_maps import NULLS

SIDE = 28
METRICS = ["deletion", "sufficiency", "evaluations"]


class Corner(nn.Module):
    """Class 1 where the upper left corner is bright."""

    def forward(self, images: Tensor) -> Tensor:
        corner = images[:, :, :8, :8].mean((1, 2, 3))
        return torch.stack([0 * corner, 8 * corner - 2], 1)


@pytest.fixture(scope="module")
def model() -> sl.Model:
    return sl.Model(Corner(), size=(SIDE, SIDE))


@pytest.fixture
def pictures() -> list[Tensor]:
    found = 0.3 * torch.rand((3, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    found[:, :, :8, :8] = 1
    return list(found)


def sag() -> sl.Explainer:
    held = sl.create("explainer", "occlusion", window=8, stride=4)
    return sl.create("explainer", "sag", grid=4, explainer=held)


def test_each_kind_is_judged_by_what_reads_it_and_the_rest_is_no_error(
    model: sl.Model, pictures: list[Tensor], tmp_path: Path
) -> None:
    table = sl.evaluate(model, pictures, ["gradient", sag()], METRICS, tmp_path)
    assert not table.errors
    there = {(r["method"], r["metric"]) for r in table.rows if r["value"] is not None}
    wanted = {("gradient", "deletion"), ("sag", "sufficiency")}
    wanted |= {(method, "evaluations") for method in ("gradient", "sag")}
    assert {pair for pair in there if pair[0] not in BLIND} == wanted
    # maps that know nothing stand beside the maps, sets that know nothing beside the sets
    assert {m for m, metric in there if metric == "deletion"} == {"gradient", *BLIND}
    nulls = set(NULLS)
    assert {m for m, metric in there if metric == "sufficiency"} == {"sag", *nulls}
    case = sl.metric.judged(sag(), model, torch.stack(pictures))
    metric = sl.create("metric", "sufficiency")
    for name, levels in metric.null_levels(case).items():
        found = [
            r["value"]
            for r in table.rows
            if (r["method"], r["metric"]) == (name, metric.registered_name)
        ]
        assert found == pytest.approx(levels.tolist(), abs=1e-5)
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_what_no_metric_reads_is_left_out_and_named(
    model: sl.Model, pictures: list[Tensor], tmp_path: Path
) -> None:
    with pytest.warns(SightlineWarning, match=r"left out.*sag \(Regions\)"):
        table = sl.evaluate(model, pictures, ["gradient", sag()], ["deletion"], tmp_path / "a")
    assert table.methods == ["gradient"] and not table.errors
    with pytest.raises(BadField, match=r"sag \(Regions\).*sufficiency"):
        sl.evaluate(model, pictures, [sag()], ["deletion"], tmp_path / "b")


def test_only_methods_that_met_are_ranked(
    model: sl.Model, pictures: list[Tensor], tmp_path: Path
) -> None:
    names = ["gradient", "input-x-gradient", sag()]
    table = sl.evaluate(model, pictures, names, ["deletion", "sufficiency"], tmp_path)
    assert table.ranking is not None
    assert set(table.ranking.methods) == {"gradient", "input-x-gradient"}
    assert "the other" not in table.verdict
    page = table.html()
    assert page.count("not for this kind of explanation") > 0 and ">sag<" in page
