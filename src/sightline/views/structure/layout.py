"""Where the nodes of a graph of sets stand: roots on top, what is left below, as few crossings as a
simple rule gives.

A node's layer is its longest way from a root. A layer is ordered by the middle of the parents, and
spread so that nothing overlaps; the labels of the edges are spread the same way between two layers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

_MARGIN = 12.0
_TEXT = 22.0  # below a picture
_BETWEEN = 74.0  # for the edges and their labels
_LABEL = 46.0  # from one label to the next


@dataclass(frozen=True, kw_only=True)
class Node:
    """A set of cells: its place (the left upper corner of its picture) and what was measured."""

    x: float
    y: float
    cells: tuple[tuple[int, int], ...]
    confidence: float
    root: bool


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A removal: the numbers of its nodes, the removed cell, the drop, and the label's middle.

    through: where it passes the layers between its nodes, (x, upper y, lower y) for each.
    """

    above: int
    below: int
    removed: tuple[int, int]
    drop: float
    x: float
    y: float
    through: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class GraphLayout:
    """A drawing's size, the size of the nodes' pictures, and everything in place."""

    width: float
    height: float
    picture: tuple[float, float]  # width, height
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def laid_out(link: Mapping[str, Any], aspect: float, first: int = 0) -> GraphLayout:
    """A graph as plain data, in place. aspect: width over height of the pictures. first: the root
    that stands on the left."""
    pairs = [(edge["from"], edge["to"]) for edge in link["edges"]]
    layers = _layers(len(link["nodes"]), pairs)
    layers[0].sort(key=lambda k: k != first)
    widest = max(map(len, layers))
    side = 88.0 if widest <= 7 else 72.0 if widest <= 9 else 60.0
    width, height = (side, side / aspect) if aspect >= 1 else (side * aspect, side)
    step = max(width + 20, 64.0)
    ways = _ways(layers, pairs)
    steps = [pair for way in ways for pair in pairwise(way)]
    x = _columns(layers, steps, step)
    y = {k: d * (height + _TEXT + _BETWEEN) for d, layer in enumerate(layers) for k in layer}
    labels = _labels([(way[-2], way[-1]) for way in ways], x, y)
    left = min([*x.values(), *(at for at, _ in labels.values())]) - max(width, _LABEL) / 2
    right = max([*x.values(), *(at for at, _ in labels.values())]) + max(width, _LABEL) / 2
    nodes = tuple(
        Node(
            x=x[k] - left - width / 2 + _MARGIN,
            y=y[k] + _MARGIN,
            cells=tuple((cell[0], cell[1]) for cell in node["cells"]),
            confidence=node["confidence"],
            root=node["root"],
        )
        for k, node in enumerate(link["nodes"])
    )
    edges = tuple(
        Edge(
            above=edge["from"],
            below=edge["to"],
            removed=(edge["removed"][0], edge["removed"][1]),
            drop=nodes[edge["from"]].confidence - nodes[edge["to"]].confidence,
            x=labels[i][0] - left + _MARGIN,
            y=labels[i][1] + _MARGIN,
            through=tuple(
                (x[k] - left + _MARGIN, y[k] + _MARGIN, y[k] + height + _TEXT + _MARGIN)
                for k in ways[i][1:-1]
            ),
        )
        for i, edge in enumerate(link["edges"])
    )
    return GraphLayout(
        width=right - left + 2 * _MARGIN,
        height=max(y.values()) + height + _TEXT + 2 * _MARGIN,
        picture=(width, height),
        nodes=nodes,
        edges=edges,
    )


def _layers(count: int, pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    depth = dict.fromkeys(range(count), 0)
    for _ in range(count):
        for above, below in pairs:
            depth[below] = max(depth[below], depth[above] + 1)
    found: list[list[int]] = [[] for _ in range(max(depth.values()) + 1)]
    for k, d in depth.items():
        found[d].append(k)
    return found


def _ways(layers: list[list[int]], pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """For each pair the way from its upper to its lower node; where that passes other layers, a
    place of its own is added to each of these, numbered after all nodes."""
    depth = {k: d for d, layer in enumerate(layers) for k in layer}
    ways, fresh = [], len(depth)
    for above, below in pairs:
        way = [above]
        for d in range(depth[above] + 1, depth[below]):
            layers[d].append(fresh)
            way.append(fresh)
            fresh += 1
        ways.append([*way, below])
    return ways


def _columns(
    layers: Sequence[Sequence[int]], pairs: Sequence[tuple[int, int]], step: float
) -> dict[int, float]:
    """The middle of each node: near the middle of its parents, or of its children for a root."""
    x: dict[int, float] = {}
    for layer in layers:
        wanted = {}
        for place, k in enumerate(layer):
            parents = [x[a] for a, b in pairs if b == k and a in x]
            wanted[k] = sum(parents) / len(parents) if parents else place * step
        x |= _spread(wanted, step)
    for layer in reversed(layers[:-1]):  # parents over their children, where there is room
        wanted = {}
        for k in sorted(layer, key=x.__getitem__):
            children = [x[b] for a, b in pairs if a == k]
            wanted[k] = sum(children) / len(children) if children else x[k]
        if layer is layers[0]:
            wanted[layer[0]] = min(wanted[layer[0]], min(wanted.values()) - 1e-3)
        x |= _spread(wanted, step)
    return x


def _labels(
    ends: Sequence[tuple[int, int]], x: Mapping[int, float], y: Mapping[int, float]
) -> dict[int, tuple[float, float]]:
    """The middle of each edge's label, above its lower node. ends: of its last step down."""
    found: dict[int, tuple[float, float]] = {}
    for height in sorted({y[below] for _, below in ends}):
        here = {i: pair for i, pair in enumerate(ends) if y[pair[1]] == height}
        wanted = {i: x[above] * 0.45 + x[below] * 0.55 for i, (above, below) in here.items()}
        spread = _spread(wanted, _LABEL)
        found |= {i: (at, height - _BETWEEN / 2 - 2) for i, at in spread.items()}
    return found


def _spread(wanted: Mapping[int, float], step: float) -> dict[int, float]:
    """Places at least `step` apart, in the order of what is wanted and near it."""
    order = sorted(wanted, key=wanted.__getitem__)
    groups: list[tuple[list[int], float]] = []  # members and the first one's place
    for k in order:
        members, start = [k], wanted[k]
        while groups and groups[-1][1] + len(groups[-1][0]) * step > start:
            earlier, _ = groups.pop()
            members = [*earlier, *members]
            start = sum(wanted[m] - i * step for i, m in enumerate(members)) / len(members)
        groups.append((members, start))
    return {m: start + i * step for members, start in groups for i, m in enumerate(members)}
