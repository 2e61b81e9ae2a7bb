"""`sightline evaluate`: exit statuses, what is told, and what a stopped run says."""

import json
import os
import tomllib
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from sightline.cli.app import app
from sightline.evaluation.plan import BLIND
from sightline.worlds import aviary


def _sightline(*words: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


def test_the_command_writes_tables_and_tells_the_verdict(birds: Path, tmp_path: Path) -> None:
    words = ("--methods", "gradient", "--metrics", "deletion", "--out", tmp_path / "o")
    done = _sightline(birds, *words, "--limit", 1)
    assert done.exit_code == 0, done.output
    assert "gradient" in done.stdout and "Report:" in done.stdout
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == [
        "cells.jsonl",
        "command.json",
        "costs.parquet",
        "report.html",
        "run.toml",
        "table.json",
        "table.parquet",
    ]
    again = _sightline(birds, *words, "--limit", 1, "--json")
    told = json.loads(again.stdout)
    assert told["pictures"] == 1 and told["errors"] == [] and len(told["summary"]) == 1 + len(BLIND)


def test_the_command_ends_with_1_after_a_bad_picture_and_for_none(
    birds: Path, tmp_path: Path
) -> None:
    (birds / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n123")
    done = _sightline(birds / "bad.png", "--methods", "gradient", "--out", tmp_path / "o")
    assert done.exit_code == 1
    assert "not measured: bad.png" in done.stderr
    (tmp_path / "empty").mkdir()
    done = _sightline(tmp_path / "empty", "--methods", "gradient", "--out", tmp_path / "p")
    assert done.exit_code == 1 and "no pictures in the folder" in done.stderr


@pytest.mark.parametrize(
    "words", [("/no/such/folder",), ("--address", "10.0.0.1:6379"), ("--methods", "gradcma")]
)
def test_the_command_ends_with_2_for_wrong_use(
    words: tuple[str, ...], birds: Path, tmp_path: Path
) -> None:
    data = () if words[0].startswith("/") else (birds,)
    assert _sightline(*data, *words, "--out", tmp_path / "o").exit_code == 2


def test_a_full_disk_ends_with_1_and_the_same_command_goes_on(
    birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from sightline.evaluation.stores import rows

    words = (birds, "--methods", "gradient", "--metrics", "complexity", "--out", tmp_path / "o")

    def full(path: Path, *_: object) -> None:
        path.write_bytes(b"PAR1")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(rows, "_fill", full)
    done = _sightline(*words)
    assert done.exit_code == 1 and "table.parquet could not be written: No space" in done.stderr
    assert "Free some space" in done.stderr
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == [
        "cells.jsonl",
        "command.json",
        "run.toml",
    ]
    kept = (tmp_path / "o" / "cells.jsonl").read_bytes()
    assert kept.count(b"\n") == 2 * (1 + len(BLIND))
    monkeypatch.undo()
    assert _sightline(*words).exit_code == 0
    assert (tmp_path / "o" / "cells.jsonl").read_bytes() == kept


def test_an_interrupted_command_ends_with_130_and_says_that_it_goes_on(
    birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sightline.evaluation import work

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(work, "compute", stopped)
    done = _sightline(birds, "--methods", "gradient", "--out", tmp_path / "o")
    assert done.exit_code == 130 and "the same command goes on" in done.stderr


def test_a_report_is_written_again_from_what_is_finished(birds: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    words = ("--methods", "gradient", "--metrics", "complexity", "--out", out)
    assert _sightline(birds, *words).exit_code == 0
    kept = {p.name: p.read_bytes() for p in out.iterdir()}
    (out / "report.html").unlink()
    done = CliRunner().invoke(app, ["report", str(out)])
    assert done.exit_code == 0 and "Report:" in done.stdout, done.output
    assert {p.name for p in out.iterdir()} == set(kept)
    lines = kept["cells.jsonl"].splitlines(keepends=True)
    (out / "cells.jsonl").write_bytes(b"".join(lines[:5]))  # as if it had been stopped
    done = CliRunner().invoke(app, ["report", str(out), "--json"])
    assert done.exit_code == 1 and "it was not computed" in done.stdout
    for name in ("table.parquet", "table.json", "run.toml"):
        assert (out / name).read_bytes() == kept[name]
    (out / "cells.jsonl").write_bytes(b"")
    done = CliRunner().invoke(app, ["report", str(out)])
    assert done.exit_code == 1 and "nothing finished" in done.stderr
    assert CliRunner().invoke(app, ["report", str(birds)]).exit_code == 2
    assert CliRunner().invoke(app, ["report", str(tmp_path / "none")]).exit_code == 2


def test_what_befell_many_pictures_alike_is_one_line(tmp_path: Path) -> None:
    for k, bird in enumerate(aviary.bundle(5)):
        Image.fromarray(bird.image).save(tmp_path / f"{k}.png")
    words = ("--methods", "gradient", "--metrics", "pointing,complexity", "--target", "top")
    done = _sightline(tmp_path, *words, "--out", tmp_path / "o", "--json")
    assert done.exit_code == 1 and len(json.loads(done.stdout)["errors"]) == 5
    done = _sightline(tmp_path, *words, "--out", tmp_path / "o")
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("not measured")]
    assert line.startswith("not measured: all 5 pictures, gradient: pointing needs boxes or masks")
    assert "top class" not in done.stderr  # the target was named


def test_a_target_that_no_picture_has_is_wrong_use(birds: Path, tmp_path: Path) -> None:
    done = _sightline(birds, "--target", "999", "--out", tmp_path / "o")
    assert done.exit_code == 2 and "class 999 does not exist" in done.stderr


def test_parameters_of_metrics_are_set_by_their_names(birds: Path, tmp_path: Path) -> None:
    words = ("--methods", "gradient", "--metrics", "deletion,complexity", "--limit", 1)
    given = ("--set", "Deletion.steps=4", "--set", "deletion.fill=black", "--no-stability")
    assert _sightline(birds, *words, *given, "--out", tmp_path / "o").exit_code == 0
    said = tomllib.loads((tmp_path / "o" / "run.toml").read_text("utf-8"))["metrics"]
    assert said[0]["fields"]["steps"] == 4 and said[0]["fields"]["fill"] == "black"
    for wrong, told in (
        ("deletion.step=4", "did you mean 'steps'"),
        ("insertion.steps=4", "has no field"),
        ("deletion.steps=0", "steps is at least 1"),
    ):
        done = _sightline(birds, *words, "--set", wrong, "--out", tmp_path / "p")
        assert done.exit_code == 2 and told in done.stderr


def test_a_run_on_a_read_only_disk_is_shown_elsewhere(birds: Path, tmp_path: Path) -> None:
    run, page = tmp_path / "o", tmp_path / "page"
    words = ("--methods", "gradient", "--metrics", "complexity", "--out", run)
    assert _sightline(birds, *words).exit_code == 0
    before = {p: p.read_bytes() for p in run.iterdir()}
    done = CliRunner().invoke(app, ["report", str(run), "--out", str(page)])
    assert done.exit_code == 0 and f"Report: {page}" in done.stdout, done.output
    assert [p.name for p in page.iterdir()] == ["report.html"]
    assert {p: p.read_bytes() for p in run.iterdir()} == before
