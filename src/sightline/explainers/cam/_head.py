"""The part after a layer, run on changed maps of one picture: by arithmetic where it is affine.
Before global average pooling and one linear layer nothing has to be run again: the score of maps
with some values hidden is s - sum of gradient times what was hidden. Whether that is so is measured
(the scores half way between two maps are half way between theirs), not read from names: near the
maps as they are, and, because a few ReLUs are straight there too, also between maps that have
little in common. Elsewhere only the part after the layer runs, on copies.
"""

from collections.abc import Callable
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...errors import NotExplainable
from ...model import Model
from ...network.costs import uncounted
from ...network.trace import Fan, Trace
from ...ops.batches import chunks
from ...ops.noise import generator
from ...shapes import Maps
from ._weighted import LayerView

CLOSE = 1e-4  # of the spread of the scores that the probes cause
TOPIC = "affine part"
MAX_PAIRS = 16  # of maps that have little in common
MAX_VALUES = 1 << 20  # in all of them
Masks = Callable[[slice], Tensor]  # some of the masks, (copies, filter or 1, row or 1, col or 1)


@dataclass(frozen=True, eq=False)
class Head:
    """The part of the network after the layer of a view, for pictures one at a time."""

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

        Raises: NotExplainable where the model cannot run copies after this layer, or where the
        target itself reads layers.
        """
        trace = _fanned(self.view.model, self.view, row, Fan(n, make))
        return self.view.target.score(trace).float() - self.view.scores[row]

    @property
    def affine(self) -> bool:
        """Whether the target is an affine function of the layer's maps: sketched scores of pairs of
        maps lie apart as the clean pass's gradient has it (what is wrong with a sketch shows there
        too), or else scores half way between pairs are half way between theirs."""
        pairs, trace = self._probes(sketch=True)
        if trace is not None and trace.output.ndim == 2:
            scores = self._scores(trace)
            if scores.straight and self.view.differentiable:  # else copies will do
                if scores.apart(pairs.flatten(1) @ self.view.grads.flatten(1).T):
                    return True
        _, trace = self._probes(sketch=False)
        straight = trace is not None and self._scores(trace).straight
        return straight and self.view.differentiable

    def _scores(self, trace: Trace) -> "Probed":
        """The target's scores of the probes."""
        found = []
        for row in range(len(self.view.images)):
            rows = torch.full((len(trace.output),), row, device="cpu")
            found.append(self.view.target.score(replace(trace, rows=rows)).float())
        first, second, between = torch.stack(found, 1).chunk(3)
        return Probed(first, second, between, torch.finfo(trace.output.dtype).eps)

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

    def _probes(self, *, sketch: bool) -> tuple[Maps, Trace | None]:
        """How maps of pairs differ, and the outputs for the firsts, the seconds and those half way
        between; None where copies behind the layer cannot be run. Tried once per layer and weights.
        """
        view = self.view
        checks, key = view.model.runner.engine.checks, (sketch, view.layer, view.maps.shape[1:])
        found = checks.get(TOPIC, key)
        if found is None:
            near, far = nearby_pair(view.maps[:1]).chunk(2), distant_pairs(view.maps[:1]).chunk(2)
            first, second = (torch.cat(half) for half in zip(near, far, strict=True))
            probes = torch.cat([first, second, (first + second) / 2])
            exact = copy(view.model)  # bfloat16 is no straight line
            exact.precision = "exact"
            fan, trace = Fan(len(probes), lambda maps, part: probes[part].to(maps), sketch), None
            with suppress(NotExplainable), uncounted():
                trace = _fanned(exact, view, 0, fan)
            found = checks.put(TOPIC, key, (first - second, trace))
        return found


@dataclass(frozen=True, eq=False)
class Probed:
    """The scores (pair, image) of pairs of maps, the first pair near one another, and of those half
    way between. rounding: of the output.
    """

    first: Tensor
    second: Tensor
    between: Tensor
    rounding: float

    @property
    def straight(self) -> bool:
        """Whether the scores half way between are half way between."""
        return self._nothing(self.between - (self.first + self.second) / 2)

    def apart(self, expected: Tensor) -> bool:
        """Whether first and second lie as far apart as `expected` (pair, image)."""
        return self._nothing(self.first - self.second - expected)

    def _nothing(self, error: Tensor) -> bool:
        """Whether an error is nothing beside the spread of its own kind of pairs."""
        for kind in (slice(0, 1), slice(1, None)):
            first, second, between = self.first[kind], self.second[kind], self.between[kind]
            noise = 4 * self.rounding * torch.cat([first, second, between]).abs().max()
            if error[kind].abs().max() > CLOSE * (first - second).abs().max() + noise:
                return False
        return True


def nearby_pair(maps: Maps) -> Tensor:
    """Two copies of one picture's maps, each value up to twice as large."""
    draw = generator(0, "near")
    return maps * (
        2 * torch.rand((2, *maps.shape[1:]), generator=draw, dtype=torch.float32, device="cpu")
    ).to(maps)


def distant_pairs(maps: Maps) -> Tensor:
    """Two halves of a batch of maps: one picture's and empty ones, then for each new pair filters
    exchanged, and half of the filters, or all but one place, empty."""
    draw = generator(0, "far")
    filters, places = maps.shape[1], maps.shape[2] * maps.shape[3]
    like = maps if maps.any() else torch.ones_like(maps)
    pairs = max(4, min(MAX_PAIRS, MAX_VALUES // maps.numel()))
    found = []
    for half in range(2):
        found.append(like * (1 - half))
        for pair in range(1, pairs):
            mixed = like[:, torch.randperm(filters, generator=draw, device="cpu").to(maps.device)]
            kept = torch.rand(filters, generator=draw, dtype=torch.float32, device="cpu") < 0.5
            place = torch.arange(places, device="cpu") == torch.randint(
                places, (), generator=draw, device="cpu"
            )
            mask = kept[:, None, None] if pair % 2 else place.view(1, *maps.shape[2:])
            found.append(mixed * mask.to(maps))
    return torch.cat(found)


def _fanned(model: Model, view: LayerView, row: int, fan: Fan) -> Trace:
    image, rows = view.images[row : row + 1], torch.tensor([row], device="cpu")
    if len(view.layers) > 1:
        return _edited(model, view, row, fan)
    with torch.no_grad():
        return model.trace(image, read=view.target.reads, edit={view.layer: fan}, rows=rows)


def _edited(model: Model, view: LayerView, row: int, fan: Fan) -> Trace:
    """Copies behind several layers at once: every copy is a full forward in which all are edited.

    Raises: NotExplainable for a sketch, which needs one layer to start from.
    """
    if fan.sketch:
        raise NotExplainable(f"several layers ({view.layer!r}) cannot be sketched.")
    image, found = view.images[row : row + 1], []
    filters = [view.trace.maps[name].shape[1] for name in view.layers]
    with torch.no_grad():
        for part in chunks(fan.n, model.chunk(image, fan.n)):
            copies = fan.make(view.maps[row : row + 1], part)
            pieces = zip(view.layers, copies.split(filters, 1), strict=True)
            rows = torch.full((len(copies),), row, device="cpu")
            found.append(
                model.trace(
                    image.expand(len(copies), -1, -1, -1),
                    read=view.target.reads,
                    edit={name: lambda maps, piece=piece: piece.to(maps) for name, piece in pieces},
                    rows=rows,
                )
            )
    raw = {name: torch.cat([t.raw[name] for t in found]) for name in view.target.reads}
    output, rows = torch.cat([t.output for t in found]), torch.cat([t.rows for t in found])
    return replace(found[0], output=output, raw=raw, rows=rows, remembered={})
