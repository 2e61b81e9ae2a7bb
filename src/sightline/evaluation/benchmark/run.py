"""One track's contest: every method on a few pictures first, then those that are not expensive on
all.

All runs are `evaluation`'s, in one folder with one ledger, so a contest that was stopped goes on
and nothing is computed twice. A method is expensive where its map takes more than `EXPENSIVE`
passes through the network; its row then stands on the first pictures only, and says so. A folder
belongs to one network and one source of pictures; another contest of that name gets a number.
"""

import hashlib
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import NotExplainable
from ...explainer import Explainer
from ...explainers.layer_choice import with_default_layer
from ...files.display import without_folders
from ...files.writing import write_bytes
from ...jobs.work import Runner
from ...metric import Metric
from ...model import Model
from ...sample import Sample, Samples
from .. import run as evaluation
from ..average_location import AverageLocation, average_location
from ..comparison import Scores
from ..table import Table
from .tracks import BenchmarkTrack, TrackKind, fitting

EXPENSIVE = 300
"""Passes for one map, forward and backward, beyond which a method is expensive."""

_SANITY_MAPS = 3  # how many more maps the sanity metrics ask for, the map itself included
_CLAIM = "contest.json"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one map took on average: passes through the network, and seconds."""

    passes: float
    seconds: float


@dataclass(frozen=True, kw_only=True, eq=False)
class BenchmarkResult:
    """What a contest found. scores: of the metrics that rank, columns are methods and nulls; NaN
    where an expensive method was not asked. sanity: of those that do not rank, on cheap methods.
    refused: method -> why it has no row. expensive: methods that stand on the first `few` pictures.
    failed: single cells. family: `cnn` or `transformer`, empty for a network that is neither.
    """

    key: str
    track: TrackKind
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
    expensive: Sequence[str] = ()
    family: str = ""
    failed: Sequence[str] = ()

    @cached_property
    def methods(self) -> list[str]:
        """The methods with a row."""
        return [c for c in self.scores[0].columns if c not in self.nulls]


@dataclass(frozen=True, kw_only=True, eq=False)
class Benchmark:
    """How contests are run. few: pictures for the expensive methods."""

    out: Path
    few: int
    engine: Runner
    progress: evaluation.Progress | None = None

    def run(self, track: BenchmarkTrack, explainers: Sequence[Explainer]) -> BenchmarkResult:
        """Computes what is missing of a track. Raises: FileProblem for a disk that is full."""
        model = track.model()
        pictures = track.pictures(model)
        track = fitting(replace(track, key=claimed(self.out, track, model)), pictures)
        readers = explainers
        if track.layer is not None:
            readers = [with_default_layer(explainer, track.layer) for explainer in explainers]
        able, refused = _able(model, readers, track.metrics, pictures)
        start = _first(pictures, self.few)
        folder = self.out / track.key
        average = average_location(model, pictures, track.part)
        trial = self._table(model, able, track.metrics, start, folder, average)
        refused |= _hopeless(trial)
        costs = _costs(trial)
        pairs = zip(trial.methods, able, strict=True)
        chosen = {name: explainer for name, explainer in pairs if name not in refused}
        expensive = [n for n in chosen if start is not pictures and costs[n].passes > EXPENSIVE]
        write_bytes(folder / f"first-{len(trial.pictures)}-pictures.html", trial.html().encode())
        quick = [e for n, e in chosen.items() if _SANITY_MAPS * costs[n].passes <= EXPENSIVE]
        sanity: list[Scores] = []
        if track.sanity and quick:
            judges = [*track.metrics, *track.sanity]
            sane = self._table(model, quick, judges, pictures, folder, average)
            sanity = sane.scores[len(track.metrics) :]
        cheap = [e for n, e in chosen.items() if n not in expensive]
        whole = self._table(
            model, cheap or list(chosen.values()), track.metrics, pictures, folder, average
        )
        return _outcome(track, (trial, whole), sanity, list(chosen), expensive, refused)

    def _table(
        self,
        model: Model,
        explainers: Sequence[Explainer],
        metrics: Sequence[Metric],
        pictures: Samples,
        folder: Path,
        average: AverageLocation | None,
    ) -> Table:
        plan = evaluation.prepared(
            model, explainers, metrics, pictures, folder, stability=False, average=average
        )
        return evaluation.evaluate(plan, pictures, folder, self.engine, self.progress)


def claimed(out: Path, track: BenchmarkTrack, model: Model) -> str:
    """The folder of a contest: its key, with a number where another network or other pictures have
    that already. Raises: FileProblem for a disk that refuses it."""
    way = model.preprocess.describe() if model.preprocess else ""
    facts = json.dumps([model.digest, way, model.labels, track.source])
    mine = {
        "weights": model.digest,
        "contest": hashlib.sha256(facts.encode()).hexdigest(),
    }
    for number in count(1):
        key = track.key if number == 1 else f"{track.key}-{number}"
        if _owner(out / key, mine) == mine:
            write_bytes(out / key / _CLAIM, json.dumps(mine).encode())
            return key
    raise AssertionError


def _owner(folder: Path, mine: dict[str, str]) -> dict[str, str]:
    """Whose folder that is; `mine` where nobody's, or that of unclaimed cells of these weights."""
    try:
        return json.loads((folder / _CLAIM).read_text("utf-8"))
    except FileNotFoundError:
        pass
    except ValueError:
        return {}
    try:
        weights = tomllib.loads((folder / "run.toml").read_text("utf-8"))["model"]["weights"]
    except FileNotFoundError:
        return mine
    except (ValueError, KeyError):
        return {}
    return mine if weights == mine["weights"] else {}


def _able(
    model: Model,
    explainers: Sequence[Explainer],
    metrics: Sequence[Metric],
    pictures: Samples,
) -> tuple[list[Explainer], dict[str, str]]:
    """The methods that can treat the model and that the metrics can read, and why the others do not
    take part."""
    size, channels = _shape(model, next(iter(pictures), None))
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
            refused[explainer.registered_name] = without_folders(str(reason))
    return able, refused


def _shape(model: Model, sample: Sample | None) -> tuple[tuple[int, int] | None, int | None]:
    if sample is None or isinstance(sample.source, Path) or model.preprocess is not None:
        return model.size, None
    shape = np.shape(sample.source)  # type: ignore[arg-type]
    return (shape[-2], shape[-1]), shape[-3]


def _first(pictures: Samples, count: int) -> Samples:
    if pictures.count is not None and count >= pictures.count:
        return pictures
    return replace(pictures[:count], count=count)


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
    track: BenchmarkTrack,
    tables: tuple[Table, Table],
    sanity: Sequence[Scores],
    names: Sequence[str],
    expensive: Sequence[str],
    refused: dict[str, str],
) -> BenchmarkResult:
    trial, whole = tables
    columns = [*names, *whole.nulls]
    early = {s.label: s for s in trial.scores}
    merged = [_merged(s, early.get(s.label), columns) for s in whole.scores]
    merged = [s for s in merged if np.isfinite(s.values).any()] or merged[:1]
    missing = [
        f"{row['method']} on {row['picture']}: {row['error']}"
        for row in whole.rows
        if row["error"] and not row["blind"] and row["metric"] == whole.metrics[0]
    ]
    model = whole.plan.model
    return BenchmarkResult(
        key=track.key,
        track=track.track,
        title=track.title,
        about=track.about,
        shown=track.shown,
        model=model.display_name,
        weights=model.digest,
        data=whole.data,
        pictures=len(whole.pictures),
        few=len(trial.pictures),
        scores=merged,
        sanity=[_merged(s, None, columns) for s in sanity],
        nulls=whole.nulls,
        costs=_costs(trial, whole),
        refused=refused,
        expensive=expensive,
        failed=missing,
        family=_family(track, model),
    )


def _family(track: BenchmarkTrack, model: Model) -> str:
    """The kind of network for which the contest speaks."""
    if not track.trained:
        return ""
    return "transformer" if model.anatomy.attentions else "cnn"


def _merged(late: Scores, early: Scores | None, columns: Sequence[str]) -> Scores:
    """All columns over all pictures: the expensive ones from the first run, NaN beyond it."""
    values = np.full((len(columns), late.values.shape[1]), np.nan)
    for row, column in enumerate(columns):
        if column in late.columns:
            values[row] = late.row(column)
        elif early is not None and column in early.columns:
            found = early.row(column)
            values[row, : len(found)] = found
    return Scores(label=late.label, metric=late.metric, columns=columns, values=values)
