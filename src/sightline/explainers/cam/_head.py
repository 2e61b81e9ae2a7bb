"""What lies behind a layer, run on changed maps of one picture: by arithmetic where it is affine.

Behind global average pooling and one linear layer nothing has to be run again: the score of maps
with some values hidden is s - sum of gradient times what was hidden. Whether that is so is measured
(the scores half way between two maps are half way between theirs), not read from names: near the
maps as they are, and, because a few ReLUs are straight there too, also between maps that have
little in common. Elsewhere only the part behind the layer runs, on copies.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...errors import NotExplainable
from ...model import Model
from ...ops.noise import generator
from ...shapes import Maps
from ...trace import Fan, Trace
from ._weighted import LayerView

CLOSE = 1e-4  # of the spread of the scores that the probes cause
FAR, ROOM = 16, 1 << 20  # pairs of maps that have little in common; values in all of them
Masks = Callable[[slice], Tensor]  # some of the masks, (copies, filter or 1, row or 1, col or 1)


@dataclass(frozen=True, eq=False)
class Head:
    """The network behind the layer of a view, for pictures one at a time."""

    view: LayerView

    def masked(self, row: int, n: int, masks: Masks, empty: Maps | None = None) -> Tensor:
        """How far the score of picture `row` moves (n,) when its maps are seen through each of `n`
        masks; where a mask is 0 the maps are `empty` (1, filter, row, col), None for zero.
        """
        if self.affine:
            with torch.autocast(self.view.images.device.type, enabled=False):
                return self._by_arithmetic(row, n, masks, empty)

        def make(maps: Tensor, part: slice) -> Tensor:
            base = torch.zeros_like(maps) if empty is None else empty.to(maps)
            return base + masks(part).to(maps) * (maps - base)

        return self.run(row, n, make)

    def run(self, row: int, n: int, make: Callable[[Tensor, slice], Tensor]) -> Tensor:
        """How far the score of picture `row` moves (n,) when its maps become each of `n` copies.

        Raises: NotExplainable where the model cannot run copies behind this layer, or where the
        target itself reads layers.
        """
        trace = _fanned(self.view.model, self.view, row, Fan(n, make))
        return self.view.target.score(trace).float() - self.view.scores[row]

    @property
    def affine(self) -> bool:
        """Whether the target is an affine function of the layer's maps."""
        return all(self._straight_between(*ends) for ends in (("near", _near), ("far", _far)))

    def _straight_between(self, name: str, ends: Callable[[Tensor], Tensor]) -> bool:
        """Whether the scores of maps half way between `ends`, which makes two halves of a batch
        from a picture's maps, are half way between theirs."""
        trace = self._probes(name, ends)
        if trace is None:
            return False
        scores = []
        for row in range(len(self.view.images)):
            rows = torch.full((len(trace.output),), row)
            scores.append(self.view.target.score(replace(trace, rows=rows)).float())
        return _straight(torch.stack(scores, 1), torch.finfo(trace.output.dtype).eps)

    def _by_arithmetic(self, row: int, n: int, masks: Masks, empty: Maps | None) -> Tensor:
        grads, maps = self.view.grads[row], self.view.maps[row]
        hidden = maps if empty is None else maps - empty[0].to(maps)
        share = grads * hidden
        found = []
        for start in range(0, n, 256):
            mask = masks(slice(start, min(start + 256, n))).to(share)
            broad = [axis for axis in range(3) if mask.shape[axis + 1] == 1]
            parts = share.sum(broad) if broad else share
            found.append((mask.flatten(1) - 1) @ parts.flatten())
        return torch.cat(found)

    def _probes(self, name: str, ends: Callable[[Tensor], Tensor]) -> Trace | None:
        """The outputs for the maps that `ends` makes and for those half way between them; None
        where copies behind the layer cannot be run. Tried once per layer and weights."""
        view = self.view
        facts, key = view.model.engine.facts, (name, view.layer, view.maps.shape[1:])
        if key not in facts:
            made = ends(view.maps[:1])
            first, second = made.chunk(2)
            probes = torch.cat([made, (first + second) / 2])
            exact = copy(view.model)  # bfloat16 is no straight line
            exact.precision, spent = "exact", dict(view.model.evaluations)
            try:
                fan = Fan(len(probes), lambda maps, part: probes[part].to(maps))
                facts[key] = _fanned(exact, view, 0, fan)
            except NotExplainable:
                facts[key] = None
            view.model.evaluations.update(spent)  # a start-up check, which no method caused
        return facts[key]


def _near(maps: Maps) -> Tensor:
    """Two copies of one picture's maps, each value up to twice as large."""
    draw = generator(0, "near")
    return maps * (2 * torch.rand((2, *maps.shape[1:]), generator=draw)).to(maps)


def _far(maps: Maps) -> Tensor:
    """Two halves of a batch of maps: one picture's and empty ones, then for each pair anew filters
    exchanged, and half of the filters, or all but one place, empty."""
    draw = generator(0, "far")
    filters, places = maps.shape[1], maps.shape[2] * maps.shape[3]
    like = maps if maps.any() else torch.ones_like(maps)
    pairs = max(4, min(FAR, ROOM // maps.numel()))
    found = []
    for half in range(2):
        found.append(like * (1 - half))
        for pair in range(1, pairs):
            mixed = like[:, torch.randperm(filters, generator=draw).to(maps.device)]
            kept = torch.rand(filters, generator=draw) < 0.5
            place = torch.arange(places) == torch.randint(places, (), generator=draw)
            mask = kept[:, None, None] if pair % 2 else place.view(1, *maps.shape[2:])
            found.append(mixed * mask.to(maps))
    return torch.cat(found)


def _fanned(model: Model, view: LayerView, row: int, fan: Fan) -> Trace:
    image, rows = view.images[row : row + 1], torch.tensor([row])
    with torch.no_grad():
        return model.trace(image, read=view.target.reads, edit={view.layer: fan}, rows=rows)


def _straight(scores: Tensor, rounding: float) -> bool:
    """Whether the last third of the rows of `scores` lies half way between the two before, as far
    as can be told of numbers rounded so."""
    first, second, between = scores.chunk(3)
    error = (between - (first + second) / 2).abs().max()
    spread = (first - second).abs().max()
    return bool(error <= CLOSE * spread + 4 * rounding * scores.abs().max())
