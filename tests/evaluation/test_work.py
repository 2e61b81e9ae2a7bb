"""Evaluation as a piece of work: how a picture travels, and what stands where a cell failed."""

import hashlib
from pathlib import Path

import pytest
import torch

import sightline as sl
from sightline.data.classes import match
from sightline.data.opening import open_samples
from sightline.errors import BadImage
from sightline.evaluation.cell_records import CELL_RECORDS, CELLS
from sightline.evaluation.measurement import Cell, PictureTask
from sightline.evaluation.plan import evaluation_plan
from sightline.evaluation.progress import Board
from sightline.evaluation.work import EvaluationWork
from sightline.jobs.ledger import open_ledger
from sightline.jobs.work import TaskLoaded, WorkResult, results, unpack
from sightline.sample import Sample
from sightline.worlds import analytic


def test_a_picture_travels_by_its_name_or_its_bytes(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG")
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    model = sl.Model(net, sl.Preprocess(size=8))
    plan = evaluation_plan(model, [sl.create("explainer", "gradient")], ["complexity"])
    with open_ledger(tmp_path / CELLS, CELL_RECORDS) as book:
        board = Board(plan, match(open_samples(broken), model), book)
        (task,) = board.work()[0]
    assert task.name == "broken.png"
    assert task.files() == {broken: hashlib.sha256(b"\x89PNG").hexdigest()}
    packed = task.with_bytes()
    assert not packed.files() and packed.with_bytes() is packed and packed.parts == task.parts
    with pytest.raises(BadImage, match=str(broken)):  # the name, though only bytes were sent
        packed.sample.load()


def test_a_work_that_was_sent_gives_the_same(tmp_path: Path) -> None:
    plan = evaluation_plan(
        analytic.linear().model, [sl.create("explainer", "gradient")], ["complexity"]
    )
    picture = torch.rand(1, 3, 6, 7, generator=torch.Generator().manual_seed(1))
    cells = tuple(Cell(keys=(str(k),), column=k, judges=(0,)) for k in range(2))
    task = PictureTask(sample=Sample(name="a", source=picture), parts=cells)
    assert not task.files() and task.with_bytes() is task
    work = EvaluationWork(plan=plan)
    first, *found = results(work, task)
    _, *again = results(unpack(work.parcel()), task)
    assert isinstance(first, TaskLoaded)
    for one, other in zip(found, again, strict=True):
        assert isinstance(one, WorkResult) and isinstance(other, WorkResult)
        assert one.record["metrics"] == other.record["metrics"] and one.sure
    late = work.failed(cells[1], "no result")
    assert late.record == {"cell": "1", "error": "no result", "metrics": {}} and not late.sure
