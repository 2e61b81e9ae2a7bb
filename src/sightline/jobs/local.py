"""Work on this machine: in this process where it is short, else in a pool of single-threaded ones.

The pool has at most one process per core, and no more than fit into memory. A process that dies
takes one part with it: the others of its task go on in a new one.
"""

import math
import os
import pickle
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

from ..errors import NotExplainable, SightlineWarning
from .capacity import cores, fitting
from .pool import (
    CannotLoad,
    Messages,
    Pool,
    Unsendable,
    Worker,
    WorkerDied,
    WorkerMessage,
)
from .time_limit import limit_of
from .work import Take, Task, Work, WorkResult, results

_STOPPING = 10.0  # seconds for a process that was killed to be gone
LONG = 20.0  # seconds of work from which starting processes pays


@dataclass(frozen=True, kw_only=True)
class LocalRunner:
    """Computes on this machine. workers: processes; None is this one alone for what takes under 20
    seconds, else as many as there are cores and as memory allows. time_limit: seconds after which a
    part is given up; where they are given, all is computed in other processes, because only those
    can be stopped. None is half an hour there, and no limit in this process.
    """

    workers: int | None = None
    time_limit: float | None = None

    def __post_init__(self) -> None:
        limit_of(self.time_limit)

    def run(self, work: Work, tasks: Iterable[Task], count: int | None, take: Take) -> None:
        """Computes all tasks, about `count` (None: many), and hands over each result as it
        comes."""
        tasks = iter(tasks)
        workers, limit = self.workers, limit_of(self.time_limit)
        apart = self.time_limit is not None and not math.isinf(limit)
        if workers is None and apart:
            first = next(tasks, None)
            if first is None:
                return
            tasks = chain([first], tasks)
            workers = max(1, min(sys.maxsize if count is None else count, fitting(cores())))
        if workers is None:
            started = time.perf_counter()
            first = next(tasks, None)
            if first is None:
                return
            _here(work, iter([first]), take)
            waiting = sys.maxsize if count is None else count - 1
            left = (time.perf_counter() - started) * waiting
            alone = left < LONG or work.device != "cpu"
            workers = 1 if alone else min(waiting, fitting(cores()))
        if workers > 1 or apart:
            try:
                parcel = work.parcel()
                start = lambda messages: _Process(parcel, messages)  # noqa: E731
                Pool(work, start, take, limit).run(tasks, workers)
                return
            except NotExplainable as why:  # a model around a local function: it is computed here
                if apart:
                    name = work.limit_name
                    text = f"{name} has no effect: {why} It is computed in this process."
                    warnings.warn(text, SightlineWarning, stacklevel=4)
            except Unsendable as why:
                tasks = chain(why.left, tasks)
        _here(work, tasks, take)


def _here(work: Work, tasks: Iterator[Task], take: Take) -> None:
    with work.ready():
        for task in tasks:
            for what in results(work, task):
                if isinstance(what, WorkResult):
                    take(what)


class _Process(Worker):
    """A process of this machine."""

    def __init__(self, parcel: bytes, messages: Messages) -> None:
        super().__init__()
        path = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from sightline.jobs.worker_main import main; main()",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the run, which ends its processes itself
        )
        threading.Thread(target=_listen, args=(self, messages), daemon=True).start()
        self._write(parcel)

    def send(self, task: Task) -> None:
        self._write(task)

    def _write(self, what: Any) -> None:  # Any: whatever pickle takes
        stdin = self.process.stdin
        assert stdin is not None
        try:
            pickle.dump(what, stdin)
            stdin.flush()
        except OSError:
            pass  # it has died; its reader says so

    def stop(self) -> str:
        self.process.kill()
        if self.process.stdin is not None:
            with suppress(OSError):
                self.process.stdin.close()
        try:
            code = self.process.wait(_STOPPING)
        except subprocess.TimeoutExpired:  # a disk that does not answer holds even the dead
            return "it does not end"
        return f"signal {-code}" if code < 0 else f"status {code}"


def _listen(worker: _Process, messages: Messages) -> None:
    stdout: IO[bytes] | None = worker.process.stdout
    assert stdout is not None
    with stdout:
        while True:
            try:
                what = pickle.load(stdout)
                heard = CannotLoad(why=what) if isinstance(what, str) else what
            except Exception:  # cut off in the middle, or at the end
                messages.put(WorkerMessage(worker=worker, what=WorkerDied()))
                return
            messages.put(WorkerMessage(worker=worker, what=heard))
