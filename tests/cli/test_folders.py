"""Where results go: a folder that holds some is added to, or refused; never half replaced."""

import json
import re
from collections.abc import Callable
from pathlib import Path, PurePath

import pytest
from typer.testing import Result

from sightline.cli.results.names import stem, titles

Command = Callable[..., Result]
QUICK = ("--model", "sightline:default", "--metrics", "none", "--method")


def _bytes(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _timeless(text: str) -> str:
    return re.sub(r"<footer>.*?</footer>", "", text)


def _shown(folder: Path) -> list[str]:
    return re.findall(r'<p class="name" title="([^"]*)"', (folder / "report.html").read_text())


def test_a_folder_of_the_same_settings_is_added_to(flock: Path, sightline: Command) -> None:
    out = ("--out", "o")
    assert sightline("explain", flock / "2.png", *QUICK, "gradient", *out).exit_code == 0
    done = sightline("explain", flock / "0.png", flock / "2.png", *QUICK, "gradient", *out)
    assert done.exit_code == 0, done.stderr
    assert "2 of 2 pictures explained (1 of them before)." in done.stdout
    assert _shown(Path("o")) == ["2.png", "0.png"]


def test_other_settings_are_refused_and_overwrite_replaces_all(
    flock: Path, sightline: Command
) -> None:
    out = Path("o")
    sightline("explain", flock / "0.png", *QUICK, "gradient", "--out", out)
    (out / "mine.txt").write_text("not of sightline")
    before = _bytes(out)
    other = ("--model", "sightline:clever-hans")
    for words in (("grad-cam",), ("gradient", "--target", "1"), ("gradient", *other)):
        refused = sightline("explain", flock / "1.png", *QUICK, *words, "--out", out)
        assert refused.exit_code == 1 and "--overwrite" in refused.stderr
        assert _bytes(out) == before
    done = sightline("explain", flock / "1.png", *QUICK, "grad-cam", "--out", out, "--overwrite")
    assert done.exit_code == 0, done.stderr
    assert _shown(out) == ["1.png"]
    assert {p.name for p in out.glob("*--*")} == {"1--grad-cam.npz", "1--grad-cam.png"}
    assert (out / "mine.txt").exists()


def test_a_report_of_an_earlier_version_is_refused(flock: Path, sightline: Command) -> None:
    out = Path("o")
    out.mkdir()
    for name in ("report.html", "a--rise.npz", "a--rise.png"):
        (out / name).write_text("old")
    refused = sightline("explain", flock / "0.png", *QUICK, "gradient", "--out", out)
    assert refused.exit_code == 1 and "--overwrite" in refused.stderr
    assert len(_bytes(out)) == 3
    words = ("explain", flock / "0.png", *QUICK, "gradient", "--out", out, "--overwrite")
    assert sightline(*words).exit_code == 0
    assert not (out / "a--rise.png").exists()


def test_one_verb_does_not_write_into_the_folder_of_another(
    flock: Path, sightline: Command
) -> None:
    sightline("attack", flock / "0.png", "--set", "steps=1", "--out", "o")
    before = _bytes(Path("o"))
    for verb, more in (("explain", ("gradient",)), ("evaluate", ("gradient",))):
        words = (verb, flock / "0.png", "--model", "sightline:default", "--method", *more)
        refused = sightline(*words, "--out", "o")
        assert refused.exit_code == 1 and "results of `sightline attack`" in refused.stderr
    assert _bytes(Path("o")) == before


def test_the_report_of_explain_and_of_the_demo_is_rendered_again(
    flock: Path, sightline: Command
) -> None:
    sightline("explain", flock / "0.png", "nosuch.png", *QUICK, "gradient,sag", "--set", "grid=3")
    sightline("demo", "--pictures", 1, "--method", "gradient")
    for folder in (Path("sightline-explain"), Path("sightline-demo")):
        first = (folder / "report.html").read_text("utf-8")
        (folder / "report.html").unlink()
        done = sightline("report", folder, "--json")
        assert json.loads(done.stdout) == {"report": str(folder / "report.html")}
        again = (folder / "report.html").read_text("utf-8")
        assert _timeless(again) == _timeless(first)


def test_an_attack_that_was_stopped_goes_on(
    flock: Path, sightline: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sightline.attacks import outcome

    run, calls = outcome.run, []

    def stopped(*given: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return run(*given)

    monkeypatch.setattr(outcome, "run", stopped)
    words = ("attack", flock, "--model", "sightline:default", "--set", "steps=1", "--away")
    assert sightline(*words).exit_code == 130
    assert len(json.loads(Path("sightline-attack/attack.json").read_text())["pictures"]) == 2
    assert sightline(*words).exit_code == 0
    told = json.loads(Path("sightline-attack/attack.json").read_text())["pictures"]
    assert [record["name"] for record in told] == ["0.png", "1.png", "2.png", "3.png"]
    assert len(calls) == 4 + 1
    assert not Path("sightline-attack-2").exists()


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a.png"], ["a.png"]),
        (["/home/me/x/a.png", "/home/me/y/a.png"], ["x/a.png", "y/a.png"]),
        (["p/x/a.png", "q/x/a.png", "q/x/b.png"], ["p/x/a.png", "q/x/a.png", "b.png"]),
        (["/a.png", "/x/a.png"], ["a.png", "x/a.png"]),
        (["a.png", "a.png"], ["a.png", "a.png"]),
    ],
)
def test_titles_have_as_much_of_a_path_as_tells_them_apart(
    paths: list[str], expected: list[str]
) -> None:
    assert titles([PurePath(path) for path in paths]) == expected


def test_stems_of_files_do_not_collide() -> None:
    taken: set[str] = set()
    for path in ("x/a.png", "y/a.png", "a.jpg", "A.png", "a-2.png", "b" * 300 + ".png"):
        made = stem(PurePath(path), taken)
        assert made.lower() not in taken and len(made) < 150
        taken.add(made.lower())


def test_pictures_of_one_name_are_told_apart_in_the_report(
    flock: Path, tmp_path: Path, sightline: Command
) -> None:
    for k, folder in enumerate(("x", "y")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "bird.png").write_bytes((flock / f"{k}.png").read_bytes())
    words = (*QUICK, "gradient", "--out", "o")
    sightline("explain", tmp_path / "x" / "bird.png", *words)
    done = sightline("explain", tmp_path / "x", tmp_path / "y", *words)
    assert done.exit_code == 0, done.stderr
    assert _shown(Path("o")) == ["bird.png", "y/bird.png"]
    assert {p.name for p in Path("o").glob("*.npz")} == {
        "bird--gradient.npz",
        "bird-2--gradient.npz",
    }
