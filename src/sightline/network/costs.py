"""Passes through a network belong to the call that causes them: what they cost, and who pays.

Which calls are running is a context variable, so that every thread pays for its own passes. A call
pays for the calls inside it too; a start-up check is paid by nobody.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

SPENT = ("forward", "backward", "copies")  # images through the network; copies: behind a layer only
_ADDING = threading.Lock()


def nothing_spent() -> dict[str, int]:
    """A record of costs in which nothing is spent yet."""
    return dict.fromkeys(SPENT, 0)


@dataclass(frozen=True, eq=False)
class Payers:
    """Who pays for a pass: the records of the running calls, and the model's own total where it is
    `counted`."""

    records: tuple[dict[str, int], ...] = ()
    counted: bool = True

    def spend(self, total: dict[str, int], **images: int) -> None:
        """Adds `forward`, `backward` or `copies` images of one pass to every record, and to the
        model's `total`. Call it before the pass runs."""
        with _ADDING:
            for record in (*self.records, *[total] * self.counted):
                for kind, count in images.items():
                    record[kind] += count


_PAYERS: ContextVar[Payers] = ContextVar("payers", default=Payers())  # noqa: B039  # it is frozen


def payers() -> Payers:
    """Who pays now, for a pass that runs later or in another thread, such as a hook's."""
    return _PAYERS.get()


def spend(total: dict[str, int], **images: int) -> None:
    """Whoever pays now pays for a pass that is about to run; as `Payers.spend`."""
    _PAYERS.get().spend(total, **images)


@contextmanager
def recorded() -> Iterator[dict[str, int]]:
    """A record of what is spent in this thread while it lasts, by calls inside it too."""
    now, record = _PAYERS.get(), nothing_spent()
    with _paid(Payers((*now.records, record), now.counted)):
        yield record


@contextmanager
def uncounted() -> Iterator[None]:
    """Start-up checks: while it lasts, passes are on nobody's record but those opened inside it."""
    with _paid(Payers(counted=False)):
        yield


@contextmanager
def _paid(by: Payers) -> Iterator[None]:
    token = _PAYERS.set(by)
    try:
        yield
    finally:
        _PAYERS.reset(token)
