"""Methods compared by their numbers: means, intervals, differences and the ranking by wins.

Pictures are the unit. Differences are of pairs on the same pictures. The room `stats` says how
intervals, ties and wins are made.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch

from ..metric import Metric
from ..stats import ties, wins
from ..stats.intervals import FEWEST, mean_interval, p_values, significant, significant_pairs
from ..stats.ranks import covered
from ..stats.resampling import pseudo_values
from .stores.rows import Curves

Word = Literal["better", "worse", "not significantly different", "too few pictures"]


@dataclass(frozen=True, kw_only=True)
class Level:
    """A number with its 95 % interval, None under eight pictures; `count` pictures had a number."""

    value: float
    interval: tuple[float, float] | None
    count: int


@dataclass(frozen=True, kw_only=True)
class Difference(Level):
    """How much better `one` is than `other` by a metric, positive for better. p: how often chance
    alone makes it so large, None under eight pictures. significant: after the correction for the
    other comparisons beside which it is shown, if any.
    """

    metric: str
    one: str
    other: str
    p: float | None = None
    significant: bool = False

    @property
    def word(self) -> Word:
        """What the numbers allow to say of `one`."""
        if self.p is None:
            return "too few pictures"
        if not self.significant:
            return "not significantly different"
        return "better" if self.value > 0 else "worse"


def corrected(differences: Iterable[Difference]) -> list[Difference]:
    """The same differences, significant as a group of comparisons allows."""
    found = list(differences)
    chosen = significant([np.nan if d.p is None else d.p for d in found])
    return [replace(d, significant=bool(c)) for d, c in zip(found, chosen, strict=True)]


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

    def better(self, columns: Sequence[str]) -> np.ndarray:
        """The numbers of these columns, more being better, (column, picture)."""
        return np.stack([self.row(column) for column in columns]) * self.sign

    def mean_curves(self) -> dict[str, np.ndarray]:
        """The mean curve (step,) of each column over the pictures that have a whole one."""
        found: dict[str, np.ndarray] = {}
        if self.curves is None:
            return found
        for k, column in enumerate(self.columns):
            own = self.curves[k]
            whole = own[np.isfinite(own).all(1)]
            if len(whole):
                found[column] = whole.mean(0)
        return found

    def of_pictures(self, chosen: np.ndarray) -> "Scores":
        """The numbers, without curves, of some pictures (picture,) bool."""
        return replace(self, values=self.values[:, chosen], curves=None)

    @cached_property
    def _plain(self) -> bool:
        return type(self.metric).summary is Metric.summary

    @cached_property
    def _known(self) -> dict[tuple[str, bytes], tuple[float, np.ndarray]]:
        """What was summed up by a metric's own rule, which is asked often: that is slow."""
        return {}

    def level(self, column: str) -> Level:
        """A column's number over all pictures."""
        there = np.isfinite(self.row(column))
        value, parts = self._summary(column, there)
        held = mean_interval(parts, self.metric.bounds) if there.sum() >= FEWEST else None
        return Level(value=value, interval=held, count=int(there.sum()))

    def difference(self, one: str, other: str) -> Difference:
        """How much better `one` is than `other` on the pictures where both have a number."""
        there = np.isfinite(self.row(one)) & np.isfinite(self.row(other))
        (a, parts_a), (b, parts_b) = self._summary(one, there), self._summary(other, there)
        gaps = self.sign * ties.differences(parts_a, parts_b)
        held = mean_interval(gaps) if there.sum() >= FEWEST else None
        p = None if held is None else float(p_values(gaps[None])[0])
        value = self.sign * (a - b)
        return Difference(
            metric=self.label,
            one=one,
            other=other,
            value=0.0 if len(gaps) and not gaps.any() else value,
            interval=held,
            count=int(there.sum()),
            p=p,
            significant=p is not None and bool(significant([p])[0]),
        )

    def _summary(self, column: str, there: np.ndarray) -> tuple[float, np.ndarray]:
        """The number over the pictures that are `there`, and parts whose mean it is."""
        if not there.any():
            return float("nan"), np.empty(0)
        if self._plain:
            values = self.row(column)[there]
            return float(values.mean()), values
        key = column, there.tobytes()
        if key not in self._known:
            self._known[key] = self._own_summary(column, there)
        return self._known[key]

    def _own_summary(self, column: str, there: np.ndarray) -> tuple[float, np.ndarray]:
        """The number by a metric's own rule, and its jackknife pseudo-values: what the number owes
        to each picture, or each group of many."""
        k, chosen = list(self.columns).index(column), np.flatnonzero(there)
        values = torch.from_numpy(self.values[k])
        curves = None if self.curves is None else torch.from_numpy(self.curves[k])

        def summed(rows: np.ndarray) -> float:
            kept = torch.from_numpy(rows)
            return self.metric.summary(values[kept], None if curves is None else curves[kept])

        return pseudo_values(len(chosen), lambda which: float(summed(chosen[which])))


def equal_methods(scores: Sequence[Scores], methods: Sequence[str]) -> list[tuple[str, ...]]:
    """The methods in groups: those whose numbers are equal by all metrics on all pictures stand
    together, the others alone."""
    if not methods:
        return []
    groups = ties.equal_groups([each.better(methods) for each in scores])
    return [tuple(methods[k] for k in group) for group in groups]


def win_shares(
    scores: Sequence[Scores], groups: Sequence[Sequence[str]]
) -> tuple[list[Sequence[str]], np.ndarray]:
    """The groups that met another one, and the share of its comparisons that each wins on each
    picture, over all metrics, (group, picture): each group of equal methods is one opponent."""
    found = wins.shares([each.better([group[0] for group in groups]) for each in scores])
    met = np.asarray(np.isfinite(found).any(1))
    return [group for group, known in zip(groups, met, strict=True) if known], found[met]


def comparable(
    scores: Sequence[Scores], methods: Sequence[str]
) -> tuple[list[str], np.ndarray, dict[str, int]]:
    """The methods that can be ranked together, the pictures that all of these have (picture,) bool,
    and how many pictures the other methods have."""
    if not methods:
        return [], np.zeros(0, dtype=bool), {}
    there = np.stack([measured(scores, method) for method in methods])
    rows, common = covered(there)
    counts = zip(methods, there.sum(1).tolist(), strict=True)
    ranked = [methods[k] for k in rows]
    return ranked, common, {m: c for m, c in counts if c and m not in ranked}


def measured(scores: Sequence[Scores], method: str) -> np.ndarray:
    """Which pictures a method has a number for, (picture,) bool."""
    return np.any([np.isfinite(each.row(method)) for each in scores], 0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranking:
    """Which method wins most often? methods: those that met another one, by falling shares: wins
    over all their pairs, common pictures and metrics. lead: of the first over the next that is not
    equal to it, in shares. groups: methods that are equal here, counted once. apart: methods with
    fewer pictures, which are not ranked, and how many they have.
    """

    methods: tuple[str, ...]
    shares: tuple[Level, ...]
    lead: Difference
    first: tuple[float, ...]  # how often each comes first when pictures are drawn again
    groups: tuple[tuple[str, ...], ...] = ()
    apart: tuple[tuple[str, int], ...] = ()

    @property
    def rival(self) -> str:
        """The method over which the first one leads."""
        return self.lead.other


def ranking(scores: Sequence[Scores], methods: Sequence[str]) -> Ranking | None:
    """The ranking by wins, or None where fewer than two methods have numbers."""
    if len(methods) < 2 or not scores:
        return None
    ranked, common, apart = comparable(scores, methods)
    if len(ranked) < 2:
        return None
    chosen = [s.of_pictures(common) for s in scores]
    equal_ones = equal_methods(chosen, ranked)
    groups, by_picture = win_shares(chosen, equal_ones)
    if len(groups) < 2:  # all that meet are equal: they share the wins
        groups, by_picture = win_shares(chosen, [(method,) for method in ranked])
    if len(groups) < 2:
        return None
    share = np.nanmean(by_picture, 1)
    order = np.argsort(-share, kind="stable")
    best, second = order[:2]
    gaps = by_picture[best] - by_picture[second]
    count = int(np.isfinite(gaps).sum())
    lead = Difference(
        metric="wins",
        one=groups[best][0],
        other=groups[second][0],
        value=float(share[best] - share[second]),
        interval=mean_interval(gaps),
        count=count,
        p=float(p_values(gaps[None])[0]) if count >= FEWEST else None,
        significant=bool(significant_pairs(by_picture)[best, second]),
    )
    levels = [_share(row) for row in by_picture]
    firsts = wins.firsts(by_picture)
    listed = [(k, method) for k in order for method in groups[k]]
    return Ranking(
        methods=tuple(method for _, method in listed),
        shares=tuple(levels[k] for k, _ in listed),
        lead=lead,
        first=tuple(float(firsts[k]) for k, _ in listed),
        groups=tuple(group for group in equal_ones if len(group) > 1),
        apart=tuple(apart.items()),
    )


def _share(row: np.ndarray) -> Level:
    return Level(
        value=float(np.nanmean(row)),
        interval=mean_interval(row, (0.0, 1.0)),
        count=int(np.isfinite(row).sum()),
    )
