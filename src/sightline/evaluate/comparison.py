"""How do the methods stand, and how sure is that? Means, intervals, differences, wins.

Pictures are the unit. Differences are of pairs on the same pictures; numbers that differ by what
another batch size can make are equal, here and everywhere. `intervals` says how intervals and
verdicts are made.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch

from ..metric import Metric
from ..stats.intervals import FEWEST, mean_interval, p_values, significant
from .stores.rows import Curves

DRAWS = 2000
EQUAL = 1e-5  # in parts of the larger number: what another batch size can make
_MANY = 5000  # pictures
_GROUPS = 200  # of pictures that are left out together, for metrics with a rule of their own
_RANKED = 0.9  # of the pictures of the best covered method: with less a method stands apart
_TABLE = 2**20  # numbers of one part of a table of draws

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


def equal(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether numbers are the same but for rounding; False where one is NaN."""
    return np.abs(a - b) <= EQUAL * np.maximum(np.abs(a), np.abs(b))


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
        gaps = self.sign * np.where(equal(parts_a, parts_b), 0.0, parts_a - parts_b)
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

        whole, groups = float(summed(chosen)), min(len(chosen), _GROUPS)
        if groups < FEWEST:
            return whole, np.full(groups, whole)
        group = np.arange(len(chosen)) % groups
        without = np.array([summed(chosen[group != g]) for g in range(groups)])
        parts = groups * whole - (groups - 1) * without
        return whole, parts - parts.mean() + whole


def draws_of(pictures: int) -> Iterator[np.ndarray]:
    """How often each draw takes each picture, (draw, picture), in parts that fit into memory;
    seeded."""
    rng = np.random.default_rng(0)
    left = DRAWS if pictures <= _MANY else DRAWS // 4
    step = max(1, _TABLE // max(pictures, 1))
    while left > 0:
        rows = rng.integers(0, max(pictures, 1), (min(step, left), pictures))
        yield np.stack([np.bincount(row, minlength=pictures) for row in rows]).astype(np.float64)
        left -= step


def percentiles(spread: np.ndarray, count: int) -> tuple[float, float] | None:
    """What holds 95 % of the draws; None for too few pictures."""
    if count < FEWEST or not np.isfinite(spread).any():
        return None
    low, high = np.nanpercentile(spread, (2.5, 97.5))
    return float(low), float(high)


def wins(scores: Scores, methods: Sequence[str]) -> np.ndarray:
    """The share of pictures on which the row's method beats the column's; ties are half a win."""
    rows = np.stack([scores.row(m) for m in methods]) * scores.sign
    found = np.full((len(methods), len(methods)), np.nan)
    for i, row in enumerate(rows):
        ahead = _ahead(row[None], rows)
        met = np.asarray(np.isfinite(ahead).any(1))
        met[i] = False
        found[i, met] = np.nanmean(ahead[met], 1) if met.any() else np.nan
    return found


def _ahead(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 where `a` is larger, 0 where `b` is, a half where they are equal but for rounding."""
    gap = a - b
    return np.where(np.isfinite(gap), 0.5 + 0.5 * np.sign(np.where(equal(a, b), 0, gap)), np.nan)


def same(scores: Sequence[Scores], methods: Sequence[str]) -> list[tuple[str, ...]]:
    """The methods in groups: those whose numbers are equal by all metrics on all pictures stand
    together, the others alone."""
    groups: list[list[str]] = []
    for method in methods:
        known = any(np.isfinite(s.row(method)).any() for s in scores)
        for group in groups if known else ():
            if all(_alike(s.row(method), s.row(group[0])) for s in scores):
                group.append(method)
                break
        else:
            groups.append([method])
    return [tuple(group) for group in groups]


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((equal(a, b) | (np.isnan(a) & np.isnan(b))).all())


def win_shares(scores: Sequence[Scores], groups: Sequence[Sequence[str]]) -> np.ndarray:
    """The share of its comparisons that each group wins on each picture, over all metrics, (group,
    picture): each group of equal methods is one opponent. NaN where it met no other."""
    shape = (len(groups), scores[0].values.shape[1])
    won, met = np.zeros(shape), np.zeros(shape)
    for each in scores:
        rows = np.stack([each.row(group[0]) for group in groups]) * each.sign
        for i, row in enumerate(rows):
            ahead = _ahead(row[None], rows)
            ahead[i] = np.nan
            won[i] += np.nansum(ahead, 0)
            met[i] += np.isfinite(ahead).sum(0)
    with np.errstate(invalid="ignore"):
        return np.round(won / met, 12)  # equal shares must not differ by the order of a sum


def comparable(
    scores: Sequence[Scores], methods: Sequence[str]
) -> tuple[list[str], np.ndarray, dict[str, int]]:
    """The methods that can be ranked together, the pictures that all of these have (picture,) bool,
    and how many pictures the other methods have."""
    there = {m: np.any([np.isfinite(s.row(m)) for s in scores], 0) for m in methods}
    counts = {m: int(there[m].sum()) for m in methods}
    most = max(counts.values(), default=0)
    ranked = [m for m in methods if most and counts[m] >= _RANKED * most]
    while True:
        common = np.all([there[m] for m in ranked], 0) if ranked else np.zeros(0, dtype=bool)
        if len(ranked) < 2 or common.sum() >= (2 * _RANKED - 1) * most:
            break
        ranked.remove(min(ranked, key=lambda m: counts[m]))
    return ranked, common, {m: c for m, c in counts.items() if c and m not in ranked}


def pairs_significant(shares: np.ndarray) -> np.ndarray:
    """Which pairs of rows differ significantly, (row, row) bool, all pairs being one group of
    comparisons: who is first was not known before. shares: (row, picture)."""
    size = len(shares)
    p = np.full((size, size), np.nan)
    for i in range(size - 1):
        p[i, i + 1 :] = p_values(shares[i] - shares[i + 1 :])
    found = significant(p.ravel()).reshape(p.shape)
    return found | found.T


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
    equal_ones = same(chosen, ranked)
    groups, by_picture = equal_ones, win_shares(chosen, equal_ones)
    if np.isfinite(by_picture).any(1).sum() < 2:  # all that meet are equal: they share the wins
        groups = [(method,) for method in ranked]
        by_picture = win_shares(chosen, groups)
    met = np.asarray(np.isfinite(by_picture).any(1))
    if met.sum() < 2:
        return None
    groups, by_picture = [g for g, known in zip(groups, met, strict=True) if known], by_picture[met]
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
        significant=bool(pairs_significant(by_picture)[best, second]),
    )
    levels = [_share(row) for row in by_picture]
    firsts = _firsts(by_picture)
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


def _firsts(by_picture: np.ndarray) -> np.ndarray:
    """How often each row comes first when pictures are drawn again, (row,)."""
    there = np.isfinite(by_picture)
    held, won, draws = np.where(there, by_picture, 0.0), np.zeros(len(by_picture)), 0
    for part in draws_of(by_picture.shape[1]):
        with np.errstate(invalid="ignore"):
            spread = (part @ held.T) / (part @ there.T)
        best = np.nan_to_num(spread, nan=-1).argmax(1)
        won += np.bincount(best, minlength=len(won))
        draws += len(part)
    return won / draws


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Kendall's tau-b between two orders of the methods; NaN where one of them is all ties."""
    there = np.isfinite(one) & np.isfinite(other)
    a, b = (gap_signs(v[there]) for v in (one, other))
    untied = float(np.sqrt(np.abs(a).sum() * np.abs(b).sum()))
    return float((a * b).sum()) / untied if untied else float("nan")


def gap_signs(values: np.ndarray) -> np.ndarray:
    """1 where the row's number is larger than the column's, -1 where it is less, 0 where they are
    equal but for rounding: (..., method, method) of `values` (..., method)."""
    a, b = values[..., :, None], values[..., None, :]
    return np.where(equal(a, b), 0.0, np.sign(a - b))
