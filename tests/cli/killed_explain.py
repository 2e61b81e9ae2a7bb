"""Runs a command again and again, each time killed when its ledger has so many cells.

Called as a script by `test_going_on.py`, with JSON: `words` of the command, and `strikes`, pairs of
a number of cells and whether the process dies before or after the last of them is written. Each run
is a fork, so that nothing is imported twice. Prints how many cells there are after each strike.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import torch
from typer.testing import CliRunner

from sightline import registry
from sightline.cli.app import app
from sightline.jobs.ledger import Ledger

CELLS = Path("sightline-explain/pictures/cells.jsonl")


def run(words: list[str], length: int, before: bool) -> None:
    """The command, which dies at that length of its ledger."""
    add = Ledger.add

    def deadly(self: Ledger, record: dict) -> None:
        if before and len(self) == length - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        add(self, record)
        if len(self) == length:
            os.kill(os.getpid(), signal.SIGKILL)

    Ledger.add = deadly
    CliRunner().invoke(app, words)


def main(words: list[str], strikes: list[tuple[int, bool]]) -> None:
    torch.set_num_threads(1)  # a fork has no other threads
    time.perf_counter = lambda: 0.0  # every map takes 0 s, so that pages of two runs can be equal
    registry.available("explainer")  # imported here, so that no fork has to
    counts = []
    for length, before in strikes:
        child = os.fork()
        if child == 0:
            run(words, length, before)
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        counts.append(CELLS.read_bytes().count(b"\n"))
    print(json.dumps(counts))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
