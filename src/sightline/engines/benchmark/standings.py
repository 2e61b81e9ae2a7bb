"""The order of a contest, null maps in their places, and what the intervals allow to say of it.

A map's share is how often it wins: over the other rows of the table, the metrics that rank and the
pictures that both have; a tie is half a win. Pictures are the unit, as in `standing`.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from torch import Tensor

from ...errors import NotExplainable
from ...metric import Case, Metric
from ..standing import Difference, Level, Scores


@dataclass(frozen=True, kw_only=True)
class Wins(Metric):
    """Which share of its comparisons does a map win on a picture? 0.5 is no better than the rest.

    Do not trust it across tables: it depends on who else takes part.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "higher"

    def score(self, case: Case) -> Tensor:
        raise NotExplainable("wins are counted over a whole table, not on one case.")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A row of the leaderboard. rank: 1 is first; levels: by metric."""

    rank: int
    name: str
    blind: bool
    share: Level
    levels: Mapping[str, Level] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Standings:
    """The rows in order, and what is certain of it. level_with_first: methods that cannot be told
    from the first. against: null -> each method's lead over it in the whole order, the worst first.
    by_metric: metric -> the same for its numbers.
    """

    places: Sequence[Place]
    level_with_first: Sequence[str]
    against: Mapping[str, Sequence[Difference]]
    by_metric: Mapping[str, Mapping[str, Sequence[Difference]]]


def standings(
    scores: Sequence[Scores], nulls: Sequence[str], sanity: Sequence[Scores] = ()
) -> Standings:
    """The order of the columns, which all `scores` share, by how often they win."""
    shares = win_shares(scores)
    columns = [c for c in shares.columns if np.isfinite(shares.row(c)).any()]
    levels = {c: shares.level(c) for c in columns}
    order = sorted(columns, key=lambda c: -levels[c].value)
    methods, there = [c for c in order if c not in nulls], [n for n in nulls if n in order]
    places = [
        Place(
            rank=rank,
            name=name,
            blind=name in nulls,
            share=levels[name],
            levels={s.label: s.level(name) for s in (*scores, *sanity)},
        )
        for rank, name in enumerate(order, 1)
    ]
    return Standings(
        places=places,
        level_with_first=[
            m for m in methods[1:] if shares.difference(methods[0], m).word != "beats"
        ],
        against={null: _leads(shares, methods, null) for null in there},
        by_metric={s.label: {null: _leads(s, methods, null) for null in there} for s in scores},
    )


def _leads(scores: Scores, methods: Sequence[str], null: str) -> list[Difference]:
    """Each method's lead over a null where both have numbers, the worst first."""
    found = [scores.difference(method, null) for method in methods]
    return sorted((d for d in found if d.count), key=lambda d: d.value)


def win_shares(scores: Sequence[Scores]) -> Scores:
    """Each column's share of wins on each picture, as a metric of its own."""
    columns = scores[0].columns
    parts = []
    for each in scores:
        rows = each.values * each.sign
        ahead = 0.5 + 0.5 * np.sign(rows[:, None] - rows[None])  # NaN where either has no number
        np.einsum("iip->ip", ahead)[:] = np.nan
        parts.append(ahead)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # who met no one has no share
        shares = np.nanmean(np.stack(parts), axis=(0, 2))
    shares = np.round(shares, 12)  # equal maps must not differ by the order of a sum
    return Scores(label="wins", metric=Wins(), columns=columns, values=shares)
