"""Windows of one enlarged picture: where they lie, what a method says of them, how maps are fused
one by one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from ...explainer import Explainer
from ...model import Model
from ...ops.masks import windows
from ...ops.resize import resize
from ...ops.similarity import stretched
from ...target import Target
from ..contract.requirements import reading
from ._inner_method import inner_heatmap


@dataclass(frozen=True)
class Window:
    """A piece of the picture at one of its scales. size: of the whole enlarged picture, (row, col).

    corners: row, col, row end and col end in pixels of that size.
    """

    size: tuple[int, int]
    corners: tuple[int, int, int, int]

    def cut(self, enlarged: Tensor) -> Tensor:
        top, left, bottom, right = self.corners
        return enlarged[:, :, top:bottom, left:right]

    def pasted(self, piece: Tensor, size: Sequence[int]) -> Tensor:
        """A map of the window (row, col) on an empty map of its scale, resized to `size`."""
        canvas = piece.new_zeros((1, 1, *self.size))
        self.cut(canvas).copy_(piece)
        return resize(canvas, size)[0, 0]


def scale_windows(size: tuple[int, int], scales: int, growth: float) -> list[Window]:
    """Windows as large as the picture, side by side over it at each scale 1, 1 + growth, ...; the
    last of a line is shifted back inside.
    """
    found = []
    for step in range(scales):
        rows, cols = (round(side * (1 + growth * step)) for side in size)
        for corners in windows((rows, cols), size, size).tolist():
            found.append(Window((rows, cols), tuple(corners)))
    return found


@dataclass(frozen=True, eq=False)
class Pieces:
    """One picture of a batch in windows. row: which one; at_once: windows in one pass."""

    model: Model
    target: Target
    row: int
    image: Tensor
    at_once: int

    def batches(self, planned: Sequence[Window]) -> Iterator[list[Window]]:
        for start in range(0, len(planned), self.at_once):
            yield list(planned[start : start + self.at_once])

    def cut(self, planned: Sequence[Window]) -> Tensor:
        """The pictures in the windows, (window, channel, row, col)."""
        found = []
        for size, group in groupby(planned, key=lambda window: window.size):
            enlarged = resize(self.image, size)
            found += [window.cut(enlarged) for window in group]
        return torch.cat(found)

    def scores(self, planned: Sequence[Window]) -> Tensor:
        """How probable the target is in each window, (window,)."""
        rows = [self.row] * len(planned)
        target = self.target.with_probability(True).take(rows)
        return self.model.take(rows).scores(self.cut(planned), target).float()

    def maps(self, planned: Sequence[Window], part: Explainer) -> tuple[Tensor, Tensor, Tensor]:
        """What `part` says in each window, stretched to [0, 1] and signed as it is, each (window,
        row, col), and `scores`; from one pass.
        """
        rows = [self.row] * len(planned)
        model, target, pieces = self.model.take(rows), self.target.take(rows), self.cut(planned)
        read, gradients = reading(model, (part,))
        with model.shared(pieces, (*read, *target.reads), gradients=gradients):
            heat = inner_heatmap(part, model, pieces, target)
            own = model.scores(pieces, target.with_probability(True)).float()
        signed = heat.values if heat.native is None else heat.native
        signed = resize(signed[:, None], pieces.shape[-2:])[:, 0]
        return stretched(heat.values), signed, own


class Fusion:
    """Maps of windows taken in one by one, each weighed by its window's score.

    largest, and the mean over those above `least`, are of the stretched maps; `signed` is the mean
    of the signed ones, those of a window counting as much as its score.
    """

    def __init__(self, like: Tensor, least: float) -> None:
        self.size, self.least, self.best = like.shape[-2:], least, 0.0
        empty = torch.zeros(self.size, device=like.device, dtype=torch.float32)
        self.total, self.count, self.largest = empty, empty.clone(), empty.clone()
        self._signed, self._weight = empty.clone(), empty.clone()

    def add(self, window: Window, stretched: Tensor, signed: Tensor, score: Tensor) -> None:
        score = score.to(stretched)
        found = window.pasted(score * stretched, self.size)
        counted = found > self.least
        self.total += found * counted
        self.count += counted
        self.largest = torch.maximum(self.largest, found)
        self._signed += window.pasted(score * signed, self.size)
        self._weight += window.pasted(score * torch.ones_like(signed), self.size)
        self.best = max(self.best, float(score))

    def mean(self) -> Tensor:
        return self.total / self.count.clamp(min=1)

    def signed(self) -> Tensor:
        known = self._weight > 0  # places of dropped windows may have no other
        return torch.where(known, self._signed / self._weight.where(known, 1.0), 0.0)
