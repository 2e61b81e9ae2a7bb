"""Workers that die before they are ready."""

from pathlib import Path

import pytest

from jobs.squares import Squares, tasks
from sightline.jobs.ledger import keys_of
from sightline.jobs.pool import Messages, Pool, Unsendable, Worker, WorkerDied, WorkerMessage
from sightline.jobs.work import Task, results


class Fated(Worker):
    """A worker that dies before it is ready, at its first task, or never."""

    def __init__(self, messages: Messages, work: Squares, fate: str) -> None:
        super().__init__()
        self.messages, self.work, self.fate = messages, work, fate
        self._report(WorkerDied(why="no machine") if fate == "early" else None)

    def _report(self, what: object) -> None:
        self.messages.put(WorkerMessage(worker=self, what=what))  # type: ignore[arg-type]

    def send(self, task: Task) -> None:
        if self.fate == "late":
            return self._report(WorkerDied(why="killed"))
        for what in results(self.work, task):
            self._report(what)
        return self._report(None)

    def stop(self) -> str:
        return ""


def _run(folder: Path, *fates: str) -> list[str]:
    """The keys that a pool of one computes, whose workers have these fates, one after another."""
    work, left, found = Squares(folder=folder), iter(fates), []
    start = lambda messages: Fated(messages, work, next(left))  # noqa: E731
    pool = Pool(work, start, lambda result: found.extend(keys_of(result.record)))
    pool.run(iter(tasks(6)), 1)
    assert next(left, None) is None
    return found


def test_where_work_could_be_loaded_another_worker_is_started(tmp_path: Path) -> None:
    assert _run(tmp_path, "late", "early", "early", "never") == [str(k) for k in range(6)]


@pytest.mark.parametrize("before", [(), ("late", *["early"] * 5)])
def test_where_no_worker_starts_the_pool_gives_up(tmp_path: Path, before: tuple[str, ...]) -> None:
    with pytest.raises(Unsendable, match="no machine") as refused:
        _run(tmp_path, *before, "early")
    assert [task.name for task in refused.value.left] == ["numbers from 0"][: len(before)]
