"""A run of the toy work that is interrupted from outside; called as a module by `test_kills.py`."""

import sys
from pathlib import Path

from jobs.squares import LEDGER, Squares, tasks
from sightline.jobs.ledger import open_ledger
from sightline.jobs.local import LocalRunner
from sightline.jobs.resume import finish


def main(folder: Path) -> None:
    with open_ledger(folder / LEDGER) as book:
        work = Squares(folder=folder, seconds=0.05)
        finish(work, tasks(200), book, LocalRunner(workers=2))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(130)
