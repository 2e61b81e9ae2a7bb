"""Ways through an autograd graph: which tensors does everything pass, and what happens behind them?

Every edge gets a random weight modulo a large prime; the weighted number of ways from the output to
the image is a sum of products, so a tensor is a cut if and only if (ways to it) x (ways from it) is
the total. One sweep over the edges answers this for all tensors at once. Parameters are dead ends:
they are no way round.
"""

import random
import re
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

_PRIME = (1 << 61) - 1
_ANY = 1 << 30  # units that an operation lets through

_AFFINE = frozenset(
    """
    adaptiveavgpool1d adaptiveavgpool2d add addmm addmv addr alias asstrided avgpool1d avgpool2d
    baddbmm bmm cat channelshuffle clone constantpadnd convolution convolutionoverrideable copy
    copyslices cudnnbatchnorm cumsum diagonal div dot expand flip gather index indexselect linear
    mean miopenbatchnorm mkldnnadaptiveavgpool2d mkldnnconvolution mkldnnlinear mm mul mv
    nativebatchnorm nativechannelshuffle neg permute pixelshuffle reflectionpad2d repeat
    replicationpad2d reshapealias roll rsub select slice slowconvdilated2d split splitwithsizes
    squeeze stack sub sum t thnnconv2d tocopy transpose unbind unfold unsafesplit unsafeview
    unsqueeze upsamplebicubic2d upsamplebilinear2d upsamplenearest2d upsamplenearestexact2d view
    """.split()
)
_PRODUCTS = frozenset("addmm addmv baddbmm bmm convolution div dot linear mm mul mv".split())
_SOFTMAX = ("softmax", "scaleddotproduct", "attention", "logsumexp")
_MAXIMUM = ("maxpool", "max", "amax", "topk", "sort", "min", "amin", "kthvalue")
_NORM = (
    "layernorm",
    "groupnorm",
    "linalgvectornorm",
    "rsqrt",
    "instancenorm",
    "rmsnorm",
    "norm",
    "std",
    "var",
)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One graph node behind a tensor: its `kind` ("mul", "relu") and how many operands depend on
    the tensor.
    """

    kind: str
    operands: int
    first: bool  # whether the first operand is one of them


@dataclass(frozen=True, kw_only=True, eq=False)
class Paths:
    """All ways from an output back to an image, counted with random weights.

    onward: from a node to the image. arriving: from the output to one tensor. order: nodes, output
    first.
    """

    root: GradientEdge
    image: Node
    order: tuple[Node, ...]
    onward: Mapping[Node, int]
    arriving: Mapping[GradientEdge, int]

    @property
    def connected(self) -> bool:
        """Whether the output is made from the image at all."""
        return self.onward.get(self.root.node, 0) != 0

    def passed(self, edge: GradientEdge) -> bool:
        """Whether any way from the output to the image crosses this tensor."""
        return self.arriving.get(edge, 0) != 0 and self.onward.get(edge.node, 0) != 0

    def is_cut(self, edge: GradientEdge) -> bool:
        """Whether every way crosses this tensor."""
        ways = self.arriving.get(edge, 0) * self.onward.get(edge.node, 0) % _PRIME
        return self.connected and ways == self.onward[self.root.node]

    def are_cut(self, edges: Collection[GradientEdge]) -> bool:
        """Whether every way crosses at least one of these tensors; they may feed each other."""
        if self.root in edges:
            return True
        seen, stack = {self.root.node}, [self.root.node]
        while stack:
            node = stack.pop()
            if node == self.image:
                return False
            for edge in _inputs(node):
                if edge not in edges and edge.node not in seen:
                    seen.add(edge.node)
                    stack.append(edge.node)
        return self.connected

    def latest_cut(self, edges: Collection[GradientEdge], most: int) -> list[GradientEdge] | None:
        """The fewest of these tensors that every way crosses, and of such sets the one nearest to
        the output; None where there is none, or where it takes more than `most`.

        Found as the smallest cut of a flow: each of the tensors carries one unit, others any.
        """
        flow = _Flow(set(edges))
        flow.lead("output", self.root)
        for node in self.order:
            if node != self.image:
                for edge in _inputs(node):
                    if self.onward.get(edge.node, 0):
                        flow.lead(node, edge)
        for _ in range(most + 1):
            reached = flow.push("output", self.image)
            if reached is not None:
                return [e for e in flow.narrow if e in reached and (e, "behind") not in reached]
        return None

    def behind(
        self, edges: Collection[GradientEdge], roots: Iterable[GradientEdge] = ()
    ) -> list[Operation]:
        """The operations between these tensors and the output (or other `roots`)."""
        starts = list(roots) or [self.root]
        touched: dict[Node, bool] = {}
        found = []
        for node in reversed(_downwards([r.node for r in starts if r not in edges], edges)):
            inputs = _operands(node)
            depends = [e is not None and (e in edges or touched.get(e.node, False)) for e in inputs]
            touched[node] = any(depends)
            if touched[node]:
                found.append(Operation(kind=_kind(node), operands=sum(depends), first=depends[0]))
        return found


class _Flow:
    """Units that flow from an output to an image; a tensor in `narrow` lets one pass."""

    def __init__(self, narrow: set[GradientEdge]) -> None:
        self.narrow = narrow
        self.room: dict[Any, dict[Any, int]] = {}  # from a place to the next

    def lead(self, start: Any, tensor: GradientEdge) -> None:
        """A way from `start` through a tensor to the operation that made it."""
        inside = tensor if tensor in self.narrow else tensor.node
        self._open(start, inside, _ANY)
        if inside is tensor:
            self._open(tensor, (tensor, "behind"), 1)
            self._open((tensor, "behind"), tensor.node, _ANY)

    def _open(self, start: Any, end: Any, room: int) -> None:
        self.room.setdefault(start, {})[end] = room
        self.room.setdefault(end, {}).setdefault(start, 0)

    def push(self, source: Any, sink: Any) -> set[Any] | None:
        """Let one more unit flow; where none can, the places that are still reached."""
        came: dict[Any, Any] = {source: None}
        waiting = deque([source])
        while waiting and sink not in came:
            place = waiting.popleft()
            for following, room in self.room.get(place, {}).items():
                if room > 0 and following not in came:
                    came[following] = place
                    waiting.append(following)
        if sink not in came:
            return set(came)
        place = sink
        while came[place] is not None:
            self.room[came[place]][place] -= 1
            self.room[place][came[place]] += 1
            place = came[place]
        return None


def edge_of(tensor: Tensor) -> GradientEdge | None:
    """The tensor as the graph knows it now; None where no gradient flows."""
    if not tensor.requires_grad:
        return None
    edge = get_gradient_edge(tensor)
    return GradientEdge(edge.node, edge.output_nr)  # without its token, which compares by identity


def count_paths(output: GradientEdge, image: GradientEdge) -> Paths:
    """Count the ways from `output` to `image`."""
    order = _downwards([output.node], ())
    dice = random.Random(0)
    weights: dict[tuple[Node, int], int] = {}
    onward: dict[Node, int] = {}
    for node in reversed(order):
        if node == image.node:
            onward[node] = 1
            continue
        total = 0
        for i, edge in enumerate(_inputs(node)):
            if onward.get(edge.node, 0):
                weights[node, i] = dice.randrange(1, _PRIME)
                total += weights[node, i] * onward[edge.node]
        onward[node] = total % _PRIME
    arriving: dict[GradientEdge, int] = {output: 1}
    reaching: dict[Node, int] = {output.node: 1}
    for node in order:
        for i, edge in enumerate(_inputs(node)):
            if (node, i) in weights:
                ways = reaching.get(node, 0) * weights[node, i]
                arriving[edge] = (arriving.get(edge, 0) + ways) % _PRIME
                reaching[edge.node] = (reaching.get(edge.node, 0) + ways) % _PRIME
    return Paths(
        root=output, image=image.node, order=tuple(order), onward=onward, arriving=arriving
    )


def bends(operations: Iterable[Operation]) -> set[str]:
    """Where these operations are not affine: relu, activation, norm, softmax, maximum, product,
    power.
    """
    found = set()
    for operation in operations:
        kind = operation.kind
        if kind in _AFFINE:
            divides = kind == "div" and not operation.first
            if divides or (kind in _PRODUCTS and operation.operands > 1):
                found.add("product")
        elif any(kind.startswith(name) or kind.endswith(name) for name in _SOFTMAX):
            found.add("softmax")
        elif any(kind.startswith(name) for name in _MAXIMUM) or "maxpool" in kind:
            found.add("maximum")
        elif any(name in kind for name in _NORM):
            found.add("norm")
        else:
            found.add({"relu": "relu", "pow": "power"}.get(kind, "activation"))
    return found


def _inputs(node: Node) -> list[GradientEdge]:
    return [edge for edge in _operands(node) if edge is not None]


def _operands(node: Node) -> list[GradientEdge | None]:
    return [None if n is None else GradientEdge(n, i) for n, i in node.next_functions]


def _downwards(roots: list[Node], stop: Collection[GradientEdge]) -> list[Node]:
    """Nodes reachable from `roots` without crossing `stop`, each before what it was made from."""
    done: list[Node] = []
    seen = set(roots)
    stack = [(root, iter(_inputs(root))) for root in roots]
    while stack:
        node, rest = stack[-1]
        for edge in rest:
            if edge not in stop and edge.node not in seen:
                seen.add(edge.node)
                stack.append((edge.node, iter(_inputs(edge.node))))
                break
        else:
            stack.pop()
            done.append(node)
    return done[::-1]


def _kind(node: Node) -> str:
    return re.sub(r"backward\d*$", "", node.name().split("::")[-1].lower())
