"""A run of `explain` that was killed or stopped: what is finished is kept, and the same command
goes on."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from typer.testing import Result

import sightline as sl
from sightline import registry
from sightline.errors import NotExplainable

Command = Callable[..., Result]
QUICK = ("--model", "sightline:default", "--method", "gradient", "--metrics", "none")


@dataclass(frozen=True, kw_only=True)
class Stopping(sl.Explainer):
    """Sends its own process a signal at its picture of number `at`."""

    at: int = 1
    signal: str = "SIGTERM"
    calls: ClassVar[list[int]] = []

    def explain(self, model, images, target):
        self.calls.append(1)
        if len(self.calls) == self.at + 1:
            os.kill(os.getpid(), getattr(signal, self.signal))
        return sl.Heatmap(images.mean(1))


@pytest.fixture
def stopping() -> Iterator[None]:
    registry.register("stopping")(Stopping)
    Stopping.calls.clear()
    yield
    registry._entries.pop(("explainer", "stopping"))


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every map takes 0 s, so that pages of two runs can be equal."""
    monkeypatch.setattr("sightline.explainers.contract.batches.time.perf_counter", lambda: 0.0)


def _killed(words: tuple[object, ...], *strikes: tuple[int, bool]) -> list[int]:
    """Runs a command in processes that die when its ledger has so many cells, before (True) or
    after the last of them is written; how many cells there are then."""
    told = json.dumps({"words": [str(word) for word in words], "strikes": strikes})
    script = Path(__file__).with_name("killed_explain.py")
    done = subprocess.run(
        [sys.executable, str(script), told], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _page(folder: Path) -> str:
    text = (folder / "report.html").read_text("utf-8")
    return re.sub(r"<footer>.*?</footer>", "", text)


@pytest.mark.usefixtures("no_time")
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_is_not(
    flock: Path,
    sightline: Command,
) -> None:
    whole = sightline("explain", flock, *QUICK, "--out", "whole")
    assert whole.exit_code == 0, whole.stderr
    words = ("explain", flock, *QUICK)
    assert _killed(words, (1, False), (3, True), (4, False)) == [1, 2, 4]
    done = sightline(*words)
    assert done.exit_code == 0, done.stderr
    assert "going on in sightline-explain" in done.stderr
    assert "4 of 4 pictures explained (4 of them before)." in done.stdout
    assert not Path("sightline-explain-2").exists()
    assert _page(Path("sightline-explain")) == _page(Path("whole"))
    found = [{p.relative_to(f) for p in Path(f).rglob("*")} for f in ("whole", "sightline-explain")]
    assert found[0] == found[1]


def test_the_report_of_a_killed_run_shows_what_is_finished(flock: Path, sightline: Command) -> None:
    assert _killed(("explain", flock, *QUICK), (2, False)) == [2]
    assert not Path("sightline-explain/report.html").exists()
    done = sightline("report", "sightline-explain")
    assert done.exit_code == 0, done.stderr
    assert _page(Path("sightline-explain")).count('<article class="item"') == 2


@pytest.mark.usefixtures("stopping")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("verb", ["explain", "evaluate"])
def test_every_request_to_stop_keeps_what_is_finished_and_says_how_to_go_on(
    verb: str, name: str, flock: Path, sightline: Command
) -> None:
    method = ("--method", "stopping", "--set", f"signal={name}", "--set", "at=2")
    metrics = ("--metrics", "none" if verb == "explain" else "complexity")
    words = (verb, flock, "--model", "sightline:default", *method, *metrics)
    before = signal.getsignal(getattr(signal, name))
    stopped = sightline(*words)
    assert stopped.exit_code == 130, stopped.output
    folder = f"sightline-{verb}"
    assert f"what is finished is kept in {folder}: the same command goes on" in stopped.stderr
    assert signal.getsignal(getattr(signal, name)) is before
    if verb == "explain":
        assert "2 of 4 pictures explained; interrupted." in stopped.stdout
        assert _page(Path(folder)).count('<article class="item"') == 2
    done = sightline(*words)
    assert done.exit_code == 0, done.output
    assert len(Stopping.calls) == 4 + 1  # the one that was stopped came again
    assert [p.name for p in Path().iterdir()] == [folder]


def test_a_finished_run_is_left_alone_by_the_next(flock: Path, sightline: Command) -> None:
    words = ("explain", flock / "0.png", *QUICK)
    assert sightline(*words).exit_code == 0
    first = {p: p.read_bytes() for p in Path("sightline-explain").rglob("*") if p.is_file()}
    again = sightline(*words)
    assert again.exit_code == 0
    assert "these go to sightline-explain-2" in again.stderr
    assert "Report: sightline-explain-2/report.html" in again.stdout
    assert {p: p.read_bytes() for p in first} == first


def test_wrong_usage_leaves_no_folder_behind(flock: Path, sightline: Command) -> None:
    for words in (("--target", "nosuchbird"), ("--method", "rollout"), ("--layer", "nosuch")):
        assert sightline("explain", flock, *words, "--metrics", "none").exit_code == 2
    assert not list(Path().iterdir())


def test_a_picture_whose_file_is_lost_is_explained_again(flock: Path, sightline: Command) -> None:
    words = ("explain", flock, *QUICK, "--out", "kept")
    sightline(*words)
    first, second = sorted(Path("kept/pictures").glob("*.npz"))[:2]
    first.unlink()
    second.write_bytes(b"cut off")
    done = sightline(*words)
    assert done.exit_code == 0, done.stderr
    assert "(2 of them before)" in done.stdout
    assert _page(Path("kept")).count('<article class="item"') == 4


def test_json_of_a_run_that_goes_on_names_every_picture_of_the_command(
    flock: Path, sightline: Command
) -> None:
    words = ("explain", flock, *QUICK, "--json")
    assert _killed(words, (2, False)) == [2]
    done = sightline(*words)
    told = json.loads(done.stdout)
    assert [p["name"] for p in told["pictures"]] == [f"{k}.png" for k in range(4)]
    assert all(Path(m["overlay"]).is_file() for p in told["pictures"] for m in p["maps"])


def test_a_run_that_is_stopped_while_it_writes_its_report_says_how_to_go_on(
    flock: Path, sightline: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    words = ("explain", flock, *QUICK)
    with monkeypatch.context() as patch:
        patch.setattr("sightline.cli.results.pages.write", stopped)
        done = sightline(*words)
    assert done.exit_code == 130
    assert "kept in sightline-explain: the same command goes on" in done.stderr
    assert "4 of 4 pictures explained (4 of them before)." in sightline(*words).stdout


@dataclass(frozen=True, kw_only=True)
class Refusing(sl.Explainer):
    """Finds out at each picture that the network does not suit it."""

    def explain(self, model, images, target):
        raise NotExplainable("the head is not linear. Use another method.")


def test_what_a_method_says_of_every_picture_is_one_line(flock: Path, sightline: Command) -> None:
    registry.register("refusing")(Refusing)
    try:
        words = ("--method", "gradient,refusing", "--metrics", "none")
        done = sightline("explain", flock, "--model", "sightline:default", *words)
    finally:
        registry._entries.pop(("explainer", "refusing"))
    assert done.exit_code == 1
    assert done.stderr.count("the head is not linear") == 1
    assert "not explained: refusing (4 pictures): the head is not linear." in done.stderr
