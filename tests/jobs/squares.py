"""A small piece of work for tests: squares of numbers. Its parts can die, hang or fail; other
processes import it from here.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from sightline.jobs.work import Part, Task, TaskLoaded, Work, WorkResult

LEDGER = "squares.jsonl"


@dataclass(frozen=True, kw_only=True, eq=False)
class Numbers(Task):
    """Numbers to square; a part is a shard of some of them. file, digest: something to read, which
    `data` replaces."""

    file: Path | None = None
    digest: str = ""
    data: bytes | None = None

    @property
    def name(self) -> str:
        return f"numbers from {self.parts[0].keys[0]}"

    def files(self) -> dict[Path, str]:
        return {} if self.file is None else {self.file: self.digest}

    def with_bytes(self) -> "Numbers":
        if self.file is None:
            return self
        return replace(self, data=self.file.read_bytes(), file=None)


@dataclass(frozen=True, kw_only=True, eq=False)
class Squares(Work):
    """folder: where each part that is begun leaves its key, and each process its number.

    dies, late, wrong: numbers at which the process dies, does not come to an end, or raises.
    seconds: for a part.
    """

    folder: Path
    dies: int = -1
    late: int = -1
    wrong: int = -1
    seconds: float = 0.0

    @property
    def name(self) -> str:
        return "squares"

    @property
    def device(self) -> str:
        return "cpu"

    def ready(self) -> AbstractContextManager[None]:
        _note(self.folder / "processes", str(os.getpid()))
        return nullcontext()

    def run(self, task: Task) -> Iterator[WorkResult | TaskLoaded]:
        assert isinstance(task, Numbers)
        if task.data or task.file:
            _note(self.folder / "came_as", "name" if task.file else "bytes")
        yield TaskLoaded()
        for part in task.parts:
            numbers = [int(key) for key in part.keys]
            _note(self.folder / "begun", part.keys[0])
            time.sleep(self.seconds)
            if self.dies in numbers:
                os.kill(os.getpid(), signal.SIGKILL)
            while self.late in numbers:
                time.sleep(0.05)
            if self.wrong in numbers:
                raise ZeroDivisionError("a fault")
            yield WorkResult(record={"cells": part.keys, "squares": [n * n for n in numbers]})

    def failed(self, part: Part, why: Exception | str) -> WorkResult:
        return WorkResult(record={"cells": part.keys, "failed": str(why)}, sure=False)


def tasks(count: int, parts: int = 2, shard: int = 1) -> list[Numbers]:
    """Tasks of so many parts, each of a shard of numbers."""
    made = []
    for start in range(0, count, parts * shard):
        firsts = range(start, min(start + parts * shard, count), shard)
        shards = [range(first, min(first + shard, count)) for first in firsts]
        made.append(Numbers(parts=tuple(Part(keys=tuple(map(str, each))) for each in shards)))
    return made


def _note(path: Path, text: str) -> None:
    with path.open("ab", buffering=0) as stream:
        stream.write(f"{text}\n".encode())


def notes(path: Path) -> list[str]:
    """What was left there."""
    return path.read_text().split() if path.is_file() else []
