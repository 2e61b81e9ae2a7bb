"""Which methods to use on a kind of network, by a rule over the outcomes of its contests.

The rule: of the methods of this library that are ranked in every contest of that kind of network
and in none of them significantly worse than a baseline, those with the highest mean share of wins.
Methods that are equal in all of these contests count once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ... import registry
from .ranking import BenchmarkRanking
from .run import BenchmarkResult

FAMILIES = {"cnn": "a CNN", "transformer": "a transformer"}


@dataclass(frozen=True, kw_only=True)
class Recommended:
    """A method that the rule chooses. share: mean share of wins over the contests. passes: mean
    over the contests. equal: methods that are the same in all of them."""

    name: str
    share: float
    passes: float
    equal: tuple[str, ...] = ()


def recommended(
    contests: Sequence[tuple[BenchmarkResult, BenchmarkRanking]], family: str, count: int = 3
) -> list[Recommended]:
    """The first `count` methods for networks of that family; fewer where fewer pass the rule."""
    mine = [(o, s) for o, s in contests if o.family == family]
    if not mine:
        return []
    shares = [{p.name: p.share.value for p in s.places if not p.blind} for _, s in mine]
    passed = [
        name
        for name in shares[0]
        if not registry.written_elsewhere("explainer", name)
        and all(name in each for each in shares)
        and not any(_beaten(name, s) for _, s in mine)
    ]
    passed.sort(key=lambda name: -float(np.mean([each[name] for each in shares])))
    found: list[Recommended] = []
    taken: set[str] = set()
    for name in passed:
        if name in taken:
            continue
        equal = [n for n in passed if n != name and all(_same(name, n, s) for _, s in mine)]
        taken |= {name, *equal}
        costs = [o.costs[name].passes for o, _ in mine if name in o.costs]
        found.append(
            Recommended(
                name=name,
                share=float(np.mean([each[name] for each in shares])),
                passes=float(np.mean(costs)) if costs else float("nan"),
                equal=tuple(equal),
            )
        )
    return found[:count]


def _beaten(name: str, found: BenchmarkRanking) -> bool:
    """Whether a baseline is significantly better in the whole order."""
    return any(
        d.one == name and d.word == "worse" for leads in found.against.values() for d in leads
    )


def _same(one: str, other: str, found: BenchmarkRanking) -> bool:
    return any(one in group and other in group for group in found.equal)
