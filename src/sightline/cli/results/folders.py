"""Which folder takes the results of a verb, so that no earlier result is lost.

Without `--out` a run gets a folder of its own: `sightline-explain`, then `sightline-explain-2`, and
so on. The same command goes on in the folder where it was interrupted. `command.json` in the folder
says which command wrote it and whether it came to its end.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import typer

from ...errors import FileProblem
from ..console import INTERRUPTED, to_stderr

COMMAND = "command.json"
_APART = ("out", "overwrite", "json", "quiet", "debug", "workers", "device", "batch")
_SIGNS = {
    "run.toml": "evaluate",
    "leaderboard.md": "benchmark",
    "attack.json": "attack",
    "report.html": "explain",
}


@dataclass(frozen=True, kw_only=True)
class Command:
    """A verb with the options that decide what it computes, as they were typed."""

    verb: str
    options: Mapping[str, Any]  # Any: whatever JSON holds

    @classmethod
    def of(cls, verb: str, options: Mapping[str, Any]) -> "Command":
        """The command with these options; those that change no result are left out."""
        return cls(
            verb=verb, options={k: _plain(v) for k, v in sorted(options.items()) if k not in _APART}
        )


def chosen(out: Path | None, command: Command) -> Path:
    """The folder for the results of a command: the given one, or one of its own, which is said.

    Raises: FileProblem where an explicit `out` holds the results of another verb.
    """
    if out is None:
        return _own(command)
    from ...files.writing import local_folder  # here, because it loads Pillow

    out = local_folder(out)
    there = verb_of(out)
    if there and there != command.verb:
        raise FileProblem(
            f"{out} holds the results of `sightline {there}`; expected a new folder or one of"
            f" `sightline {command.verb}`. Choose another --out."
        )
    return out


@contextmanager
def running(folder: Path, command: Command) -> Iterator[Path]:
    """The folder while the command writes into it: marked as finished at the end, unless the
    command was interrupted or failed. One that this call made is removed where nothing came.
    """
    new = not folder.exists()
    mark(folder, command, finished=False)
    try:
        yield folder
    except typer.Exit as leave:
        if leave.exit_code != INTERRUPTED:
            mark(folder, command, finished=True)
        raise
    except BaseException:
        with suppress(OSError):
            if new and [each.name for each in folder.iterdir()] == [COMMAND]:
                shutil.rmtree(folder)
        raise
    mark(folder, command, finished=True)


def mark(folder: Path, command: Command, *, finished: bool) -> None:
    """Writes which command the folder belongs to. Raises: FileProblem."""
    from ...files.writing import write_bytes  # here, because it loads Pillow

    told = {"verb": command.verb, "finished": finished, "options": command.options}
    text = json.dumps(told, indent=1, ensure_ascii=False)
    write_bytes(folder / COMMAND, text.encode("utf-8", "backslashreplace"))


def verb_of(folder: Path) -> str:
    """The verb whose results a folder holds; empty where it holds none."""
    told = _read(folder)
    if told:
        return str(told.get("verb", ""))
    return next((verb for name, verb in _SIGNS.items() if (folder / name).exists()), "")


def _own(command: Command) -> Path:
    """The folder in which the same command was interrupted, else the first that is free."""
    name = f"sightline-{command.verb}"
    for number in count(1):
        folder = Path(name if number == 1 else f"{name}-{number}")
        told = _read(folder)
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            break
        if told and not told.get("finished") and told.get("options") == command.options:
            to_stderr(f"going on in {folder}, where this command was interrupted")
            return folder
    if number > 1:
        to_stderr(f"{name} holds earlier results; these go to {folder}")
    return folder


def _read(folder: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        told = json.loads((folder / COMMAND).read_text("utf-8"))
        return told if isinstance(told, dict) else {}
    return {}


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
