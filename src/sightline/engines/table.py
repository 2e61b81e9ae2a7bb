"""What a run found: one row per picture, method and metric, and what the rows add up to."""

import importlib.util
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from .. import registry
from ..errors import MissingExtra
from ..images import Picture
from ..ops.references import NULLS
from .setup import SCHEMA, Setup
from .stability import Order, orders
from .standing import Difference, Ranking, Scores, ranking

if TYPE_CHECKING:
    import pyarrow

Row = dict[str, Any]  # Any: text, a number or nothing

BLOB = NULLS[1]
"""The null that methods are held against first: photographs have their object in the middle."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Table:
    """Which method can be trusted on these pictures?

    rows: `index` and `picture`, `method`, `blind` (a map that knows nothing of the model),
    `metric`, `value` (None where there is none, with the reason in `error`), `target`, `prediction`
    and `label` (what was explained, what the model says, what is true: as the data says it where
    the model has no such class), `note`, `curve`. They stand in the order of the pictures, methods
    and metrics, whatever was finished first. costs: `forward`, `backward` (images through
    the network) and `seconds` for each map; times differ from run to run, so they stay out of rows.
    look: the pictures of these indices that can be read. small_map: a method's map of a picture,
    made small, None where there is none. probed: what the setup's probes found on the first
    pictures, (probe, method, picture).
    """

    setup: Setup
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
        return [c.label for c in self.setup.columns if not c.blind]

    @property
    def nulls(self) -> list[str]:
        """The null maps."""
        return [c.label for c in self.setup.columns if c.blind]

    @property
    def metrics(self) -> list[str]:
        """The metrics by their labels."""
        return [j.label for j in self.setup.judges]

    @cached_property
    def pictures(self) -> list[str]:
        """Names of the pictures, in order."""
        return list({row["index"]: row["picture"] for row in self.rows}.values())

    @cached_property
    def errors(self) -> list[str]:
        """What has no number, and why; one line for a picture or method that failed as a whole."""
        return [f"{p}{', ' if who else ''}{who}: {error}" for p, who, error in self._failures]

    @cached_property
    def gathered(self) -> list[str]:
        """The same for readers: one line for what befell more than three pictures alike."""
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
        """What has no number: picture, method and metrics, reason."""
        found: dict[tuple[str, str, str], list[str]] = {}
        for row in self.rows:
            if row["error"] and not row["blind"]:
                key = (row["picture"], row["error"], row["method"])
                found.setdefault(key, []).append(row["metric"])
        whole: dict[tuple[str, str], list[tuple[str, list[str]]]] = {}
        for (picture, error, method), metrics in found.items():
            whole.setdefault((picture, error), []).append((method, metrics))
        return [(p, self._who(parts), e) for (p, e), parts in whole.items()]

    def unread(self, column: str, metric: str) -> bool:
        """Whether the metric reads no explanation of the kind that this column gives."""
        (gives,) = (c.gives for c in self.setup.columns if c.label == column)
        (takes,) = (j.metric.takes for j in self.setup.judges if j.label == metric)
        return not issubclass(gives, takes)

    def _who(self, parts: list[tuple[str, list[str]]]) -> str:
        """The methods that gave no number, or by which metrics none did."""
        if len(parts) == len(self.methods) > 1:
            return "" if len(parts[0][1]) == len(self.metrics) else ", ".join(parts[0][1])
        return ", ".join(method for method, _ in parts)

    @cached_property
    def scores(self) -> list[Scores]:
        """The numbers of each metric as arrays."""
        columns = [c.label for c in self.setup.columns]
        return [self._scores(k, columns) for k in range(len(self.setup.judges))]

    def _scores(self, k: int, columns: list[str]) -> Scores:
        judge, width = self.setup.judges[k], len(self.setup.judges)
        rows = self.rows[k::width]
        values = [np.nan if row["value"] is None else row["value"] for row in rows]
        shape = (len(self.pictures), len(columns))
        lengths = {len(row["curve"]) for row in rows if row["curve"]}
        curves = None
        if len(lengths) == 1:
            empty = [None] * lengths.pop()
            held = np.array([row["curve"] or empty for row in rows], dtype=np.float64)
            curves = held.reshape(*shape, -1).swapaxes(0, 1)
        return Scores(
            label=judge.label,
            metric=judge.metric,
            columns=columns,
            values=np.array(values, dtype=np.float64).reshape(shape).T,
            curves=curves,
        )

    @cached_property
    def quality(self) -> list[Scores]:
        """The metrics that judge a map, not its price."""
        return [s for s in self.scores if ".metrics.cost." not in type(s.metric).__module__]

    @cached_property
    def summary(self) -> list[Row]:
        """One row per method and metric over all pictures, with its 95 % interval."""
        found = []
        for scores in self.scores:
            for column in self.setup.columns:
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
        """Each method against the centred blob, by each metric that it can lose by."""
        return [
            found
            for scores in self.quality
            if not scores.metric.blind_is_best
            for method in self.methods
            if math.isfinite((found := scores.difference(method, BLOB)).value)
        ]

    @cached_property
    def ranking(self) -> Ranking | None:
        """Which method wins most often."""
        return ranking(self.quality, self.methods)

    @cached_property
    def stability(self) -> list[Order]:
        """How the order of the methods changes with steps, fill and the resolution of maps."""
        size = self.setup.model.size
        pixels = None if size is None else size[0] * size[1]
        return orders(self.scores, self.methods, self.setup.probes, self.probed, pixels)

    @property
    def verdict(self) -> str:
        """Which method to use, in a sentence or two, and how sure that is."""
        return registry.view(Table, "verdict")(self)

    def html(self) -> str:
        """The report, one self-contained page."""
        return registry.view(Table, "html")(self)

    def to_arrow(self) -> "pyarrow.Table":
        """The rows as an Arrow table."""
        return _arrow(self.rows, _ROW_TYPES)

    def costs_to_arrow(self) -> "pyarrow.Table":
        """The costs as an Arrow table."""
        return _arrow(self.costs, _COST_TYPES)

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
        import pyarrow.parquet

        stream = io.BytesIO()
        pyarrow.parquet.write_table(self.costs_to_arrow() if costs else self.to_arrow(), stream)
        return stream.getvalue()

    def json(self) -> bytes:
        """Rows (without curves), summary, differences to the centred blob and verdict as JSON."""
        data = {
            "schema": SCHEMA,
            "model": self.setup.model.name,
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
            "rows": [{k: v for k, v in row.items() if k != "curve"} for row in self.rows],
        }
        return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False).encode()


_ROW_TYPES = {
    "index": "int64",
    "picture": "string",
    "method": "string",
    "blind": "bool",
    "metric": "string",
    "value": "float64",
    "error": "string",
    "target": "string",
    "prediction": "string",
    "label": "string",
    "note": "string",
    "curve": "list",
}
_COST_TYPES = {
    "index": "int64",
    "picture": "string",
    "method": "string",
    "forward": "int64",
    "backward": "int64",
    "seconds": "float64",
}


def _arrow(rows: Sequence[Row], types: dict[str, str]) -> "pyarrow.Table":
    import pyarrow

    made = {"list": pyarrow.list_(pyarrow.float64())}
    schema = pyarrow.schema(
        [(n, made[t] if t in made else pyarrow.type_for_alias(t)) for n, t in types.items()]
    )
    return pyarrow.Table.from_pylist(list(rows), schema=schema)
