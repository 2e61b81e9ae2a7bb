"""The graph below some sets: what is left when patches are taken away, one by one.

Equal sets are one node, however they are reached, so it is a directed acyclic graph and no tree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ._patches import indices
from ._search import Measure


@dataclass(frozen=True, kw_only=True)
class LatticeLimits:
    """How far the graph goes down.

    floor: only sets with a higher value are taken apart. children: for each set, only so many
    removals: those that cost most, and the one that costs least, by which the graph goes on; None
    for all. nodes: no set is taken apart once there are so
    many.
    """

    floor: float
    children: int | None
    nodes: int


def lattice(
    measure: Measure, roots: Sequence[int], columns: int, reach: LatticeLimits
) -> dict[str, list[dict[str, Any]]]:
    """`nodes` (cells, confidence, root) and `edges` (from, to, removed) as plain data."""
    known = {s: k for k, s in enumerate(dict.fromkeys(roots))}
    edges: list[dict[str, Any]] = []
    frontier = list(known)
    while frontier:
        values = dict(zip(frontier, measure(frontier), strict=True))
        apart = [s for s in frontier if values[s] > reach.floor]
        below = {s: [(s & ~(1 << p), p) for p in indices(s)] for s in apart}
        measure([each for parts in below.values() for each, _ in parts])
        frontier = []
        for held, parts in below.items():
            if len(known) >= reach.nodes:
                break
            for each, patch in _kept_nodes(measure, parts, reach.children):
                if each not in known:
                    known[each] = len(known)
                    frontier.append(each)
                removed = list(divmod(patch, columns))
                edges.append({"from": known[held], "to": known[each], "removed": removed})
    values = measure(list(known))
    nodes = [
        {
            "cells": [list(divmod(i, columns)) for i in indices(s)],
            "confidence": value,
            "root": k < len(set(roots)),
        }
        for (s, k), value in zip(known.items(), values, strict=True)
    ]
    return {"nodes": nodes, "edges": edges}


def _kept_nodes(
    measure: Measure, parts: Sequence[tuple[int, int]], children: int | None
) -> list[tuple[int, int]]:
    """The removals that are drawn, the costliest first."""
    ranked = sorted(parts, key=lambda part: measure([part[0]])[0])
    if children is None or len(ranked) <= children:
        return ranked
    return [*ranked[: children - 1], ranked[-1]]
