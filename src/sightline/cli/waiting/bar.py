"""A run's progress on stderr: a bar on a terminal, a line now and then elsewhere."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .meter import Meter

EVERY = 25.0  # seconds between two lines where there is no terminal
_MOVES = 0.5  # seconds between two looks at what is being done


@contextmanager
def shown(meter: Meter, *, quiet: bool) -> Iterator[None]:
    """Shows how far a meter has come while the body runs; nothing where `quiet`."""
    if quiet:
        yield
    elif sys.stderr.isatty():
        with _bar(meter):
            yield
    else:
        with _repeated(EVERY, lambda: print(meter.line(), file=sys.stderr, flush=True)):
            yield


@contextmanager
def _bar(meter: Meter) -> Iterator[None]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("[dim]{task.fields[detail]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(meter.what, total=meter.total or None, count="", detail="")

        def move() -> None:
            bar.update(
                task,
                total=meter.total or None,
                completed=meter.completed,
                count=f"{meter.done}/{meter.total}",
                detail=meter.detail,
            )

        with _repeated(_MOVES, move):
            yield


@contextmanager
def _repeated(pause: float, act: Callable[[], None]) -> Iterator[None]:
    """Does it every `pause` seconds in a thread of its own while the body runs."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(pause):
            try:
                act()
            except OSError:  # nobody reads stderr any more
                return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
