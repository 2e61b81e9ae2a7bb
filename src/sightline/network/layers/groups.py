"""Tensors that are laid out in space: one tensor, and every module that returned it; and the answer
to which of them is looked at.
"""

from dataclasses import dataclass, field

import torch
from torch.autograd.graph import GradientEdge

from ..tracing.layouts import Layout, filters_of
from .autograd_paths import Paths
from .recording import NetworkRecord, RecordedTensor
from .token_use import Reading


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The default layer and what goes with it; the fields are those of `Anatomy`."""

    spatial: str | None = None
    reason: str = ""
    joint: tuple[str, ...] = ()
    aligned: bool = False
    cuts: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()
    together: tuple[str, ...] = ()
    head: str = "unknown"
    class_map: str | None = None
    independent: bool = False
    partial: bool = False
    reading: Reading = field(default_factory=Reading)
    notes: tuple[str, ...] = ()


@dataclass(eq=False)
class Group:
    """One tensor, and every module that returned it: a Sequential and its last child, an inactive
    dropout.
    """

    edge: GradientEdge
    members: list[RecordedTensor]
    name: str
    layout: Layout

    @property
    def first(self) -> RecordedTensor:
        return self.members[0]

    @property
    def shape(self) -> torch.Size:
        return self.first.shape

    @property
    def grid(self) -> tuple[int, int]:
        return self.layout.grid or (0, 0)

    @property
    def depth(self) -> int:
        return self.name.count(".")

    @property
    def filters(self) -> int:
        return filters_of(self.shape, self.layout)


def groups_of(record: NetworkRecord, paths: Paths) -> list[Group]:
    """Tensors that are laid out in space and matter for the scores, in the order in which they were
    made.
    """
    found: dict[GradientEdge, list[RecordedTensor]] = {}
    for seen in record.seen:
        if seen.edge is not None and seen.layout is not None and paths.passed(seen.edge):
            if record.addresses(seen):
                found.setdefault(seen.edge, []).append(seen)
    groups = []
    for edge, members in found.items():
        shallow = min(members, key=lambda s: (s.call.depth, s.time))
        name, layout = record.addresses(shallow)[0], members[0].layout
        assert layout is not None
        groups.append(Group(edge, members, name, layout))
    return groups


def is_image(group: Group, record: NetworkRecord) -> bool:
    """A tensor in the picture's own shape is still the picture: a normalised one, say."""
    return group.grid == record.run.size and group.filters == record.run.channels


def cut_addresses(record: NetworkRecord, paths: Paths) -> tuple[str, ...]:
    """Every address of maps through which everything passes."""
    cuts = (s for s in record.seen if s.layout and s.edge is not None and paths.is_cut(s.edge))
    return tuple(dict.fromkeys(name for seen in cuts for name in record.addresses(seen)))


def large(grid: tuple[int, int], size: tuple[int, int], least: int) -> bool:
    """Whether a grid has `least` places on its long side and, of a picture of this size, as many on
    its short one as the picture's proportions give: 32 x 320 pixels at stride 32 are one row of
    ten. A single place is no grid.
    """
    short = max(1, least * min(size) // max(size))
    return min(grid) >= short and max(grid) >= max(least, 2)
