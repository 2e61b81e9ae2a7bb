"""The order of a contest, baselines in their places, and what the numbers allow to say of it.

A map's share is how often it wins: over the other rows of the table, the metrics that rank and the
pictures that all rows have; a tie is half a win, and methods that are equal here are one opponent.
Pictures are the unit. Methods with fewer pictures stand apart: their rank is that on their own
pictures, among all that have these.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ...errors import NotExplainable
from ...metric import Case, Metric
from ...stats.intervals import significant_pairs
from ...stats.ranks import ranks
from ..comparison import (
    Difference,
    Level,
    Scores,
    comparable,
    corrected,
    equal_methods,
    measured,
    win_shares,
)


@dataclass(frozen=True, kw_only=True)
class Wins(Metric):
    """Which share of its comparisons does a map win on a picture? 0.5 is no better than the rest.

    Do not trust it across tables: it depends on who else takes part.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)

    def score(self, case: Case) -> Float[Tensor, " batch"]:
        raise NotExplainable("wins are counted over a whole table, not on one case.")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A row of the leaderboard. rank: 1 is first, of `of` rows; equal rows share one. pictures: on
    which it is ranked. levels: by metric, on all pictures that it has.
    """

    rank: int
    of: int
    name: str
    blind: bool
    share: Level
    pictures: int
    levels: Mapping[str, Level] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BenchmarkRanking:
    """The rows in order, and what is certain of it.

    places: those on common pictures. apart: methods with fewer pictures. equal: methods that are
    equal on this contest, which count as one. level_with_first: methods that are not significantly
    worse than the first. against: null -> each method's lead over it in the whole order, the worst
    first. by_metric: metric -> the same for its numbers.
    """

    places: Sequence[Place]
    apart: Sequence[Place]
    equal: Sequence[Sequence[str]]
    level_with_first: Sequence[str]
    against: Mapping[str, Sequence[Difference]]
    by_metric: Mapping[str, Mapping[str, Sequence[Difference]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Order:
    """The shares of rows on common pictures. groups: of equal rows, which share one."""

    shares: Scores
    groups: Sequence[Sequence[str]]

    @property
    def places(self) -> list[tuple[int, str, Level]]:
        """Rank, name and share of each row, the first one first."""
        names = [name for group in self.groups for name in group]
        levels = [self.shares.level(name) for name in names]
        rows = zip(ranks([level.value for level in levels]), names, levels, strict=True)
        return sorted(rows, key=lambda row: row[0])


def benchmark_ranking(
    scores: Sequence[Scores], nulls: Sequence[str], sanity: Sequence[Scores] = ()
) -> BenchmarkRanking:
    """The order of the columns, which all `scores` share, by how often they win."""
    methods = [c for c in scores[0].columns if c not in nulls]
    ranked, common, fewer = comparable(scores, methods)
    if not ranked:  # no method has a number
        common = np.any([np.isfinite(s.values).any(0) for s in scores], 0)
    main = _order(scores, ranked, nulls, common)
    levels = {s.label: s for s in (*scores, *sanity)}

    def place(order: _Order, row: tuple[int, str, Level], pictures: int) -> Place:
        rank, name, share = row
        return Place(
            rank=rank,
            of=len(order.shares.columns),
            name=name,
            blind=name in nulls,
            share=share,
            pictures=pictures,
            levels={label: s.level(name) for label, s in levels.items()},
        )

    apart, orders = [], {name: main for name in ranked if name in main.shares.columns}
    for pictures, names in _by_pictures(scores, fewer):
        order = _order(scores, [*ranked, *names], nulls, pictures)
        orders |= {name: order for name in names if name in order.shares.columns}
        apart += [place(order, row, int(pictures.sum())) for row in order.places if row[1] in names]
    there = [n for n in nulls if n in main.shares.columns]
    return BenchmarkRanking(
        places=[place(main, row, int(common.sum())) for row in main.places],
        apart=sorted(apart, key=lambda p: p.rank / p.of),
        equal=[g for g in main.groups if len(g) > 1],
        level_with_first=_level_with_first(main, nulls),
        against=_leads(there, lambda null: [orders[m].shares.difference(m, null) for m in orders]),
        by_metric=_metric_leads(scores, methods, there),
    )


def _order(
    scores: Sequence[Scores], methods: Sequence[str], nulls: Sequence[str], pictures: np.ndarray
) -> _Order:
    """The shares of methods and nulls on some pictures (picture,) bool."""
    chosen = [s.of_pictures(pictures) for s in scores]
    every = [*equal_methods(chosen, methods), *((n,) for n in nulls if n in scores[0].columns)]
    groups, shares = win_shares(chosen, every)
    values = [row for group, row in zip(groups, shares, strict=True) for _ in group]
    columns = [name for g in groups for name in g]
    held = np.array(values).reshape(len(columns), int(pictures.sum()))
    return _Order(
        shares=Scores(label="wins", metric=Wins(), columns=columns, values=held), groups=groups
    )


def _by_pictures(
    scores: Sequence[Scores], methods: Mapping[str, int]
) -> list[tuple[np.ndarray, list[str]]]:
    """The methods by the pictures that they have, (picture,) bool."""
    found: dict[bytes, tuple[np.ndarray, list[str]]] = {}
    for method in methods:
        there = measured(scores, method)
        found.setdefault(there.tobytes(), (there, []))[1].append(method)
    return list(found.values())


def _level_with_first(order: _Order, nulls: Sequence[str]) -> list[str]:
    """The methods that are not significantly worse than the first, those equal to it included."""
    groups = [g for g in order.groups if g[0] not in nulls]
    if not groups:
        return []
    rows = np.stack([order.shares.row(g[0]) for g in groups])
    apart = significant_pairs(rows)
    means = np.nanmean(rows, 1)
    first = int(np.argmax(means))
    level = [k for k in np.argsort(-means, kind="stable") if not apart[first, k]]
    return [name for k in level for name in groups[k]][1:]


def _metric_leads(
    scores: Sequence[Scores], methods: Sequence[str], nulls: Sequence[str]
) -> dict[str, dict[str, list[Difference]]]:
    """Each method's lead over each null by each metric; all of them are one group of
    comparisons."""
    every = [s.difference(m, null) for s in scores for null in nulls for m in methods]
    found: dict[str, dict[str, list[Difference]]] = {
        s.label: {null: [] for null in nulls} for s in scores
    }
    for d in corrected(d for d in every if d.count):
        found[d.metric][d.other].append(d)
    for leads in found.values():
        for each in leads.values():
            each.sort(key=lambda d: d.value)
    return found


def _leads(nulls: Sequence[str], over) -> dict[str, list[Difference]]:
    """Leads over each null, the worst first; all of them are one group of comparisons. over: null
    -> the differences."""
    found: dict[str, list[Difference]] = {null: [] for null in nulls}
    for d in corrected(d for null in nulls for d in over(null) if d.count):
        found[d.other].append(d)
    return {null: sorted(leads, key=lambda d: d.value) for null, leads in found.items()}
