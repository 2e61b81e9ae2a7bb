"""A process that does a piece of work: tasks come in on its standard input, results go out.

It ends when its input does: a run that was killed leaves no process behind.
"""

import os
import pickle
import queue
import sys
import threading
from typing import Any

from .work import Task, results, unpack


def main() -> None:
    """Reads the work, then tasks; writes each result, and None after each task."""
    # What a network prints must not mix with the results.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        work = unpack(pickle.load(sys.stdin.buffer))
    except Exception as error:
        _send(answers, f"{type(error).__name__}: {error}")
        return
    tasks: queue.Queue[Task] = queue.Queue()
    threading.Thread(target=_receive, args=(tasks,), daemon=True).start()
    with work.ready():
        _send(answers, None)
        while True:
            for what in results(work, tasks.get()):
                _send(answers, what)
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
