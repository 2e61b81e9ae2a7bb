"""A piece of work: what takes long, in tasks that any process of any machine can compute.

A *task* is what a worker is given at once: something to read, and the *parts* that are computed
from it, in order. Each part ends in one record. So a worker that dies takes one part with it, and a
run that was stopped goes on with the first part that has no record. Evaluation is one piece of
work: its tasks are pictures, its parts the cells of their methods.
"""

import hashlib
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar, final, runtime_checkable

from ..errors import NotExplainable
from .ledger import Record, keys_of

_NOTHING = "it ended without a result"
_Task = TypeVar("_Task", bound="Task")  # the tests' shape hook knows no `Self`


@dataclass(frozen=True, kw_only=True)
class Part:
    """What is computed as a whole and kept as one record. keys: by which that record is found; one,
    or those of all that a shard covers."""

    keys: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class WorkResult:
    """A part's record. sure: the same would come again, so it need not be tried a second time."""

    record: Record
    sure: bool = True


@dataclass(frozen=True, kw_only=True)
class TaskLoaded:
    """What `Work.run` gives once it has read what the task names: from then on, time is counted for
    each part."""


Take = Callable[[WorkResult], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Task(ABC):
    """What a worker is given at once: something to read, and the parts that are computed from it,
    in order."""

    parts: tuple[Part, ...]

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is called in messages."""

    @abstractmethod
    def files(self) -> Mapping[Path, str]:
        """The files that it names, with the SHA-256 of what they hold. A worker that finds the same
        there is sent their names, another one their bytes."""

    @abstractmethod
    def with_bytes(self: _Task) -> _Task:
        """The same task with the bytes of its files in place of their names, as far as they can be
        read here."""

    @final
    def without(self: _Task, keys: Iterable[str]) -> _Task:
        """The same task without the parts of these keys."""
        gone = set(keys)
        return replace(self, parts=tuple(p for p in self.parts if gone.isdisjoint(p.keys)))


class Work(ABC):
    """What is computed of tasks. It travels to other processes in a pickle, so its class must be
    one that they can import. limit_name: the option by which a user sets the time limit.
    """

    limit_name: ClassVar[str] = "time_limit"

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is called in messages."""

    @property
    @abstractmethod
    def device(self) -> str:
        """Where it computes: `cpu`, or `cuda`, of which a machine has few."""

    @abstractmethod
    def ready(self) -> AbstractContextManager[None]:
        """The state in which tasks are computed; each process enters it before its first one."""

    @abstractmethod
    def run(self, task: Task) -> Iterator[WorkResult | TaskLoaded]:
        """Computes a task's parts, in order: `TaskLoaded` where all is read, then each part's
        result as it is finished. What it raises becomes the failure of the part that was next."""

    @abstractmethod
    def failed(self, part: Part, why: Exception | str) -> WorkResult:
        """The record of a part that could not be computed: it failed, took too long, or its
        process died."""

    @final
    def parcel(self) -> bytes:
        """The work as bytes. Raises: NotExplainable where a part of it cannot leave this process,
        such as a model around a local function."""
        try:
            return pickle.dumps(self)
        except Exception as error:  # pickling runs code of every part, which raises what it likes
            raise NotExplainable(
                f"{self.name} cannot be sent to another process ({error})."
            ) from None


def readable(files: Mapping[Path, str]) -> bool:
    """Whether this process finds in these files what their SHA-256 says."""
    try:
        for path, known in files.items():
            with path.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != known:
                    return False
    except OSError:
        return False
    return True


def unpack(parcel: bytes) -> Work:
    """The work that `Work.parcel` wrote. Raises: whatever loading its parts raises."""
    work = pickle.loads(parcel)
    assert isinstance(work, Work)
    return work


def results(work: Work, task: Task) -> Iterator[WorkResult | TaskLoaded]:
    """What the work gives for a task, a result for each of its parts."""
    while task.parts:
        reason: Exception | str = _NOTHING
        try:
            for what in work.run(task):
                if isinstance(what, WorkResult):
                    task = task.without(keys_of(what.record))
                yield what
        except Exception as error:
            if not task.parts:
                raise
            reason = error
        if task.parts:
            yield work.failed(task.parts[0], reason)
            task = task.without(task.parts[0].keys)


@runtime_checkable
class Runner(Protocol):
    """Where work is done: on this machine, or on a cluster."""

    def run(self, work: Work, tasks: Iterable[Task], count: int | None, take: Take) -> None:
        """Computes all tasks, about `count` (None: many), and hands over each result as it
        comes."""
