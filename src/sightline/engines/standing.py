"""How do the methods stand, and how sure is that? Means, intervals, differences, wins.

Pictures are the unit: intervals are percentiles of a bootstrap that draws pictures, the same
pictures for every method, so that differences are of pairs. The draws are seeded: the same numbers
give the same intervals.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
import torch

from ..metric import Metric
from .stores.rows import Curves

DRAWS = 2000
EQUAL = 1e-5  # in parts of the larger number: what another batch size can make
_MANY = 5000  # pictures
_FEW = 3  # pictures below which there is no interval
_SLOW_DRAWS = 300  # for metrics that sum up a collection in their own way


@dataclass(frozen=True, kw_only=True)
class Level:
    """A number with its 95 % interval, None under three pictures; `count` pictures had a number."""

    value: float
    interval: tuple[float, float] | None
    count: int


@dataclass(frozen=True, kw_only=True)
class Difference(Level):
    """How much better `one` is than `other` by a metric, positive for better."""

    metric: str
    one: str
    other: str

    @property
    def word(self) -> Literal["beats", "loses to", "cannot be told from"]:
        """What the interval allows to say."""
        if self.interval and self.interval[0] > 0:
            return "beats"
        return "loses to" if self.interval and self.interval[1] < 0 else "cannot be told from"


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """All numbers of one metric. values: (column, picture), NaN where there is none. curves:
    (column, picture, step), where `curves[column]` may be read from the disk, or None.
    """

    label: str
    metric: Metric
    columns: Sequence[str]
    values: np.ndarray
    curves: np.ndarray | Curves | None = None

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if self.metric.direction == "higher" else -1

    def row(self, column: str) -> np.ndarray:
        """The numbers of one column, (picture,)."""
        return self.values[list(self.columns).index(column)]

    @cached_property
    def _plain(self) -> bool:
        return type(self.metric).summary is Metric.summary

    @cached_property
    def _known(self) -> dict[tuple[str, bytes], tuple[float, np.ndarray]]:
        """What was summed up by a metric's own rule, which is asked for each draw: that is slow."""
        return {}

    @cached_property
    def _drawn(self) -> np.ndarray:
        return drawn(self.values.shape[1])

    def level(self, column: str) -> Level:
        """A column's number over all pictures."""
        there = np.isfinite(self.row(column))
        value, spread = self._summary(column, there)
        return Level(value=value, interval=interval(spread, there), count=int(there.sum()))

    def difference(self, one: str, other: str) -> Difference:
        """How much better `one` is than `other` on the pictures where both have a number."""
        there = np.isfinite(self.row(one)) & np.isfinite(self.row(other))
        (a, spread_a), (b, spread_b) = self._summary(one, there), self._summary(other, there)
        return Difference(
            metric=self.label,
            one=one,
            other=other,
            value=self.sign * (a - b),
            interval=interval(self.sign * (spread_a - spread_b), there),
            count=int(there.sum()),
        )

    def _summary(self, column: str, there: np.ndarray) -> tuple[float, np.ndarray]:
        """The number over the pictures that are `there`, and over each draw of them."""
        if not there.any():
            return float("nan"), np.full(1, np.nan)
        if not self._plain:
            key = column, there.tobytes()
            if key not in self._known:
                self._known[key] = self._own_summary(column, there)
            return self._known[key]
        values = np.where(there, self.row(column), 0.0)
        counts = self._drawn @ there
        with np.errstate(invalid="ignore"):
            return float(values.sum() / there.sum()), (self._drawn @ values) / counts

    def _own_summary(self, column: str, there: np.ndarray) -> tuple[float, np.ndarray]:
        k = list(self.columns).index(column)
        values = torch.from_numpy(self.values[k])
        curves = None if self.curves is None else torch.from_numpy(self.curves[k])

        def summed(rows: np.ndarray) -> float:
            kept = torch.from_numpy(rows)
            return self.metric.summary(values[kept], None if curves is None else curves[kept])

        chosen = np.flatnonzero(there)
        spread = [
            summed(np.repeat(np.arange(len(n)), n * there))
            for n in self._drawn[:_SLOW_DRAWS].astype(np.int64)
            if (n * there).any()
        ]
        return float(summed(chosen)), np.array(spread)


@lru_cache(maxsize=2)
def drawn(pictures: int) -> np.ndarray:
    """How often each draw takes each picture, (draw, picture); seeded."""
    dice = np.random.default_rng(0)
    draws = DRAWS if pictures <= _MANY else DRAWS // 4  # the table of counts must fit into memory
    rows = dice.integers(0, max(pictures, 1), (draws, pictures))
    return np.stack([np.bincount(row, minlength=pictures) for row in rows]).astype(np.float64)


def interval(spread: np.ndarray, there: np.ndarray) -> tuple[float, float] | None:
    """What holds 95 % of the draws; None for too few pictures that are `there`."""
    if there.sum() < _FEW or not np.isfinite(spread).any():
        return None
    low, high = np.nanpercentile(spread, (2.5, 97.5))
    return float(low), float(high)


def wins(scores: Scores, methods: Sequence[str]) -> np.ndarray:
    """The share of pictures on which the row's method beats the column's; ties are half a win."""
    rows = np.stack([scores.row(m) for m in methods]) * scores.sign
    ahead = _ahead(rows[:, None], rows[None])
    np.einsum("iip->ip", ahead)[:] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a pair that never met has no share
        return np.nanmean(ahead, 2)


def _ahead(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 where `a` is larger, 0 where `b` is, a half where they are equal but for rounding."""
    gap = a - b
    level = np.abs(gap) <= EQUAL * np.maximum(np.abs(a), np.abs(b))
    return np.where(np.isfinite(gap), 0.5 + 0.5 * np.sign(np.where(level, 0, gap)), np.nan)


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranking:
    """Which method wins most often? methods: those that met another one, by falling shares: wins
    over all their pairs, pictures and metrics. lead: of the first over the second, in shares.
    """

    methods: tuple[str, ...]
    shares: tuple[Level, ...]
    lead: Level
    first: tuple[float, ...]  # how often each comes first when pictures are drawn again


def ranking(scores: Sequence[Scores], methods: Sequence[str]) -> Ranking | None:
    """The ranking by wins, or None where fewer than two methods have numbers."""
    if len(methods) < 2 or not scores:
        return None
    parts = []
    for each in scores:
        rows = np.stack([each.row(m) for m in methods]) * each.sign
        ahead = _ahead(rows[:, None], rows[None])
        np.einsum("iip->ip", ahead)[:] = np.nan
        parts.append(ahead)
    whole = np.stack(parts)  # (metric, method, other, picture)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        by_picture = np.nanmean(whole, axis=(0, 2))  # (method, picture)
    met = np.isfinite(by_picture).any(1)
    if met.sum() < 2:
        return None
    methods = [m for m, known in zip(methods, met, strict=True) if known]
    by_picture = by_picture[met]
    there = np.isfinite(by_picture)
    draws = drawn(by_picture.shape[1])
    held = np.where(there, by_picture, 0.0)
    with np.errstate(invalid="ignore"):
        spread = (draws @ held.T) / (draws @ there.T)
        share = held.sum(1) / there.sum(1)
    order = np.argsort(-np.nan_to_num(share, nan=-1), kind="stable")
    best = np.bincount(np.nan_to_num(spread, nan=-1).argmax(1), minlength=len(methods)) / len(draws)
    a, b = order[0], order[1]
    both = there[a] & there[b]
    return Ranking(
        methods=tuple(str(methods[k]) for k in order),
        shares=tuple(
            Level(
                value=float(share[k]),
                interval=interval(spread[:, k], there[k]),
                count=int(there[k].sum()),
            )
            for k in order
        ),
        lead=Level(
            value=float(share[a] - share[b]),
            interval=interval(spread[:, a] - spread[:, b], both),
            count=int(both.sum()),
        ),
        first=tuple(float(best[k]) for k in order),
    )


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Kendall's tau-b between two orders of the methods; NaN where one of them is all ties."""
    there = np.isfinite(one) & np.isfinite(other)
    a, b = (np.sign(np.subtract.outer(v[there], v[there])) for v in (one, other))
    untied = float(np.sqrt(np.abs(a).sum() * np.abs(b).sum()))
    return float((a * b).sum()) / untied if untied else float("nan")
