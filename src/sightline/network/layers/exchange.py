"""Which layer, where the network cuts its graph: found by exchanging maps between two pictures.

A backbone under `no_grad`, a `detach`, whole numbers: no gradient tells what the scores depend on.
If two pictures run side by side and a layer hands each the other's maps, the scores change places
exactly where everything passes that layer; and where they move when half of the places change
hands, places of it still matter.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..tracing.layouts import filters_of, from_maps, to_maps
from ..tracing.prefix_replay import Address, item_of, with_item
from .groups import Choice, large
from .recording import NetworkRecord, RecordedTensor

_CUT = "no gradient flows from its scores back to the picture."
_EQUAL = 1e-4  # of how far the scores of the two pictures lie apart
_MOVED = 1e-5
_PARTS = 4  # of the places, exchanged one after the other
_TRIES = 60  # forwards of two pictures


def choose_by_exchange(record: NetworkRecord) -> Choice:
    """The default layer of a network without a graph from its scores to the picture."""
    if not record.scores.is_floating_point():
        return Choice(
            reason=f"it returns whole numbers ({record.scores.dtype}), a decision as `argmax`"
            " makes, and not scores. Give it `output=`, or a network that returns its"
            " scores."
        )
    search = _Exchange(record, _rows(record))
    if float(search.apart) == 0 or not bool(torch.isfinite(search.scores).all()):
        return Choice(reason=f"{record.trouble or _CUT} Its scores do not tell two pictures apart.")
    cut = search.last(whole=True)
    found = cut or search.last(whole=False)
    if found is None:
        return Choice(reason=f"{record.trouble or _CUT} No layer of it keeps places apart.")
    names = record.addresses(found)
    part = "" if cut else "; the layer carries only a part of the score"
    return Choice(
        spatial=names[0],
        cuts=tuple(names) if cut else (),
        partial=cut is None,
        notes=(f"{_CUT} The layer was found by exchanging maps between two pictures{part}",),
    )


@dataclass(eq=False)
class _Exchange:
    """The search. scores: of two pictures, (2, number)."""

    record: NetworkRecord
    scores: Tensor
    spent: int = 0

    @property
    def apart(self) -> Tensor:
        return (self.scores[0] - self.scores[1]).abs().max()

    def last(self, *, whole: bool) -> RecordedTensor | None:
        """The last maps whose places matter; with `whole`, that everything passes."""
        size = self.record.run.size
        total = max((s.weights for s in self.record.seen), default=0)
        fitting = []
        for seen in reversed(self.record.seen):  # of one tensor the outermost module comes first
            layout = seen.layout
            if layout is None or not layout.verified or not self.record.addresses(seen):
                continue
            filters = filters_of(seen.shape, layout)
            image = layout.grid == size and filters == self.record.run.channels
            last = filters == self.scores.shape[1] and seen.weights == total  # a class's own map
            if not image and not last:
                fitting.append(seen)
        for least in (4, 2, 1):
            for seen in fitting:
                if self.spent >= _TRIES:
                    return None
                grid = seen.layout.grid if seen.layout is not None else None
                if grid is not None and large(grid, size, least):
                    if (not whole or self._is_cut(seen)) and self._matters(seen):
                        return seen
        return None

    def _is_cut(self, seen: RecordedTensor) -> bool:
        swapped = self._run(seen, lambda value: value.flip(0))
        return float((swapped.flip(0) - self.scores).abs().max()) <= _EQUAL * float(self.apart)

    def _matters(self, seen: RecordedTensor) -> bool:
        """Whether the scores move with at least half of the places."""
        layout = seen.layout
        assert layout is not None and layout.grid is not None
        draw = torch.Generator().manual_seed(0)
        which = torch.arange(layout.grid[0] * layout.grid[1], device="cpu") % _PARTS
        which = which[torch.randperm(len(which), generator=draw, device="cpu")].view(layout.grid)
        moved = 0
        for part in range(min(_PARTS, which.numel())):

            def exchange(value: Tensor, part: int = part) -> Tensor:
                maps, chosen = to_maps(value, layout), (which == part).to(value.device)
                return from_maps(torch.where(chosen, maps.flip(0), maps), value, layout)

            change = self._run(seen, exchange) - self.scores
            moved += float(change.abs().max()) > _MOVED * float(self.apart)
        return 2 * moved >= min(_PARTS, which.numel())

    def _run(self, seen: RecordedTensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        """The scores with this tensor changed as it leaves its module."""
        spot, calls = Address(seen.call.name, seen.call.index, seen.item), 0

        def hook(module: object, inputs: object, output: object) -> object:
            nonlocal calls
            calls += 1
            if calls - 1 != seen.call.index:
                return None
            return with_item(output, spot, change(item_of(output, spot, seen.call.name)))

        module = self.record.run.module.get_submodule(seen.call.name)
        handle = module.register_forward_hook(hook)
        self.spent += 1
        try:
            return _rows(self.record)
        finally:
            handle.remove()


def _rows(record: NetworkRecord) -> Tensor:
    """The scores of two pictures, (2, number)."""
    return record.run.scores(2).reshape(2, -1).double()
