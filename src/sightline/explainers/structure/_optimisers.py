"""Three ways to walk downhill: backtracking line search, Nesterov's momentum, and Adam."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ._descent import DescentState, Optimiser
from ._objective import Objective
from ._smoothing import smoothed

GUARD = 1e-4  # of a picture's largest slope
CELLS = 28 * 28  # the published steps are for masks of 28 x 28; means over cells scale with these


def scaled(step: float, cells: tuple[int, int]) -> float:
    """A step for a mask of these cells that moves each as `step` moves those of 28 x 28."""
    return step * cells[0] * cells[1] / CELLS


@dataclass(eq=False)
class LineSearch(Optimiser):
    """Try a step, shrink it until the objective falls by `sufficient` * step * |direction|^2, and
    on as long as a smaller step is lower still.

    The objective of a trial has no noise. The first trial of an iteration is the last accepted step
    grown once (the largest after none was accepted), and the accepted trial is the next objective,
    so that an iteration takes few forwards. smooth: weight of the variation that each step is also
    solved for (_smoothing.py), and the lower of both counts; 0 tries the plain step alone.
    """

    largest: float
    smallest: float
    shrink: float
    sufficient: float
    smooth: float
    steps: Tensor | None = None  # the first to try, of each image

    def here(self, course: DescentState, rows: Tensor) -> Tensor:
        return course.hidden[rows.to(course.hidden.device)]

    def move(
        self, objective: Objective, course: DescentState, rows: Tensor, direction: Tensor
    ) -> Tensor:
        if self.steps is None:
            self.steps = torch.full(
                course.used.shape, self.largest, dtype=torch.float64, device="cpu"
            )
        steps = self.steps[rows]
        self.steps[rows] = self.largest
        start, before = self.here(course, rows), course.value[rows.to(course.value.device)]
        accepted = torch.zeros(len(rows), dtype=torch.bool, device="cpu")
        pending = torch.arange(len(rows), device="cpu")
        while len(pending):
            at, which = pending.to(direction.device), rows[pending]
            ahead = start[at], direction[at], steps[pending].to(direction.device)
            trial, value, scores, fall = self._try(objective, which, ahead)
            lowest = course.value[which.to(value.device)] - course.least[which.to(value.device)]
            good = (value <= before[at] - fall) & (value <= lowest)
            said = good.cpu()
            course.note(which[said], trial[good], value[good], scores[good])
            grown = steps[pending[said]] / self.shrink
            self.steps[which[said]] = grown.clamp(max=self.largest)
            done = accepted[pending] & ~said
            accepted[pending[said]] = True
            pending = pending[~done]
            steps[pending] *= self.shrink
            pending = pending[steps[pending] >= self.smallest]
        return course.value[rows.to(course.value.device)]

    def _try(
        self, objective: Objective, rows: Tensor, ahead: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The lowest trial of each image: what it hides, its objective, its scores, and the fall
        that is asked of it. ahead: where from, directions, and steps (image,).
        """
        start, direction, step = ahead
        moves = [direction]
        if self.smooth:
            moves.append(smoothed(direction, step, self.smooth))
        reach = step.to(direction).view(-1, 1, 1, 1)
        trials = torch.cat([(start + reach * move).clamp(0, 1) for move in moves])
        value, scores = objective.value(trials, rows.repeat(len(moves)))
        lowest = value.view(len(moves), -1).argmin(0) * len(rows)
        pick = lowest + torch.arange(len(rows), device=lowest.device)
        slope = torch.cat([(direction * move).double().flatten(1).sum(1) for move in moves])
        return trials[pick], value[pick], scores[pick], self.sufficient * step * slope[pick]


@dataclass(eq=False)
class Nesterov(Optimiser):
    """y' = m - rate * gradient; m' = clip(y' + t / (t + 3) * (y' - y)), t from 0."""

    rate: float
    place: Tensor | None = None
    last: Tensor | None = None
    taken: int = 0

    def here(self, course: DescentState, rows: Tensor) -> Tensor:
        if self.place is None:
            self.place, self.last = course.hidden.clone(), course.hidden.clone()
        return self.place[rows.to(self.place.device)]

    def move(
        self, objective: Objective, course: DescentState, rows: Tensor, direction: Tensor
    ) -> Tensor:
        assert self.place is not None and self.last is not None
        at = rows.to(direction.device)
        ahead = self.place[at] + self.rate * direction
        momentum = self.taken / (self.taken + 3)
        self.place[at] = (ahead + momentum * (ahead - self.last[at])).clamp(0, 1)
        self.last[at] = ahead
        self.taken += 1
        value, scores = objective.value(self.place[at], rows)
        course.note(rows, self.place[at], value, scores)
        return value


@dataclass(eq=False)
class Adam(Optimiser):
    """Kingma and Ba's step, clipped to masks; decays 0.9 and 0.999. A cell whose slope is rounding
    beside the picture's largest does not move as far as all others: what it is divided by is at
    least GUARD of the largest.
    """

    rate: float
    place: Tensor | None = None
    mean: Tensor | None = None
    square: Tensor | None = None
    taken: int = 0

    def here(self, course: DescentState, rows: Tensor) -> Tensor:
        if self.place is None:
            self.place = course.hidden.clone()
            self.mean, self.square = torch.zeros_like(self.place), torch.zeros_like(self.place)
        return self.place[rows.to(self.place.device)]

    def move(
        self, objective: Objective, course: DescentState, rows: Tensor, direction: Tensor
    ) -> Tensor:
        assert self.place is not None and self.mean is not None and self.square is not None
        at = rows.to(direction.device)
        self.taken += 1
        direction = direction - objective.outward(self.place[at])
        self.mean[at] = 0.9 * self.mean[at] + 0.1 * direction
        self.square[at] = 0.999 * self.square[at] + 0.001 * direction**2
        mean = self.mean[at] / (1 - 0.9**self.taken)
        square = self.square[at] / (1 - 0.999**self.taken)
        size = square.sqrt()
        size = torch.maximum(size, GUARD * size.flatten(1).amax(1).view(-1, 1, 1, 1))
        self.place[at] = (self.place[at] + self.rate * mean / (size + 1e-8)).clamp(0, 1)
        value, scores = objective.value(self.place[at], rows)
        course.note(rows, self.place[at], value, scores)
        return value
