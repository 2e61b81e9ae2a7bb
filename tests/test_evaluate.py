"""`evaluate`: the table is right, a second run computes only what is new, what fails is a row."""

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
from torch import Tensor

import sightline as sl
from evaluation.breaking import Counting, Crashing, Dying, Refusing, Undefined
from sightline.errors import BadField, BadImage, BadTarget, FileProblem, UnknownName
from sightline.evaluation import comparison
from sightline.evaluation.plan import BLIND
from sightline.stats import wins
from sightline.worlds import analytic, aviary


@pytest.fixture(scope="module")
def small() -> sl.Model:
    """A network of a few weights with labels, which takes tensors of 6 x 7."""
    return analytic.linear().model


@pytest.fixture
def pictures() -> list[Tensor]:
    return list(torch.rand(5, 3, 6, 7, generator=torch.Generator().manual_seed(1)))


@pytest.fixture(scope="module")
def trained() -> sl.Model:
    return sl.load("sightline:default")


def _deletion(steps: int = 4, **fields: Any) -> sl.Metric:
    return sl.create("metric", "deletion", steps=steps, **fields)


def _asked(folder: Path) -> int:
    """How often the counting metric was asked since the last time."""
    path = folder / "asked"
    count = len(path.read_bytes()) if path.exists() else 0
    path.write_bytes(b"")
    return count


def test_the_table_holds_what_method_and_metric_say_by_hand(
    small: sl.Model, pictures: list[Tensor], tmp_path: Path
) -> None:
    metric = _deletion()
    table = sl.evaluate(small, pictures, ["gradient", "input-x-gradient"], [metric], tmp_path)
    assert [r["method"] for r in table.rows[: 2 + len(BLIND)]] == [
        "gradient",
        "input-x-gradient",
        *BLIND,
    ]
    assert len(table.rows) == 5 * (2 + len(BLIND)) and not table.errors
    for row in table.rows:
        images = pictures[row["index"]][None]
        aimed = small.aim(images, None)
        if row["blind"]:
            continue
        heat = sl.explain(small, images, row["method"])
        case = sl.Case(small, images, aimed, heat)
        assert row["value"] == pytest.approx(float(metric(case)), abs=1e-6)
        assert row["curve"] == pytest.approx(metric.curves(case)[0].tolist(), abs=1e-6)
        assert row["target"] == str(small.outputs(images).argmax().item())


def test_the_summary_is_the_mean_and_its_interval_holds_it(small: sl.Model, tmp_path: Path) -> None:
    pictures = list(torch.rand(9, 3, 6, 7, generator=torch.Generator().manual_seed(1)))
    table = sl.evaluate(small, pictures, ["gradient"], [_deletion()], tmp_path)
    values = [r["value"] for r in table.rows if r["method"] == "gradient"]
    blob = [r["value"] for r in table.rows if r["method"] == "centred blob"]
    first = table.summary[0]
    assert first["value"] == pytest.approx(np.mean(values))
    assert min(values) <= first["low"] < first["value"] < first["high"] <= max(values)
    (against,) = table.against
    assert against.value == pytest.approx(np.mean(blob) - np.mean(values))  # lower is better
    assert against.word in ("better", "worse", "not significantly different")
    assert "significantly" in table.verdict and "centred blob" in table.verdict


def test_the_files_say_the_same_as_the_table(
    small: sl.Model, pictures: list[Tensor], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    table = sl.evaluate(small, pictures, ["gradient"], [_deletion()], out, batch=3)
    assert pyarrow.parquet.read_table(out / "table.parquet").to_pylist() == list(table.rows)
    assert table.to_arrow().to_pylist() == list(table.rows)
    told = json.loads((out / "table.json").read_text("utf-8"))
    assert [r["value"] for r in told["rows"]] == [r["value"] for r in table.rows]
    run = tomllib.loads((out / "run.toml").read_text("utf-8"))
    assert run["batch"] == 3 and run["metrics"][0]["fields"]["steps"] == 4
    assert run["model"]["weights"] == small.digest
    page = (out / "report.html").read_text("utf-8")
    assert "centred blob" in page and "http" not in page.split("<body")[0].replace("http-equiv", "")
    costs = pyarrow.parquet.read_table(out / "costs.parquet").to_pylist()
    assert len(costs) == 5 and all(c["seconds"] > 0 for c in costs)


def test_two_runs_give_equal_bytes_and_the_order_of_methods_changes_no_number(
    small: sl.Model, pictures: list[Tensor], tmp_path: Path
) -> None:
    names = ["gradient", "input-x-gradient"]
    for out in ("a", "b"):
        table = sl.evaluate(small, pictures, names, [_deletion()], tmp_path / out, batch=4)
    for name in ("table.parquet", "table.json", "run.toml"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    other = sl.evaluate(small, pictures[::-1], names[::-1], [_deletion()], tmp_path / "c", batch=1)
    for row in table.rows:
        (same,) = [
            r for r in other.rows if r["method"] == row["method"] and r["index"] == 4 - row["index"]
        ]
        assert same["value"] == pytest.approx(row["value"], abs=1e-5)


def test_another_process_gives_the_same_bytes(trained: sl.Model, tmp_path: Path) -> None:
    for workers in (1, 2):
        out = tmp_path / str(workers)
        sl.evaluate(
            trained, aviary.bundle(2), ["grad-cam"], [_deletion()], out, batch=8, workers=workers
        )
    assert (tmp_path / "1/table.parquet").read_bytes() == (
        tmp_path / "2/table.parquet"
    ).read_bytes()


def test_only_what_is_new_is_computed(
    small: sl.Model, pictures: list[Tensor], tmp_path: Path
) -> None:
    count, out = Counting(folder=str(tmp_path)), tmp_path / "run"
    all_maps = 1 + len(BLIND)

    def run(data: list[Tensor], methods: list[str], metrics: list[Any]) -> int:
        sl.evaluate(small, data, methods, metrics, out, batch=4)
        return _asked(tmp_path)

    assert run(pictures[:3], ["gradient"], [count]) == 3 * all_maps
    before = small.evaluations["forward"]
    assert run(pictures[:3], ["gradient"], [count]) == 0
    assert small.evaluations["forward"] == before
    assert run(pictures[:3], ["gradient", "input-x-gradient"], [count]) == 3
    assert run(pictures[:3], ["gradient", "input-x-gradient"], [count, _deletion()]) == 0
    assert run(pictures, ["gradient"], [count]) == 2 * all_maps
    assert run([pictures[0]] * 3, ["gradient"], [count]) == 0
    lines = (out / "cells.jsonl").read_bytes().count(b"\n")
    assert lines == 3 * (all_maps + 1) * 2 + 2 * all_maps


def test_other_weights_or_another_batch_size_are_other_cells(
    pictures: list[Tensor], tmp_path: Path
) -> None:
    count, model = Counting(folder=str(tmp_path)), analytic.linear().model
    for _ in range(2):
        sl.evaluate(model, pictures[:1], ["gradient"], [count], tmp_path, batch=4)
    assert _asked(tmp_path) == 1 + len(BLIND)
    sl.evaluate(model, pictures[:1], ["gradient"], [count], tmp_path, batch=2)
    assert _asked(tmp_path) == 1 + len(BLIND)
    with torch.no_grad():
        next(model.module.parameters()).add_(1.0)
    sl.evaluate(model, pictures[:1], ["gradient"], [count], tmp_path, batch=2)
    assert _asked(tmp_path) == 1 + len(BLIND)


def test_a_run_goes_on_with_the_batch_size_that_it_wrote_down(
    small: sl.Model, pictures: list[Tensor], tmp_path: Path
) -> None:
    sl.evaluate(small, pictures[:1], ["gradient"], [_deletion()], tmp_path, batch=5)
    again = sl.evaluate(small, pictures[:1], ["gradient"], [_deletion()], tmp_path)
    assert again.plan.batch == 5 and small.batch is None


def test_what_fails_is_a_row_with_its_reason_and_the_rest_goes_on(
    small: sl.Model, pictures: list[Tensor], tmp_path: Path
) -> None:
    methods = [Refusing(), Crashing(), sl.create("explainer", "gradient")]
    table = sl.evaluate(small, pictures[:2], methods, [_deletion(), Undefined()], tmp_path)
    reasons = {(r["method"], r["metric"]): r["error"] for r in table.rows}
    assert reasons["Refusing", "deletion"] == "this one never works"
    assert reasons["Crashing", "deletion"] == "ZeroDivisionError: a fault"
    assert reasons["gradient", "deletion"] == ""
    assert "undefined" in reasons["gradient", "Undefined"]
    assert len(table.errors) == 2 * 3
    assert "this one never works" in (tmp_path / "report.html").read_text("utf-8")


def test_a_refusal_is_remembered_and_a_fault_is_tried_again(
    small: sl.Model, pictures: list[Tensor], tmp_path: Path
) -> None:
    for _ in range(2):
        sl.evaluate(small, pictures[:1], [Refusing(), Crashing()], [_deletion()], tmp_path)
    kept = [
        json.loads(line.partition(b" ")[2])["error"]
        for line in (tmp_path / "cells.jsonl").read_bytes().splitlines()
    ]
    assert kept.count("this one never works") == 1
    assert not any("ZeroDivisionError" in reason for reason in kept)


def test_nan_scores_are_said(pictures: list[Tensor], tmp_path: Path) -> None:
    model = analytic.linear().model
    with torch.no_grad():
        next(model.module.parameters()).fill_(float("nan"))
    table = sl.evaluate(model, pictures[:1], ["gradient"], [_deletion()], tmp_path)
    assert all(r["value"] is None and r["error"] for r in table.rows)
    assert "NaN" in table.errors[0]
    assert "No method could be scored" in table.verdict


def test_a_process_that_dies_takes_one_cell_with_it(
    small: sl.Model, pictures: list[Tensor], tmp_path: Path
) -> None:
    methods = [Dying(parent=os.getpid()), sl.create("explainer", "gradient")]
    data = [(p, k % 3) for k, p in enumerate(pictures[:3])]  # the first one's class is 0
    table = sl.evaluate(small, data, methods, [_deletion()], tmp_path, workers=2)
    (error,) = table.errors
    assert "process that computed it died (status 3)" in error
    assert sum(r["value"] is not None for r in table.rows) == 3 * (2 + len(BLIND)) - 1


def test_a_model_that_cannot_be_sent_runs_in_this_process(
    pictures: list[Tensor], tmp_path: Path
) -> None:
    def brightness(images: Tensor) -> Tensor:
        return torch.stack([images.mean((1, 2, 3)), images[:, 0].mean((1, 2))], 1)

    box = sl.Model.from_function(brightness, size=(6, 7))
    table = sl.evaluate(box, pictures[:2], ["occlusion"], [_deletion()], tmp_path, workers=2)
    assert len(table.rows) == 2 * (1 + len(BLIND)) and not table.errors


def test_labels_boxes_and_corrupt_pictures(trained: sl.Model, birds: Path, tmp_path: Path) -> None:
    first, second = sorted(birds.iterdir())
    (birds / "cut.png").write_bytes((first / "one.png").read_bytes()[:300])
    (birds / "all.csv").write_text(
        "path,label,box\n"
        f"{first.name}/one.png,{first.name},10 10 90 90\n"
        f"{second.name}/one.png,,\n"
        f"{second.name}/one.png,,\n"
        f"{first.name}/two.png,{first.name},\n"
        f"cut.png,{first.name},10 10 90 90\n"
    )
    (first / "two.png").write_bytes((first / "one.png").read_bytes())
    pointing = sl.create("metric", "pointing")
    table = sl.evaluate(trained, birds / "all.csv", ["grad-cam"], [pointing], tmp_path / "o")
    found = {r["picture"]: r for r in table.rows if r["method"] == "grad-cam"}
    good = found[f"{first.name}/one.png"]
    assert good["value"] in (0.0, 1.0) and good["label"] == first.name == good["target"]
    assert "needs boxes or masks" in found[f"{second.name}/one.png"]["error"]
    assert found[f"{second.name}/one.png"]["label"] == ""
    assert "truncated" in found["cut.png"]["error"]
    assert len(table.errors) == 3


def test_known_truth_of_birds_is_read(trained: sl.Model, tmp_path: Path) -> None:
    pointing = sl.create("metric", "pointing", tolerance=0.0)
    table = sl.evaluate(trained, aviary.bundle(2), ["grad-cam"], [pointing], tmp_path)
    assert all(r["label"] == r["target"] == r["picture"].rpartition(" ")[0] for r in table.rows)
    assert not table.errors


def test_an_empty_collection_is_an_empty_table(small: sl.Model, tmp_path: Path) -> None:
    table = sl.evaluate(small, [], ["gradient"], [_deletion()], tmp_path)
    assert not table.rows and "no picture" in table.verdict
    assert "No picture came in" in (tmp_path / "report.html").read_text("utf-8")
    assert pyarrow.parquet.read_table(tmp_path / "table.parquet").num_rows == 0


def test_a_full_disk_stops_the_run_and_loses_nothing(
    small: sl.Model, pictures: list[Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sightline.jobs.ledger import Ledger

    kept, add = [], Ledger.add

    def full(self: Ledger, record: dict) -> None:
        if len(kept) == 7:
            raise FileProblem("cells.jsonl could not be written: No space left on device.")
        kept.append(record["cell"])
        add(self, record)

    monkeypatch.setattr(Ledger, "add", full)
    with pytest.raises(FileProblem, match="No space left"):
        sl.evaluate(small, pictures, ["gradient"], [_deletion()], tmp_path, batch=4)
    monkeypatch.undo()
    sl.evaluate(small, pictures, ["gradient"], [_deletion()], tmp_path, batch=4)
    sl.evaluate(small, pictures, ["gradient"], [_deletion()], tmp_path / "whole", batch=4)
    lines = (tmp_path / "cells.jsonl").read_bytes().splitlines()
    assert [json.loads(x.partition(b" ")[2])["cell"] for x in lines[:7]] == kept
    assert len(lines) == 5 * (1 + len(BLIND))
    name = "table.parquet"
    assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ({"address": "10.0.0.1:6379"}, BadField),
        ({"data": None}, BadField),
        ({"run": "/no/such/run.toml"}, BadField),
        ({"engine": "cloud"}, BadField),
        ({"workers": 0}, BadField),
        ({"metrics": []}, BadField),
        ({"metrics": ["delection"]}, UnknownName),
        ({"methods": ["gradient", "gradient"]}, BadField),
        ({"methods": ["gradeint"]}, UnknownName),
        ({"data": "/no/such/place"}, BadImage),
        ({"target": "no such label"}, UnknownName),
        ({"target": 999}, BadTarget),
        ({"target": [0, 1, 2]}, BadTarget),
        ({"target": [sl.Top(), sl.Top(1)]}, BadTarget),
        ({"limit": 0}, BadField),
        ({"batch": -2}, BadField),
        ({"data": {"a": "b"}}, BadField),
        ({"metrics": "delection"}, UnknownName),
    ],
)
def test_wrong_use_is_refused_before_any_work(
    words: dict, error: type[Exception], small: sl.Model, pictures: list[Tensor], tmp_path: Path
) -> None:
    given = {"data": pictures, "methods": ["gradient"], "metrics": ["deletion"], **words}
    with pytest.raises(error):
        sl.evaluate(small, out=tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_one_metric_and_the_word_top_are_taken_as_they_are_said(
    small: sl.Model, pictures: list[Tensor], tmp_path: Path
) -> None:
    for k, metrics in enumerate(("complexity", sl.create("metric", "complexity"))):
        out = tmp_path / str(k)
        table = sl.evaluate(small, pictures[:1], "gradient", metrics, out, target="top")
        assert table.metrics == ["complexity"] and table.rows[0]["value"] is not None


def test_null_maps_have_numbers_by_metrics_that_explain_again(
    trained: sl.Model, tmp_path: Path
) -> None:
    metrics = ["coherency", "adcc", "deletion"]
    table = sl.evaluate(trained, aviary.bundle(3), ["gradient"], metrics, tmp_path, stability=False)
    levels = {(s["method"], s["metric"]): s["value"] for s in table.summary}
    assert levels["centred blob", "coherency"] == pytest.approx(1)
    assert levels["uniform map", "coherency"] == 1 and levels["uniform map", "adcc"] == 0
    assert all(0 < levels[null, "adcc"] <= 1 for null in BLIND if null != "uniform map")
    assert [d.metric for d in table.against] == ["adcc", "deletion"]  # a blob is always coherent


def test_methods_that_differ_by_rounding_alone_win_equally_often() -> None:
    dice = np.random.default_rng(0)
    values = dice.random((3, 40))
    values[1] = values[0] * (1 + 1e-7 * dice.choice([-1, 1], 40))
    scores = comparison.Scores(
        label="x", metric=sl.create("metric", "insertion"), columns=["a", "b", "c"], values=values
    )
    shares = wins.pairs(scores.better(["a", "b", "c"]))
    assert shares[0, 1] == shares[1, 0] == 0.5 and shares[0, 2] == shares[1, 2] != 0.5
    found = comparison.ranking([scores], ["a", "b"])
    assert found is not None and found.lead.value == 0


def test_methods_of_one_name_are_told_apart(
    small: sl.Model, pictures: list[Tensor], tmp_path: Path
) -> None:
    judges = [_deletion(4), _deletion(8)]
    table = sl.evaluate(small, pictures[:2], ["gradient"], judges, tmp_path)
    assert table.metrics == ["deletion (steps=4)", "deletion (steps=8)"]


def test_progress_ends_at_all_cells(
    small: sl.Model, pictures: list[Tensor], tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []

    def watch(done: int, total: int) -> None:
        told.append((done, total))

    for _ in range(2):
        told.clear()
        data = [pictures[0], *pictures]
        sl.evaluate(small, data, ["gradient"], [_deletion()], tmp_path, progress=watch)
        cells = 6 * (1 + len(BLIND))
        assert told == [(k + 1, cells) for k in range(cells)]
