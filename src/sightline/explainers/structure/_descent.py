"""Going downhill with masks, each image of the batch at its own pace and with its own end."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ._objective import Objective

LEAST = 1e-5  # a fall of the objective that no rounding of scores makes, of 1 or of larger scores
STUCK = (
    "no step lowered the objective of this picture: no region is worth its size. The map is"
    " almost empty and only shows which cells would be removed first."
)
PATIENCE = 3  # iterations that together must bring something, or a tenth of all


@dataclass(frozen=True, kw_only=True)
class Stop:
    """When an image is done: after so many iterations, or once the last few (3, or a tenth of all)
    together brought at most `tolerance` of what the objective fell by in all; 0 never stops early.
    """

    iterations: int
    tolerance: float

    @property
    def patience(self) -> int:
        return max(PATIENCE, self.iterations // 10)


@dataclass(kw_only=True, eq=False)
class DescentState:
    """How a batch of masks went: the best of each image so far, and the way there.

    hidden (image, mask, row, col), value (image,), scores (image, term): of the lowest objective.
    curve (image, iterations + 1): the objective, constant after the end. used, lowered (image,):
    iterations, and how many of them lowered the objective. first: the first direction. least
    (image,): a smaller fall of the objective counts as rounding.
    """

    hidden: Tensor
    value: Tensor
    scores: Tensor
    curve: Tensor
    used: Tensor
    lowered: Tensor
    going: Tensor
    first: Tensor
    least: Tensor

    @classmethod
    def begin(cls, objective: Objective, cells: tuple[int, int], stop: Stop) -> "DescentState":
        """All masks full: nothing is hidden."""
        images = objective.evidence.images
        hidden = torch.zeros(
            len(images), objective.masks, *cells, device=images.device, dtype=torch.float32
        )
        value, scores = objective.value(hidden, torch.arange(len(images), device="cpu"))
        none = torch.zeros(len(images), dtype=torch.long, device="cpu")
        return cls(
            hidden=hidden,
            value=value,
            scores=scores,
            curve=value[:, None].repeat(1, stop.iterations + 1),
            used=none.clone(),
            lowered=none.clone(),
            going=none == 0,
            first=torch.zeros_like(hidden),
            least=LEAST * scores.double().abs().amax(1).clamp(min=1),
        )

    @property
    def rows(self) -> Tensor:
        """All images, by number."""
        return torch.arange(len(self.value), device="cpu")

    @property
    def remarks(self) -> list[str]:
        """What each image's map must not be shown without; empty where nothing is unusual."""
        return ["" if count else STUCK for count in self.lowered.tolist()]

    def note(self, rows: Tensor, hidden: Tensor, value: Tensor, scores: Tensor) -> None:
        """Keep what these images reached where it is better than what they had."""
        at = rows.to(value.device)
        better = value <= self.value[at] - self.least[at]
        kept = at[better]
        self.hidden[kept], self.value[kept] = hidden[better], value[better]
        self.scores[kept] = scores[better]

    def close(self, rows: Tensor, iteration: int, now: Tensor, stop: Stop) -> None:
        """End an iteration of these images, at objectives `now`; some of them are done with it."""
        at = rows.to(now.device)
        self.used[rows] += 1
        before = self.curve[at, : iteration + 1].amin(1)
        self.lowered[rows] += (self.value[at] < before).long().cpu()
        self.curve[at, iteration + 1 :] = now[:, None]
        if stop.tolerance == 0 or iteration + 1 < stop.patience:
            return
        best = self.curve[at, : iteration + 2].cummin(1).values
        lately = best[:, -1 - stop.patience] - best[:, -1]
        settled = lately <= stop.tolerance * (best[:, 0] - best[:, -1])
        self.going[rows[settled.cpu()]] = False

    def hidden_at_end(self, smallest: float) -> Tensor:
        """What is hidden at the end; where no step lowered the objective, the smallest step in the
        first direction, so that the order of cells can still be read.
        """
        stuck = (self.lowered == 0).to(self.hidden.device).view(-1, 1, 1, 1)
        return torch.where(stuck, (smallest * self.first).clamp(0, 1), self.hidden)


class Optimiser(ABC):
    """How masks move, given a direction. It holds its own memory of each image of one batch."""

    @abstractmethod
    def move(
        self, objective: Objective, course: DescentState, rows: Tensor, direction: Tensor
    ) -> Tensor:
        """One iteration of these images, noted in the course; their objectives now, (image,)."""

    @abstractmethod
    def here(self, course: DescentState, rows: Tensor) -> Tensor:
        """What these images hide at the place where the next direction is wanted."""


def optimise(
    objective: Objective, cells: tuple[int, int], walk: Optimiser, stop: Stop
) -> DescentState:
    """Every image of the objective's batch, from a full mask down to where it stops."""
    course = DescentState.begin(objective, cells, stop)
    for iteration in range(stop.iterations):
        rows = course.going.nonzero()[:, 0]
        if len(rows) == 0:
            break
        direction = objective.direction(walk.here(course, rows), rows, iteration)
        if iteration == 0:
            course.first.copy_(direction)
        course.close(rows, iteration, walk.move(objective, course, rows, direction), stop)
    return course
