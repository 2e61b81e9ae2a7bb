"""What the training commands do alike: help that says all, a log with times, one-line errors."""

import argparse
import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..data.addresses import is_address
from ..data.batches import ImageBatches, labelled
from ..data.openers import opener_of
from ..data.opening import open_samples
from ..errors import FileProblem, SightlineError
from ..model import Model
from ..sample import Samples

USAGE, WITH_ERRORS, INTERRUPTED = 2, 1, 130


def parser_of(doc: str | None, command: str) -> argparse.ArgumentParser:
    """A parser whose help is the recipe's own page. command: how it is called."""
    return argparse.ArgumentParser(
        prog=command, description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_numbers(parser: argparse.ArgumentParser, plan: Any, **told: str) -> None:
    """An option for each of these fields of a plan, with what it is and its default.

    None in the plan is a number that the recipe finds itself; then `told` says which.
    """
    for name, what in told.items():
        default = getattr(plan, name)
        known = "" if default is None else f" (default: {default:g})"
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=int if default is None else type(default),
            metavar="N" if default is None or isinstance(default, int) else "X",
            help=f"{what}{known}",
        )


def log_times() -> None:
    """What the recipe says goes to stderr, with the time."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")


def place_for(out: Path) -> Path:
    """The file to write, its folder made: known before hours of training, not after.

    Raises: FileProblem where nothing can be written there.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileProblem(f"--out {out} cannot be written: {error.strerror or error}.") from None
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        why = "it is a folder" if out.is_dir() else "no permission"
        raise FileProblem(f"--out {out} cannot be written: {why}. Name a file to write.")
    return out


def stem_of(name: str) -> str:
    """A model's name as the start of a file's name."""
    kind, _, rest = name.partition(":")
    short = Path(rest.partition("?")[0]).stem if kind == "file" else name
    return re.sub(r"[^\w.-]+", "-", short).strip("-")


def widths(text: str) -> tuple[int, ...]:
    """`800,100` as numbers, for an option."""
    return tuple(int(part) for part in text.split(","))


def folder_of(path: Path, what: str) -> Path:
    """The folder itself. Raises: FileProblem where it is none."""
    if not path.is_dir():
        raise FileProblem(f"{path} is not a folder; expected {what}.")
    return path


def command(main: Callable[[], None]) -> None:
    """Runs a recipe's `main`; what a user can cause becomes one line and an exit status."""
    try:
        main()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        raise SystemExit(INTERRUPTED) from None
    except SightlineError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(WITH_ERRORS if isinstance(error, FileProblem) else USAGE) from None


def samples_of(data: str) -> Samples:
    """The samples of DATA on the command line. Raises: FileProblem for a folder that is not there,
    what `open_samples` raises."""
    path = Path(data).expanduser()
    if not (opener_of(data) or is_address(data) or path.is_file()):
        folder_of(path, "pictures, or folders of pictures named like the classes")
    return open_samples(data)


def pictures_of(data: str, model: Model) -> ImageBatches:
    """Pictures to learn from, each with a class of the model. Raises: FileProblem for a folder that
    is not there, UnknownName for a label that is no class."""
    return labelled(samples_of(data), model)
