"""The straight path from a baseline to a picture, sampled more densely where the gradients do not
yet explain how the score rises.

Between two points of the way the gradient is taken to change evenly; the stretches over which it
changes most are halved. How much the score rises between them is known, because each gradient
brings its score with it: so the error of what was found is known, not estimated.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from ...model import Model
from ...target import Target

FIRST = 10  # points at the start, evenly spaced, both ends included
AT_ONCE = 4  # stretches that are halved in one round
FEWEST = 18  # gradients before the errors of stretches may make up for one another


@dataclass(frozen=True, eq=False)
class PathPoint:
    """A place on the way, 0 to 1, with the score and the gradient (channel, row, col) there, and
    how steeply the score rises along the way as the gradient has it.
    """

    place: float
    score: float
    slope: float
    gradient: Tensor


@dataclass(eq=False)
class ImagePath:
    """From `empty` to `image`, (1, channel, row, col) each, of row `row` of the model's batch."""

    model: Model
    target: Target
    row: int
    image: Tensor
    empty: Tensor
    points: list[PathPoint] = field(default_factory=list)

    def refine(self, tolerance: float, limit: int) -> None:
        """Halve stretches until the gradients' sum is within `tolerance` of the rise, relatively,
        or `limit` gradients were taken."""
        self._measure([i / (FIRST - 1) for i in range(FIRST)])
        while len(self.points) < limit and not self._explained(tolerance):
            widest = self._widest(min(AT_ONCE, limit - len(self.points)))
            self._measure([(a.place + b.place) / 2 for a, b in widest])

    @property
    def rise(self) -> float:
        return self.points[-1].score - self.points[0].score

    def gradient(self) -> Tensor:
        """The gradient averaged over the way, (channel, row, col)."""
        total = torch.zeros_like(self.image[0], dtype=torch.float32)
        for a, b in pairwise(self.points):
            total += (b.place - a.place) / 2 * (a.gradient + b.gradient)
        return total

    def _explained(self, tolerance: float) -> bool:
        allowed = tolerance * abs(self.rise)
        errors = [_error(a, b) for a, b in pairwise(self.points)]
        if len(self.points) >= FEWEST and abs(sum(errors)) <= allowed:
            return True
        return sum(map(abs, errors)) <= allowed

    def _widest(self, count: int) -> list[tuple[PathPoint, PathPoint]]:
        """The stretches over which the gradient changes most, by what that means for the sum."""
        stretches = list(pairwise(self.points))
        return sorted(stretches, key=lambda s: -_doubt(*s))[:count]

    def _measure(self, places: list[float]) -> None:
        """Take the gradients at these places, all in one pass."""
        where = torch.tensor(places, dtype=self.image.dtype, device=self.image.device)
        between = self.empty + where.view(-1, 1, 1, 1) * (self.image - self.empty)
        rows = torch.full((len(places),), self.row, device="cpu")
        scores, found = self.model.gradients(between, self.target, rows=rows)
        found = found.detach().float()
        slopes = (found * (self.image - self.empty).float()).sum((1, 2, 3), dtype=torch.float64)
        seen = zip(places, scores.tolist(), slopes.tolist(), found, strict=True)
        self.points = sorted(
            [*self.points, *(PathPoint(*point) for point in seen)], key=lambda p: p.place
        )


def _error(a: PathPoint, b: PathPoint) -> float:
    """By how much the gradients at both ends miss the rise between them."""
    return (b.place - a.place) * (a.slope + b.slope) / 2 - (b.score - a.score)


def _doubt(a: PathPoint, b: PathPoint) -> float:
    """How far the rise between two points may be from what both gradients say of it."""
    return (b.place - a.place) * abs(b.slope - a.slope)
