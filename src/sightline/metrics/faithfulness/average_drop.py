"""Average drop: how much of the model's confidence is lost when only the marked part is shown?

Paper: Chattopadhyay et al. (Grad-CAM++), WACV 2018, section 4.1: max(0, p(x) - p(e)) / p(x), e the
picture times the map in [0, 1]; the average is over pictures. Deviations: a map comes to [0, 1] by
its positive part over its largest value, and what it hides becomes `fill`; "mean" is what
multiplying a normalised picture does, "black" what multiplying pixels does.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from ...metric import Case, Metric
from ...ops.fill import Fill
from ...registry import register
from ...shapes import Scores


@register("average-drop", paper="arXiv:1710.11063")
@dataclass(frozen=True, kw_only=True)
class AverageDrop(Metric):
    """How much confidence is lost when only the marked part of the picture is shown? Lower is
    better.

    In [0, 1], a share of the confidence in the whole picture; 0 also where it rises. NaN where that
    confidence is 0. fill: what hidden pixels become, the name of a `Fill`.

    Do not trust it alone: a map that shows everything loses nothing, so broad maps win and an
    all-ones map is best. `adcc` combines it with the size of the marked area.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "lower"
    unit: ClassVar[str] = "share of confidence lost"

    fill: str | float = "mean"

    def __post_init__(self) -> None:
        Fill(self.fill)

    def score(self, case: Case) -> Scores:
        before, after = (
            case.probabilities(case.images),
            case.probabilities(case.visible_images(self.fill)),
        )
        return torch.where(before > 0, (before - after).clamp(min=0) / before, torch.nan)
