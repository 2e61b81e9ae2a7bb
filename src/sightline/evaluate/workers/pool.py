"""Workers that each compute one task at a time, and what becomes of a task whose worker dies or
does not come to an end.

Wherever a worker runs, it reports to one queue. Each finished cell is handed over at once, so a
worker that dies takes at most the cell with it that it was at: that one and the rest of its picture
go to a new worker, and a cell at which two died is given up with the reason. A worker that needs
more than the limit for a cell is stopped, and the cell given up.
"""

import math
import queue
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from ...jobs.time_limit import overdue
from ..measurement import Finished, Task, failed

Take = Callable[[Finished], None]

_TRIES = 2


@dataclass(frozen=True, kw_only=True)
class Refused:
    """What a worker reports that cannot take the setup, and why."""

    why: str


@dataclass(frozen=True, kw_only=True)
class Died:
    """What is reported of a worker that is gone."""

    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What a worker reports when it has read its picture."""


@dataclass(kw_only=True, eq=False)
class Worker(ABC):
    """One that computes tasks. task: what it has, of which finished cells are taken off. since:
    when the last news of it came. loaded: whether it has read the picture.
    """

    task: Task | None = field(default=None, init=False)
    since: float = field(default=0.0, init=False)
    loaded: bool = field(default=False, init=False)
    started: bool = field(default=False, init=False)
    tries: int = field(default=0, init=False)

    @abstractmethod
    def send(self, task: Task) -> None:
        """Gives it a task; what is wrong with the worker is reported, never raised."""

    @abstractmethod
    def end(self) -> str:
        """Lets it go; how it had ended, in words."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """What came from a worker: a finished cell, a picture that was read, None where it waits for a
    task, or how it ended."""

    worker: Worker
    what: Finished | Loaded | Refused | Died | None


Reports = queue.SimpleQueue  # of Report


class Unsendable(Exception):
    """No worker can take the setup; `left` are tasks that were already taken, `why` the reason."""

    def __init__(self, left: list[Task], why: str) -> None:
        super().__init__(why)
        self.left, self.why = left, why


class Crew:
    """Workers that `start` starts, each with the queue to which it reports. limit: seconds for a
    cell."""

    def __init__(
        self, start: Callable[[Reports], Worker], take: Take, limit: float = math.inf
    ) -> None:
        self.start, self.take, self.limit = start, take, limit
        self.reports: Reports = Reports()
        self.workers: list[Worker] = []
        self.again: list[tuple[Task, int]] = []

    def run(self, tasks: Iterator[Task], count: int) -> None:
        """Computes all tasks with `count` workers. Raises: Unsendable."""
        try:
            for _ in range(count):
                self.workers.append(self.start(self.reports))
            self._drive(tasks)
        finally:
            for worker in self.workers:
                worker.end()

    def _drive(self, tasks: Iterator[Task]) -> None:
        while self.workers:
            report = self._next()
            if report is None:
                continue
            worker, what = report.worker, report.what
            if worker not in self.workers:  # it had its leave
                continue
            worker.since = time.monotonic()
            if isinstance(what, Finished):
                self._finished(worker, what)
            elif isinstance(what, Loaded):
                worker.loaded = True
            elif what is None:
                worker.started = True
                self._give(worker, tasks)
            elif isinstance(what, Refused):
                raise Unsendable(self._left(), what.why)
            else:
                self._bury(worker, what)

    def _next(self) -> Report | None:
        """The next report; None where a worker was stopped instead."""
        busy = [worker for worker in self.workers if worker.task is not None]
        if math.isinf(self.limit) or not busy:
            return self.reports.get()
        left = min(worker.since for worker in busy) + self.limit - time.monotonic()
        try:
            return self.reports.get(timeout=max(0.0, left))
        except queue.Empty:
            late = time.monotonic() - self.limit
            for worker in busy:
                if worker.since <= late:
                    self._stop(worker)
            return None

    def _stop(self, worker: Worker) -> None:
        """Stops a worker that takes too long: the cell that it is at is given up, and all of the
        picture where it did not even read that."""
        self.workers.remove(worker)
        worker.end()
        assert worker.task is not None
        jobs = worker.task.jobs
        given_up = 1 if worker.loaded else len(jobs)
        for job in jobs[:given_up]:
            self.take(failed(job.key, overdue(self.limit)))
        if jobs[given_up:]:
            self.again.append((replace(worker.task, jobs=jobs[given_up:]), 0))
        self.workers.append(self.start(self.reports))

    def _give(self, worker: Worker, tasks: Iterator[Task]) -> None:
        """The next task for a worker that waits, or its leave."""
        if self.again:
            worker.task, worker.tries = self.again.pop()
        else:
            worker.task, worker.tries = next(tasks, None), 0
        worker.since, worker.loaded = time.monotonic(), False
        if worker.task is not None:
            worker.send(worker.task)
        else:
            self.workers.remove(worker)
            worker.end()

    def _finished(self, worker: Worker, found: Finished) -> None:
        assert worker.task is not None
        left = tuple(j for j in worker.task.jobs if j.key != found.record["cell"])
        worker.task, worker.tries = replace(worker.task, jobs=left), 0
        self.take(found)

    def _left(self) -> list[Task]:
        """Tasks that were taken and are not finished."""
        return [t for t, _ in self.again] + [w.task for w in self.workers if w.task]

    def _bury(self, worker: Worker, death: Died) -> None:
        """A worker died: the cell that it was at is tried once more, then given up."""
        self.workers.remove(worker)
        why = worker.end() or death.why
        if not worker.started:
            if not self.workers:
                raise Unsendable(self._left(), death.why or why)
            return
        task = worker.task
        if task is not None and task.jobs:
            if worker.tries + 1 >= _TRIES:
                reason = f"the process that computed it died ({why}); was memory short?"
                self.take(failed(task.jobs[0].key, reason))
                task, worker.tries = replace(task, jobs=task.jobs[1:]), -1
            self.again.append((task, worker.tries + 1))
        self.workers.append(self.start(self.reports))
