"""Going on where work was stopped: what the ledger holds is not computed again."""

from collections.abc import Iterable, Iterator

from .ledger import Ledger
from .work import Runner, Task, Work, WorkResult


def unfinished(tasks: Iterable[Task], ledger: Ledger) -> Iterator[Task]:
    """The tasks without the parts whose keys the ledger holds; those without parts are left out."""
    for task in tasks:
        done = (key for part in task.parts for key in part.keys if key in ledger)
        left = task.without(done)
        if left.parts:
            yield left


def finish(
    work: Work, tasks: Iterable[Task], ledger: Ledger, runner: Runner, count: int | None = None
) -> list[WorkResult]:
    """Computes what the ledger lacks of these tasks, about `count`, and keeps it there. Results
    that may come out otherwise another time are returned: the next call tries them again.

    Raises: FileProblem where the disk is full; what was kept before stays.
    """
    unsure: list[WorkResult] = []

    def take(result: WorkResult) -> None:
        if result.sure:
            ledger.add(result.record)
        else:
            unsure.append(result)

    runner.run(work, unfinished(tasks, ledger), count, take)
    return unsure
