"""The local engine: this process for short runs, a pool of single-threaded processes for long ones.

The pool has at most one process per core, and no more than fit into memory. A process that dies
takes one cell with it: the others of its picture go on in a new one.
"""

import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import IO, Any

from ..errors import NotExplainable
from .cell import Finished, Task, compute, failed
from .memory import cores, fitting
from .parcel import pack
from .setup import Setup
from .warming import ready

Take = Callable[[Finished], None]

LONG = 20.0  # seconds of work from which starting processes pays
_TRIES = 2


@dataclass(frozen=True, kw_only=True)
class LocalEngine:
    """Computes on this machine. workers: processes; None is this one alone for what takes under 20
    seconds, else as many as there are cores and as memory allows.
    """

    workers: int | None = None

    def run(self, setup: Setup, tasks: Iterable[Task], count: int, take: Take) -> None:
        """Computes all tasks, about `count`, and hands over each cell as it is finished."""
        tasks = iter(tasks)
        workers = self.workers
        if workers is None:
            started = time.perf_counter()
            first = next(tasks, None)
            if first is None:
                return
            _here(setup, iter([first]), take)
            left = (time.perf_counter() - started) * (count - 1)
            alone = left < LONG or setup.model.device.type != "cpu"
            workers = 1 if alone else min(count - 1, fitting(cores()))
        if workers > 1:
            try:
                _Pool(setup, workers, take).run(tasks)
                return
            except _Unsendable as why:
                tasks = chain(why.left, tasks)
        _here(setup, tasks, take)


def _here(setup: Setup, tasks: Iterator[Task], take: Take) -> None:
    with ready(setup):
        for task in tasks:
            for finished in compute(setup, task):
                take(finished)


class _Unsendable(Exception):
    """The setup cannot be sent to another process; `left` are tasks that were already taken."""

    def __init__(self, left: list[Task]) -> None:
        super().__init__()
        self.left = left


@dataclass(kw_only=True, eq=False)
class _Process:
    """A worker: its process, and the task that it has, of which finished cells are taken off."""

    process: "subprocess.Popen[bytes]"
    task: Task | None = None
    started: bool = False
    tries: int = 0

    def send(self, what: Any) -> None:
        stdin = self.process.stdin
        assert stdin is not None
        try:
            pickle.dump(what, stdin)
            stdin.flush()
        except OSError:
            pass  # it has died; its reader says so

    def end(self) -> int:
        """Ends the process; its exit status."""
        self.process.kill()
        if self.process.stdin is not None:
            with suppress(OSError):
                self.process.stdin.close()
        return self.process.wait()


class _Pool:
    """Processes that each compute one task at a time."""

    def __init__(self, setup: Setup, workers: int, take: Take) -> None:
        self.setup, self.take = setup, take
        self.events: queue.SimpleQueue[tuple[_Process, Any]] = queue.SimpleQueue()
        self.processes: list[_Process] = []
        self.wanted = workers
        self.again: list[tuple[Task, int]] = []

    def run(self, tasks: Iterator[Task]) -> None:
        try:
            self.parcel = pack(self.setup)
        except NotExplainable:
            raise _Unsendable([]) from None
        try:
            for _ in range(self.wanted):
                self._start()
            self._drive(tasks)
        finally:
            for worker in self.processes:
                worker.end()

    def _start(self) -> None:
        path = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)
        process = subprocess.Popen(
            [sys.executable, "-c", "from sightline.engines.worker import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the run, which ends its processes itself
        )
        worker = _Process(process=process)
        self.processes.append(worker)
        threading.Thread(target=_listen, args=(worker, self.events), daemon=True).start()
        worker.send(self.parcel)

    def _drive(self, tasks: Iterator[Task]) -> None:
        while self.processes:
            worker, what = self.events.get()
            if worker not in self.processes:  # it had its leave
                continue
            if isinstance(what, Finished):
                self._finished(worker, what)
            elif what is None:
                worker.started = True
                self._give(worker, tasks)
            elif isinstance(what, str):
                raise _Unsendable(self._left())
            else:
                self._bury(worker)

    def _give(self, worker: _Process, tasks: Iterator[Task]) -> None:
        """The next task for a worker that waits, or its leave."""
        if self.again:
            worker.task, worker.tries = self.again.pop()
        else:
            worker.task, worker.tries = next(tasks, None), 0
        if worker.task is not None:
            worker.send(worker.task)
        else:
            self.processes.remove(worker)
            worker.end()

    def _finished(self, worker: _Process, found: Finished) -> None:
        assert worker.task is not None
        left = tuple(j for j in worker.task.jobs if j.key != found.record["cell"])
        worker.task, worker.tries = replace(worker.task, jobs=left), 0
        self.take(found)

    def _left(self) -> list[Task]:
        """Tasks that were taken and are not finished."""
        return [t for t, _ in self.again] + [w.task for w in self.processes if w.task]

    def _bury(self, worker: _Process) -> None:
        """A worker died: the cell that it was at is tried once more, then given up."""
        self.processes.remove(worker)
        code = worker.end()
        if not worker.started:
            if not self.processes:
                raise _Unsendable(self._left())
            return
        task = worker.task
        if task is not None and task.jobs:
            if worker.tries + 1 >= _TRIES:
                why = f"the process that computed it died ({_ended(code)}); was memory short?"
                self.take(failed(task.jobs[0].key, why))
                task, worker.tries = replace(task, jobs=task.jobs[1:]), -1
            self.again.append((task, worker.tries + 1))
        self._start()


def _ended(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"status {code}"


class _Dead:
    """What a reader says of a worker whose output has ended."""


def _listen(worker: _Process, events: "queue.SimpleQueue[tuple[_Process, Any]]") -> None:
    stdout: IO[bytes] | None = worker.process.stdout
    assert stdout is not None
    with stdout:
        while True:
            try:
                events.put((worker, pickle.load(stdout)))
            except Exception:  # cut off in the middle, or at the end
                events.put((worker, _Dead()))
                return
