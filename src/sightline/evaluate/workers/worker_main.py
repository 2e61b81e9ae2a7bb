"""A process that computes cells: tasks come in on its standard input, records go out.

It ends when its input does: a run that was killed leaves no process behind.
"""

import os
import pickle
import queue
import sys
import threading
from functools import partial
from typing import Any

from ..measurement import Task, compute
from .parcel import unpack
from .pool import Loaded
from .worker_state import ready


def main() -> None:
    """Reads a parcel, then tasks; writes each finished cell, and None after each task."""
    # What a network prints must not mix with the records.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        setup = unpack(pickle.load(sys.stdin.buffer))
    except Exception as error:
        _send(answers, f"{type(error).__name__}: {error}")
        return
    tasks: queue.Queue[Task] = queue.Queue()
    threading.Thread(target=_receive, args=(tasks,), daemon=True).start()
    with ready(setup):
        _send(answers, None)
        while True:
            task = tasks.get()
            for finished in compute(setup, task, partial(_send, answers, Loaded())):
                _send(answers, finished)
            _send(answers, None)


def _receive(tasks: "queue.Queue[Task]") -> None:
    while True:
        try:
            tasks.put(pickle.load(sys.stdin.buffer))
        except (EOFError, OSError, pickle.UnpicklingError):
            os._exit(0)


def _send(stream: Any, what: Any) -> None:
    try:
        pickle.dump(what, stream)
        stream.flush()
    except OSError:  # nobody listens any more
        os._exit(0)
