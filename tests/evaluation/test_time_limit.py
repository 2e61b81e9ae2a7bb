"""A cell that does not come to an end is given up with the reason, and the rest goes on."""

import math
import threading
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

import sightline as sl
from evaluation.breaking import Sleeping
from sightline.data.classes import match
from sightline.data.opening import open_samples
from sightline.errors import BadField, SightlineWarning
from sightline.evaluation.cell_records import CELL_RECORDS, CELLS
from sightline.evaluation.measurement import Cell, PictureTask
from sightline.evaluation.plan import evaluation_plan
from sightline.evaluation.progress import Board
from sightline.evaluation.work import EvaluationWork
from sightline.jobs.ledger import open_ledger
from sightline.jobs.pool import Messages, Pool, Worker, WorkerMessage
from sightline.jobs.time_limit import TimeLimit
from sightline.jobs.work import Task, TaskLoaded, WorkResult
from sightline.sample import Sample
from sightline.worlds import analytic

ENDED: list[Worker] = []


class Pretending(Worker):
    """A worker that reports at once, and stops at cells and pictures that are named `stuck`."""

    def __init__(self, messages: Messages) -> None:
        super().__init__()
        self.messages = messages
        self._report(None)

    def _report(self, what: WorkResult | TaskLoaded | None) -> None:
        self.messages.put(WorkerMessage(worker=self, what=what))

    def send(self, task: Task) -> None:
        if task.name == "stuck":
            return
        self._report(TaskLoaded())
        for (key,) in (part.keys for part in task.parts):
            if key.startswith("stuck"):
                return
            self._report(WorkResult(record={"cell": key, "error": "", "metrics": {}}))
        self._report(None)

    def stop(self) -> str:
        ENDED.append(self)
        return ""


def _task(name: str, *keys: str) -> PictureTask:
    cells = tuple(Cell(column=k, keys=(key,), judges=()) for k, key in enumerate(keys))
    return PictureTask(sample=Sample(name=name), parts=cells)


def test_a_worker_that_takes_too_long_is_stopped_and_its_cell_given_up() -> None:
    tasks = [
        _task("first", "a", "stuck b", "c"),
        _task("stuck", "d", "e"),
        _task("last", "f", "stuck g"),
    ]
    found: dict[str, WorkResult] = {}

    def take(finished: WorkResult) -> None:
        assert finished.record["cell"] not in found
        found[finished.record["cell"]] = finished

    ENDED.clear()
    plan = evaluation_plan(analytic.linear().model, [], ["complexity"])
    Pool(EvaluationWork(plan=plan), Pretending, take, 0.05).run(iter(tasks), 2)
    late = {key for key, f in found.items() if "no result within 0.05 s" in f.record["error"]}
    assert late == {"stuck b", "d", "e", "stuck g"}  # what is not read costs all of a picture
    assert set(found) - late == {"a", "c", "f"}
    assert not any(found[key].sure for key in late)  # a rerun tries them again
    assert len({id(each) for each in ENDED}) == len(ENDED) == 2 + 3


def test_a_call_that_takes_too_long_is_left_alone() -> None:
    held, limit = threading.Event(), TimeLimit(0.05)
    for _ in range(2):
        with pytest.raises(TimeoutError, match=r"no result within 0\.05 s"):
            limit.call(held.wait)
        assert limit.call(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        limit.call(lambda: 1 / 0)
    held.set()
    limit.close()
    assert TimeLimit(math.inf).call(threading.get_ident) == threading.get_ident()


@pytest.mark.parametrize("data", ["{}", "zip://::{}/photos.zip"])
def test_a_picture_that_is_not_read_in_time_is_a_row_with_its_reason(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name in "abc":
            Image.new("RGB", (9, 9), (ord(name), 1, 2)).save(tmp_path / f"{name}.png")
            archive.write(tmp_path / f"{name}.png", f"{name}.png")
    held, digest = threading.Event(), Sample.digest

    def slow(item: Sample) -> str:
        if item.name == "b.png":
            held.wait()
        return digest(item)

    monkeypatch.setattr(Sample, "digest", slow)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    model = sl.Model(net, sl.Preprocess(size=8))
    plan = evaluation_plan(model, [sl.create("explainer", "gradient")], ["complexity"])
    with open_ledger(tmp_path / "run" / CELLS, CELL_RECORDS) as book:
        samples = match(open_samples(data.format(tmp_path)), model)
        board = Board(plan, samples, book, time_limit=TimeLimit(0.5))
        tasks, _ = board.work()
        assert [task.sample.name for task in tasks] == ["a.png", "c.png"]
        errors = {row["error"] for row in board.rows() if row["picture"] == "b.png"}
        assert len(book) == 0
    held.set()
    (error,) = errors
    assert "no result within 0.5 s" in error


@pytest.fixture
def pictures() -> list[tuple[Tensor, int]]:
    drawn = torch.rand(2, 3, 6, 7, generator=torch.Generator().manual_seed(1))
    return [(picture, k) for k, picture in enumerate(drawn)]


@pytest.mark.slow
def test_a_method_that_hangs_costs_one_cell_and_is_tried_again(
    pictures: list[tuple[Tensor, int]], tmp_path: Path
) -> None:
    methods = [Sleeping(folder=str(tmp_path)), sl.create("explainer", "gradient")]
    given = (analytic.linear().model, pictures, methods, ["complexity"], tmp_path / "run")
    (error,) = sl.evaluate(*given, batch=4, cell_timeout=8.0).errors
    assert "no result within 8 s" in error and "Sleeping" in error
    (tmp_path / "awake").touch()
    assert not sl.evaluate(*given, batch=4).errors


def test_what_cannot_be_stopped_says_so(pictures: list[tuple[Tensor, int]], tmp_path: Path) -> None:
    def means(images: Tensor) -> Tensor:
        return images.mean((2, 3))

    box = sl.Model.from_function(means, size=(6, 7))
    with pytest.warns(SightlineWarning, match="cell_timeout has no effect"):
        sl.evaluate(box, pictures, ["occlusion"], ["complexity"], tmp_path, cell_timeout=9.0)
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(BadField, match="cell_timeout is a number of seconds above 0"):
            sl.evaluate(box, pictures, ["occlusion"], ["complexity"], tmp_path, cell_timeout=wrong)
