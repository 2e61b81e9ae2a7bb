"""Passes through a network: whose they are, what they cost, and who watches them.

Every pass is announced here before it runs. It belongs to the calls that cause it, nested ones to
those around them too, and a start-up check belongs to none. Which calls are running is a context
variable, so that every thread pays for its own passes and is stopped alone.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

SPENT = ("forward", "backward", "copies")  # images through the network; copies: behind a layer only
CHECK = "check"
_ADDING = threading.Lock()

PassWatch = Callable[[str, int], None]
"""Told of each pass before it runs: `forward`, `backward`, `copies`, or `check` for one that no
method caused, and the number of its images. What it raises ends the call."""


def nothing_spent() -> dict[str, int]:
    """A record of costs in which nothing is spent yet."""
    return dict.fromkeys(SPENT, 0)


class _Stopped(BaseException):
    """What a watch raised, on its way out; no handler of errors takes it for one of the network."""

    def __init__(self, watch: PassWatch, error: Exception) -> None:
        super().__init__(error)
        self.watch, self.error = watch, error


@dataclass(frozen=True, eq=False)
class Payers:
    """Who pays for a pass: the records of the running calls, and the model's own total where it is
    `counted`. watches: told before it runs."""

    records: tuple[dict[str, int], ...] = ()
    counted: bool = True
    watches: tuple[PassWatch, ...] = ()

    def spend(self, total: dict[str, int], **images: int) -> None:
        """Adds `forward`, `backward` or `copies` images of one pass to every record, and to the
        model's `total`. Call it before the pass runs: a watch may stop it."""
        for kind, count in images.items():
            self.announce(kind if self.counted else CHECK, count)
        with _ADDING:
            for record in (*self.records, *[total] * self.counted):
                for kind, count in images.items():
                    record[kind] += count

    def announce(self, kind: str, images: int) -> None:
        """Tells every watch of a pass that is about to run."""
        for watch in self.watches:
            try:
                watch(kind, images)
            except Exception as error:
                raise _Stopped(watch, error) from None


_PAYERS: ContextVar[Payers] = ContextVar("payers", default=Payers())  # noqa: B039  # it is frozen


def payers() -> Payers:
    """Who pays now, for a pass that runs later or in another thread, such as a hook's."""
    return _PAYERS.get()


def spend(total: dict[str, int], **images: int) -> None:
    """Whoever pays now pays for a pass that is about to run; as `Payers.spend`."""
    _PAYERS.get().spend(total, **images)


def announce_check(images: int) -> None:
    """Tells the watches of a pass that nobody pays for."""
    _PAYERS.get().announce(CHECK, images)


@contextmanager
def recorded() -> Iterator[dict[str, int]]:
    """A record of what is spent in this thread while it lasts, by calls inside it too."""
    now, record = _PAYERS.get(), nothing_spent()
    with _paid(replace(now, records=(*now.records, record))):
        yield record


@contextmanager
def uncounted() -> Iterator[None]:
    """Start-up checks: while it lasts, passes are on nobody's record but those opened inside it."""
    with _paid(replace(_PAYERS.get(), records=(), counted=False)):
        yield


@contextmanager
def watched(watch: PassWatch) -> Iterator[None]:
    """While it lasts, `watch(kind, images)` is told of every pass of this thread before it runs,
    for progress. An error that it raises, such as `Cancelled`, comes out of this block within one
    pass, and leaves models as they were."""
    now = _PAYERS.get()
    try:
        with _paid(replace(now, watches=(*now.watches, watch))):
            yield
    except _Stopped as stopped:
        if stopped.watch is not watch:
            raise
        raise stopped.error from None


@contextmanager
def _paid(by: Payers) -> Iterator[None]:
    token = _PAYERS.set(by)
    try:
        yield
    finally:
        _PAYERS.reset(token)
