"""Coherency: does the method mark the same places again when only these are shown?

Paper: Poppi et al., CVPR-W 2021, eq. 2: (1 + correlation of M(x) and M(e)) / 2, e the picture times
its map M(x) in [0, 1], both maps for the same class. Deviations: Pearson's correlation of the maps
as the method gives them, at the resolution of the model's input.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from ...metric import Case, Metric
from ...ops.fill import Fill
from ...ops.similarity import pearson
from ...registry import register
from ...shapes import Scores


def coherence(case: Case, fill: str | float) -> Scores:
    """(1 + correlation) / 2 of the map and the map of what it shows, float64; 1 where both are the
    same, NaN where one alone is constant."""
    again = case.again(case.visible_images(fill))
    heat = case.heat.to(again.device)
    same = (heat == again).flatten(1).all(1)
    return torch.where(same, 1.0, (1 + pearson(heat, again)) / 2).cpu()


@register("coherency", paper="arXiv:2104.10252")
@dataclass(frozen=True, kw_only=True)
class Coherency(Metric):
    """Does the method mark the same places again when only the marked places are shown? Higher is
    steadier.

    In [0, 1]; 0.5 is no relation. NaN where a map is empty, or one alone of the two is constant.
    fill: what hidden pixels become, the name of a `Fill`. It costs one more explanation.

    Do not trust it as a sign that the map is right: a method that always marks the middle of the
    picture gets 1. So does a method that always marks the wrong class.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    unit: ClassVar[str] = "coherency"
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    blind_is_best: ClassVar[bool] = True

    fill: str | float = "mean"

    def __post_init__(self) -> None:
        Fill(self.fill)

    def score(self, case: Case) -> Scores:
        return coherence(case, self.fill)
