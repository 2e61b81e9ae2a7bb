"""`sightline attack`: what it writes, what it tells, and its exit statuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from sightline.cli.app import app
from sightline.worlds import aviary

FEW = ("--set", "steps=2")


@pytest.fixture
def bird(tmp_path: Path) -> Path:
    path = tmp_path / "bird.png"
    Image.fromarray(aviary.bundle(1)[0].image).save(path)
    return path


def _sightline(*words: object) -> Result:
    return CliRunner().invoke(app, ["attack", *map(str, words)])


def test_the_command_writes_pictures_a_figure_and_numbers(bird: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    words = ("--method", "grad-cam,gradient", "--target", "amber brindlefinch", "--out", out)
    done = _sightline(bird, *FEW, "--set", "epsilon=0.02", *words, "--json")
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in out.iterdir()) == [
        "attack.json",
        "bird--before.png",
        "bird--pgd--maps.png",
        "bird--pgd.png",
        "command.json",
        "pictures",
    ]
    told = json.loads(done.stdout)
    assert told == json.loads((out / "attack.json").read_text("utf-8"))
    assert told["attack"]["fields"]["steps"] == 2
    (record,) = told["pictures"]
    assert record["wanted_label"] == "amber brindlefinch"
    assert set(record["maps"]) == {"grad-cam", "gradient"}
    before, after = (
        np.asarray(Image.open(out / f"bird--{name}.png")).astype(int) for name in ("before", "pgd")
    )
    assert 0 < abs(after - before).max() <= round(0.02 * 255)  # what is told is what is in the file
    assert record["largest_change"] == pytest.approx(abs(after - before).max() / 255, abs=1e-6)


def test_a_bad_picture_is_listed_and_the_run_goes_on(bird: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n123")
    done = _sightline(bad, bird, *FEW, "--away", "--out", tmp_path / "o")
    assert done.exit_code == 1
    assert "not done: bad.png" in done.stderr and "belted fisherling" in done.stdout
    assert "using grad-cam" in done.stderr and "sightline:default" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--attack", "pdg"), "did you mean 'pgd'"),
        (("--set", "epsilon=much"), "pgd.epsilon is float"),
        (("--set", "radius=2"), "no field 'radius'"),
        (("--target", "penguin"), "penguin"),
        (("--attack", "adv-edge", "--method", "occlusion"), "gives no differentiable map"),
    ],
)
def test_the_command_ends_with_2_for_wrong_use(
    words: tuple[str, ...], told: str, bird: Path, tmp_path: Path
) -> None:
    done = _sightline(bird, *words, "--out", tmp_path / "o")
    assert done.exit_code == 2, done.output
    assert told in done.stderr


def test_an_interrupted_command_ends_with_130(
    bird: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sightline.attacks import outcome

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(outcome, "run", stopped)
    done = _sightline(bird, "--out", tmp_path / "o")
    assert done.exit_code == 130 and "the same command goes on" in done.stderr


def test_what_was_there_already_fools_nobody(bird: Path, tmp_path: Path) -> None:
    own = ("--target", "belted fisherling")
    done = _sightline(bird, *FEW, *own, "--out", tmp_path / "o")
    assert "bird.png: nothing to do, belted fisherling" in done.stdout
    (record,) = json.loads((tmp_path / "o" / "attack.json").read_text("utf-8"))["pictures"]
    assert record["already"]
    kept = ("--attack", "manipulation", "--set", "steps=2")
    done = _sightline(bird, *kept, "--out", tmp_path / "p")
    assert "bird.png: class kept, belted fisherling" in done.stdout


def test_a_fault_in_one_picture_does_not_lose_the_others(
    bird: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sightline.attacks import outcome

    run, seen = outcome.run, []

    def faulty(*given: Any) -> Any:
        seen.append(1)
        if len(seen) == 2:
            raise RuntimeError("a fault")
        return run(*given)

    monkeypatch.setattr(outcome, "run", faulty)
    others = [bird, bird.with_name("b.png"), bird.with_name("c.png")]
    for other in others[1:]:
        other.write_bytes(bird.read_bytes())
    done = _sightline(*others, *FEW, "--out", tmp_path / "o")
    assert done.exit_code == 1 and "not done: b.png: RuntimeError: a fault" in done.stderr
    told = json.loads((tmp_path / "o" / "attack.json").read_text("utf-8"))["pictures"]
    assert [bool(record["error"]) for record in told] == [False, True, False]
