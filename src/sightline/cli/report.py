"""`sightline report`: the page of a run, written again from what is finished."""

from pathlib import Path
from typing import Annotated

import typer

from . import _options as options
from ._habits import habits, tell, tell_json
from .evaluate import conclude


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of `evaluate` or of `benchmark`.")
    ],
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Write the page of a run again, also of one that was stopped; nothing is computed.

    For a folder of `evaluate` that is report.html, from the pictures that run.toml names; for one
    of `benchmark` it is leaderboard.md.

    Example: sightline report runs/a
    """
    with habits(quiet=quiet or json, debug=debug):
        from .. import run
        from ..engines.benchmark import kept
        from ..errors import BadField
        from ..ops.files import write_bytes
        from ..views.leaderboard.page import Made, page

        if (folder / "run.toml").is_file():
            table = run.evaluate(run=folder / "run.toml", out=folder, engine="none")
            return conclude(table, folder, as_json=json)
        held = [(outcome, Made(**told)) for outcome, told in kept.kept(folder)]
        if not held:
            raise BadField(
                f"{folder} holds no run; expected a folder that `sightline evaluate` or `sightline"
                " benchmark` wrote, with its run.toml or contests."
            )
        path = write_bytes(folder / "leaderboard.md", page(held).encode())
        tell_json({"page": str(path)}) if json else tell(f"Leaderboard: {path}")
