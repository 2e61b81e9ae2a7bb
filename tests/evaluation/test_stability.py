"""How the order of methods changes with steps, fill and the resolution of the maps."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import sightline as sl
from sightline.evaluation import plan, small_map
from sightline.evaluation.stability import Coarse, coarse, probed, probes
from sightline.evaluation.table import Table
from sightline.worlds import analytic

METHODS = ["gradient", "input-x-gradient", "smooth-grad"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Table, Path]:
    out = tmp_path_factory.mktemp("run")
    pictures = list(torch.rand(6, 3, 6, 7, generator=torch.Generator().manual_seed(1)))
    metrics = [sl.create("metric", "deletion", steps=16), sl.create("metric", "complexity")]
    found = sl.evaluate(analytic.linear().model, pictures, METHODS, metrics, out, batch=8)
    return found, out


def test_fewer_steps_are_read_from_the_curve_as_if_measured() -> None:
    world = analytic.linear()
    image = torch.rand(1, 3, 6, 7)
    heat = sl.explain(world.model, image, "gradient")
    case = sl.Case(world.model, image, world.model.aim(image, None), heat)
    many, few = (sl.create("metric", "deletion", steps=n) for n in (16, 4))
    curves = many.curves(case)[:, ::4]
    assert few.result(curves, 42) == pytest.approx(few(case), abs=1e-6)
    assert few.read(curves) == pytest.approx(few(case), abs=0.5 / 42)  # equal steps: half a pixel


def test_every_choice_is_made_otherwise_and_held_against_the_same_pictures(table) -> None:
    found, out = table
    orders = {o.setting: o for o in found.stability if o.choice != "as asked"}
    fills, coarser = ["fill blur", "fill noise"], ["14 cells", "7 cells"]
    assert [o.setting for o in found.stability if o.choice == "as asked"] == ["as asked", "8 steps"]
    settings = ["8 steps", "4 steps", *fills, *coarser]
    assert {o.metric for o in found.stability} == {"deletion"}
    assert list(orders) == settings
    assert [orders[s].tau.count for s in settings] == [6, 6, 5, 5, 5, 5]
    assert [o.tau.value for o in found.stability if o.choice == "as asked"] == [1.0, 1.0]
    assert all(sorted(o.methods) == sorted(METHODS) for o in found.stability)
    # A map of 6 x 7 cells has no detail beyond 14 or 7.
    assert orders["14 cells"].tau.value == orders["7 cells"].tau.value == 1.0
    told = json.loads((out / "table.json").read_text("utf-8"))["stability"]
    assert [t["setting"] for t in told] == [o.setting for o in found.stability]
    assert told[-4]["order"] == list(orders["fill blur"].methods)
    page = (out / "report.html").read_text("utf-8")
    assert "the order with other settings" in page and "fill blur" in page


def test_a_probe_is_the_metric_itself_with_that_choice(table) -> None:
    found, _ = table
    plan, model = found.plan, found.plan.model
    (blur,) = [k for k, p in enumerate(plan.probes) if p.setting == "fill blur"]
    image = torch.rand(6, 3, 6, 7, generator=torch.Generator().manual_seed(1))[1:2]
    heat = sl.explain(model, image, "smooth-grad")
    case = sl.Case(model, image, model.aim(image, None), heat)
    by_hand = float(sl.create("metric", "deletion", steps=8, fill="blur")(case))
    assert found.probed[blur, 2, 1] == pytest.approx(by_hand, abs=1e-6)


def test_nothing_is_measured_again_where_nobody_wants_it(tmp_path: Path) -> None:
    pictures = list(torch.rand(3, 3, 6, 7))
    model = analytic.linear().model
    for stability, methods in ((False, METHODS[:2]), (True, METHODS[:1])):
        found = sl.evaluate(
            model, pictures, methods, ["deletion"], tmp_path / methods[-1], stability=stability
        )
        assert found.plan.probes == () and found.probed.size == 0
    assert "were not measured in this run" in (tmp_path / METHODS[1] / "report.html").read_text(
        "utf-8"
    )


def test_coarse_maps_keep_their_size_and_mean() -> None:
    maps = torch.rand(2, 28, 21)
    found = coarse(maps, 7)
    assert found.shape == maps.shape
    assert found.mean((1, 2)) == pytest.approx(maps.mean((1, 2)), abs=0.01)
    assert found.diff(dim=1).abs().mean() < maps.diff(dim=1).abs().mean() / 4
    assert torch.equal(coarse(maps, 28), maps)


def test_only_metrics_with_fill_and_steps_are_varied() -> None:
    metrics = [sl.create("metric", n) for n in ("pointing", "deletion", "average-drop")]
    assert {p.judge for p in probes(metrics)} == {1}
    assert [p.metric.steps for p in probes(metrics) if not isinstance(p.metric, Coarse)] == [8, 8]
    assert [probed(n) for n in (1, 15, 50, 10_000, None)] == [5, 5, 10, 20, 20]


@pytest.mark.parametrize("shape", [(7, 7), (56, 40), (1, 90)])
def test_a_small_map_is_the_map_made_small(shape: tuple[int, int]) -> None:
    values = torch.randn(*shape)
    held = small_map.packed(values)
    assert held is not None and json.loads(json.dumps(held)) == held
    back = small_map.unpacked(held)
    assert max(back.shape) <= 28
    if shape == (7, 7):
        assert np.abs(back - values.numpy()).max() <= float(values.max() - values.min()) / 500
    assert back.mean() == pytest.approx(float(values.mean()), abs=0.3)
    assert small_map.packed(torch.full((3, 3), torch.nan)) is None


def test_the_key_of_a_coarser_map_does_not_depend_on_where_its_file_lies() -> None:
    """A ledger that was written before the file moved finds its numbers."""
    deletion = sl.create("metric", "deletion", steps=8)
    facts = plan._facts(Coarse(metric=deletion, cells=14))
    assert plan._hash(facts) == "dd3fbf553f9c5a1fff8743162ae71952"
