"""The ledger: torn lines, full disks, two runs in one folder, folders that are removed."""

import errno
import os
import shutil
import zlib
from pathlib import Path

import pytest
import torch

import sightline as sl
from sightline.errors import BadField, FileProblem
from sightline.files.writing import write_bytes
from sightline.jobs.ledger import open_ledger
from sightline.worlds import analytic

NAME = "work.jsonl"


def _record(cell: str, **metrics: float) -> dict:
    return {"cell": cell, "error": "", "metrics": {k: {"value": v} for k, v in metrics.items()}}


def test_what_was_added_is_there_again(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "new" / NAME) as book:
        book.add(_record("a", m=1.5))
        book.add(_record("b", m=2.5))
    with open_ledger(tmp_path / "new" / NAME) as book:
        assert len(book) == 2
        assert book.get("b") == _record("b", m=2.5)
        assert book.get("c") is None


def test_a_later_record_replaces_an_earlier_one(tmp_path: Path) -> None:
    for again in range(2):
        with open_ledger(tmp_path / NAME) as book:
            if not again:
                book.add({"cell": "a", "value": 1})
                book.add({"cell": "a", "value": 2})
            assert book.get("a") == {"cell": "a", "value": 2} and len(book) == 1


def test_a_record_may_cover_a_shard(tmp_path: Path) -> None:
    keys = [f"picture {k}" for k in range(5)]
    with open_ledger(tmp_path / "shards.jsonl") as book:
        book.add({"cells": keys[:3], "file": "shard-0"})
        book.add({"cells": keys[3:], "file": "shard-1"})
    with open_ledger(tmp_path / "shards.jsonl", reading=True) as book:
        files = [(book.get(key) or {})["file"] for key in keys]
        assert files == ["shard-0"] * 3 + ["shard-1"] * 2 and len(book) == 5
        assert keys[4] in book and "picture 5" not in book


@pytest.mark.parametrize("text", ["[1, 2]", '{"value": 1}', '"cell"', "7"])
def test_a_line_that_is_no_record_of_ours_counts_for_nothing(tmp_path: Path, text: str) -> None:
    line = b"%08x %s\n" % (zlib.crc32(text.encode()), text.encode())
    (tmp_path / NAME).write_bytes(line)
    with open_ledger(tmp_path / NAME) as book:
        book.add(_record("a", m=1.0))
        assert len(book) == 1 and book.get("a")


@pytest.mark.parametrize("keep", [0, 1, 9, 20, -1])
def test_a_line_that_was_cut_counts_for_nothing(tmp_path: Path, keep: int) -> None:
    with open_ledger(tmp_path / NAME) as book:
        book.add(_record("a", m=1.0))
        start = book.path.stat().st_size
        book.add(_record("b", m=1.0))
    text = book.path.read_bytes()
    end = len(text) + keep if keep < 0 else start + keep
    book.path.write_bytes(text[:end])
    with open_ledger(tmp_path / NAME) as book:
        assert book.get("a") and not book.get("b")
        book.add(_record("c", m=3.0))
    with open_ledger(tmp_path / NAME) as book:
        assert book.get("a") and book.get("c") and len(book) == 2


def test_a_line_with_a_changed_byte_counts_for_nothing(tmp_path: Path) -> None:
    with open_ledger(tmp_path / NAME) as book:
        book.add(_record("a", m=1.0))
        book.add(_record("b", m=1.0))
    book.path.write_bytes(book.path.read_bytes().replace(b'"a"', b'"x"'))
    with open_ledger(tmp_path / NAME) as book:
        assert len(book) == 1 and book.get("b")


def test_a_full_disk_is_said_and_what_was_kept_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        """A disk that takes half of a line."""

        def __init__(self, stream) -> None:
            self.stream = stream

        def __getattr__(self, name: str):
            return getattr(self.stream, name)

        def write(self, line: bytes) -> int:
            self.stream.write(line[: len(line) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

    with open_ledger(tmp_path / NAME) as book:
        book.add(_record("a", m=1.0))
        good = book._stream
        monkeypatch.setattr(book, "_stream", Full(good))
        with pytest.raises(FileProblem, match="No space left"):
            book.add(_record("b", m=1.0))
        monkeypatch.setattr(book, "_stream", good)
        book.add(_record("c", m=1.0))
    with open_ledger(tmp_path / NAME) as book:
        assert book.get("a") and book.get("c") and len(book) == 2


def test_a_second_run_in_the_folder_is_refused(tmp_path: Path) -> None:
    with (
        open_ledger(tmp_path / NAME),
        pytest.raises(FileProblem, match="another run"),
        open_ledger(tmp_path / NAME),
    ):
        pass


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(FileProblem, match="could not be written"),
        open_ledger(tmp_path / "file" / NAME),
    ):
        pass


def test_a_ledger_that_was_removed_is_written_again(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with open_ledger(out / NAME) as book:
        book.add(_record("a", m=1.0))
        assert not book.check()
        shutil.rmtree(out)
        book._synced = -1e9  # as if the last look at the disk were long ago
        book.add(_record("b", m=2.0))
        assert book.restored and book.get("a") == _record("a", m=1.0)
        with pytest.raises(FileProblem, match="another run"), open_ledger(out / NAME):
            pass
        shutil.rmtree(out)
        book.add(_record("c", m=3.0))
    with open_ledger(out / NAME) as book:
        assert [book.get(cell) for cell in "abc"] == [
            _record(cell, m=k + 1.0) for k, cell in enumerate("abc")
        ]


def test_a_ledger_that_was_replaced_is_left_alone(tmp_path: Path) -> None:
    with open_ledger(tmp_path / NAME) as book:
        book.add(_record("a", m=1.0))
        book.path.unlink()
        book.path.write_bytes(b"another run's")
        with pytest.raises(FileProblem, match="was replaced"):
            book.check()
    assert book.path.read_bytes() == b"another run's"


@pytest.mark.parametrize("when", [7, 25])
def test_a_folder_that_is_removed_meanwhile_is_an_error_with_all_results(
    when: int, tmp_path: Path
) -> None:
    pictures = list(torch.rand(5, 3, 6, 7, generator=torch.Generator().manual_seed(1)))
    model, metric = analytic.linear().model, sl.create("metric", "deletion", steps=4)

    def remove(done: int, _: int) -> None:
        if done == when:
            shutil.rmtree(tmp_path / "a")

    with pytest.raises(FileProblem, match="was removed while the run was writing it"):
        sl.evaluate(
            model, pictures, ["gradient"], [metric], tmp_path / "a", batch=4, progress=remove
        )
    sl.evaluate(model, pictures, ["gradient"], [metric], tmp_path / "b", batch=4)
    names = {p.name for p in (tmp_path / "b").iterdir()}
    assert {p.name for p in (tmp_path / "a").iterdir()} == names
    for name in ("table.parquet", "table.json", "run.toml"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    lines = [(tmp_path / run / "cells.jsonl").read_bytes().count(b"\n") for run in "ab"]
    assert lines[0] == lines[1]


def test_a_run_in_a_folder_that_cannot_be_written_can_be_shown_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, run = list(torch.rand(2, 3, 6, 7)), tmp_path / "run"
    given = (analytic.linear().model, pictures, ["gradient"], ["complexity"])
    table = sl.evaluate(*given, run, batch=4)
    before = {p: p.read_bytes() for p in run.iterdir()}
    real = os.open

    def opened(path, flags, *rest):
        if str(path).startswith(str(run)) and flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(FileProblem, match="The disk is read-only: choose a folder on another one"):
        sl.evaluate(*given, run, batch=4)
    page = tmp_path / "page"
    shown = sl.evaluate(*given, run, batch=4, engine="none", page=page)
    assert shown.rows == table.rows and [p.name for p in page.iterdir()] == ["report.html"]
    assert {p: p.read_bytes() for p in run.iterdir()} == before
    with pytest.raises(BadField, match="page is for the engine `none`"):
        sl.evaluate(*given, run, page=page)
    with pytest.raises(FileProblem, match="holds no cells"):
        sl.evaluate(*given, tmp_path / "none", engine="none")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "quota"),
        (errno.EACCES, "You may not write there"),
        (errno.EPERM, "You may not write there"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "reports a fault"),
        (errno.EBADF, "Choose another folder"),
    ],
)
def test_each_fault_of_the_disk_has_its_own_remedy(
    number: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(FileProblem, match=said) as told:
        write_bytes(tmp_path / "x", b"")
    assert ("space" in str(told.value)) == (number == errno.ENOSPC)
    with open_ledger(tmp_path / NAME) as book:
        monkeypatch.setattr(os, "fsync", refuse)
        book._synced = -1e9
        with pytest.raises(FileProblem, match=said):
            book.add(_record("a", m=1.0))
