"""A run over a collection, from its setup to its table: what is finished is kept, what is missing
is computed, and the files are written.

`run.toml` says what is run, `cells.jsonl` holds every finished cell, `table.parquet` and
`table.json` the numbers (equal bytes for equal runs), `costs.parquet` the passes and times, and
`report.html` the page.
"""

import logging
import tomllib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from torch import Tensor

from ..errors import BadField, BadImage, FileProblem, SightlineWarning
from ..explainer import Explainer
from ..images import Picture
from ..metric import Metric
from ..model import Model
from ..ops.files import write_bytes
from . import ledger
from .cell import Finished, Job, Task, failed
from .cluster import RayEngine
from .ledger import Ledger, Record
from .local import LocalEngine
from .setup import BLIND, Column, Setup, fastest_batch, planned
from .small_map import unpacked
from .sources.average_location import AverageLocation
from .sources.classes import OWN, UNKNOWN, Meaning, sentences
from .sources.item import TOP, Collection, Item
from .stability import probed
from .table import Row, Table

log = logging.getLogger("sightline")

Progress = Callable[[int, int], None]
"""Told after each cell how many of how many are finished."""


class PageOnly:
    """Computes nothing: a run with it writes the page of what is finished, and no other file."""

    def run(self, setup: Setup, tasks: Iterable[Task], count: int | None, take: Any) -> None:
        """Passes over all tasks."""
        for _ in tasks:
            pass


Engine = LocalEngine | RayEngine | PageOnly


def engine(name: str, workers: int | None = None, address: str | None = None) -> Engine:
    """The engine of that name; `none` is `PageOnly`. Raises: MissingExtra for `ray` without Ray,
    BadField for another word, or for an address without `ray`."""
    if name == "none":
        return PageOnly()
    if name not in ("local", "ray"):
        raise BadField(f"an engine is `local`, `ray`, or `none`; got {name!r}.")
    if workers is not None and workers < 1:
        raise BadField(f"workers is at least 1; got {workers}.")
    if name == "ray":
        return RayEngine(address=address, workers=workers)
    if address is not None:
        raise BadField(f"an address is for the engine `ray`; got {address!r} for `local`.")
    return LocalEngine(workers=workers)


def evaluate(
    setup: Setup,
    collection: Collection,
    out: Path,
    using: Engine | None = None,
    progress: Progress | None = None,
) -> Table:
    """Computes what is missing and writes the results into `out`.

    Raises: FileProblem where nothing can be written; what was finished before is kept.
    """
    if setup.target is not None:
        kept = tuple(note for note in collection.notes if not note.endswith(TOP))
        collection = replace(collection, notes=kept)
    for note in collection.notes:
        log.info("%s", note)
    if collection.listed:
        _say(setup, (item.meaning for item in collection.items() if not item.error))
    whole = not isinstance(using, PageOnly)
    with ledger.opened(out) as kept:
        if whole:
            write_bytes(out / "run.toml", _toml(setup, collection))
        board = _Board(setup, collection, kept, progress or (lambda _done, _total: None))
        (using or LocalEngine()).run(setup, *board.work(), board.take)
        doubts = _doubts(setup, (e.meaning for e in board.entries))
        if not collection.listed:
            _say(setup, (e.meaning for e in board.entries))
        table = replace(board.table(), notes=(*collection.notes, *doubts.values()))
        if whole:
            write_bytes(out / "table.parquet", table.parquet())
            write_bytes(out / "costs.parquet", table.parquet(costs=True))
            write_bytes(out / "table.json", table.json())
        elif all(row["value"] is None for row in table.rows):
            raise FileProblem(
                f"{out} holds nothing finished that this model, these pictures and these versions"
                " of the libraries made; start the run again."
            )
        write_bytes(out / "report.html", table.html().encode())
    return table


def _called(model: Model, told: int | str) -> str:
    """A class by its label or its number; what is in words already, as it is."""
    return model.label(told) if isinstance(told, int) else told


def _doubts(setup: Setup, meanings: Iterable[Meaning]) -> dict[str, str]:
    """What is to be said of how labels became classes; nothing where one target was given."""
    return sentences(setup.model, meanings) if setup.target is None else {}


def _say(setup: Setup, meanings: Iterable[Meaning]) -> None:
    for doubt, sentence in _doubts(setup, meanings).items():
        if doubt == OWN:
            log.info("%s", sentence)
        else:
            warnings.warn(sentence, SightlineWarning, stacklevel=4)


def prepared(
    model: Model,
    explainers: Sequence[Explainer],
    metrics: Sequence[Metric | str],
    pictures: Collection,
    out: Path,
    *,
    target: Any = None,
    batch: int | None = None,
    stability: bool = True,
    average: AverageLocation | None = None,
) -> Setup:
    """The setup of a run in a folder: a run that was stopped there goes on with its batch size.
    stability: some pictures are measured again with other fills and coarser maps. average: what one
    more null map is made of.

    Raises: BadField, UnknownName for what makes no sense.
    """
    count = _MANY if pictures.count is None else pictures.count
    forwards = count * (len(explainers) + len(BLIND)) * len(metrics) * _STEPS
    batch = batch or model.batch or _remembered_batch(out, model) or fastest_batch(model, forwards)
    again = probed(pictures.count) if stability else 0
    return planned(model, explainers, metrics, target, batch, again, average)


_MANY = 1000  # pictures of a stream, about
_STEPS = 32  # passes of a metric, about
_AHEAD = 64  # tasks that are looked for before a pool is started


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
    told["data"] = collection.to_toml()
    return tomli_w.dumps(told).encode()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Entry:
    """What is kept of a picture until the table is made."""

    name: str
    label: int | None
    keys: tuple[str, ...]
    meaning: Meaning = field(default_factory=Meaning)


class _Board:
    """What is finished and what is missing."""

    def __init__(
        self, setup: Setup, collection: Collection, kept: Ledger, progress: Progress
    ) -> None:
        self.setup, self.collection, self.kept, self.progress = setup, collection, kept, progress
        self.unsure: dict[str, Record] = {}
        self.entries: list[_Entry] = []
        self.claimed: set[str] = set()
        self.done = 0

    @property
    def total(self) -> int:
        """All cells; of a stream without a known end, those up to its limit, or of what came."""
        count, limit = self.collection.count, self.collection.limit
        known = count if count is not None else limit or len(self.entries)
        return known * len(self.setup.columns)

    def work(self) -> tuple[Iterator[Task], int | None]:
        """The tasks, made as they are asked for, and about how many; None for a stream."""
        tasks = self._tasks()
        if not len(self.kept):
            return tasks, self.collection.count
        first = list(islice(tasks, _AHEAD))  # how much of an earlier run is missing?
        rest = len(first) if len(first) < _AHEAD else self.collection.count
        return chain(first, tasks), rest

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
        meaning = Meaning() if item.error else item.meaning
        self.entries.append(
            _Entry(name=item.name, label=item.label, keys=tuple(keys), meaning=meaning)
        )
        jobs = []
        index = len(self.entries) - 1
        for column, key in enumerate(keys):
            lacking = self._lacking(key, self.setup.wanted(index, self.setup.columns[column]))
            if key in self.unsure:  # it failed just now
                continue
            if lacking is None or key in self.claimed:
                self._step()
                continue
            self.claimed.add(key)
            jobs.append(Job(column=column, key=key, judges=lacking))
        return tuple(jobs)

    def _lacking(self, key: str, wanted: Sequence[int]) -> tuple[int, ...] | None:
        """The metrics of those wanted that a cell lacks, None where it lacks nothing."""
        known, keys = self.kept.get(key), self.setup.measure_keys
        if known is None:
            return tuple(wanted)
        if known["error"]:
            return None
        return tuple(k for k in wanted if keys[k] not in known["metrics"]) or None

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
                answers = self._answers(index, column, record)
                rows += self._rows(answers, {**start, "blind": column.blind}, entry)
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
            small_map=self._small_map,
            probed=self._probed(),
        )

    def _probed(self) -> np.ndarray:
        """What the probes found, (probe, method, picture), NaN where nothing."""
        setup = self.setup
        methods = [k for k, column in enumerate(setup.columns) if not column.blind]
        keys = setup.measure_keys[len(setup.judges) :]
        pictures = self.entries[: setup.probed]
        found = np.full((len(keys), len(methods), len(pictures)), np.nan)
        for p, entry in enumerate(pictures):
            for m, column in enumerate(methods):
                known = self._record(entry.keys[column])["metrics"]
                for k, key in enumerate(keys):
                    value = known.get(key, {}).get("value")
                    found[k, m, p] = np.nan if value is None else value
        return found

    def _look(self, wanted: Sequence[int]) -> dict[int, Picture | Tensor]:
        """The pictures of these indices, those that can be read; from the start, in one go."""
        found: dict[int, Picture | Tensor] = {}
        for index, item in enumerate(islice(self.collection.items(), max(wanted, default=-1) + 1)):
            if index in wanted:
                with suppress(BadImage):
                    found[index] = item.load(self.setup.model)
        return found

    def _small_map(self, index: int, label: str) -> np.ndarray | None:
        """The map of a method that was kept for the page."""
        column = [c.label for c in self.setup.columns].index(label)
        held = self._record(self.entries[index].keys[column]).get("map")
        return None if held is None else unpacked(held)

    def _answers(self, index: int, column: Column, record: Record) -> Record:
        """A cell with an answer of every judge; one that cannot read it has no number, and that is
        no error. A null map that it cannot read gives way to the metric's own null level."""
        asked, answers = self.setup.wanted(index, column), {}
        for k, judge in enumerate(self.setup.judges):
            key = self.setup.judge_keys[k]
            if k in asked:
                unknown = {"value": None, "error": record["error"]}
                answers[key] = record["metrics"].get(key, unknown)
            elif column.blind and not judge.metric.takes_maps:
                value = self._own_null(index, key, column.label)
                answers[key] = {"value": value, "error": ""}
            else:
                answers[key] = {"value": None, "error": ""}
        return {**record, "metrics": answers}

    def _own_null(self, index: int, key: str, null: str) -> float | None:
        """A metric's own null level for a picture, the mean over the methods that it judged."""
        found = [
            self._record(cell)["metrics"].get(key, {}).get("nulls", {}).get(null)
            for cell in self.entries[index].keys
        ]
        known = [value for value in found if value is not None]
        return sum(known) / len(known) if known else None

    def _rows(self, record: Record, start: Row, entry: _Entry) -> list[Row]:
        model, meaning = self.setup.model, entry.meaning
        top = meaning.doubt == UNKNOWN and self.setup.target is None
        told = [meaning.note, "The model's top class is explained." if top else ""]
        known = {
            **{key: _called(model, record.get(key, "")) for key in ("target", "prediction")},
            "label": meaning.told if entry.label is None else model.label(entry.label),
            "note": " ".join(filter(None, [*told, *record.get("notes", ())])),
        }
        rows = []
        for judge, key in zip(self.setup.judges, self.setup.judge_keys, strict=True):
            found = record["metrics"][key]
            rows.append(
                {
                    **start,
                    "metric": judge.label,
                    "value": found["value"],
                    "error": f"{found['error']} {meaning.note}".rstrip()
                    if found.get("strange")
                    else found["error"],
                    **known,
                    "curve": found.get("curve"),
                }
            )
        return rows
