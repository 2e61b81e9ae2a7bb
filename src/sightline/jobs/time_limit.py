"""How long a part of a task may take, and calls that are given up when they take longer."""

import math
import queue
import threading
from collections.abc import Callable
from typing import Any

from ..errors import BadField

USUAL = 1800.0
"""Seconds for one part in a process of its own, and for reading one picture, where none are
given."""

_NAME = "time_limit"


def limit_of(seconds: float | None, name: str = _NAME) -> float:
    """The seconds that were given by the option of that name, or the usual ones. Raises:
    BadField."""
    if seconds is None:
        return USUAL
    if math.isnan(seconds) or seconds <= 0:
        raise BadField(f"{name} is a number of seconds above 0, or infinity; got {seconds:g}.")
    return seconds


def overdue(limit: float, name: str = _NAME) -> str:
    """Why there is no result. name: of the option that sets the limit."""
    return (
        f"no result within {limit:g} s, so it was stopped. The same run tries it again;"
        f" `{name}` sets the limit."
    )


class TimeLimit:
    """Calls in a thread of their own; one that takes longer than `limit` seconds is left there.

    A file of a disk that does not answer blocks whoever reads it, and nothing can wake them. name:
    of the option that sets the limit.
    """

    def __init__(self, limit: float, name: str = _NAME) -> None:
        self.limit, self.name = limit, name
        self._requests: queue.SimpleQueue[Any] | None = None

    def call(self, do: Callable[[], Any]) -> Any:
        """What `do` returns or raises. Raises: TimeoutError where it takes too long."""
        if math.isinf(self.limit):
            return do()
        if self._requests is None:
            self._requests = queue.SimpleQueue()
            threading.Thread(target=_serve, args=(self._requests,), daemon=True).start()
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._requests.put((do, answers))
        try:
            value, error = answers.get(timeout=self.limit)
        except queue.Empty:
            self._requests = None  # its thread may never come back
            raise TimeoutError(overdue(self.limit, self.name)) from None
        if error is not None:
            raise error
        return value

    def close(self) -> None:
        """Ends the thread."""
        if self._requests is not None:
            self._requests.put(None)
            self._requests = None


def _serve(requests: "queue.SimpleQueue[Any]") -> None:
    while (request := requests.get()) is not None:
        do, answers = request
        try:
            answers.put((do(), None))
        except Exception as error:
            answers.put((None, error))
