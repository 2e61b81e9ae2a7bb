"""What baselines score is measured once: for all methods of a run, and over runs."""

import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import sightline as sl
from evaluation.breaking import Counting
from sightline import explain_pictures
from sightline.evaluation.plan import BLIND
from sightline.evaluation.stores import baselines
from sightline.evaluation.stores.baselines import Baselines
from sightline.ops.null_maps import NULLS
from sightline.pictures.reading import Picture
from sightline.worlds import analytic


@pytest.fixture
def pictures() -> list[Tensor]:
    return list(torch.rand(3, 3, 6, 7, generator=torch.Generator().manual_seed(1)))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _asked(folder: Path) -> int:
    path = folder / "asked"
    count = len(path.read_bytes()) if path.exists() else 0
    path.write_bytes(b"")
    return count


def test_another_method_in_another_folder_costs_no_baseline(
    pictures: list[Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, count = analytic.linear().model, Counting(folder=str(tmp_path))

    def run(out: str, method: str, metrics: list, **given: bool) -> int:
        sl.evaluate(model, pictures, [method], metrics, tmp_path / out, batch=4, **given)
        return _asked(tmp_path)

    deletion = sl.create("metric", "deletion", steps=4)
    assert run("a", "gradient", [count]) == 3 * (1 + len(BLIND))
    assert run("b", "input-x-gradient", [count]) == 3
    assert run("c", "gradient", [count, deletion]) == 3
    before = model.evaluations["forward"]
    assert run("d", "occlusion", [count, deletion]) == 3
    assert 0 < model.evaluations["forward"] - before
    assert run("e", "gradient", [count, deletion], cache=False) == 3 * (1 + len(BLIND))
    for name in ("table.parquet", "table.json"):
        assert (tmp_path / "c" / name).read_bytes() == (tmp_path / "e" / name).read_bytes()
    monkeypatch.setenv("SIGHTLINE_CACHE", "")
    assert run("f", "gradient", [count]) == 3 * (1 + len(BLIND))
    with torch.no_grad():
        next(model.module.parameters()).add_(1.0)
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))
    assert run("g", "gradient", [count]) == 3 * (1 + len(BLIND))  # another network


def _record(cell: str, **metrics: float) -> dict:
    return {
        "cell": cell,
        "error": "",
        "metrics": {k: {"value": v, "error": "", "curve": [v] * 40} for k, v in metrics.items()},
    }


def test_metrics_add_up_and_the_first_number_stays(own_cache: Path) -> None:
    first, second = Baselines(own_cache), Baselines(own_cache)  # of two processes
    first.add(_record("a", m=1.0))
    second.add(_record("a", n=2.0))
    second.add(_record("a", m=9.0))
    assert first.get("a", ["m", "n", "o"]) == _record("a", m=1.0, n=2.0)
    assert first.get("a", ["n"]) == _record("a", n=2.0)
    assert first.get("a", ["o"]) is None and first.get("b", ["m"]) is None
    first.close()
    second.close()


def test_several_processes_write_one_store(own_cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from sightline.evaluation.stores.baselines import Baselines;"
        "b = Baselines(Path(sys.argv[1]));"
        "[b.add({'cell': f'{sys.argv[2]}{k}', 'metrics': {'m': k}}) for k in range(200)];"
        "b.close()"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(own_cache), who]) for who in ("x", "y")
    ]
    assert [each.wait() for each in running] == [0, 0]
    store = Baselines(own_cache)
    for who in ("x", "y"):
        assert all(store.get(f"{who}{k}", ["m"]) is not None for k in range(200))
    store.close()


def test_the_store_keeps_what_is_newest_within_its_size(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "LARGEST", 400_000)
    monkeypatch.setattr(baselines, "_LOOKS", 50)
    store = Baselines(own_cache)
    for k in range(3000):
        curve = torch.rand(40).tolist()
        store.add({"cell": f"{k}", "metrics": {"m": curve}})
    assert store.get("2999", ["m"]) and store.get("2800", ["m"]) and not store.get("0", ["m"])
    store.close()
    assert sum(p.stat().st_size for p in own_cache.iterdir()) < 700_000


def test_a_store_that_is_not_usable_is_no_error(pictures: list[Tensor], own_cache: Path) -> None:
    own_cache.mkdir()
    path = own_cache / "baselines-1.sqlite"
    path.write_bytes(b"no data base" * 1000)
    store = Baselines(own_cache)
    store.add(_record("a", m=1.0))
    assert store.get("a", ["m"]) is None
    store.close()
    store = Baselines(own_cache)  # it was removed, so that the next run has one
    store.add(_record("a", m=1.0))
    assert store.get("a", ["m"])
    store.close()
    with sqlite3.connect(path) as base:
        base.execute("UPDATE known SET found = x'00'")
    base.close()
    store = Baselines(own_cache)
    assert store.get("a", ["m"]) is None
    store.close()
    (own_cache / "file").write_text("x")
    store = Baselines(own_cache / "file")
    store.add(_record("a", m=1.0))
    assert store.get("a", ["m"]) is None
    store.close()


def test_explaining_a_picture_again_measures_no_baseline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    model, metric = sl.Model(net, sl.Preprocess(size=8)), sl.create("metric", "deletion", steps=4)
    drawn = torch.randint(0, 255, (9, 9, 3), generator=torch.Generator().manual_seed(0))
    picture, measured, real = Picture(drawn.byte().numpy(), "x"), [], explain_pictures._baselines

    def counted(*given: Any) -> Any:
        measured.append(given)
        return real(*given)

    monkeypatch.setattr(explain_pictures, "_baselines", counted)
    found = []
    for method in ("gradient", "input-x-gradient", "gradient"):
        plan = explain_pictures.plan(
            model, [sl.create("explainer", method)], metrics=[metric], target=1
        )
        found.append(explain_pictures.explain_picture(plan, picture).item.maps[0].metrics[0])
    assert len(measured) == 1 and found[0].value != found[1].value
    assert found[0].nulls == found[1].nulls == found[2].nulls and len(found[0].nulls) == len(NULLS)
    other = explain_pictures.plan(
        model, [sl.create("explainer", "gradient")], metrics=[metric], target=0
    )
    explain_pictures.explain_picture(other, picture)
    assert len(measured) == 2  # another target


def test_what_stands_on_other_inputs_is_never_taken_from_the_store() -> None:
    model = analytic.linear().model
    images = torch.rand(1, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    case = sl.Case(model, images, sl.Class(1), sl.Heatmap(images.mean(1)))
    assert baselines._cell(case) is not None
    asked = replace(case, model=model.given(question=torch.zeros(1)))
    assert baselines._cell(asked) is None
