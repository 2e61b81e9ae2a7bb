"""Kills a run again and again and sees what its ledger holds; for scripts that are processes of
their own, with one thread. Each run is a fork, so that nothing is imported twice.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def start(run: Callable[[], None]) -> int:
    """The process that runs it."""
    child = os.fork()
    if child == 0:
        run()
        os._exit(0)
    return child


def ended_well(child: int) -> bool:
    """Waits for a process; whether it came to its end."""
    return os.waitpid(child, 0)[1] == 0


def lines(ledger: Path) -> list[bytes]:
    """The whole lines of a ledger."""
    text = ledger.read_bytes() if ledger.is_file() else b""
    return text.splitlines(keepends=True)[: text.count(b"\n")]


def strike(child: int, ledger: Path, count: int) -> bool:
    """Kills a run as soon as its ledger has so many lines; whether it was still running."""
    while len(lines(ledger)) < count:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def kill_often(run: Callable[[], None], ledger: Path, counts: Sequence[int]) -> dict[str, object]:
    """Kills the run when its ledger has these numbers of lines: at how many it was struck, how
    often it was still running, and how often a line was lost."""
    lost, died, kept, struck = 0, 0, lines(ledger), []
    for turn, count in enumerate(counts):
        died += strike(start(run), ledger, count)
        found = lines(ledger)
        lost += found[: len(kept)] != kept
        kept = found
        struck.append(len(kept))
        if turn % 2:  # as if a line had been cut in the middle
            with ledger.open("ab") as stream:
                stream.write(b'0badc0de {"cell": "torn')
    return {"lost": lost, "died": died, "struck": struck}
