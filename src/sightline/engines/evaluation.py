"""A run over a collection, from its setup to its table: what is finished is kept, what is missing
is computed, and the files are written.

`run.toml` says what is run, `cells.jsonl` holds every finished cell, `table.parquet` and
`table.json` the numbers (equal bytes for equal runs), `costs.parquet` the passes and times, and
`report.html` the page.
"""

import logging
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import tomli_w
from torch import Tensor

from ..errors import BadField, BadImage, MissingExtra
from ..explainer import Explainer
from ..images import Picture
from ..metric import Metric
from ..model import Model
from ..ops.files import write_bytes
from . import ledger
from .cell import Finished, Job, Task, failed
from .collection import Collection, Item
from .ledger import Ledger, Record
from .local import LocalEngine
from .setup import BLIND, Setup, fastest_batch, planned
from .table import Row, Table

log = logging.getLogger("sightline")

Progress = Callable[[int, int], None]
"""Told after each cell how many of how many are finished."""


def engine(name: str, workers: int | None = None) -> LocalEngine:
    """The engine of that name. Raises: MissingExtra for `ray`, BadField for another word."""
    if name == "ray":
        raise MissingExtra("the engine `ray` is not there yet in this version; use `local`.")
    if name != "local":
        raise BadField(f"an engine is `local` or `ray`; got {name!r}.")
    if workers is not None and workers < 1:
        raise BadField(f"workers is at least 1; got {workers}.")
    return LocalEngine(workers=workers)


def evaluate(
    setup: Setup,
    collection: Collection,
    out: Path,
    using: LocalEngine | None = None,
    progress: Progress | None = None,
) -> Table:
    """Computes what is missing and writes the results into `out`.

    Raises: FileProblem where nothing can be written; what was finished before is kept.
    """
    for note in collection.notes:
        log.info("%s", note)
    with ledger.opened(out) as kept:
        write_bytes(out / "run.toml", _toml(setup, collection))
        board = _Board(setup, collection, kept, progress or (lambda _done, _total: None))
        (using or LocalEngine()).run(setup, *board.work(), board.take)
        table = board.table()
        write_bytes(out / "table.parquet", table.parquet())
        write_bytes(out / "costs.parquet", table.parquet(costs=True))
        write_bytes(out / "table.json", table.json())
        write_bytes(out / "report.html", table.html().encode())
    return table


def prepared(
    model: Model,
    explainers: Sequence[Explainer],
    metrics: Sequence[Metric | str],
    pictures: Collection,
    out: Path,
    *,
    target: Any = None,
    batch: int | None = None,
) -> Setup:
    """The setup of a run in a folder: a run that was stopped there goes on with its batch size.

    Raises: BadField, UnknownName for what makes no sense.
    """
    forwards = pictures.count * (len(explainers) + len(BLIND)) * len(metrics) * _STEPS
    batch = batch or model.batch or _remembered_batch(out, model) or fastest_batch(model, forwards)
    return planned(model, explainers, metrics, target, batch)


_STEPS = 32  # passes of a metric, about


def _remembered_batch(out: Path, model: Model) -> int | None:
    """The batch size that a run of this model in this folder wrote down."""
    try:
        told = tomllib.loads((out / "run.toml").read_text("utf-8"))
        same = told["model"]["weights"] == model.digest
        return int(told["batch"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _toml(setup: Setup, collection: Collection) -> bytes:
    told: dict[str, Any] = setup.to_toml()
    told["data"] = {"source": collection.name, "pictures": collection.count}
    return tomli_w.dumps(told).encode()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Entry:
    """What is kept of a picture until the table is made."""

    name: str
    label: int | None
    keys: tuple[str, ...]


class _Board:
    """What is finished and what is missing."""

    def __init__(
        self, setup: Setup, collection: Collection, kept: Ledger, progress: Progress
    ) -> None:
        self.setup, self.collection, self.kept, self.progress = setup, collection, kept, progress
        self.unsure: dict[str, Record] = {}
        self.entries: list[_Entry] = []
        self.claimed: set[str] = set()
        self.done, self.total = 0, collection.count * len(setup.columns)

    def work(self) -> tuple[Iterator[Task], int]:
        """The tasks, made as they are asked for, and about how many."""
        if not len(self.kept):
            return self._tasks(), self.collection.count
        tasks = list(self._tasks())
        return iter(tasks), len(tasks)

    def _tasks(self) -> Iterator[Task]:
        for item in self.collection.items():
            jobs = self._jobs(item)
            if jobs:
                yield Task(item=item, jobs=jobs)

    def _jobs(self, item: Item) -> tuple[Job, ...]:
        """The cells of a picture that are missing, or lack a metric."""
        try:
            keys = self.setup.cells(item, item.digest() if not item.error else item.error)
        except (BadImage, OSError) as error:
            keys = [f"{len(self.entries)} {c.label}" for c in self.setup.columns]
            for key in keys:
                self.take(failed(key, BadImage(str(error))), keep=False)
        self.entries.append(_Entry(name=item.name, label=item.label, keys=tuple(keys)))
        jobs = []
        for column, key in enumerate(keys):
            lacking = self._lacking(key)
            if key in self.unsure:  # it failed just now
                continue
            if lacking is None or key in self.claimed:
                self._step()
                continue
            self.claimed.add(key)
            jobs.append(Job(column=column, key=key, judges=lacking))
        return tuple(jobs)

    def _lacking(self, key: str) -> tuple[int, ...] | None:
        """The metrics that a cell lacks, None where it lacks nothing."""
        known = self.kept.get(key)
        judges = self.setup.judge_keys
        if known is None:
            return tuple(range(len(judges)))
        if known["error"]:
            return None
        lacking = tuple(k for k, judge in enumerate(judges) if judge not in known["metrics"])
        return lacking or None

    def take(self, found: Finished, keep: bool = True) -> None:
        """Keeps a finished cell: for good, or where it may come out otherwise for this run."""
        record = found.record
        if found.sure and keep:
            self.kept.add(record)
        elif not record["error"]:
            good = {k: v for k, v in record["metrics"].items() if not v["error"]}
            self.kept.add({**record, "metrics": good})
            self.unsure[record["cell"]] = record
        else:
            self.unsure[record["cell"]] = record
        self._step()

    def _step(self) -> None:
        self.done += 1
        self.progress(self.done, self.total)

    def _record(self, key: str) -> Record:
        """All that is known of a cell."""
        kept, unsure = self.kept.get(key), self.unsure.get(key)
        if kept is None or unsure is None:
            return kept or unsure or {"error": "it was not computed", "metrics": {}}
        return {**kept, "metrics": {**unsure["metrics"], **kept["metrics"]}}

    def table(self) -> Table:
        """The rows of all pictures in order."""
        rows, costs = [], []
        for index, entry in enumerate(self.entries):
            for column, key in zip(self.setup.columns, entry.keys, strict=True):
                record = self._record(key)
                start = {"index": index, "picture": entry.name, "method": column.label}
                rows += self._rows(record, {**start, "blind": column.blind}, entry)
                if "passes" in record and not column.blind:
                    forward, backward = record["passes"]
                    costs.append(
                        {
                            **start,
                            "forward": forward,
                            "backward": backward,
                            "seconds": record["seconds"],
                        }
                    )
        return Table(
            setup=self.setup,
            data=self.collection.name,
            rows=rows,
            costs=costs,
            notes=self.collection.notes,
            look=self._look,
        )

    def _look(self, index: int) -> Picture | Tensor | None:
        try:
            return next(islice(self.collection.items(), index, None)).load()
        except BadImage:
            return None

    def _rows(self, record: Record, start: Row, entry: _Entry) -> list[Row]:
        model = self.setup.model
        known = {
            "target": record.get("target", ""),
            "label": "" if entry.label is None else model.label(entry.label),
            "note": " ".join(record.get("notes", ())),
        }
        rows = []
        for judge, key in zip(self.setup.judges, self.setup.judge_keys, strict=True):
            found = record["metrics"].get(key, {"value": None, "error": record["error"]})
            rows.append(
                {
                    **start,
                    "metric": judge.label,
                    "value": found["value"],
                    "error": found["error"],
                    **known,
                    "curve": found.get("curve"),
                }
            )
        return rows
