"""`sightline evaluate`: exit statuses, what is told, and what a stopped run says."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from sightline.cli.app import app
from sightline.worlds import aviary


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    folder = tmp_path / "birds"
    for bird in aviary.bundle(2):
        (folder / bird.species).mkdir(parents=True)
        Image.fromarray(bird.image).save(folder / bird.species / "one.png")
    return folder


def _sightline(*words: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


def test_the_command_writes_tables_and_tells_the_verdict(birds: Path, tmp_path: Path) -> None:
    words = ("--methods", "gradient", "--metrics", "deletion", "--out", tmp_path / "o")
    done = _sightline(birds, *words, "--limit", 1)
    assert done.exit_code == 0, done.output
    assert "gradient" in done.stdout and "Report:" in done.stdout
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == [
        "cells.jsonl",
        "costs.parquet",
        "report.html",
        "run.toml",
        "table.json",
        "table.parquet",
    ]
    again = _sightline(birds, *words, "--limit", 1, "--json")
    told = json.loads(again.stdout)
    assert told["pictures"] == 1 and told["errors"] == [] and len(told["summary"]) == 5


def test_the_command_ends_with_1_after_a_bad_picture_and_for_none(
    birds: Path, tmp_path: Path
) -> None:
    (birds / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n123")
    done = _sightline(birds / "bad.png", "--methods", "gradient", "--out", tmp_path / "o")
    assert done.exit_code == 1
    assert "no number: bad.png" in done.stderr
    (tmp_path / "empty").mkdir()
    done = _sightline(tmp_path / "empty", "--methods", "gradient", "--out", tmp_path / "p")
    assert done.exit_code == 1 and "no pictures in the folder" in done.stderr


@pytest.mark.parametrize(
    "words", [("/no/such/folder",), ("--engine", "ray"), ("--methods", "gradcma")]
)
def test_the_command_ends_with_2_for_wrong_use(
    words: tuple[str, ...], birds: Path, tmp_path: Path
) -> None:
    data = () if words[0].startswith("/") else (birds,)
    assert _sightline(*data, *words, "--out", tmp_path / "o").exit_code == 2


def test_an_interrupted_command_ends_with_130_and_says_that_it_goes_on(
    birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sightline.engines import local

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(local, "compute", stopped)
    done = _sightline(birds, "--methods", "gradient", "--out", tmp_path / "o")
    assert done.exit_code == 130 and "the same command goes on" in done.stderr
