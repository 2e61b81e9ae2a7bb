"""Beam search for minimal sets of patches that are enough, whatever "enough" means.

A set is an integer of bits (see `_patches`). Every set is measured once, new ones together; equal
sets that are reached in two ways are one. Ties go to what was found first, and that follows the
ranking of the patches.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ._patches import indices

Measure = Callable[[Sequence[int]], list[float]]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How far to search.

    beam: sets kept per size. successors: patches tried after each. tried: how many of these are
    measured, None for all. ways: how many other ways down are followed when sets are reduced,
    besides the best one of each. roots, size: the most minimal sets, and patches in a set.
    patience: go on for so many sizes after the last new set, None for as long as there are sizes.
    """

    beam: int
    successors: int
    ways: int
    roots: int
    size: int
    tried: int | None = None
    patience: int | None = None


@dataclass(kw_only=True, eq=False)
class SearchResult:
    """The minimal sets in the order of their finding; the best set of all (also where none is
    enough); how many sets tied with the last one that the beam kept; whether a bound ended it.
    """

    minimal: list[int] = field(default_factory=list)
    best: int = 0
    tied: int = 0
    full: bool = False


def search(measure: Measure, order: Sequence[int], bounds: Bounds, level: float) -> SearchResult:
    """The minimal sets with a value of at least `level`, grown patch by patch from nothing."""
    found = SearchResult()
    values = {0: measure([0])[0]}
    beam, idle = [0], 0
    if values[0] >= level:
        found.minimal.append(0)
        return found
    for _ in range(bounds.size):
        fresh = _successors(beam, order, bounds, values)
        if not fresh:
            break
        values |= dict(zip(fresh, measure(fresh), strict=True))
        enough = sorted((s for s in fresh if values[s] >= level), key=lambda s: -values[s])
        enough = [s for s in enough if not _holds(s, found.minimal)]
        before = len(found.minimal)
        _reduce_all(measure, enough, bounds, level, found)
        rest = sorted((s for s in fresh if values[s] < level), key=lambda s: -values[s])
        beam = rest[: bounds.beam]
        if rest and (not found.best or values[rest[0]] > values[found.best]):
            found.best = rest[0]
        if len(rest) > len(beam):
            found.tied += sum(values[s] == values[beam[-1]] for s in rest[bounds.beam :])
        idle = 0 if len(found.minimal) > before or not found.minimal else idle + 1
        found.full = len(found.minimal) >= bounds.roots
        tired = bounds.patience is not None and found.minimal and idle >= bounds.patience
        if not beam or found.full or tired:
            break
    if found.minimal:
        found.best = max(found.minimal, key=lambda s: measure([s])[0])
    return found


def _successors(
    beam: Sequence[int], order: Sequence[int], bounds: Bounds, values: dict[int, float]
) -> list[int]:
    """The sets of the beam with one more patch of the best-ranked ones that they lack."""
    fresh: dict[int, None] = {}
    for held in beam:
        free = [p for p in order if not held >> p & 1][: bounds.successors]
        if bounds.tried is not None:
            free = sorted(free, key=lambda p, held=held: -_hope(held, p, values))[: bounds.tried]
        fresh |= {held | 1 << p: None for p in free}
    return list(fresh)


def _hope(held: int, patch: int, values: dict[int, float]) -> float:
    """What the patch added when it was last added to a subset with one patch less; endless where
    that was never measured."""
    gains = [
        values[smaller | 1 << patch] - values[smaller]
        for smaller in (held & ~(1 << p) for p in indices(held))
        if smaller in values and smaller | 1 << patch in values
    ]
    return max(gains, default=float("inf"))


def _holds(held: int, sets: Sequence[int]) -> bool:
    return any(held & each == each for each in sets)


def _reduce_all(
    measure: Measure, enough: Sequence[int], bounds: Bounds, level: float, found: SearchResult
) -> None:
    """Reduces the sets that are enough, a beam at a time, and keeps what is new. A set that holds a
    minimal one is none, and is not looked into again."""
    waiting = list(enough)
    while waiting and len(found.minimal) < bounds.roots:
        part, waiting = waiting[: bounds.beam], waiting[bounds.beam :]
        for each in reduced(measure, part, level, bounds.ways):
            if each not in found.minimal and len(found.minimal) < bounds.roots:
                found.minimal.append(each)
        waiting = [s for s in waiting if not _holds(s, found.minimal)]


def reduced(measure: Measure, sets: Sequence[int], level: float, ways: int) -> list[int]:
    """Minimal sets inside these, which are enough: from each, patches are dropped until none can
    be. The best way down from each set is followed, and the `ways` best others of each size.

    Upsampled patches leak into their neighbours, so that a value may rise when a patch goes: a set
    is minimal only when all its patches were tried again after the last one went.
    """
    minimal: list[int] = []
    frontier = list(dict.fromkeys(sets))
    while frontier:
        below = {s: [s & ~(1 << p) for p in indices(s)] for s in frontier}
        every = list(dict.fromkeys(each for part in below.values() for each in part))
        values = dict(zip(every, measure(every), strict=True))
        best: dict[int, None] = {}
        others: dict[int, None] = {}
        for held, parts in below.items():
            good = sorted((s for s in parts if values[s] >= level), key=lambda s: -values[s])
            if not good and held not in minimal:
                minimal.append(held)
            best |= dict.fromkeys(good[:1])
            others |= dict.fromkeys(good[1:])
        rest = sorted((s for s in others if s not in best), key=lambda s: -values[s])
        frontier = [*best, *rest[:ways]]
    return minimal
