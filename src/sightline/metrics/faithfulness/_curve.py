"""The family of deletion and insertion: change the picture in the order of the map and follow the
score.
"""

from abc import abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, final

import torch
from torch import Tensor

from ...errors import BadField
from ...hiding import hidden_images
from ...metric import Case, Metric
from ...ops.fill import Fill
from ...ops.noise import generator

DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class AreaUnderCurve(Metric):
    """Area under the target's value while pixels change in the order of the map, over a share of
    area in [0, 1].

    steps: changes of equal area, to a whole pixel, each weighed by the area that it changed; the
    papers' 224 pixels a step are 224 of them at 224 x 224, and 56 is close to it. seed: order of
    pixels with equal values (maps rounded to 6 digits of their largest value), drawn once for all
    images. The score is the probability, unless the target says otherwise.
    """

    unit: ClassVar[str] = "area under the curve"

    steps: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        Fill(self.hidden)
        if self.steps < 1:
            raise BadField(f"steps is at least 1; got {self.steps}.")

    @property
    @abstractmethod
    def hidden(self) -> str | float:
        """The name of the fill of pixels that are away."""

    @abstractmethod
    def visible(self, rank: Tensor, changed: Tensor) -> Tensor:
        """Which pixels are the picture's own after `changed` pixels (step, 1, 1), from their
        rank (row, col) to (step, row, col).
        """

    @final
    def read(self, curves: Tensor) -> Tensor:
        """The area (batch,) under curves whose steps change equal areas, which is right to half a
        pixel a step; `result` knows the pixels."""
        return (curves.sum(1) - (curves[:, 0] + curves[:, -1]) / 2) / self.steps

    @final
    def result(self, curves: Tensor, pixels: int) -> Tensor:
        """The area (batch,) under curves of pictures of so many pixels."""
        areas = (
            torch.tensor(self.changed(pixels), dtype=torch.float64, device="cpu").diff() / pixels
        )
        heights = (curves[:, 1:] + curves[:, :-1]).double() / 2
        return heights @ areas.to(heights.device)

    @final
    def changed(self, pixels: int) -> list[int]:
        """How many pixels of so many have changed after 0, 1, ... `steps` steps."""
        return [round(Fraction(step * pixels, self.steps)) for step in range(self.steps + 1)]

    @final
    def curves(self, case: Case) -> Tensor:
        """The target's value after 0, 1, ... `steps` steps, (batch, steps + 1)."""
        target = case.target.with_habit(True)
        filled = Fill(self.hidden).like(case.images, case.model)
        heat = case.heat.to(case.images.device)
        changed = torch.tensor(self.changed(case.pixels), device=heat.device, dtype=torch.float32)
        found = []
        planned = self.steps * len(case.images)
        for row, hidden in enumerate(hidden_images(case.model, target, case.images, filled)):
            rank = order(heat[row], self.seed)

            def lay(part: Tensor, rank: Tensor = rank) -> Tensor:
                return self.visible(rank, part.view(-1, 1, 1))[:, None]

            found.append(hidden.scores(changed, lay, planned))
        return torch.cat(found).view(len(case.images), self.steps + 1).float()

    @final
    def tied(self, case: Case) -> Tensor:
        """The share of pixels whose place in the order was drawn, because others have their value,
        (batch,).
        """
        shares = []
        for heat in case.heat:
            _, count = _rounded(heat).unique(return_counts=True)
            shares.append(count[count > 1].sum() / heat.numel())
        return torch.stack(shares).float()


def order(heat: Tensor, seed: int) -> Tensor:
    """Each pixel's place (row, col) in the order of decreasing `heat`; equal values in an order
    drawn from `seed`.
    """
    values = _rounded(heat).flatten()
    drawn = torch.randperm(len(values), generator=generator(seed, "ties"), device="cpu").to(
        values.device
    )
    places = drawn[values[drawn].argsort(descending=True, stable=True)]
    rank = torch.empty_like(places)
    rank[places] = torch.arange(len(places), device=places.device)
    return rank.view(heat.shape)


def _rounded(heat: Tensor) -> Tensor:
    largest = heat.abs().max()
    return (heat / torch.where(largest > 0, largest, 1)).double().round(decimals=DIGITS)
