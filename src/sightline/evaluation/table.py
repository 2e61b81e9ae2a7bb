"""What a run found: one row per picture, method and metric, and what the rows add up to."""

import importlib.util
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from .. import registry
from ..errors import MissingExtra
from ..ops.null_maps import NULLS
from ..pictures.reading import Picture, printable
from ..stats import wins
from ..stats.ranks import agreement
from .comparison import Difference, Ranking, Scores, corrected, ranking
from .plan import SCHEMA, EvaluationPlan
from .stability import Order, orders
from .stores.rows import COST_TYPES, ROW_TYPES, Curves, Row, Rows, lengths, numbers, written

if TYPE_CHECKING:
    import pyarrow

BLOB = NULLS[1]
"""The null that methods are held against first: photographs have their object in the middle."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Table:
    """Which method can be trusted on these pictures?

    rows: `index` and `picture`, `method`, `blind` (a baseline),
    `metric`, `value` (None where there is none, with the reason in `error`), `target`, `prediction`
    and `label` (what was explained, what the model says, what is true: as the data says it where
    the model has no such class), `note`, `curve`. They stand in the order of the pictures, methods
    and metrics, whatever was finished first; they stay on disk, and each is read when it is asked
    for. costs: `forward`, `backward` (images through the network) and `seconds` for each map; times
    differ from run to run, so they stay out of rows.
    look: the pictures of these indices that can be read. small_map: a method's map of a picture,
    made small, None where there is none. probed: what the plan's probes found on the first
    pictures, (probe, method, picture).
    """

    plan: EvaluationPlan
    data: str
    rows: Sequence[Row]
    costs: Sequence[Row] = field(default_factory=tuple)
    notes: Sequence[str] = ()
    look: Callable[[Sequence[int]], Mapping[int, Picture | Tensor]] = lambda _: {}
    small_map: Callable[[int, str], np.ndarray | None] = lambda _index, _method: None
    probed: np.ndarray = field(default_factory=lambda: np.empty((0, 0, 0)))

    def __repr__(self) -> str:
        methods, metrics = ", ".join(self.methods), ", ".join(self.metrics)
        return f"Table(pictures: {len(self.pictures)}, methods: {methods}, metrics: {metrics})"

    @property
    def methods(self) -> list[str]:
        """The methods by their labels, without the null maps."""
        return [c.label for c in self.plan.columns if not c.blind]

    @property
    def nulls(self) -> list[str]:
        """The null maps."""
        return [c.label for c in self.plan.columns if c.blind]

    @property
    def metrics(self) -> list[str]:
        """The metrics by their labels."""
        return [j.label for j in self.plan.judges]

    @cached_property
    def _rows(self) -> Rows:
        return self.rows if isinstance(self.rows, Rows) else written(self.rows, ROW_TYPES)

    @cached_property
    def _costs(self) -> Rows:
        return self.costs if isinstance(self.costs, Rows) else written(self.costs, COST_TYPES)

    @property
    def _width(self) -> int:
        """Rows of a picture."""
        return len(self.plan.columns) * len(self.plan.judges)

    @cached_property
    def pictures(self) -> list[str]:
        """Names of the pictures, in order."""
        return self._rows.texts("picture", self._width)

    def row(self, picture: int, column: str, metric: int = 0) -> Row:
        """The row of the picture of that index, a method or null map, and the metric of that
        number."""
        place = [c.label for c in self.plan.columns].index(column)
        return self._rows[picture * self._width + place * len(self.plan.judges) + metric]

    def model_inputs(self, pictures: Sequence[int]) -> dict[int, np.ndarray]:
        """The pictures of these indices as the model gets them, (row, col, band); left out where
        one cannot be read any more."""
        model, found = self.plan.model, {}
        for k, picture in self.look(pictures).items():
            images = model.prepare([picture] if isinstance(picture, Picture) else picture)
            found[k] = images[0].cpu().permute(1, 2, 0).numpy()
        return found

    @cached_property
    def errors(self) -> list[str]:
        """What could not be scored, and why; one line where a picture or method failed whole."""
        return [f"{p}{', ' if who else ''}{who}: {error}" for p, who, error in self._failures]

    @cached_property
    def gathered(self) -> list[str]:
        """The same for readers: one line for what more than three pictures share."""
        alike: dict[tuple[str, str], list[str]] = {}
        for picture, who, error in self._failures:
            alike.setdefault((who, error), []).append(picture)
        lines = []
        for (who, error), pictures in alike.items():
            told = f", {who}: {error}" if who else f": {error}"
            whole = len(pictures) == len(self.pictures)
            many = f"all {len(pictures)} pictures" if whole else f"{len(pictures)} pictures"
            first = "" if whole else f" ({', '.join(pictures[:3])}, ...)"
            lines += [f"{many}{first}{told}"] if len(pictures) > 3 else [p + told for p in pictures]
        return lines

    @cached_property
    def _failures(self) -> list[tuple[str, str, str]]:
        """What could not be scored: picture, method and metrics, reason."""
        found = []
        for index, rows in groupby(self._failed(), itemgetter("index")):
            own: dict[tuple[str, str], list[str]] = {}
            for row in rows:
                own.setdefault((row["error"], row["method"]), []).append(row["metric"])
            whole: dict[str, list[tuple[str, list[str]]]] = {}
            for (error, method), metrics in own.items():
                whole.setdefault(error, []).append((method, metrics))
            name = self.pictures[index]
            found += [
                (name, sys.intern(self._who(parts)), sys.intern(error))
                for error, parts in whole.items()
            ]
        return found

    def _failed(self) -> Iterator[Row]:
        """The rows of methods that say why they could not be scored."""
        for _, part in self._rows.parts(("index", "method", "blind", "metric", "error")):
            yield from (row for row in part.to_pylist() if row["error"] and not row["blind"])

    def unread(self, column: str, metric: str) -> bool:
        """Whether the metric reads no explanation of the kind that this column gives."""
        (gives,) = (c.gives for c in self.plan.columns if c.label == column)
        (takes,) = (j.metric.takes for j in self.plan.judges if j.label == metric)
        return not issubclass(gives, takes)

    def _who(self, parts: list[tuple[str, list[str]]]) -> str:
        """The methods that could not be scored, or by which metrics."""
        if len(parts) == len(self.methods) > 1:
            return "" if len(parts[0][1]) == len(self.metrics) else ", ".join(parts[0][1])
        return ", ".join(method for method, _ in parts)

    @cached_property
    def scores(self) -> list[Scores]:
        """The numbers of each metric as arrays."""
        columns = [c.label for c in self.plan.columns]
        judges, shape = self.plan.judges, (len(self.pictures), len(columns))
        values = self._rows.numbers("value").reshape(*shape, len(judges))
        found = []
        for k, (judge, sizes) in enumerate(
            zip(judges, lengths(self._rows, len(judges)), strict=True)
        ):
            curves = None
            if len(sizes) == 1:
                size = (len(columns), len(self.pictures), sizes.pop())
                curves = Curves(self._rows, k, len(judges), self._width, size)
            found.append(
                Scores(
                    label=judge.label,
                    metric=judge.metric,
                    columns=columns,
                    values=np.ascontiguousarray(values[:, :, k].T),
                    curves=curves,
                )
            )
        return found

    @cached_property
    def spent(self) -> dict[str, tuple[float, float]]:
        """What a map of each method cost on average: passes forward and backward, and seconds."""
        sums: dict[str, np.ndarray] = {}
        for _, part in self._costs.parts(("method", "forward", "backward", "seconds")):
            names = np.array(part["method"].to_pylist(), dtype=object)
            passes = numbers(part["forward"]) + numbers(part["backward"])
            seconds = numbers(part["seconds"])
            for name in dict.fromkeys(names.tolist()):
                own = names == name
                held = np.array([passes[own].sum(), seconds[own].sum(), own.sum()])
                sums[name] = sums.get(name, np.zeros(3)) + held
        return {name: (float(p / n), float(s / n)) for name, (p, s, n) in sums.items()}

    @cached_property
    def quality(self) -> list[Scores]:
        """The metrics that judge a map, not its price."""
        return [s for s in self.scores if not s.metric.measures_cost]

    @cached_property
    def summary(self) -> list[Row]:
        """One row per method and metric over all pictures, with its 95 % interval."""
        found = []
        for scores in self.scores:
            for column in self.plan.columns:
                level = scores.level(column.label)
                low, high = level.interval or (None, None)
                known = level.count and math.isfinite(level.value)
                found.append(
                    {
                        "method": column.label,
                        "blind": column.blind,
                        "metric": scores.label,
                        "direction": scores.metric.direction,
                        "value": level.value if known else None,
                        "low": low,
                        "high": high,
                        "pictures": level.count,
                        "failed": len(self.pictures) - level.count,
                    }
                )
        return found

    @cached_property
    def against(self) -> list[Difference]:
        """Each method against the centred blob, by each metric that it can lose by; significant as
        one group of comparisons."""
        return corrected(
            found
            for scores in self.quality
            if not scores.metric.blind_is_best
            for method in self.methods
            if math.isfinite((found := scores.difference(method, BLOB)).value)
        )

    @cached_property
    def ranking(self) -> Ranking | None:
        """Which method wins most often."""
        return ranking(self.quality, self.methods)

    @cached_property
    def win_shares(self) -> np.ndarray:
        """On what share of the pictures the row's method has the better number than the column's,
        over all metrics that judge a map: (method, method) of the ranking, NaN for itself."""
        names = self.ranking.methods if self.ranking else ()
        if not names:
            return np.empty((0, 0))
        parts = np.stack([wins.pairs(each.better(names)) for each in self.quality])
        met = np.isfinite(parts).sum(0)
        return np.where(met > 0, np.nansum(parts, 0) / np.maximum(met, 1), np.nan)

    @cached_property
    def metric_agreement(self) -> np.ndarray:
        """Kendall's tau of the orders in which two metrics put the methods: (metric, metric) of
        those that judge a map; 1 is the same order, -1 the reverse."""
        orders = [np.array([s.sign * s.level(m).value for m in self.methods]) for s in self.quality]
        return np.array([[agreement(a, b) for b in orders] for a in orders])

    @cached_property
    def stability(self) -> list[Order]:
        """How the order of the methods changes with steps, fill and the resolution of maps."""
        size = self.plan.model.size
        pixels = None if size is None else size[0] * size[1]
        return orders(self.scores, self.methods, self.plan.probes, self.probed, pixels)

    @property
    def verdict(self) -> str:
        """Which method to use, in a sentence or two, and how sure that is."""
        return registry.view(Table, "verdict")(self)

    def html(self) -> str:
        """The report, one self-contained page."""
        return printable(registry.view(Table, "html")(self))

    def to_arrow(self) -> "pyarrow.Table":
        """The rows as an Arrow table."""
        return self._rows.arrow()

    def costs_to_arrow(self) -> "pyarrow.Table":
        """The costs as an Arrow table."""
        return self._costs.arrow()

    def to_pandas(self) -> Any:
        """The rows as a pandas frame. Raises: MissingExtra where pandas is not installed."""
        if importlib.util.find_spec("pandas") is None:
            raise MissingExtra(
                "a frame needs pandas, which is not installed: `pip install pandas`; `to_arrow()`"
                " needs nothing more."
            )
        return self.to_arrow().to_pandas()

    def parquet(self, *, costs: bool = False) -> bytes:
        """The rows, or the costs, as a Parquet file; equal rows give equal bytes."""
        return (self._costs if costs else self._rows).bytes()

    def json(self) -> bytes:
        """Rows (without curves), summary, differences to the centred blob and verdict as JSON."""
        # The rows one by one: as objects they are many times as large as their text.
        told = json.dumps(self._told(), indent=1, ensure_ascii=False, allow_nan=False)
        rows = [_indented({k: v for k, v in r.items() if k != "curve"}) for r in self._rows]
        held = "[\n  " + ",\n  ".join(rows) + "\n ]" if rows else "[]"
        return printable(told.removesuffix("\n}") + ',\n "rows": ' + held + "\n}").encode()

    def _told(self) -> Row:
        """What the table adds up to, as JSON."""
        return {
            "schema": SCHEMA,
            "model": self.plan.model.display_name,
            "data": self.data,
            "pictures": len(self.pictures),
            "verdict": self.verdict,
            "notes": list(self.notes),
            "errors": self.errors,
            "summary": self.summary,
            "against": [
                {
                    "method": d.one,
                    "null": d.other,
                    "metric": d.metric,
                    "better_by": d.value,
                    "low": d.interval[0] if d.interval else None,
                    "high": d.interval[1] if d.interval else None,
                    "pictures": d.count,
                    "p": d.p,
                    "word": d.word,
                }
                for d in self.against
            ],
            "stability": [
                {
                    "metric": order.metric,
                    "choice": order.choice,
                    "setting": order.setting,
                    "order": list(order.methods),
                    "tau": order.tau.value if order.tau.count else None,
                    "low": order.tau.interval[0] if order.tau.interval else None,
                    "high": order.tau.interval[1] if order.tau.interval else None,
                    "pictures": order.tau.count,
                }
                for order in self.stability
            ],
        }


def _indented(row: Row) -> str:
    """A row as JSON, as it stands within its list."""
    return json.dumps(row, indent=1, ensure_ascii=False, allow_nan=False).replace("\n", "\n  ")
