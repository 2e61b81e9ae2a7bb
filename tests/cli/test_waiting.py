"""What a run says while it works: its estimate, its progress within a method, lines on a pipe."""

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from typer.testing import Result

import sightline as sl
from sightline import explain_pictures, registry
from sightline.cli.waiting import bar, estimate, meter
from sightline.cli.waiting.meter import Meter, duration
from sightline.evaluation.plan import BLIND

Command = Callable[..., Result]


@dataclass(frozen=True, kw_only=True)
class Waiting(sl.Explainer):
    """Waits until somebody has asked how far it is."""

    asked: ClassVar[threading.Event] = threading.Event()

    def explain(self, model, images, target):
        model.outputs(images.expand(5, -1, -1, -1) + 0)
        assert self.asked.wait(20)
        return sl.Heatmap(images.mean(1))


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    registry.register("waiting")(Waiting)
    Waiting.asked.clear()
    line = Meter.line

    def asked(self: Meter) -> str:
        told = line(self)
        found = re.search(r"waiting, (\d+) passes", told)
        if found and int(found[1]) >= 5:
            Waiting.asked.set()
        return told

    monkeypatch.setattr(Meter, "line", asked)
    monkeypatch.setattr(bar, "EVERY", 0.01)
    yield
    registry._entries.pop(("explainer", "waiting"))


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_pipe_gets_lines_that_move_within_a_method(
    more: tuple[str, ...], flock: Path, sightline: Command
) -> None:
    words = ("explain", flock / "0.png", "--method", "waiting", "--metrics", "none", *more)
    done = sightline(*words, "--model", "sightline:default")
    assert done.exit_code == 0, done.output
    assert re.search(r"explaining: 0 of 1; waiting, \d+ passes", done.stderr)
    assert "explaining" not in done.stdout


def test_quiet_means_no_line(flock: Path, sightline: Command, monkeypatch) -> None:
    monkeypatch.setattr(bar, "EVERY", 0.001)
    monkeypatch.setattr(estimate, "LONG", 0.0)
    words = ("explain", flock / "0.png", "--method", "rise", "--set", "masks=600", "--quiet")
    assert sightline(*words, "--metrics", "none", "--out", "o").stderr == ""


def test_a_meter_learns_the_passes_of_each_method(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(meter, "monotonic", lambda: now[0])
    made = Meter("explaining", 4, ["quick", "slow"], {"slow": 100})
    made.watch("forward", 10)
    made.watch("copies", 90)
    now[0] = 110.0
    made.advance("quick")
    assert made.completed == 1 and made.expected["quick"] == 10
    made.watch("backward", 50)
    assert made.completed == pytest.approx(1.5)
    assert made.line() == "explaining: 1 of 4; slow, 50 of about 100 passes; about 17 s left"
    made.watch("forward", 350)  # more than expected: not finished all the same
    assert made.completed == pytest.approx(1.99)
    made.advance("slow")
    assert made.expected["slow"] == 400
    made.watch("forward", 5)
    assert made.detail == "quick, 5 of about 10 passes"
    made.reach(4)
    assert made.completed == 4 and "0 ms" not in made.detail


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0342, "34 ms"),
        (12.4, "12 s"),
        (61.0, "1 min"),
        (3600.0, "1 h 0 min"),
        (7800.0, "2 h 10 min"),
    ],
)
def test_durations_are_told_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_an_estimate_is_passes_times_pictures_times_the_time_of_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = sl.load("sightline:default")
    methods = [sl.create("explainer", "rise", masks=800), sl.create("explainer", "grad-cam")]
    plan = explain_pictures.plan(
        model, methods, metrics=[sl.create("metric", "deletion", steps=10)]
    )
    usual = sl.create("explainer", "rise").masks
    counts = {"rise": (usual + 1, 0), "grad-cam": (1, 1)}
    known = {name: {"forward": f, "backward": b} for name, (f, b) in counts.items()}
    monkeypatch.setattr(estimate.facts, "costs", lambda: known)
    monkeypatch.setattr(estimate, "_seconds", lambda _: 0.02)
    rise = round((usual + 1) * 800 / usual)
    assert estimate.expected(plan) == {"rise": rise + 10, "grad-cam": 2 + 10}
    judged = 10 * (2 + len(estimate.NULLS))
    forward = rise + 1 + judged
    told = estimate.sentence(plan, 100)
    assert told.startswith(f"this will take about {duration(100 * (forward + 2) * 0.02)} ")
    assert f"{100 * (forward + 1):,} passes of about 20 ms" in told and "an estimate" in told
    assert estimate.sentence(plan, 1) == ""


def test_timing_a_pass_leaves_the_counts_alone() -> None:
    model = sl.load("sightline:default")
    before = dict(model.evaluations)
    assert 0 < estimate._seconds(model) < 10
    assert model.evaluations == before


@pytest.mark.parametrize(
    "words",
    [
        ("explain", "0.png", "--methods", "gradient", "--metric", "none"),
        ("evaluate", "0.png", "--method", "gradient", "--metric", "complexity"),
        ("demo", "--pictures", 1, "--methods", "gradient"),
    ],
)
def test_method_and_methods_are_one_option(
    words: tuple[object, ...], flock: Path, sightline: Command
) -> None:
    given = [flock / word if word == "0.png" else word for word in words]
    done = sightline(*given, "--out", "o")
    assert done.exit_code == 0, done.output


def test_every_verb_takes_both_spellings() -> None:
    from typer.main import get_command

    from sightline.cli.app import app

    for verb, command in get_command(app).commands.items():
        spelled = [set(p.opts) for p in command.params]
        for one, other in (("--method", "--methods"), ("--metric", "--metrics")):
            assert all({one, other} <= names for names in spelled if {one, other} & names), verb


def test_evaluate_says_its_estimate_first(
    flock: Path, sightline: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "_seconds", lambda _: 2.0)
    monkeypatch.setattr("sightline.jobs.capacity.cores", lambda: 2)
    words = ("evaluate", flock, "--model", "sightline:default", "--limit", 2, "--out", "o")
    metrics = ("--metrics", "deletion", "--set", "deletion.steps=50", "--no-stability")
    told = sightline(*words, "--method", "gradient,grad-cam", *metrics).stderr
    judged = 50 * (2 + len(BLIND))
    passes = 2 * (judged + 2 * 2)
    assert f"(an estimate: {passes:,} passes of about 2 s)" in told
    spent = 2 * (judged + 2 + 2 * 2) * 2.0 / 2  # backward is two passes, two processes share
    assert f"this will take about {duration(spent)} " in told
