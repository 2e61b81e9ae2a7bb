"""`sightline benchmark`: methods against known truth and photographs; a leaderboard out."""

import re
import shlex
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _options as options
from .console import (
    INTERRUPTED,
    WITH_ERRORS,
    json_to_stdout,
    progress,
    resume_hint,
    to_stderr,
    to_stdout,
    verb_context,
)
from .results import folders
from .results.folders import Command

if TYPE_CHECKING:
    from ..evaluation.benchmark.run import BenchmarkResult
    from ..evaluation.benchmark.tracks import BenchmarkTrack
    from ..explainer import Explainer

TRACKS = ("known", "real", "all")


def benchmark(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]",
            help="Photographs: a folder, a CSV (path,label,box), a glob or a data set; or drawn"
            " birds: aviary, aviary:planted. Default: contests of known truth.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        options.models(
            "Networks, separated by commas. Default: all that come with sightline, for drawn"
            " birds; photographs need one."
        ),
    ] = None,
    methods: Annotated[
        str,
        options.methods(
            "Names, separated by commas: all, all-cam, rise, peers (other libraries),"
            " captum:IntegratedGradients, outside:FILE.py:FUNCTION.",
            show_default=True,
        ),
    ] = "all",
    track: Annotated[
        str, typer.Option("--track", help="known, real, or all: what DATA says.")
    ] = "all",
    range: options.Range = None,
    out: options.Out = None,
    limit: Annotated[
        int, options.limit("At most so many pictures in a contest.", show_default=True)
    ] = 24,
    few: Annotated[
        int,
        typer.Option("--few", min=1, help="Pictures for methods of over 300 passes a map."),
    ] = 8,
    workers: options.Workers = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Compare methods with what is known to be true, and with baselines that ignore the network.

    Writes leaderboard.md, and for each contest (a network on some pictures) a folder with its full
    report; contests of one --out share the page. A run that was stopped goes on when the same
    command is given again. Any function (network, pictures, class) ->
    maps takes part as outside:FILE.py:FUNCTION.

    Example: sightline benchmark photos/ --model timm:resnet50 --methods all,peers --limit 50
    """
    own = Command.of("benchmark", locals())
    with verb_context(quiet=quiet or json, debug=debug):
        from ..errors import FileProblem, SightlineError
        from ..evaluation import run as evaluation
        from ..evaluation.benchmark.methods import benchmark_methods
        from ..evaluation.benchmark.run import Benchmark

        names = model_names(model or "")
        wanted = _tracks(data, track, limit, names, range)
        explainers = benchmark_methods(
            [word.strip() for word in methods.split(",") if word.strip()]
        )
        command = _command(data, model, methods, track, limit, few, range)
        outcomes: list[BenchmarkResult] = []
        broken: list[str] = []
        folder = folders.chosen(out, own)
        with folders.running(folder, own), _Bar(quiet) as bar:
            runner = Benchmark(
                out=folder,
                few=min(few, limit),
                engine=evaluation.engine("local", workers),
                progress=bar.watch,
            )
            try:
                for each in wanted:
                    try:
                        outcomes.append(_hold(runner, each, explainers, command))
                    except FileProblem:
                        raise
                    except SightlineError as error:  # the other contests go on
                        broken.append(f"{each.title}: {error}")
            except KeyboardInterrupt:
                to_stderr(resume_hint(folder))
                raise typer.Exit(INTERRUPTED) from None
        _conclude(folder, outcomes, broken, as_json=json)


def model_names(text: str) -> list[str]:
    """The names between commas; those between numbers, as in `file:...&mean=0.5,0.4,0.4`, stay."""
    return [word.strip() for word in re.split(r",(?!\s*[\d.])", text) if word.strip()]


def _tracks(
    data: str | None, track: str, limit: int, names: Sequence[str], range: str | None
) -> "list[BenchmarkTrack]":
    """The contests that were asked for. Raises: BadField where none is, or a word is wrong."""
    from ..data import drawn_worlds
    from ..errors import BadField
    from ..evaluation.benchmark import tracks
    from ..pictures.formats.levels import Range, parse_range
    from . import parse

    if track not in TRACKS:
        raise BadField(f"--track is known, real or all; got {track!r}.")
    if track == "real" and data is None:
        raise BadField("the real track needs photographs; name a folder, a CSV or a glob.")
    drawn = data in drawn_worlds.SEEDS
    if track == "real" and drawn:
        raise BadField(f"--track real is for photographs; {data} is drawn. Use --track known.")
    if data is not None and (drawn or track != "known"):
        chosen: Range | None = None if range is None else parse_range(range)
        return [
            replace(a, model=lambda make=a.model: parse.in_range(make(), chosen))
            for a in tracks.given(data, limit, names)
        ]
    found = tracks.known(limit, names)
    if not found:
        raise BadField(
            f"nothing to measure with --model {','.join(names)} and no DATA; contests of known"
            " truth are those of sightline:default, sightline:default-vit, sightline:clever-hans"
            " and planted. Name photographs, or `aviary` for drawn birds under any network."
        )
    return found


def _hold(
    runner: Any,  # evaluation.benchmark.run.Benchmark, which would load torch
    track: "BenchmarkTrack",
    explainers: "Sequence[Explainer]",
    command: str,
) -> "BenchmarkResult":
    """One contest, kept in its folder with the way to hold it again; the page is written again."""
    from ..evaluation.benchmark import results_store
    from ..evaluation.benchmark.methods import peer_versions
    from ..explainers.contract.provenance import versions
    from ..files.writing import write_bytes
    from ..pages.leaderboard.page import BenchmarkRun, page

    to_stderr(f"{track.title} ...")
    if track.caution:
        to_stderr(track.caution)
    outcome = runner.run(track, explainers)
    date = datetime.now().astimezone().strftime("%Y-%m-%d")
    numbers = {**versions(), **peer_versions(explainers)}
    facts = {"date": date, "command": command, "versions": numbers}
    results_store.save(runner.out, outcome, facts)
    held = [(each, BenchmarkRun(**told)) for each, told in results_store.read_all(runner.out)]
    write_bytes(runner.out / "leaderboard.md", page(held).encode())
    return outcome


def _command(
    data: str | None,
    model: str | None,
    methods: str,
    track: str,
    limit: int,
    few: int,
    range: str | None,
) -> str:
    """What makes the page again, without the folders of this machine."""
    from ..files.display import display_name, without_folders

    words = ["sightline", "benchmark", *([without_folders(data)] if data else [])]
    names = [display_name(name) for name in model_names(model or "")]
    words += ["--model", ",".join(names)] if names else []
    methods = ",".join(without_folders(word) for word in methods.split(","))
    words += ["--methods", methods, "--track", track, "--limit", str(limit), "--few", str(few)]
    return shlex.join([*words, *(["--range", range] if range else [])])


def _conclude(
    out: Path, outcomes: "Sequence[BenchmarkResult]", broken: Sequence[str], *, as_json: bool
) -> None:
    from ..evaluation.benchmark.ranking import benchmark_ranking
    from ..pages.leaderboard import sentences

    page = out / "leaderboard.md"
    contests = []
    for outcome in outcomes:
        found = benchmark_ranking(outcome.scores, outcome.nulls, outcome.sanity)
        told = sentences.about(found)
        contests.append(
            {
                "contest": outcome.key,
                "model": outcome.model,
                "pictures": outcome.pictures,
                "order": [place.name for place in found.places],
                "wins": [place.share.value for place in found.places],
                "equal": [list(group) for group in found.equal],
                "fewer_pictures": {place.name: place.pictures for place in found.apart},
                "nulls": list(outcome.nulls),
                "sentences": told,
                "refused": outcome.refused,
                "failed": list(outcome.failed),
            }
        )
        if not as_json:
            to_stdout(f"\n{outcome.title}, {outcome.pictures} pictures")
            for line in told:
                to_stdout(f"  {line.replace('`', '').replace('**', '')}")
    if as_json:
        json_to_stdout({"page": str(page), "contests": contests, "errors": list(broken)})
    elif outcomes:
        to_stdout(f"\nLeaderboard: {page}")
    for line in [*broken, *(each for outcome in outcomes for each in outcome.failed)]:
        to_stderr(f"could not be scored: {line}")
    if broken or any(outcome.failed for outcome in outcomes):
        raise typer.Exit(WITH_ERRORS)


class _Bar:
    """A progress bar for each run of a contest, which has two."""

    def __init__(self, quiet: bool) -> None:
        self.quiet, self.stack, self.left = quiet, ExitStack(), 0
        self.advance: Callable[[str], None] = lambda _: None

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def watch(self, done: int, total: int) -> None:
        """Told after each cell; the first of a run begins a bar."""
        if done == 1:
            self.stack.close()
            self.advance = self.stack.enter_context(progress("judging", total, quiet=self.quiet))
        self.advance("")
