"""What is finished of a run and what is missing; and the rows of its table, one picture after
another.

Of a picture nothing is held but its name, its label and the keys of its cells.
"""

import hashlib
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
from torch import Tensor

from ..data.addresses import Remote
from ..data.classes import UNKNOWN, Meaning
from ..errors import BadImage
from ..jobs.key_index import compact
from ..jobs.ledger import Ledger
from ..jobs.time_limit import TimeLimit
from ..jobs.work import WorkResult
from ..model import Model
from ..pictures.reading import Picture, printable
from ..sample import Sample, Samples
from ..shapes import AnyTensor
from .cell_records import missing_metrics
from .measurement import Cell, PictureTask, failed
from .plan import Column, EvaluationPlan
from .record import Measurement, Score
from .small_map import unpacked
from .stores.baselines import Baselines
from .stores.rows import Row

Progress = Callable[[int, int], None]
"""Told after each cell how many of how many are finished."""

_AHEAD = 64  # tasks that are looked for before a pool is started
_NOTHING = Meaning()
_NO_SCORE = Score()


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class TableEntry:
    """What is kept of a picture until the table is made."""

    name: str
    label: int | None
    keys: tuple[bytes, ...]
    meaning: Meaning


class Board:
    """What is finished and what is missing."""

    def __init__(
        self,
        plan: EvaluationPlan,
        samples: Samples,
        ledger: Ledger,
        progress: Progress | None = None,
        time_limit: TimeLimit | None = None,
        baselines: Baselines | None = None,
    ) -> None:
        self.plan, self.samples, self.ledger = plan, samples, ledger
        self.progress = progress or (lambda _done, _total: None)
        self.time_limit = time_limit or TimeLimit(math.inf)
        self.baselines = baselines or Baselines(None)
        self.unsure: dict[bytes, Measurement] = {}
        self.entries: list[TableEntry] = []
        self.claimed: dict[bytes, bool] = {}  # whether it is a null map's
        self.named: dict[str, bytes] = {}
        self.done = 0

    @property
    def total(self) -> int:
        """All cells; of a stream without a known end, those up to its limit, or of what came."""
        count, limit = self.samples.count, self.samples.limit
        known = count if count is not None else limit or len(self.entries)
        return known * len(self.plan.columns)

    def work(self) -> tuple[Iterator[PictureTask], int | None]:
        """The tasks, made as they are asked for, and about how many; None for a stream."""
        tasks = self._tasks()
        if not len(self.ledger):
            return tasks, self.samples.count
        first = list(islice(tasks, _AHEAD))  # how much of an earlier run is missing?
        rest = len(first) if len(first) < _AHEAD else self.samples.count
        return chain(first, tasks), rest

    def _tasks(self) -> Iterator[PictureTask]:
        for sample in self.samples:
            try:
                digest = sample.error or self._digest(sample)
            except (BadImage, OSError) as error:
                self._unreadable(sample, str(error))
                continue
            if cells := self._cells(sample, digest):
                yield PictureTask(sample=sample, parts=cells, digest=digest)
        self.time_limit.close()

    def _cells(self, sample: Sample, digest: str) -> tuple[Cell, ...]:
        """The cells of a picture that are missing, or lack a metric."""
        keys = self.plan.cells(sample, digest)
        index = self._enter(sample, digest, keys)
        cells = []
        for column, key in enumerate(keys):
            blind = self.plan.columns[column].blind
            lacking = self._lacking(key, self.plan.wanted(index, self.plan.columns[column]))
            if lacking and blind and compact(key) not in self.claimed:
                lacking = self._recalled(key, lacking)
            if lacking is None or compact(key) in self.unsure or compact(key) in self.claimed:
                self._step()
                continue
            self.claimed[compact(key)] = blind
            cells.append(Cell(column=column, keys=(key,), judges=lacking))
        return tuple(cells)

    def _digest(self, sample: Sample) -> str:
        """Its fingerprint. Raises: BadImage, OSError; also for what is not fetched in time."""
        fetched = isinstance(sample.source, (Path, Remote))
        return self.time_limit.call(sample.digest) if fetched else sample.digest()

    def _unreadable(self, sample: Sample, why: str) -> None:
        """Enters a picture without a fingerprint: its cells are known to this run alone."""
        number, place = len(self.entries), sample.source if isinstance(sample.source, Path) else ""
        keys = [_own(f"{number} {column.label}") for column in self.plan.columns]
        self._enter(sample, str(place or number), keys)
        for key in keys:
            self.take(failed(key, BadImage(why)), keep=False)

    def _enter(self, sample: Sample, digest: str, keys: Sequence[str]) -> int:
        """Keeps what the table says of a picture; its index."""
        meaning = _NOTHING if sample.error or sample.meaning == _NOTHING else sample.meaning
        entry = TableEntry(
            name=self._apart(sample.name, digest),
            label=sample.class_index,
            keys=tuple(compact(key) for key in keys),
            meaning=meaning,
        )
        self.entries.append(entry)
        return len(self.entries) - 1

    def _apart(self, name: str, digest: str) -> str:
        """The name in print; with a number where another picture has the same one."""
        name = shown = printable(name)
        held = hashlib.sha256(digest.encode("utf-8", "backslashreplace")).digest()[:8]
        count = 1
        while self.named.setdefault(shown, held) != held:
            count += 1
            shown = f"{name} ({count})"
        return shown

    def _lacking(self, key: str, wanted: Sequence[int]) -> tuple[int, ...] | None:
        """The metrics of those wanted that a cell lacks, None where it lacks nothing."""
        keys = self.plan.measure_keys
        lacking = missing_metrics(self.ledger, key, [keys[k] for k in wanted])
        if lacking is None:
            return tuple(wanted)
        return tuple(k for k in wanted if keys[k] in lacking) or None

    def _recalled(self, key: str, lacking: Sequence[int]) -> tuple[int, ...] | None:
        """The metrics that a null map's cell still lacks, after those that an earlier run measured
        were taken over into the ledger."""
        keys = self.plan.measure_keys
        known = self.baselines.get(key, [keys[k] for k in lacking])
        if known is None:
            return tuple(lacking)
        self.ledger.add(known)
        return tuple(k for k in lacking if keys[k] not in known["metrics"]) or None

    def take(self, found: WorkResult, keep: bool = True) -> None:
        """Keeps a finished cell: for good, or where it may come out otherwise for this run."""
        record = found.record
        blind = self.claimed.pop(compact(record["cell"]), False)
        if found.sure and keep:
            self.ledger.add(record)
            if blind:
                self.baselines.add(record)
        else:
            self._take_unsure(Measurement.from_json(record))
        self._step()

    def _take_unsure(self, found: Measurement) -> None:
        good = {key: score for key, score in found.scores.items() if not score.error}
        if not found.error:
            self.ledger.add(replace(found, scores=good).to_json())
        bad = {key: score for key, score in found.scores.items() if score.error}
        self.unsure[compact(found.cell)] = Measurement(error=sys.intern(found.error), scores=bad)

    def _step(self) -> None:
        self.done += 1
        self.progress(self.done, self.total)

    def _measurement(self, key: bytes) -> Measurement:
        """All that is known of a cell."""
        stored, unsure = self.ledger.get(key), self.unsure.get(key)
        if stored is None:
            return unsure or Measurement(error="it was not computed")
        kept = Measurement.from_json(stored)
        if unsure is None:
            return kept
        scores = {**unsure.scores, **kept.scores}
        return replace(kept, error=kept.error or unsure.error, scores=scores)

    def rows(self) -> Iterator[Row]:
        """The rows of the table: pictures in order, methods, metrics."""
        for index, entry in enumerate(self.entries):
            known = [self._measurement(key) for key in entry.keys]
            for column, found in zip(self.plan.columns, known, strict=True):
                start = {"index": index, "picture": entry.name, "method": column.label}
                answers = replace(found, scores=self._answers(index, column, found, known))
                yield from self._rows(answers, {**start, "blind": column.blind}, entry)

    def costs(self) -> Iterator[Row]:
        """What each map of a method cost."""
        for index, entry in enumerate(self.entries):
            for column, key in zip(self.plan.columns, entry.keys, strict=True):
                if column.blind:
                    continue
                found = self._measurement(key)
                if found.passes is not None:
                    forward, backward = found.passes
                    yield {
                        "index": index,
                        "picture": entry.name,
                        "method": column.label,
                        "forward": forward,
                        "backward": backward,
                        "seconds": found.seconds,
                    }

    def probed(self) -> np.ndarray:
        """What the probes found, (probe, method, picture), NaN where nothing."""
        plan = self.plan
        methods = [k for k, column in enumerate(plan.columns) if not column.blind]
        keys = plan.measure_keys[len(plan.judges) :]
        pictures = self.entries[: plan.probed]
        found = np.full((len(keys), len(methods), len(pictures)), np.nan)
        for p, entry in enumerate(pictures):
            for m, column in enumerate(methods):
                scores = self._measurement(entry.keys[column]).scores
                for k, key in enumerate(keys):
                    value = scores.get(key, _NO_SCORE).value
                    found[k, m, p] = np.nan if value is None else value
        return found

    def look(self, wanted: Sequence[int]) -> dict[int, Picture | AnyTensor]:
        """The pictures of these indices, those that can be read; from the start, in one go."""
        found: dict[int, Picture | Tensor] = {}
        for index, sample in enumerate(islice(self.samples, max(wanted, default=-1) + 1)):
            if index in wanted:
                with suppress(BadImage):
                    found[index] = sample.load(self.plan.model.preprocess)
        return found

    def small_map(self, index: int, label: str) -> np.ndarray | None:
        """The map of a method that was kept for the page."""
        column = [c.label for c in self.plan.columns].index(label)
        held = self._measurement(self.entries[index].keys[column]).map
        return None if held is None else unpacked(held)

    def _answers(
        self, index: int, column: Column, found: Measurement, known: Sequence[Measurement]
    ) -> dict[str, Score]:
        """What every judge says of a cell; nothing, which is no error, from one that cannot read
        it. A metric that cannot read baselines scores its own instead."""
        asked, answers = self.plan.wanted(index, column), {}
        for k, judge in enumerate(self.plan.judges):
            key = self.plan.judge_keys[k]
            if k in asked:
                answers[key] = found.scores.get(key, Score(error=found.error))
            elif column.blind and not judge.metric.takes_maps:
                answers[key] = Score(value=_own_null(known, key, column.label))
            else:
                answers[key] = _NO_SCORE
        return answers

    def _rows(self, found: Measurement, start: Row, entry: TableEntry) -> Iterator[Row]:
        model, meaning = self.plan.model, entry.meaning
        top = meaning.doubt == UNKNOWN and self.plan.target is None
        told = [meaning.note, "The model's top class is explained." if top else ""]
        known = {
            "target": _called(model, found.target),
            "prediction": _called(model, found.prediction),
            "label": printable(meaning.text if entry.label is None else model.label(entry.label)),
            "note": printable(" ".join(filter(None, [*told, *found.notes]))),
        }
        for judge, key in zip(self.plan.judges, self.plan.judge_keys, strict=True):
            score = found.scores[key]
            error = score.error
            if score.strange:
                error = f"{error} {meaning.note}".rstrip()
            yield {
                **start,
                "metric": judge.label,
                "value": score.value,
                "error": printable(error),
                **known,
                "curve": score.curve,
            }


def _own(name: str) -> str:
    """A key that no other run knows."""
    return hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _own_null(known: Iterable[Measurement], key: str, null: str) -> float | None:
    """A metric's own score of a baseline, the mean over the methods that it judged."""
    nulls = [found.scores.get(key, _NO_SCORE).nulls or {} for found in known]
    values = [value for each in nulls if (value := each.get(null)) is not None]
    return sum(values) / len(values) if values else None


def _called(model: Model, told: int | str) -> str:
    """A class by its label or its number; what is in words already, as it is."""
    return printable(model.label(told) if isinstance(told, int) else told)
