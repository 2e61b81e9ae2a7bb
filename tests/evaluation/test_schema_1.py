"""A ledger that an earlier version wrote is complete: nothing of it is computed again.

`fixtures/schema_1` was written by the version before the room `jobs/` was made, in two runs: one
with `deletion`, and one that added `complexity`.
"""

import json
import shutil
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

import sightline as sl
from sightline.data.classes import match
from sightline.data.opening import open_samples
from sightline.evaluation import plan
from sightline.evaluation import run as evaluation
from sightline.evaluation.cell_records import CELLS

WRITTEN = Path(__file__).with_name("fixtures") / "schema_1"


def _model() -> sl.Model:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 5 * 6, 3))
    values = torch.arange(270, dtype=torch.float32).reshape(3, 90)
    with torch.no_grad():
        net[1].weight.copy_((values % 7 - 3) / 8)
        net[1].bias.zero_()
    return sl.Model(net, size=(5, 6), name="fixture")


def _pictures() -> list[tuple[torch.Tensor, int]]:
    steps = torch.arange(90, dtype=torch.float32).reshape(3, 5, 6)
    return [((steps * (k + 2)) % 11 / 16, k) for k in range(2)]


class Refusing:
    """A runner to which nothing may be given."""

    def run(self, work: Any, tasks: Iterable[Any], count: int | None, take: Any) -> None:
        assert not list(tasks)


def test_a_ledger_of_an_earlier_version_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = tomllib.loads((WRITTEN / "run.toml").read_text("utf-8"))["versions"]
    monkeypatch.setattr(plan, "now", lambda: versions)
    shutil.copy(WRITTEN / CELLS, tmp_path)
    model = _model()
    metrics = [sl.create("metric", "deletion", steps=4), sl.create("metric", "complexity")]
    pictures = match(open_samples(_pictures()), model)
    methods = [sl.create("explainer", "gradient")]
    run_plan = evaluation.prepared(model, methods, metrics, pictures, tmp_path, batch=4)
    table = evaluation.evaluate(run_plan, pictures, tmp_path, Refusing(), cache=False)
    assert not table.errors
    before = json.loads((WRITTEN / "table.json").read_text("utf-8"))
    after = json.loads((tmp_path / "table.json").read_text("utf-8"))
    for old, new in zip(before["rows"], after["rows"], strict=True):
        assert {name: new[name] for name in old} == old
    assert (tmp_path / CELLS).read_bytes() == (WRITTEN / CELLS).read_bytes()
