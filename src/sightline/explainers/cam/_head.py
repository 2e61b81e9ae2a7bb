"""What lies behind a layer, run on changed maps of one picture: by arithmetic where it is affine.

Behind global average pooling and one linear layer nothing has to be run again: the score of maps
with some values hidden is s - sum of gradient times what was hidden. Whether that is so is measured
(the scores half way between two masked maps are half way between theirs), not read from names.
Elsewhere only the part behind the layer runs, on copies.
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

CLOSE = 1e-4  # of the spread of the scores that the masks cause
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
        trace = self._probes()
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

    def _probes(self) -> Trace | None:
        """The outputs for two masked maps and the maps half way between them; None where copies
        behind the layer cannot be run. Tried once per layer and weights."""
        view = self.view
        facts, key = view.model.engine.facts, ("probes", view.layer, view.maps.shape[1:])
        if key not in facts:
            ends = torch.rand((2, *view.maps.shape[1:]), generator=generator(0, "probes"))
            masks = torch.cat([2 * ends, ends.sum(0, keepdim=True)])
            exact = copy(view.model)  # bfloat16 is no straight line
            exact.precision, spent = "exact", dict(view.model.evaluations)
            try:
                facts[key] = _fanned(exact, view, 0, Fan(3, lambda m, part: m * masks[part].to(m)))
            except NotExplainable:
                facts[key] = None
            view.model.evaluations.update(spent)  # a start-up check, which no method caused
        return facts[key]


def _fanned(model: Model, view: LayerView, row: int, fan: Fan) -> Trace:
    image, rows = view.images[row : row + 1], torch.tensor([row])
    with torch.no_grad():
        return model.trace(image, read=view.target.reads, edit={view.layer: fan}, rows=rows)


def _straight(scores: Tensor, rounding: float) -> bool:
    """Whether the third row of `scores` lies half way between the first two, as far as can be told
    of numbers rounded so."""
    error = (scores[2] - (scores[0] + scores[1]) / 2).abs().max()
    spread = (scores[0] - scores[1]).abs().max()
    return bool(error <= CLOSE * spread + 4 * rounding * scores.abs().max())
