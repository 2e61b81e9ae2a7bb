"""Kills a run of the toy work again and again, then lets it finish.

Called as a module by `test_kills.py`: FOLDER WORKERS COUNT ... (the lines of the ledger at which it
is struck). Prints what it found as JSON.
"""

import json
import sys
from functools import partial
from pathlib import Path

from jobs import killing
from jobs.squares import LEDGER, Squares, tasks
from sightline.jobs.ledger import open_ledger
from sightline.jobs.local import LocalRunner
from sightline.jobs.resume import finish

NUMBERS = 60


def square(folder: Path, workers: int) -> None:
    """One run, which goes on where another was stopped."""
    work = Squares(folder=folder, seconds=0.004)
    with open_ledger(folder / LEDGER) as book:
        finish(work, tasks(NUMBERS, parts=3, shard=2), book, LocalRunner(workers=workers))


def main(folder: Path, workers: int, counts: list[int]) -> None:
    found = killing.kill_often(partial(square, folder, workers), folder / LEDGER, counts)
    assert killing.ended_well(killing.start(partial(square, folder, workers)))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), [int(count) for count in sys.argv[3:]])
