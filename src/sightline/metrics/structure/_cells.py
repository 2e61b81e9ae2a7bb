"""The family of metrics that read sets of patches: what is left of the score when they are shown
alone or taken away.

The sets are laid over the picture as the method lays them (bilinear, so that a patch fades into its
neighbours), or with hard edges. Shares are rounded to six decimals of the whole picture's score, so
that batches cannot break ties.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, final

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from ...errors import BadField, NotExplainable
from ...explanation import Explanation
from ...explanations.regions import Cells, Regions
from ...hiding import HiddenImage, hidden_images
from ...metric import Case, Metric
from ...ops.fill import Fill
from ...ops.null_maps import reference
from ...ops.resize import resize

_DECIMALS = 6
_BLOCK = 64  # masked pictures that are made at once


@dataclass(frozen=True, kw_only=True, eq=False)
class CellShares:
    """One image of a case under sets of cells: what they keep, as shares of the whole's score."""

    image: HiddenImage
    grid: tuple[int, int]
    hard: bool
    whole: float

    def shown_alone(self, sets: Sequence[Cells]) -> list[float]:
        """The share that is left when only these cells are shown."""
        return self._shares(self._masks(sets)) if sets else []

    def taken_away(self, sets: Sequence[Cells]) -> list[float]:
        """The share that is left when these cells are taken away."""
        return self._shares(1 - self._masks(sets)) if sets else []

    def _masks(self, sets: Sequence[Cells]) -> Tensor:
        """(set, 1, row, col) of the grid: 1 in the cells of each set."""
        found = torch.zeros(len(sets), 1, *self.grid, dtype=torch.float32, device="cpu")
        for mask, cells in zip(found, sets, strict=True):
            for row, col in cells:
                mask[0, row, col] = 1
        return found.to(self.image.image)

    def _shares(self, masks: Tensor) -> list[float]:
        scores = self.image.scores(masks, self._lay).double().tolist()
        return [round(score / self.whole, _DECIMALS) for score in scores]

    def _lay(self, masks: Tensor) -> Tensor:
        """At the picture's size."""
        size = self.image.image.shape[-2:]
        return interpolate(masks, size, mode="nearest-exact") if self.hard else resize(masks, size)


@dataclass(frozen=True, kw_only=True)
class RegionMetric(Metric):
    """Judges sets of patches by what the model makes of them.

    fill: what is hidden becomes, the name of a `Fill`; with the one that the sets were found under
    it asks whether they are what they claim, with another whether they hold beyond it. edges:
    `soft` as the method lays its patches, or `hard`. The score is the probability, unless the
    target says otherwise; an image whose whole picture scores 0 or less is NaN.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    takes: ClassVar[type[Explanation]] = Regions

    fill: str | float = "mean"
    edges: Literal["soft", "hard"] = "soft"

    def __post_init__(self) -> None:
        Fill(self.fill)
        if self.edges not in ("soft", "hard"):
            raise BadField(f"edges is 'soft' or 'hard'; got {self.edges!r}.")

    @abstractmethod
    def of_one(self, seen: CellShares, regions: Regions) -> float:
        """The number of one image: `regions` holds its sets alone."""

    @final
    def score(self, case: Case) -> Tensor:
        regions = regions_of(case)
        filled = Fill(self.fill).like(case.images, case.model)
        target = case.target.with_habit(True)
        every = torch.arange(len(case.images), device="cpu")
        whole = case.model.scores(case.images, target, rows=every).double().tolist()
        hidden = hidden_images(case.model, target, case.images, filled, _BLOCK)
        found = []
        for row, score in enumerate(whole):
            seen = CellShares(
                image=hidden[row],
                grid=(regions.grid[0], regions.grid[1]),
                hard=self.edges == "hard",
                whole=score,
            )
            found.append(self.of_one(seen, _only(regions, row)) if score > 0 else float("nan"))
        return torch.tensor(found, dtype=torch.float64, device="cpu")

    @final
    def null(self, name: str, case: Case, seed: int) -> Case:
        """Sets of the same sizes, made of the cells in which a null map is highest; another random
        map for each set."""
        regions = regions_of(case)
        size = (regions.grid[0], regions.grid[1])
        longest = max((len(sets) for sets in regions.minimal), default=0)
        orders = [
            adaptive_avg_pool2d(reference(name, case.images, seed + k)[:, None].float(), size)
            .flatten(1)
            .argsort(dim=1, descending=True, stable=True)
            .tolist()
            for k in range(longest + 1)
        ]

        def blind(row: int, number: int, count: int) -> Cells:
            return tuple(sorted(divmod(i, size[1]) for i in orders[number][row][:count]))

        minimal = [
            [blind(row, k, len(cells)) for k, cells in enumerate(sets)]
            for row, sets in enumerate(regions.minimal)
        ]
        necessary = [
            None if cells is None else blind(row, longest, len(cells))
            for row, cells in enumerate(regions.necessary)
        ]
        made = Regions(
            grid=size,
            thresholds=regions.thresholds,
            minimal=minimal,
            necessary=necessary,
            images=regions.images,
            pictures=regions.pictures,
            frames=regions.frames,
        )
        return replace(case, explanation=made)


def regions_of(case: Case) -> Regions:
    """The sets of a case. Raises: NotExplainable for an explanation without sets of patches."""
    if not isinstance(case.explanation, Regions):
        raise NotExplainable(
            f"this metric reads sets of patches (`Regions`), not"
            f" {type(case.explanation).__name__}; `sag` makes them."
        )
    return case.explanation


def _only(regions: Regions, row: int) -> Regions:
    return Regions(
        grid=regions.grid,
        thresholds=regions.thresholds,
        minimal=[regions.minimal[row]],
        necessary=[regions.necessary[row]] if regions.necessary else [None],
    )
