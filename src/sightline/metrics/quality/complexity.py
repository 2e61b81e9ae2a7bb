"""Complexity: how much of the picture does the map mark?

Paper: Poppi et al., CVPR-W 2021, eq. 3: the mean of the map in [0, 1]. Deviations: a map comes to
[0, 1] by its positive part over its largest value, at the resolution of the model's input.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from ...metric import Case, Metric
from ...registry import register
from ...shapes import Scores


def spread(case: Case) -> Scores:
    """The mean of each map in [0, 1], float64; NaN where nothing is positive."""
    shown = case.unit.double().mean((1, 2))
    return torch.where(shown > 0, shown, torch.nan)


@register("complexity", paper="arXiv:2104.10252")
@dataclass(frozen=True, kw_only=True)
class Complexity(Metric):
    """How much of the picture does the map mark? Lower is simpler.

    In [0, 1]: the mean of the map, whose largest value counts as 1; an all-ones map has 1. A map
    without positive values is NaN.

    Do not trust it alone: a single pixel anywhere is simplest. It does not depend on where the map
    points, and one very high pixel makes any map simple.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "lower"
    unit: ClassVar[str] = "mean of the map"
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)

    def score(self, case: Case) -> Scores:
        return spread(case)
