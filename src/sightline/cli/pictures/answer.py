"""What a run over pictures answers when it ends: lines, or JSON, and an exit status."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from ...errors import FileProblem
from ...pages.record import PictureEntry
from ...views.wording import counted
from ..console import (
    DONE,
    INTERRUPTED,
    WITH_ERRORS,
    json_to_stdout,
    resume_hint,
    to_stderr,
    to_stdout,
)
from ..results import names
from ..results.store import Run, Store
from .record import MethodRecord, PictureRecord


@dataclass(frozen=True, kw_only=True, eq=False)
class Presentation:
    """What a report says besides its pictures, and how a command answers.

    remarks: filled while the command runs. absent: (source, reason) for what holds no picture.
    finished: what is said of a picture once its maps are there.
    """

    title: str
    remarks: Sequence[str] = ()
    caution: str = ""
    next_steps: tuple[str, ...] = ()
    absent: Sequence[tuple[str, str]] = ()
    finished: Callable[[PictureEntry], PictureEntry] = lambda entry: entry
    as_json: bool = False
    quiet: bool = False
    debug: bool = False


@dataclass(kw_only=True, eq=False)
class RunState:
    """What a command has finished so far: places in the store, and pictures that failed in a way
    that may be gone next time."""

    total: int
    places: list[int] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    found_again: int = 0
    interrupted: bool = False
    stopped: FileProblem | None = None  # nothing further could be written


def answer(done: RunState, held: Store, run: Run, page: Path, presentation: Presentation) -> None:
    """Says what there is: JSON or lines. Raises: typer.Exit with the status, where it is not 0,
    FileProblem where the run could not go on."""
    records = [_record(held, place) for place in done.places]
    errors = [error for place in done.places for error in held.record(place)["errors"]]
    errors += [f"{name}: {reason}" for name, reason in done.failed]
    if presentation.as_json:
        json_to_stdout(_json(done, records, held, run, page))
    else:
        _tell(done, records, run, page)
        for line in _gathered(errors):
            to_stderr(f"not explained: {line}")
    if done.interrupted:
        to_stderr(resume_hint(held.folder))
    if done.stopped:
        raise done.stopped
    status = WITH_ERRORS if errors or run.refused else DONE
    status = INTERRUPTED if done.interrupted else status
    if status:
        raise typer.Exit(status)


def _record(held: Store, place: int) -> PictureRecord:
    return PictureRecord.from_json(held.record(place)["record"])


def _json(
    done: RunState, records: Sequence[PictureRecord], held: Store, run: Run, page: Path
) -> dict[str, Any]:
    shown = [record.in_folder(held.folder) for record in records]
    shown += [PictureRecord(name=name, error=why) for name, why in done.failed]
    return {
        "report": str(page),
        "model": run.model,
        "refused": dict(run.refused),
        "pictures": [record.to_json() for record in shown],
    }


def _tell(done: RunState, records: Sequence[PictureRecord], run: Run, page: Path) -> None:
    for line in _summary(done, records):
        to_stdout(line)
    to_stdout(f"Report: {page}")
    if run.next_steps:
        to_stdout("\nNext:")
    for step in run.next_steps:
        to_stdout(f"  {step.replace('`', '')}")


def _gathered(errors: Iterable[str]) -> Iterator[str]:
    """The errors, with one line for what a method says of several pictures alike."""
    groups: dict[tuple[str, str], list[str]] = {}
    for line in errors:
        head, _, reason = line.partition(": ")
        groups.setdefault((head.rpartition(", ")[2], reason), []).append(line)
    for (method, reason), lines in groups.items():
        alike = f"{method} ({counted(len(lines), 'picture')}): {reason}"
        yield lines[0] if len(lines) == 1 else alike


def _summary(done: RunState, records: Sequence[PictureRecord]) -> Iterator[str]:
    explained, compared = [record for record in records if not record.error], False
    for record in explained:
        yield f"{names.short(record.name)}: {_in_short(record)}"
        for each in (m for m in record.methods if not m.error):
            compared |= any("random" in metric["nulls"] for metric in each.metrics.values())
            yield f"  {_line(each)}"
    if compared:
        yield "In brackets: what a random map scores on the same metric."
    again = f" ({done.found_again} of them before)" if done.found_again else ""
    stopped = "; interrupted" if done.interrupted else ""
    noun = "picture" if done.total == 1 else "pictures"
    yield f"{len(explained)} of {done.total} {noun} explained{again}{stopped}."


def _in_short(record: PictureRecord) -> str:
    """What is told of a picture, long labels in short."""
    predicted = (record.prediction or {}).get("label", "")
    text = record.summary
    for label in filter(None, (predicted, record.target)):
        text = text.replace(label, names.short(label))
    return text


def _line(found: MethodRecord) -> str:
    numbers = [
        f"{name} {_number(m['value'])}"
        + (f" (random {_number(m['nulls']['random'])})" if "random" in m["nulls"] else "")
        for name, m in found.metrics.items()
    ]
    text = found.files.get("text", "")
    return "  ".join([f"{names.short(found.method):<22}", *numbers, text]).rstrip()


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:z.2f}"
