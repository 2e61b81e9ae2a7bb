"""Which layer: the last tensor through which everything passes and in which place still matters.

Cut, localised, reached by the gradient, big enough; then the corrections for heads that own their
insides, class maps, copies, several grids and several exits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from ..tracing.layouts import to_maps
from .autograd_paths import Paths, bends
from .exchange import choose_by_exchange
from .groups import Choice, Group, cut_addresses, groups_of, is_image, large
from .locality import head_kind
from .recording import Call, NetworkRecord, RecordedTensor
from .streams import aligned, latest_streams, repeated
from .token_use import read_tokens

_MIXED = 20  # classes in the mix whose gradient must arrive: one is too few, all are too many


@dataclass(eq=False)
class _Backward:
    """Gradients of a random mix of scores; of the classifier's input, where the classifier is all
    zero.
    """

    roots: list[tuple[GradientEdge, torch.Size]]
    _mix: list[Tensor] = field(default_factory=list)

    def score_gradients(self, edges: Sequence[GradientEdge], like: Tensor) -> list[Tensor | None]:
        """The mix's gradient at each tensor."""
        if not self._mix:
            self._mix = [
                _signed(shape, seed).to(like) for seed, (_, shape) in enumerate(self.roots)
            ]
        return _gradients(self.roots, self._mix, edges)

    def classes(
        self, edges: Sequence[GradientEdge], like: Tensor, count: int
    ) -> list[list[Tensor | None]]:
        """The gradients of a few single scores at each tensor."""
        found = []
        for k in range(count):
            ones = []
            for _, shape in self.roots:
                one = torch.zeros(shape[0], shape[1:].numel(), dtype=torch.float32, device="cpu")
                one[:, (k * 7919 + 1) % one.shape[1]] = 1
                ones.append(one.view(shape).to(like))
            found.append(_gradients(self.roots, ones, edges))
        return found


def choose(record: NetworkRecord) -> Choice:
    """The default layer of a network, with everything measured on the way there."""
    paths = record.paths
    assert paths is not None
    if not paths.connected:
        return choose_by_exchange(record)
    groups = [g for g in groups_of(record, paths) if not is_image(g, record)]
    if not groups:
        return Choice(reason=_why_no_place(record))
    backward = _Backward([(paths.root, record.scores.shape)])
    choice = _Search(record, paths, groups, backward).run()
    if choice.spatial is not None:
        return choice
    roots = _dead_classifiers(record, paths, backward)
    if not roots or not torch.equal(record.scores[0], record.scores[1]):
        return choice
    choice = _Search(record, paths, groups, _Backward(roots)).run()
    note = "the scores do not depend on the picture: the classifier is all zero"
    return replace(choice, independent=True, notes=(note, *choice.notes))


def _why_no_place(record: NetworkRecord) -> str:
    if any(seen.elsewhere for seen in record.seen):
        return (
            "the network moves places of the picture before its layers (it mirrors, rolls, pads"
            " or rotates the picture), so the layers' maps do not line up with it. Do that in"
            " `preprocess` instead."
        )
    return "no layer's output keeps places of the picture apart."


@dataclass(eq=False)
class _Search:
    """The search for the layer, once the candidates are known."""

    record: NetworkRecord
    paths: Paths
    groups: list[Group]
    backward: _Backward
    owners: list[Call] = field(default_factory=list)

    def run(self) -> Choice:
        cuts = [g for g in self.groups if self.paths.is_cut(g.edge)]
        class_map, cuts = _without_class_maps(cuts, self.record)
        self.owners = _owners(cuts, self.record)
        cuts = [g for g in cuts if not _owned(g, self.owners)]
        last, partial = self._last_cut(cuts), False
        joint = self._joint(last)
        if joint:
            last = max(joint, key=lambda g: g.grid)
            partial = not self.paths.are_cut({g.edge for g in joint})
        elif last is not None:
            last = _earliest_copy(last, cuts)
        exit_ = self._later_exit(last) if partial or not joint else None
        if not joint and (exit_ is not None or last is None):
            after = last.first.time if last is not None else 0
            behind = [g for g in self.groups if g.first.time > after and self._may_show(g)]
            joint = latest_streams(self.paths, behind, self.record.run.size, self._reached)
            last = max(joint, key=lambda g: g.grid) if joint else last
        if exit_ is not None and not (joint and not partial):
            last, joint, partial = exit_, [], True
        if last is None:
            reason = "no gradient of its scores reaches a layer that keeps places apart."
            moved = any(seen.elsewhere for seen in self.record.seen)
            return Choice(reason=_why_no_place(self.record) if moved else reason)
        earlier = [g.name for g in reversed(cuts) if g.first.time < last.first.time]
        together = repeated(self.paths, self.groups, joint) if len(joint) > 1 else []
        notes = ["the layer carries only a part of the score"] if partial else []
        return Choice(
            spatial=last.name,
            joint=tuple(g.name for g in joint) if len(joint) > 1 else (),
            aligned=len(joint) > 1 and not partial and aligned([g.first for g in joint]),
            cuts=cut_addresses(self.record, self.paths),
            candidates=tuple(earlier),
            together=tuple(together),
            head=_head(last, self.paths, self.backward, self.record.scores),
            class_map=class_map,
            partial=partial,
            reading=read_tokens(self.record, self.paths, self.backward.score_gradients),
            notes=(*notes, *(["several layers carry the evidence together"] * (len(joint) > 1))),
        )

    def _last_cut(self, cuts: list[Group]) -> Group | None:
        size = self.record.run.size
        for least in (4, 2, 1):
            found = self._last_reached([g for g in cuts if large(g.grid, size, least)])
            if found is not None:
                return found
        return None

    def _last_reached(self, groups: Sequence[Group]) -> Group | None:
        left, step = list(groups), 2
        while left:
            part, left, step = left[-step:], left[:-step], 2 * step
            reached = self._reached(part)
            if reached:
                return reached[-1]
        return None

    def _reached(self, groups: Sequence[Group]) -> list[Group]:
        """Those of which at least half of the places receive a gradient, or only some because what
        follows takes the largest.
        """
        gradients = self.backward.score_gradients([g.edge for g in groups], self.record.scores)
        pairs = zip(groups, gradients, strict=True)
        return [g for g, grad in pairs if grad is not None and self._arrives(g, grad)]

    def _arrives(self, group: Group, grad: Tensor) -> bool:
        maps = to_maps(grad, group.layout)
        places = float((maps != 0).any(1).float().mean())
        beside = int(grad.count_nonzero()) > int(maps.count_nonzero())  # at a class token, say
        if places >= 0.5 or not places or beside:
            return places >= 0.5
        return "maximum" in bends(self.paths.behind({group.edge}))

    def _may_show(self, group: Group) -> bool:
        classes = self.record.scores.shape[-1]
        return group.filters != classes and not _owned(group, self.owners)

    def _joint(self, last: Group | None) -> list[Group]:
        """The maps of the latest module whose tensors are a cut together, if later than `last`."""
        known = {g.edge: g for g in self.groups}
        after, size = last.first.time if last is not None else 0, self.record.run.size
        calls = [c for c in self.record.calls if c.name and len(c.outputs) > 1]
        for call in sorted(calls, key=lambda c: c.outputs[0].time, reverse=True):
            edges = {s.edge for s in call.outputs if s.edge and self.paths.passed(s.edge)}
            maps = [known[e] for e in edges if e in known and large(known[e].grid, size, 2)]
            any_large = any(large(g.grid, size, 4) for g in maps)
            if call.outputs[0].time <= after or len(edges) < 2 or not any_large:
                continue
            if any(call.within(o) for o in self.owners) or not self.paths.are_cut(edges):
                continue
            maps = sorted(self._reached(maps), key=lambda g: g.first.item or 0)
            if maps:
                return maps
        return []

    def _later_exit(self, last: Group | None) -> Group | None:
        """A later, coarser, localised layer at the same depth: there are exits at several depths.

        Where nothing is a cut, the latest localised layer at the least depth.
        """
        if last is None:
            depth, area, after = min(g.depth for g in self.groups), float("inf"), 0
        else:
            depth, area, after = last.depth, last.grid[0] * last.grid[1], last.first.time
        fitting = [
            g
            for g in self.groups
            if g.first.time > after
            and g.depth == depth
            and 2 <= min(g.grid)
            and g.grid[0] * g.grid[1] < area
            and g.layout.verified
            and self._may_show(g)
        ]
        return self._last_reached(fitting)


def _without_class_maps(cuts: list[Group], record: NetworkRecord) -> tuple[str | None, list[Group]]:
    """Take off trailing maps with one filter per class, behind which nothing has parameters: of a
    segmentation too, whose output they are.

    Where the map before them has as many filters, the output is an encoder's features.
    """
    kept, total = list(cuts), max(seen.weights for seen in record.seen)
    classes = record.scores.shape[1 if record.scores.ndim == 4 else -1]
    while kept and kept[-1].filters == classes and kept[-1].first.weights == total:
        kept.pop()
    few = 0 < len(cuts) - len(kept) <= 3 and bool(kept) and kept[-1].filters != classes
    return (cuts[-1].name, kept) if few and record.scores.ndim in (2, 4) else (None, cuts)


def _owners(cuts: list[Group], record: NetworkRecord) -> list[Call]:
    """Modules behind the first cut that receive a map and return none: they own what is inside
    them.
    """
    found = []
    for call in record.calls:
        takes = any(axes > 2 for axes in call.axes)
        if not cuts or not takes or call.start < cuts[0].first.time or not call.name:
            continue
        if any(_may_be_map(s) for s in call.outputs) or not call.outputs:
            continue
        inside = sum(_owned(g, [call]) for g in cuts)
        before = sum(g.first.time < call.start for g in cuts)
        if inside <= max(3, before):  # a trunk behind a stem is not a head
            found.append(call)
    return found


def _may_be_map(seen: RecordedTensor) -> bool:
    """Whether this output is laid out in space, or was not measured because it has no address."""
    return seen.layout is not None or (not seen.named and len(seen.shape) > 2)


def _owned(group: Group, owners: list[Call]) -> bool:
    return any(all(s.call.within(owner) for s in group.members) for owner in owners)


def _earliest_copy(last: Group, cuts: list[Group]) -> Group:
    """An earlier tensor with the same values, if no module with parameters ran in between."""
    for group in cuts:
        same = group.shape == last.shape and group.first.weights == last.first.weights
        if same and group.first.moved is not None and last.first.moved is not None:
            if all(map(torch.equal, group.first.moved, last.first.moved)):
                return group
    return last


def _dead_classifiers(
    record: NetworkRecord, paths: Paths, backward: _Backward
) -> list[tuple[GradientEdge, torch.Size]]:
    """Inputs of late modules that have a gradient at their output and exactly none at their
    input.
    """
    calls = [c for c in record.calls if c.weighted and c.outputs and c.outputs[0].edge is not None]
    found = []
    for call in calls[-30:]:
        behind = call.outputs[0].edge
        came = [(e, shape) for e, shape in call.came if paths.passed(e)]
        if behind is None or not came or not paths.passed(behind):
            continue
        out, into = backward.score_gradients([behind, came[0][0]], record.scores)
        if out is not None and bool(out.any()) and (into is None or not bool(into.any())):
            found.append(came[0])
    return found


def _head(group: Group, paths: Paths, backward: _Backward, scores: Tensor) -> str:
    gradients = []
    prefixed, whole = 0.0, 0.0
    for (raw,) in backward.classes([group.edge], scores, 5):
        if raw is None:
            return "unknown"
        raw = raw.float()
        maps = to_maps(raw, group.layout)
        gradients.append(maps.flatten(2))
        whole += float(raw.square().sum())
        prefixed += float(raw.square().sum() - maps.square().sum())
    behind = paths.behind({group.edge}, [edge for edge, _ in backward.roots])
    share = (max(prefixed, 0.0) / whole) ** 0.5 if whole else 0.0
    kinds = bends(behind)
    if any(o.kind in ("convolution", "mkldnnconvolution") for o in behind):
        kinds = kinds | {"convolution"} if kinds else kinds
    return head_kind(torch.stack(gradients), share, group.layout.style == "tokens", kinds)


def _gradients(
    roots: list[tuple[GradientEdge, torch.Size]], seeds: list[Tensor], edges: Sequence[GradientEdge]
) -> list[Tensor | None]:
    outputs = [edge for edge, _ in roots]
    return list(
        torch.autograd.grad(outputs, list(edges), seeds, retain_graph=True, allow_unused=True)
    )


def _signed(shape: torch.Size, seed: int) -> Tensor:
    """Random weights for a few scores, the same for each picture; for all where the output is not
    one row.
    """
    dice = torch.Generator().manual_seed(seed)
    if len(shape) > 2:
        return torch.randn(shape, generator=dice, dtype=torch.float32, device="cpu")
    mixed = torch.zeros(shape, dtype=torch.float32, device="cpu")
    columns = mixed.view(shape[0], -1)
    few = torch.randperm(columns.shape[1], generator=dice, device="cpu")[:_MIXED]
    columns[:, few] = torch.randn(len(few), generator=dice, dtype=torch.float32, device="cpu")
    return mixed
