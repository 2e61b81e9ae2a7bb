"""How far a run has come, also within one method: by the images that the network was given.

A method counts as many passes as it needed for the last picture; for the first one, as many as were
measured when this version was made.
"""

import threading
from collections.abc import Sequence
from time import monotonic


def duration(seconds: float) -> str:
    """`40 ms`, `12 s`, `3 min`, `2 h 10 min`: about how long."""
    if seconds < 1:
        return f"{max(1, round(seconds * 1000))} ms"
    if seconds < 60:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class Meter:
    """What is finished of so many things, and how much of the one that is being done. total: 0
    where it is not known yet.

    names: what comes one after another,
    again and again (the methods of each picture). expected: name -> passes, where they are known.
    passes: images sent through the network so far, as `watch` is told.
    """

    def __init__(
        self,
        what: str,
        total: int,
        names: Sequence[str] = (),
        expected: dict[str, int] | None = None,
    ) -> None:
        self.what, self.total, self.names, self.passes = what, total, names, 0
        self.expected = dict(expected or {})
        self.done, self.last, self.started = 0, "", monotonic()
        self._at = 0
        self._lock = threading.Lock()

    def advance(self, name: str) -> None:
        """One more thing is finished."""
        with self._lock:
            spent = self._spent
            if self.names and spent:
                self.expected[name] = spent
            self.done, self.last, self._at = self.done + 1, name, self._at + spent

    def watch(self, kind: str, images: int) -> None:
        """A pass is about to run, as `network.costs.watched` tells it."""
        if kind in ("forward", "backward"):
            self.passes += images

    def reach(self, done: int) -> None:
        """So many things are finished, found finished, or given up."""
        with self._lock:
            self.done, self._at = done, self.passes

    @property
    def completed(self) -> float:
        """Things that are finished, with the share of the one that is being done."""
        expected = self.expected.get(self._current, 0)
        share = self._spent / expected if expected else 0.0
        return float(min(self.total, self.done + min(share, 0.99)))

    @property
    def detail(self) -> str:
        """What is being done: `rise, 120 of about 4,002 passes`."""
        name, expected = self._current, self.expected.get(self._current)
        if not name or self.done >= self.total:
            return self.last
        spent = self._spent
        about = f" of about {expected:,}" if expected and spent <= expected else ""
        return f"{name}, {spent:,}{about} passes"

    def line(self) -> str:
        """All of it in one line, with the time left."""
        come = f"{self.done} of {self.total}" if self.total else "starting"
        parts = [f"{self.what}: {come}", self.detail]
        if 0 < self.completed < self.total:
            spent = monotonic() - self.started
            left = spent / self.completed * (self.total - self.completed)
            parts.append(f"about {duration(left)} left")
        return "; ".join(filter(None, parts))

    @property
    def _current(self) -> str:
        return self.names[self.done % len(self.names)] if self.names else ""

    @property
    def _spent(self) -> int:
        return self.passes - self._at
