"""A run's memory grows with neither its maps nor its rows: records and rows stay on disk."""

import json
import random
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch

import sightline as sl
from sightline.evaluation import run as evaluation
from sightline.evaluation.cell_records import CELL_RECORDS, CELLS
from sightline.evaluation.plan import BLIND, EvaluationPlan, evaluation_plan
from sightline.evaluation.progress import Board
from sightline.evaluation.small_map import packed
from sightline.evaluation.stores import rows as stored
from sightline.evaluation.work import EvaluationWork
from sightline.jobs.ledger import open_ledger
from sightline.jobs.work import WorkResult
from sightline.pictures.encoded import Encoded
from sightline.sample import Sample, Samples
from sightline.worlds import analytic

METHODS = 10
KB = 1024


class Invented:
    """A runner that makes up the records of a usual run, as large as they are, and looks at the
    memory when the last one is there."""

    def __init__(self) -> None:
        self.at_the_end = 0

    def run(self, work: Any, tasks: Iterable[Any], count: int | None, take: Any) -> None:
        plan = work.plan
        dice, heat = random.Random(0), packed(torch.rand(56, 56))
        for job, setup_column in ((j, plan.columns[j.column]) for t in tasks for j in t.parts):
            record = {
                "cell": job.key,
                "error": "",
                "target": 1,
                "prediction": 1,
                "notes": [],
                "passes": [3, 2],
                "seconds": 0.01,
                "metrics": {
                    plan.measure_keys[k]: {
                        "value": dice.random(),
                        "error": "",
                        "curve": [dice.random() for _ in range(33)],
                    }
                    for k in job.judges
                },
            }
            held = {} if setup_column.blind else {"map": heat}
            take(WorkResult(record=json.loads(json.dumps({**record, **held}))))
        self.at_the_end = tracemalloc.get_traced_memory()[0]


def _collection(count: int) -> Samples:
    def items() -> Iterator[Sample]:
        for k in range(count):
            picture = Encoded(data=b"%d" % k, name="")
            yield Sample(name=f"class/photograph_{k:06d}.jpg", source=picture)

    return Samples(name="invented", count=count, start=items)


def _plan() -> EvaluationPlan:
    methods = [sl.create("explainer", "smooth-grad", seed=k) for k in range(METHODS)]
    metrics = [sl.create("metric", name, steps=32) for name in ("deletion", "insertion")]
    return evaluation_plan(analytic.linear().model, methods, metrics, None, 8, 0)


def _grown(count: int, out: Path) -> tuple[float, float]:
    """Bytes at the end of the cells, and the most that were held while the table was made."""
    engine, plan = Invented(), _plan()
    tracemalloc.start()
    try:
        with open_ledger(out / CELLS, CELL_RECORDS) as book:
            board = Board(plan, _collection(count), book)
            engine.run(EvaluationWork(plan=plan), *board.work(), board.take)
            tracemalloc.reset_peak()
            scores = evaluation.table_of(board, (), out).scores
            assert scores[1].curves is not None and len(scores[1].curves[3]) == count
        return engine.at_the_end, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_driver_grows_by_a_few_kilobytes_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "GROUP", 64)
    monkeypatch.setattr(stored, "_IN_MEMORY", 1 << 16)
    _grown(3, tmp_path / "first")  # what is imported, and remembered once
    few, few_peak = _grown(10, tmp_path / "few")
    many, many_peak = _grown(40, tmp_path / "many")
    assert (many - few) / 30 < 6 * KB  # 88 with the records in memory
    assert (many_peak - few_peak) / 30 < 10 * KB


def test_a_large_run_has_no_json_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sightline")
    for rows, there in ((1000, True), (20, False)):
        monkeypatch.setattr(evaluation, "JSON_ROWS", rows)
        evaluation.evaluate(_plan(), _collection(3), tmp_path, Invented())
        assert (tmp_path / "table.json").exists() == there
        assert ("table.json is left out" in caplog.text) != there
    names = METHODS + len(BLIND)
    assert pyarrow.parquet.read_table(tmp_path / "table.parquet").num_rows == 3 * names * 2


def test_rows_are_a_sequence_that_is_read_from_the_file(tmp_path: Path) -> None:
    made = [
        {
            "index": k // 6,
            "picture": f"pictüre {k // 6}",
            "method": "m",
            "blind": k % 3 == 0,
            "metric": "ab"[k % 2],
            "value": None if k % 7 == 0 else k / 3,
            "error": "é" * (k % 5),
            "target": "",
            "prediction": "",
            "label": "",
            "note": "",
            "curve": None if k % 2 else [] if k % 5 == 0 else [float(k), None, 0.1],
        }
        for k in range(3 * stored.GROUP)
    ]
    rows = stored.written(iter(made), stored.ROW_TYPES, tmp_path / "a.parquet")
    (tmp_path / "a.parquet").unlink()  # it is held open
    assert rows == made and len(rows) == len(made) and [rows[5], rows[-1]] == [made[5], made[-1]]
    assert rows[3:5000:777] == made[3:5000:777]
    assert rows != made[1:] and rows != [*made[1:], made[0]]
    with pytest.raises(IndexError):
        rows[len(made)]
    assert rows.arrow().equals(pyarrow.Table.from_pylist(made, schema=rows.arrow().schema))
    assert rows.texts("picture", 6) == [f"pictüre {k}" for k in range(stored.GROUP // 2)]
    assert stored.lengths(rows, 2) == [{3}, set()]
    curves = stored.Curves(rows, 0, 2, 6, (3, stored.GROUP // 2, 3))
    for column in range(3):
        wanted = [made[k]["curve"] or [None] * 3 for k in range(2 * column, len(made), 6)]
        assert np.array_equal(curves[column], np.array(wanted, dtype=float), equal_nan=True)
    with pytest.raises(IndexError):
        curves[3]


def test_a_table_can_be_read_when_its_files_are_gone_or_of_another_run(tmp_path: Path) -> None:
    pictures = list(torch.rand(3, 3, 6, 7))
    model, deletion = analytic.linear().model, sl.create("metric", "deletion", steps=4)
    first = sl.evaluate(model, pictures, ["gradient"], [deletion], tmp_path)
    before = [row["method"] for row in first.rows]
    small = first.small_map(2, "gradient")
    sl.evaluate(model, pictures[:1], ["input-x-gradient"], [deletion], tmp_path)
    for file in tmp_path.iterdir():
        file.unlink()
    assert [row["method"] for row in first.rows] == before and first.to_arrow().num_rows == 3 * (
        1 + len(BLIND)
    )
    again = first.small_map(2, "gradient")
    assert small is not None and again is not None and np.array_equal(small, again)
