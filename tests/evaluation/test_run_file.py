"""A run that is started from the run file of another one: the same numbers to the last byte."""

from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import sightline as sl
from sightline.cli.app import app
from sightline.errors import BadField, BadModel
from sightline.evaluation import run_file
from sightline.evaluation.plan import BLIND
from sightline.worlds import analytic

BYTES = ("table.parquet", "table.json", "run.toml")


def _same(one: Path, other: Path) -> None:
    for name in BYTES:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_the_same_run_file_gives_the_same_bytes(birds: Path, tmp_path: Path) -> None:
    methods = ["grad-cam", sl.create("explainer", "smooth-grad", samples=2)]
    metrics = [sl.create("metric", "deletion", steps=4, fill="blur")]
    first, model = tmp_path / "a", sl.load("sightline:default")
    sl.evaluate(model, birds, methods, metrics, first, batch=7, limit=2, target=sl.Class(3))
    sl.evaluate(run=first / "run.toml", out=tmp_path / "b")
    _same(first, tmp_path / "b")
    words = ["evaluate", str(first / "run.toml"), "--out", str(tmp_path / "c"), "--quiet"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    _same(first, tmp_path / "c")


def test_what_is_given_stands_in_for_what_the_file_says(tmp_path: Path) -> None:
    model, pictures = analytic.linear().model, list(torch.rand(3, 3, 6, 7))
    metrics = [sl.create("metric", "deletion", steps=4)]
    sl.evaluate(model, pictures, ["gradient"], metrics, tmp_path / "a", batch=5)
    path = tmp_path / "a" / "run.toml"
    with pytest.raises(BadModel, match="Give model="):
        sl.evaluate(run=path, data=pictures, out=tmp_path / "b")
    with pytest.raises(BadField, match="3 pictures were handed over"):
        sl.evaluate(model, run=path, out=tmp_path / "b")
    assert not (tmp_path / "b").exists()
    sl.evaluate(model, pictures, run=path, out=tmp_path / "b")
    _same(tmp_path / "a", tmp_path / "b")
    more = sl.evaluate(model, pictures[:1], ["input-x-gradient"], run=path, out=tmp_path / "c")
    assert more.methods == ["input-x-gradient"] and more.plan.batch == 5


def test_another_model_than_the_files_is_refused(tmp_path: Path) -> None:
    model, pictures = analytic.linear().model, list(torch.rand(1, 3, 6, 7))
    sl.evaluate(model, pictures, ["gradient"], out=tmp_path / "a", batch=5)
    with torch.no_grad():
        next(model.module.parameters()).add_(1.0)
    with pytest.raises(BadModel, match="weights"):
        sl.evaluate(model, pictures, run=tmp_path / "a" / "run.toml", out=tmp_path / "b")


@pytest.mark.parametrize(
    "target", [sl.Top(1), sl.Class(2), -sl.Class(1), sl.Class(1, probability=True), None]
)
def test_targets_come_back_from_the_file(target: Any, tmp_path: Path) -> None:
    text = repr(target) if target else "label, or top where there is none"
    found = run_file.RunFile(path=tmp_path, said={"target": text}).target()
    assert repr(found) == repr(target)


@pytest.mark.parametrize("text", ["Model(1)", "__import__('os').getcwd()", "Class(open('x'))"])
def test_a_target_in_a_file_runs_no_code(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadField, match="Give target="):
        run_file.RunFile(path=tmp_path, said={"target": text}).target()


@pytest.mark.parametrize("text", ["", "schema = 1\n", "not toml"])
def test_what_is_no_run_file_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(BadField, match="run file"):
        sl.evaluate(run=tmp_path / "run.toml", out=tmp_path / "b")


def test_a_model_that_was_renamed_goes_on_where_it_was(birds: Path, tmp_path: Path) -> None:
    made = [sl.load("sightline:default") for _ in range(2)]
    made[1].name = "file:elsewhere/bird-network.safetensors?arch=sightline:default"
    for model in made:
        sl.evaluate(model, birds, ["grad-cam"], ["pointing"], tmp_path / "run", batch=4)
    finished = (tmp_path / "run" / "cells.jsonl").read_text("utf-8").splitlines()
    assert len(finished) == 2 * (1 + len(BLIND))  # every cell once, not twice
