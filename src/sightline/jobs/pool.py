"""Workers that each compute one task at a time, and what becomes of a task whose worker dies or
does not come to an end.

Wherever a worker runs, its messages come to one queue. Each result is handed over at once, so a
worker that dies takes at most the part with it that it was at: that one and the rest of its task go
to a new worker, and a part at which two died is given up with the reason. A worker that needs more
than the limit for a part is stopped, and the part given up.
"""

import logging
import math
import queue
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .ledger import keys_of
from .time_limit import overdue
from .work import Take, Task, TaskLoaded, Work, WorkResult

log = logging.getLogger("sightline")

_TRIES = 2  # of a part
_STARTS = 5  # that may fail one after another where the work could be loaded before


@dataclass(frozen=True, kw_only=True)
class CannotLoad:
    """The message of a worker that cannot load the work, and why."""

    why: str


@dataclass(frozen=True, kw_only=True)
class WorkerDied:
    """What is heard of a worker that is gone."""

    why: str = ""


@dataclass(kw_only=True, eq=False)
class Worker(ABC):
    """One that computes tasks. task: what it has, without the parts that are finished. since: when
    its last message came. loaded: whether it has read what the task names.
    """

    task: Task | None = field(default=None, init=False)
    since: float = field(default=0.0, init=False)
    loaded: bool = field(default=False, init=False)
    started: bool = field(default=False, init=False)
    tries: int = field(default=0, init=False)

    @abstractmethod
    def send(self, task: Task) -> None:
        """Gives it a task; what is wrong with the worker comes as a message, never as an error."""

    @abstractmethod
    def stop(self) -> str:
        """Stops it; how it had ended, in words."""


@dataclass(frozen=True, kw_only=True, eq=False)
class WorkerMessage:
    """What came from a worker: a result, that a task is loaded, None where it waits for a task, or
    how it ended."""

    worker: Worker
    what: WorkResult | TaskLoaded | CannotLoad | WorkerDied | None


Messages = queue.SimpleQueue  # of WorkerMessage


class Unsendable(Exception):
    """No worker can load the work; `left` are tasks that were already taken, `why` the reason."""

    def __init__(self, left: list[Task], why: str) -> None:
        super().__init__(why)
        self.left, self.why = left, why


class Pool:
    """Workers that `start` starts, each with the queue for its messages. limit: seconds for a
    part."""

    def __init__(
        self, work: Work, start: Callable[[Messages], Worker], take: Take, limit: float = math.inf
    ) -> None:
        self.work, self.start, self.take, self.limit = work, start, take, limit
        self.messages: Messages = Messages()
        self.workers: list[Worker] = []
        self.again: list[tuple[Task, int]] = []
        self.starts_left = 0  # that may fail; none before a worker could load the work

    def run(self, tasks: Iterator[Task], count: int) -> None:
        """Computes all tasks with `count` workers. Raises: Unsendable."""
        try:
            for _ in range(count):
                self._start()
            self._drive(tasks)
        finally:
            for worker in self.workers:
                worker.stop()

    def _start(self) -> None:
        self.workers.append(self.start(self.messages))

    def _drive(self, tasks: Iterator[Task]) -> None:
        while self.workers:
            message = self._next()
            if message is None:
                continue
            worker, what = message.worker, message.what
            if worker not in self.workers:  # it was stopped
                continue
            worker.since = time.monotonic()
            if isinstance(what, WorkResult):
                self._finished(worker, what)
            elif isinstance(what, TaskLoaded):
                worker.loaded = True
            elif what is None:
                worker.started, self.starts_left = True, _STARTS
                self._give(worker, tasks)
            elif isinstance(what, CannotLoad):
                raise Unsendable(self._left(), what.why)
            else:
                self._died(worker, what)

    def _next(self) -> WorkerMessage | None:
        """The next message; None where a worker was stopped instead."""
        busy = [worker for worker in self.workers if worker.task is not None]
        if math.isinf(self.limit) or not busy:
            return self.messages.get()
        left = min(worker.since for worker in busy) + self.limit - time.monotonic()
        try:
            return self.messages.get(timeout=max(0.0, left))
        except queue.Empty:
            late = time.monotonic() - self.limit
            for worker in busy:
                if worker.since <= late:
                    self._overdue(worker)
            return None

    def _overdue(self, worker: Worker) -> None:
        """Stops a worker that takes too long: the part that it is at is given up, and the whole
        task where it did not even load that."""
        self.workers.remove(worker)
        worker.stop()
        task = worker.task
        assert task is not None
        log.debug("a worker was stopped at %s after %g s", task.name, self.limit)
        for part in task.parts[: 1 if worker.loaded else None]:
            self.take(self.work.failed(part, overdue(self.limit, self.work.limit_name)))
            task = task.without(part.keys)
        if task.parts:
            self.again.append((task, 0))
        self._start()

    def _give(self, worker: Worker, tasks: Iterator[Task]) -> None:
        """The next task for a worker that waits, which is stopped where there is none."""
        if self.again:
            worker.task, worker.tries = self.again.pop()
        else:
            worker.task, worker.tries = next(tasks, None), 0
        worker.since, worker.loaded = time.monotonic(), False
        if worker.task is not None:
            worker.send(worker.task)
        else:
            self.workers.remove(worker)
            worker.stop()

    def _finished(self, worker: Worker, result: WorkResult) -> None:
        assert worker.task is not None
        worker.task, worker.tries = worker.task.without(keys_of(result.record)), 0
        self.take(result)

    def _left(self) -> list[Task]:
        """Tasks that were taken and are not finished."""
        return [t for t, _ in self.again] + [w.task for w in self.workers if w.task]

    def _died(self, worker: Worker, message: WorkerDied) -> None:
        """A worker died: the part that it was at is tried once more, then given up."""
        self.workers.remove(worker)
        why = worker.stop() or message.why
        if not worker.started:
            self._failed_to_start(message.why or why)
            return
        task = worker.task
        if task is not None and task.parts:
            log.debug("a worker died at %s (%s)", task.name, why)
            if worker.tries + 1 >= _TRIES:
                reason = f"the process that computed it died ({why}); was memory short?"
                self.take(self.work.failed(task.parts[0], reason))
                task, worker.tries = task.without(task.parts[0].keys), -1
            self.again.append((task, worker.tries + 1))
        self._start()

    def _failed_to_start(self, why: str) -> None:
        """A worker died before it was ready: the others go on; the last one is started again where
        the work could be loaded before, for then its machine was at fault."""
        if self.workers:
            return
        if not self.starts_left:
            raise Unsendable(self._left(), why)
        self.starts_left -= 1
        self._start()
