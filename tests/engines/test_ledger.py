"""The ledger: torn lines, full disks, two runs in one folder."""

import errno
from pathlib import Path

import pytest

from sightline.engines import ledger
from sightline.errors import FileProblem


def _record(cell: str, **metrics: float) -> dict:
    return {"cell": cell, "error": "", "metrics": {k: {"value": v} for k, v in metrics.items()}}


def test_what_was_added_is_there_again(tmp_path: Path) -> None:
    with ledger.opened(tmp_path / "new") as book:
        book.add(_record("a", m=1.5))
        book.add(_record("b", m=2.5))
    with ledger.opened(tmp_path / "new") as book:
        assert len(book) == 2
        assert book.get("b") == _record("b", m=2.5)
        assert book.get("c") is None


def test_records_of_one_cell_add_up_and_the_first_number_stays(tmp_path: Path) -> None:
    for again in range(2):
        with ledger.opened(tmp_path) as book:
            if not again:
                book.add(_record("a", m=1.0))
                book.add(_record("a", m=9.0, n=2.0))
            assert book.get("a") == _record("a", m=1.0, n=2.0)


@pytest.mark.parametrize("keep", [0, 1, 9, 20, -1])
def test_a_line_that_was_cut_counts_for_nothing(tmp_path: Path, keep: int) -> None:
    with ledger.opened(tmp_path) as book:
        book.add(_record("a", m=1.0))
        start = book.path.stat().st_size
        book.add(_record("b", m=1.0))
    text = book.path.read_bytes()
    end = len(text) + keep if keep < 0 else start + keep
    book.path.write_bytes(text[:end])
    with ledger.opened(tmp_path) as book:
        assert book.get("a") and not book.get("b")
        book.add(_record("c", m=3.0))
    with ledger.opened(tmp_path) as book:
        assert book.get("a") and book.get("c") and len(book) == 2


def test_a_line_with_a_changed_byte_counts_for_nothing(tmp_path: Path) -> None:
    with ledger.opened(tmp_path) as book:
        book.add(_record("a", m=1.0))
        book.add(_record("b", m=1.0))
    book.path.write_bytes(book.path.read_bytes().replace(b'"a"', b'"x"'))
    with ledger.opened(tmp_path) as book:
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

    with ledger.opened(tmp_path) as book:
        book.add(_record("a", m=1.0))
        good = book._stream
        monkeypatch.setattr(book, "_stream", Full(good))
        with pytest.raises(FileProblem, match="No space left"):
            book.add(_record("b", m=1.0))
        monkeypatch.setattr(book, "_stream", good)
        book.add(_record("c", m=1.0))
    with ledger.opened(tmp_path) as book:
        assert book.get("a") and book.get("c") and len(book) == 2


def test_a_second_run_in_the_folder_is_refused(tmp_path: Path) -> None:
    with (
        ledger.opened(tmp_path),
        pytest.raises(FileProblem, match="another run"),
        ledger.opened(tmp_path),
    ):
        pass


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileProblem, match="could not be written"), ledger.opened(tmp_path / "file"):
        pass
