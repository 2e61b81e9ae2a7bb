"""Deletion: hide the pixels that the map ranks highest and see how fast the score falls.

Paper: Petsiuk, Das and Saenko, BMVC 2018, section 4.1; a hidden pixel becomes the model's mean
colour (0 after normalisation). Deviations: 32 steps of equal area instead of one per 224 pixels;
pixels of equal value are removed in a drawn order, not in reading order.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Shaped
from torch import Tensor

from ...registry import register
from ._curve import AreaUnderCurve


@register("deletion", paper="arXiv:1806.07421", claims=("prefers-truth",))
@dataclass(frozen=True, kw_only=True)
class Deletion(AreaUnderCurve):
    """How fast does the score fall when the highest pixels are removed first? Lower is better.

    Do not trust differences that depend on the choice of `fill`. Do not trust a very low number by
    itself: maps that look like adversarial noise destroy the picture fastest, and win.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "lower"

    fill: str | float = "mean"

    @property
    def hidden(self) -> str | float:
        return self.fill

    def visible(
        self, rank: Shaped[Tensor, "row col"], changed: Shaped[Tensor, "step 1 1"]
    ) -> Shaped[Tensor, "step row col"]:
        return rank >= changed
