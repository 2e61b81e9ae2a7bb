"""`sightline report`: the report of a run, rebuilt from what is finished."""

from pathlib import Path
from typing import Annotated

import typer

from . import _options as options
from .console import json_to_stdout, to_stdout, verb_context
from .evaluate import conclude


def report(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Of explain, demo, evaluate or benchmark."),
    ],
    out: Annotated[
        Path | None,
        options.out("Folder for the report, where DIR cannot be written (evaluate, benchmark)."),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Rebuild a run's report without recomputing, also of one that was stopped.

    For a folder of `explain` or `demo` that is report.html; of `evaluate` too, from the pictures
    that run.toml names; of `benchmark` it is leaderboard.md.

    Example: sightline report runs/a
    """
    with verb_context(quiet=quiet or json, debug=debug):
        from .. import run
        from ..errors import BadField
        from ..evaluation.benchmark import results_store
        from ..files.writing import write_bytes
        from ..pages.leaderboard.page import BenchmarkRun, page
        from .results import pages, store
        from .results.folders import verb_of

        told = store.read_run(folder)
        if verb_of(folder) == "attack":
            raise BadField(f"{folder} has no page to write: attack.json holds all of `attack`.")
        if told is not None and out is not None:
            raise BadField(
                f"--out is for folders of `evaluate` and `benchmark`, and {folder} is of `explain`;"
                " copy the folder, and rebuild the report there."
            )
        if told is not None:
            with store.opened(folder) as held:
                path = pages.write(held, told)
            return json_to_stdout({"report": str(path)}) if json else to_stdout(f"Report: {path}")
        if (folder / "run.toml").is_file():
            table = run.evaluate(run=folder / "run.toml", out=folder, engine="none", page=out)
            return conclude(table, folder, as_json=json, page=out)
        held = [(outcome, BenchmarkRun(**told)) for outcome, told in results_store.read_all(folder)]
        if not held:
            raise BadField(
                f"{folder} holds no run; expected a folder that `sightline explain`, `demo`,"
                " `evaluate` or `benchmark` wrote. Name that folder, or start the run again."
            )
        path = write_bytes((out or folder) / "leaderboard.md", page(held).encode())
        json_to_stdout({"page": str(path)}) if json else to_stdout(f"Leaderboard: {path}")
