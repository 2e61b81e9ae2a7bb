"""What a second piece of work may count on, besides evaluation: killed at any moment it goes on,
nothing is computed twice and nothing is lost; and what dies, hangs or fails costs one part.
"""

import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jobs import killing
from jobs.squares import LEDGER, Numbers, Squares, notes, tasks
from sightline.errors import BadField
from sightline.jobs.cluster import _RemoteWork
from sightline.jobs.ledger import open_ledger
from sightline.jobs.local import LocalRunner
from sightline.jobs.resume import finish, unfinished
from sightline.jobs.work import Part, Task, WorkResult, readable, results

TESTS = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed")


def _squares(folder: Path) -> dict[str, int]:
    """All squares of a ledger, each key once."""
    records = [json.loads(line.partition(b" ")[2]) for line in killing.lines(folder / LEDGER)]
    pairs = [pair for r in records for pair in zip(r["cells"], r["squares"], strict=True)]
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def _expected(count: int, without: tuple[int, ...] = ()) -> dict[str, int]:
    return {str(k): k * k for k in range(count) if k not in without}


def _finish(work: Squares, runner: LocalRunner, given: list[Numbers]) -> list[WorkResult]:
    with open_ledger(work.folder / LEDGER) as book:
        return finish(work, given, book, runner)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_goes_on_and_nothing_is_kept_twice(tmp_path: Path, workers: int) -> None:
    counts = [3, 10, 20, 27]  # of 30 parts
    words = [str(tmp_path), str(workers), *map(str, counts)]
    done = subprocess.run(
        [sys.executable, "-m", "jobs.killed_squares", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=TESTS,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["lost"] == 0 and told["died"] >= len(counts) - 1
    assert told["struck"][0] < 30 and all(
        at >= count for at, count in zip(told["struck"], counts, strict=True)
    )
    assert _squares(tmp_path) == _expected(60)
    begun = notes(tmp_path / "begun")  # what a kill hit in the middle is computed again, no more
    assert len(set(begun)) == 30 and len(begun) <= 30 + workers * 2 * len(counts)


def test_an_interrupted_run_stops_its_processes_and_goes_on(tmp_path: Path) -> None:
    run = subprocess.Popen([sys.executable, "-m", "jobs.interrupted_squares", tmp_path], cwd=TESTS)
    while len(killing.lines(tmp_path / LEDGER)) < 5:
        assert run.poll() is None
        time.sleep(0.005)
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 130
    assert not [pid for pid in notes(tmp_path / "processes") if _alive(int(pid))]
    before = killing.lines(tmp_path / LEDGER)
    assert 5 <= len(before) < 200
    assert not _finish(Squares(folder=tmp_path), LocalRunner(workers=1), tasks(200))
    assert killing.lines(tmp_path / LEDGER)[: len(before)] == before
    assert _squares(tmp_path) == _expected(200)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_part_that_kills_its_process_is_given_up_and_tried_again(tmp_path: Path) -> None:
    given = tasks(24, parts=3, shard=2)
    (failed,) = _finish(Squares(folder=tmp_path, dies=9), LocalRunner(workers=2), given)
    assert failed.record["cells"] == ("8", "9")
    assert "the process that computed it died (signal 9)" in failed.record["failed"]
    assert _squares(tmp_path) == _expected(24, without=(8, 9))
    assert notes(tmp_path / "begun").count("8") == 2
    begun = len(notes(tmp_path / "begun"))
    assert not _finish(Squares(folder=tmp_path), LocalRunner(workers=1), given)
    assert _squares(tmp_path) == _expected(24)
    assert notes(tmp_path / "begun")[begun:] == ["8"]


def test_a_part_over_its_time_limit_is_given_up(tmp_path: Path) -> None:
    runner = LocalRunner(workers=1, time_limit=2.0)
    (failed,) = _finish(Squares(folder=tmp_path, late=1), runner, tasks(6, parts=3))
    assert failed.record["cells"] == ("1",)
    assert "no result within 2 s" in failed.record["failed"]
    assert "`time_limit` sets the limit" in failed.record["failed"]
    assert _squares(tmp_path) == _expected(6, without=(1,))
    with pytest.raises(BadField, match="time_limit is a number of seconds above 0"):
        LocalRunner(time_limit=0.0)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_work_raises_fails_one_part(tmp_path: Path, workers: int) -> None:
    work = Squares(folder=tmp_path, wrong=4)
    (failed,) = _finish(work, LocalRunner(workers=workers), tasks(9, parts=3))
    assert failed.record == {"cells": ("4",), "failed": "a fault"}
    assert _squares(tmp_path) == _expected(9, without=(4,))


def test_a_part_without_a_result_fails(tmp_path: Path) -> None:
    class Silent(Squares):
        def run(self, task: Task) -> Iterator[WorkResult]:
            yield WorkResult(record={"cell": "0"})

    first, second = results(Silent(folder=tmp_path), tasks(2)[0])
    assert isinstance(first, WorkResult) and first.record == {"cell": "0"}
    assert isinstance(second, WorkResult) and "without a result" in second.record["failed"]


def test_work_that_cannot_leave_this_process_is_done_here(tmp_path: Path) -> None:
    class Local(Squares):
        pass

    assert not _finish(Local(folder=tmp_path), LocalRunner(workers=2), tasks(6))
    assert _squares(tmp_path) == _expected(6)
    assert set(notes(tmp_path / "processes")) == {str(os.getpid())}


def test_files_are_sent_by_name_only_where_the_worker_finds_the_same(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    good = replace(tasks(2)[0], file=file, digest=hashlib.sha256(b"content").hexdigest())
    other = replace(good, digest=hashlib.sha256(b"another file").hexdigest())
    assert readable(good.files()) and readable({})
    assert not readable(other.files()) and not readable({tmp_path / "none": good.digest})
    remote = _RemoteWork(Squares(folder=tmp_path).parcel(), str(Path.cwd()))
    assert len(list(remote.compute(pickle.dumps(good), True))) == 3
    assert list(remote.compute(pickle.dumps(other), True)) == [None]
    assert len(list(remote.compute(pickle.dumps(other.with_bytes()), False))) == 3
    assert notes(tmp_path / "came_as") == ["name", "bytes"]


def test_only_what_the_ledger_lacks_is_left(tmp_path: Path) -> None:
    with open_ledger(tmp_path / LEDGER) as book:
        book.add({"cells": ["0", "1"], "squares": [0, 1]})
        book.add({"cell": "4"})
        left = list(unfinished(tasks(8, parts=2, shard=2), book))
    assert [[part.keys for part in task.parts] for task in left] == [[("2", "3")], [("6", "7")]]
    assert tasks(8)[0].without(["1"]).parts == (Part(keys=("0",)),)
