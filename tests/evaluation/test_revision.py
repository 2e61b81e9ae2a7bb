"""A method that changed says so by its revision: its finished cells count for nothing, all others
stay.
"""

import json
from pathlib import Path

import pytest
import torch

import sightline as sl
from sightline import registry
from sightline.evaluation import run_file
from sightline.evaluation.cell_records import CELLS
from sightline.evaluation.plan import BLIND, evaluation_plan, method_record
from sightline.sample import Sample
from sightline.worlds import analytic


def _raised(monkeypatch: pytest.MonkeyPatch, kind: str, name: str) -> None:
    monkeypatch.setattr(type(sl.create(kind, name)), "revision", 2)


def _lines(out: Path) -> list[str]:
    lines = (out / CELLS).read_bytes().splitlines()
    return [json.loads(line.partition(b" ")[2])["cell"] for line in lines]


def test_a_changed_method_is_computed_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pictures = list(torch.rand(2, 3, 6, 7, generator=torch.Generator().manual_seed(1)))
    given = (pictures, ["gradient", "input-x-gradient"], ["complexity"], tmp_path)
    sl.evaluate(analytic.linear().model, *given, batch=4)
    before = _lines(tmp_path)
    assert len(before) == 2 * (2 + len(BLIND))
    _raised(monkeypatch, "explainer", "gradient")
    sl.evaluate(analytic.linear().model, *given, batch=4)
    after = _lines(tmp_path)
    assert after[: len(before)] == before and len(after) == len(before) + 2
    assert 'revision = "2"' in (tmp_path / "run.toml").read_text("utf-8")
    assert len(run_file.read(tmp_path / "run.toml").methods()) == 2


def test_a_method_changes_with_those_that_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    model, sample = analytic.linear().model, Sample(name="picture")
    methods = [sl.create("explainer", name) for name in ("guided-grad-cam", "grad-cam", "gradient")]
    before = evaluation_plan(model, methods, ["deletion"]).cells(sample, "digest")
    _raised(monkeypatch, "explainer", "grad-cam")
    after = evaluation_plan(model, methods, ["deletion"]).cells(sample, "digest")
    changed = [old != new for old, new in zip(before, after, strict=True)]
    assert changed == [True, True, False] + [False] * len(BLIND)


def test_a_metric_and_an_attack_have_revisions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    model, methods = analytic.linear().model, [sl.create("explainer", "gradient")]
    metrics = ["deletion", "complexity"]
    before = evaluation_plan(model, methods, metrics).measure_keys
    attack = registry.create("attack", "pgd")
    assert "revision" not in method_record(attack)
    _raised(monkeypatch, "metric", "deletion")
    _raised(monkeypatch, "attack", "pgd")
    after = evaluation_plan(model, methods, metrics).measure_keys
    assert before[0] != after[0] and before[1] == after[1]
    assert method_record(attack)["revision"] == "2"
