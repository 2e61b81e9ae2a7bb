"""How long a cell may take, and calls that are given up when they take longer."""

import math
import queue
import threading
from collections.abc import Callable
from typing import Any

from ..errors import BadField

USUAL = 1800.0
"""Seconds for one cell in a process of its own, and for reading one picture, where none are
given."""


def limit_of(cell_timeout: float | None) -> float:
    """The seconds that were given, or the usual ones. Raises: BadField."""
    if cell_timeout is None:
        return USUAL
    if math.isnan(cell_timeout) or cell_timeout <= 0:
        raise BadField(
            f"cell_timeout is a number of seconds above 0, or infinity; got {cell_timeout:g}."
        )
    return cell_timeout


def overdue(limit: float) -> str:
    """Why there is no result, as a cell's reason."""
    return (
        f"no result within {limit:g} s, so it was stopped. The same run tries it again;"
        " `cell_timeout` sets the limit."
    )


class Patience:
    """Calls in a thread of their own; one that takes longer than `limit` seconds is left there.

    A file of a disk that does not answer blocks whoever reads it, and nothing can wake them.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._asked: queue.SimpleQueue[Any] | None = None

    def call(self, do: Callable[[], Any]) -> Any:
        """What `do` returns or raises. Raises: TimeoutError where it takes too long."""
        if math.isinf(self.limit):
            return do()
        if self._asked is None:
            self._asked = queue.SimpleQueue()
            threading.Thread(target=_serve, args=(self._asked,), daemon=True).start()
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._asked.put((do, answers))
        try:
            value, error = answers.get(timeout=self.limit)
        except queue.Empty:
            self._asked = None  # its thread may never come back
            raise TimeoutError(overdue(self.limit)) from None
        if error is not None:
            raise error
        return value

    def close(self) -> None:
        """Ends the thread."""
        if self._asked is not None:
            self._asked.put(None)
            self._asked = None


def _serve(asked: "queue.SimpleQueue[Any]") -> None:
    while (request := asked.get()) is not None:
        do, answers = request
        try:
            answers.put((do(), None))
        except Exception as error:
            answers.put((None, error))
