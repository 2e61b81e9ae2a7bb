"""One arena's contest: every method on a few pictures first, then those that are not dear on all.

Both runs are `evaluation`'s, in one folder with one ledger, so a contest that was stopped goes on
and nothing is computed twice. A method is dear where its map takes more than `DEAR` passes through
the network; its row then stands on the first pictures only, and says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import NotExplainable
from ...explainer import Explainer, part_method
from ...metric import Metric
from ...model import Model
from ...ops.files import write_bytes
from .. import evaluation
from ..sources.average_location import AverageLocation, average_location
from ..sources.item import Collection, Item
from ..standing import Scores
from ..table import Table
from .arenas import Arena, Track

DEAR = 120
"""Passes for one map, forward and backward, from which a method is dear."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one map took on average: passes through the network, and seconds."""

    passes: float
    seconds: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What a contest found. scores: of the metrics that rank, columns are methods and nulls; NaN
    where a dear method was not asked. sanity: of those that do not rank. refused: method -> why it
    has no row. dear: methods that stand on the first `few` pictures. failed: single cells.
    """

    key: str
    track: Track
    title: str
    about: str
    shown: Sequence[str]
    model: str
    weights: str
    data: str
    pictures: int
    few: int
    scores: Sequence[Scores]
    sanity: Sequence[Scores] = ()
    nulls: Sequence[str] = ()
    costs: dict[str, Cost] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    dear: Sequence[str] = ()
    failed: Sequence[str] = ()

    @cached_property
    def methods(self) -> list[str]:
        """The methods with a row."""
        return [c for c in self.scores[0].columns if c not in self.nulls]


@dataclass(frozen=True, kw_only=True, eq=False)
class Contest:
    """How contests are run. few: pictures for the dear methods."""

    out: Path
    few: int
    engine: evaluation.Engine
    progress: evaluation.Progress | None = None

    def run(self, arena: Arena, explainers: Sequence[Explainer]) -> Outcome:
        """Computes what is missing of an arena. Raises: FileProblem for a disk that is full."""
        model = arena.model()
        pictures = arena.pictures(model)
        readers = [_reading(explainer, arena.layer) for explainer in explainers]
        able, refused = _able(model, readers, arena.metrics, pictures)
        start = _first(pictures, self.few)
        folder = self.out / arena.key
        average = average_location(model, pictures.items(), arena.part)
        trial = self._table(model, able, arena.metrics, start, folder, average)
        refused |= _hopeless(trial)
        costs = _costs(trial)
        able = [e for e, c in zip(able, trial.methods, strict=True) if c not in refused]
        names = [c for c in trial.methods if c not in refused]
        dear = [n for n in names if start is not pictures and costs[n].passes > DEAR]
        write_bytes(folder / f"first-{len(trial.pictures)}-pictures.html", trial.html().encode())
        cheap = [e for e, n in zip(able, names, strict=True) if n not in dear]
        judges = [*arena.metrics, *arena.sanity]
        whole = self._table(model, cheap or able, judges, pictures, folder, average)
        return _outcome(arena, (trial, whole), names, dear, refused)

    def _table(
        self,
        model: Model,
        explainers: Sequence[Explainer],
        metrics: Sequence[Metric],
        pictures: Collection,
        folder: Path,
        average: AverageLocation | None,
    ) -> Table:
        setup = evaluation.prepared(
            model, explainers, metrics, pictures, folder, stability=False, average=average
        )
        return evaluation.evaluate(setup, pictures, folder, self.engine, self.progress)


def _reading(explainer: Explainer, layer: str | None) -> Explainer:
    """The method and those that it holds, on that layer where they read one and none was named."""
    if layer is None:
        return explainer
    held: Any = explainer  # every explainer is a dataclass, which its contract cannot say
    changed: dict[str, Any] = {}
    if "layer" in explainer.needs and held.layer is None:
        changed["layer"] = layer
    names = {part.registered_name for part in explainer.parts}
    for each in fields(held):
        part = getattr(held, each.name)
        if isinstance(part, Explainer) or (isinstance(part, str) and part in names):
            changed[each.name] = _reading(part_method(part), layer)
    return replace(held, **changed)


def _able(
    model: Model,
    explainers: Sequence[Explainer],
    metrics: Sequence[Metric],
    pictures: Collection,
) -> tuple[list[Explainer], dict[str, str]]:
    """The methods that can treat the model and that the metrics can read, and why the others do not
    take part."""
    size, channels = _shape(model, next(pictures.items(), None))
    able, refused = [], {}
    for explainer in explainers:
        if not any(issubclass(explainer.gives, metric.takes) for metric in metrics):
            told = f"gives {explainer.gives.__name__}, which no metric of this contest reads"
            refused[explainer.registered_name] = told
            continue
        try:
            explainer.check(model, size, channels)
            able.append(explainer)
        except NotExplainable as reason:
            refused[explainer.registered_name] = str(reason)
    return able, refused


def _shape(model: Model, item: Item | None) -> tuple[tuple[int, int] | None, int | None]:
    if item is None or isinstance(item.picture, Path) or model.preprocess is not None:
        return model.size, None
    shape = np.shape(item.picture)  # type: ignore[arg-type]
    return (shape[-2], shape[-1]), shape[-3]


def _first(pictures: Collection, count: int) -> Collection:
    if pictures.count is not None and count >= pictures.count:
        return pictures
    return replace(pictures, count=count, items=lambda: islice(pictures.items(), count))


def _hopeless(table: Table) -> dict[str, str]:
    """The methods without one number, and the reason of the first picture."""
    numbers = {row["method"] for row in table.rows if row["value"] is not None}
    found: dict[str, str] = {}
    for row in table.rows:
        if row["method"] not in numbers and not row["blind"]:
            found.setdefault(row["method"], row["error"])
    return found


def _costs(*tables: Table) -> dict[str, Cost]:
    spent: dict[str, dict[int, Any]] = {}
    for table in tables:
        for row in table.costs:
            spent.setdefault(row["method"], {})[row["index"]] = row
    return {
        method: Cost(
            passes=float(np.mean([r["forward"] + r["backward"] for r in rows.values()])),
            seconds=float(np.median([r["seconds"] for r in rows.values()])),
        )
        for method, rows in spent.items()
    }


def _outcome(
    arena: Arena,
    tables: tuple[Table, Table],
    names: Sequence[str],
    dear: Sequence[str],
    refused: dict[str, str],
) -> Outcome:
    trial, whole = tables
    columns = [*names, *whole.nulls]
    early = {s.label: s for s in trial.scores}
    merged = [_merged(s, early.get(s.label), columns) for s in whole.scores]
    ranked = len(arena.metrics)
    missing = [
        f"{row['method']} on {row['picture']}: {row['error']}"
        for row in whole.rows
        if row["error"] and not row["blind"] and row["metric"] == whole.metrics[0]
    ]
    model = whole.setup.model
    return Outcome(
        key=arena.key,
        track=arena.track,
        title=arena.title,
        about=arena.about,
        shown=arena.shown,
        model=model.name,
        weights=model.digest,
        data=whole.data,
        pictures=len(whole.pictures),
        few=len(trial.pictures),
        scores=merged[:ranked],
        sanity=merged[ranked:],
        nulls=whole.nulls,
        costs=_costs(trial, whole),
        refused=refused,
        dear=dear,
        failed=missing,
    )


def _merged(late: Scores, early: Scores | None, columns: Sequence[str]) -> Scores:
    """All columns over all pictures: the dear ones from the first run, NaN beyond it."""
    values = np.full((len(columns), late.values.shape[1]), np.nan)
    for row, column in enumerate(columns):
        if column in late.columns:
            values[row] = late.row(column)
        elif early is not None and column in early.columns:
            found = early.row(column)
            values[row, : len(found)] = found
    return Scores(label=late.label, metric=late.metric, columns=columns, values=values)
