"""Insertion: put the pixels that the map ranks highest into a blurred picture and see how fast the
score rises.

Paper: Petsiuk, Das and Saenko, BMVC 2018, section 4.1; the start is the picture blurred by a
Gaussian of 11 pixels, sigma 5. Deviations: 32 steps of equal area instead of one per 224 pixels;
pixels of equal value come in a drawn order.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Shaped
from torch import Tensor

from ...registry import register
from ._curve import AreaUnderCurve


@register("insertion", paper="arXiv:1806.07421", claims=("prefers-truth",))
@dataclass(frozen=True, kw_only=True)
class Insertion(AreaUnderCurve):
    """How fast does the score rise when the highest pixels are restored first? Higher is better.

    Do not trust it where the blurred picture is still recognised: then every map scores high, the
    baselines too.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "higher"

    fill: str | float = "blur"

    @property
    def hidden(self) -> str | float:
        return self.fill

    def visible(
        self, rank: Shaped[Tensor, "row col"], changed: Shaped[Tensor, "step 1 1"]
    ) -> Shaped[Tensor, "step row col"]:
        return rank < changed
