"""Records of one cell add up: each brings what the earlier ones lack."""

from pathlib import Path

from sightline.evaluation.cell_records import CELL_RECORDS, CELLS, missing_metrics
from sightline.evaluation.record import Measurement
from sightline.jobs.ledger import open_ledger

KEY = "0123456789abcdef" * 2


def _record(cell: str, **metrics: float) -> dict:
    return {"cell": cell, "error": "", "metrics": {k: {"value": v} for k, v in metrics.items()}}


def test_metrics_add_up_and_the_first_number_stays(tmp_path: Path) -> None:
    for again in range(2):
        with open_ledger(tmp_path / CELLS, CELL_RECORDS) as book:
            if not again:
                book.add(_record("a", m=1.0))
                book.add(_record("a", m=9.0, n=2.0))
            assert book.get("a") == _record("a", m=1.0, n=2.0)


def test_a_record_without_metrics_harms_nothing(tmp_path: Path) -> None:
    with open_ledger(tmp_path / CELLS, CELL_RECORDS) as book:
        book.add(_record("a", m=1.0))
        book.add({"cell": "a"})
        book.add({"cell": "b"})
        book.add(_record("b", m=2.0))
    with open_ledger(tmp_path / CELLS, CELL_RECORDS) as book:
        assert book.get("a") == _record("a", m=1.0) and book.get("b") == _record("b", m=2.0)
        assert missing_metrics(book, "a", ["m", "n"]) == ["n"]
        book.add({"cell": "c", "error": "it failed"})
        assert Measurement.from_json(book.get("c") or {}).error == "it failed"


def test_records_are_read_from_the_disk_and_know_what_they_lack(tmp_path: Path) -> None:
    with open_ledger(tmp_path / CELLS, CELL_RECORDS) as book:
        book.add({**_record(KEY, a=1.0), "map": "x" * 40_000})
        book.add({"cell": "other", "error": "it failed", "metrics": {}})
        book.add(_record(KEY, b=2.0))
        assert missing_metrics(book, KEY, ["a", "b", "c"]) == ["c"]
        assert missing_metrics(book, "other", ["a"]) == []
        assert missing_metrics(book, "third", ["a"]) is None
    with open_ledger(tmp_path / CELLS, CELL_RECORDS, reading=True) as book:
        record = book.get(KEY)
        assert record is not None and len(record["map"]) == 40_000
        assert record["metrics"] == {"a": {"value": 1.0}, "b": {"value": 2.0}}
        assert missing_metrics(book, KEY, ["c"]) == ["c"] and len(book) == 2
