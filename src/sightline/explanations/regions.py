"""Regions: which patches of a picture are sufficient, which are necessary, and how the score falls
without them.

Project definitions: a set of patches *destroys* the class when the picture without it keeps less
than the lower threshold of the whole picture's score; necessary and sufficient sets *agree* where
the necessary set shares a patch with every minimal sufficient set. For a score that never falls
when a patch is added they must: a sufficient set left untouched would have kept the class.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import networkx as nx

from ..errors import NotExplainable, ShapeError
from ..explanation import Explanation

Cell = tuple[int, int]
Cells = tuple[Cell, ...]
_UNKNOWN: dict[str, Any] = {
    "confidences": (),
    "necessary": None,
    "remaining": None,
    "links": {"nodes": [], "edges": []},
    "outcome": "",
    "notes": (),
    "evaluations": 0,
}


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Regions(Explanation):
    """Which combinations of patches are sufficient? Sets of cells (row, col) of a grid over the
    picture.

    minimal and necessary hold sets of cells, frozensets of (row, col). grid: rows and columns of
    cells, over the model's input frame. thresholds: the shares of the
    whole picture's score that a sufficient set keeps at least, and below which the class is
    destroyed. minimal: for each image the minimal sufficient sets, best first; confidences: the
    share that each keeps. necessary: the smallest set found whose removal destroys the class, None
    where none was found; remaining: the share that is left without it. links: each image's graph as
    plain data; read `graphs`. outcome: `sufficient`, `none` (no set within the bounds is enough;
    the graph starts at the best one), `fill` (a picture without any patch is enough) or `refused`
    (the provenance says why). notes:
    sentences about each image's result. evaluations: pictures sent forward for each image.

    Do not trust a set as the only one: there are others in `minimal`, and the beam search may miss
    more.

    >>> found = Regions(grid=(2, 2), minimal=[[[(0, 1)], [(1, 0), (1, 1)]]])
    >>> [(1, 1) in each for each in found.minimal[0]]
    [False, True]
    """

    whole: ClassVar[tuple[str, ...]] = ("grid", "thresholds")

    grid: Sequence[int]
    minimal: Sequence[Sequence[Collection[Sequence[int]]]]
    thresholds: Sequence[float] = (0.9, 0.4)
    confidences: Sequence[Sequence[float]] = ()
    necessary: Sequence[Collection[Sequence[int]] | None] = ()
    remaining: Sequence[float | None] = ()
    links: Sequence[Mapping[str, Any]] = ()  # Any: JSON of a graph
    outcome: Sequence[str] = ()
    notes: Sequence[Sequence[str]] = ()
    evaluations: Sequence[int] = field(default=())

    def __post_init__(self) -> None:
        for name, empty in _UNKNOWN.items():
            if not getattr(self, name):
                object.__setattr__(self, name, [empty] * len(self.minimal))
        sets = [[frozenset(ordered(each)) for each in one] for one in self.minimal]
        needed = [None if each is None else frozenset(ordered(each)) for each in self.necessary]
        cells = [cell for one in (*sets, needed) for each in one for cell in each or ()]
        rows, cols = self.grid
        if outside := [c for c in cells if not (0 <= c[0] < rows and 0 <= c[1] < cols)]:
            raise ShapeError(f"cell {outside[0]} is not on a grid of {rows} x {cols}.")
        for name, value in (
            ("grid", (rows, cols)),
            ("thresholds", (self.thresholds[0], self.thresholds[1])),
            ("minimal", sets),
            ("necessary", needed),
        ):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.minimal)

    def _held(self) -> dict[str, Any]:
        """What the fields hold, sets as sorted tuples: the same in every file."""
        return {
            **super()._held(),
            "minimal": [[ordered(each) for each in one] for one in self.minimal],
            "necessary": [None if each is None else ordered(each) for each in self.necessary],
        }

    @cached_property
    def graphs(self) -> "list[nx.DiGraph]":
        """Each image's graph: a node is a set of cells with its `confidence` (a share of the whole
        picture's score) and `root`; an edge is "remove this patch", `removed`, with the `drop`."""
        return [_graph(link) for link in self.links]

    @property
    def graph(self) -> "nx.DiGraph":
        """The graph of the only image. Raises: ShapeError for several; `graphs` has them all."""
        if len(self) != 1:
            raise ShapeError(f"{len(self)} images have a graph each; read `graphs`.")
        return self.graphs[0]

    @property
    def agree(self) -> list[bool | None]:
        """Whether each image's necessary set shares a patch with every minimal sufficient set; None
        where one of them was not found."""
        return [
            all({*needed} & {*each} for each in sets) if sets and needed else None
            for sets, needed in zip(self.minimal, self.necessary, strict=True)
        ]

    def counts(self, overlaps: Sequence[int] = (0, 1, 2)) -> list[dict[str, Any]]:
        """For each image: how many minimal sets, their sizes, and how many of them there are at
        most that share no more than so many patches, pair by pair (`overlap 0`, ...)."""
        return [
            {
                "sets": len(sets),
                "sizes": [len(each) for each in sets],
                **{f"overlap {o}": len(diverse(sets, o)) for o in overlaps},
            }
            for sets in self.minimal
        ]

    @classmethod
    def nothing(cls, count: int, size: tuple[int, int], like: Any = None) -> "Regions":
        """No set and no graph, on one cell or on the grid of `like`; the outcome is `refused`."""
        grid, thresholds = ((1, 1), (0.9, 0.4)) if like is None else (like.grid, like.thresholds)
        outcome = ["refused"] * count
        return cls(grid=grid, thresholds=thresholds, minimal=[[]] * count, outcome=outcome)

    def refused_if_empty(self, method: str, model: str) -> "Regions":
        """The result; an image without a graph is marked as refused.

        Raises: NotExplainable where no image has one.
        """
        reason = f"{method} on {model} measured no set for this picture."
        reasons = [None if link["nodes"] else reason for link in self.links]
        if reasons and None not in reasons:
            raise NotExplainable(reason)
        return self.without(reasons)


def ordered(cells: Iterable[Sequence[int]]) -> Cells:
    """Cells as a sorted tuple of (row, col)."""
    return tuple(sorted((int(row), int(col)) for row, col in cells))


def diverse(sets: Sequence[Iterable[Sequence[int]]], overlap: int) -> list[int]:
    """The largest choice of sets that share at most `overlap` cells, pair by pair: their indices,
    the first such choice in order. Exhaustive, as the paper's depth-first search."""
    held = [frozenset(ordered(each)) for each in sets]
    fits = [
        sum(1 << j for j, b in enumerate(held) if j != i and len(a & b) <= overlap)
        for i, a in enumerate(held)
    ]
    best: list[int] = []

    def search(chosen: list[int], open_: int) -> None:
        nonlocal best
        if len(chosen) > len(best):
            best = chosen
        if len(chosen) + open_.bit_count() <= len(best):
            return
        for i in range(len(held)):
            if open_ >> i & 1:
                open_ &= ~(1 << i)
                search([*chosen, i], open_ & fits[i])
                if len(chosen) + open_.bit_count() <= len(best):
                    return

    search([], (1 << len(held)) - 1)
    return best


def _graph(link: Mapping[str, Any]) -> "nx.DiGraph":
    graph = nx.DiGraph()
    names = [ordered(node["cells"]) for node in link["nodes"]]
    for name, node in zip(names, link["nodes"], strict=True):
        graph.add_node(name, confidence=node["confidence"], root=node["root"])
    for edge in link["edges"]:
        above, below = names[edge["from"]], names[edge["to"]]
        drop = graph.nodes[above]["confidence"] - graph.nodes[below]["confidence"]
        graph.add_edge(above, below, removed=tuple(edge["removed"]), drop=drop)
    return graph
