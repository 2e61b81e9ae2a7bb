"""Average increase: is the model more confident when only the marked part is shown?

Paper: Chattopadhyay et al. (Grad-CAM++), WACV 2018, section 4.1: 1 where p(e) > p(x), e the picture
times the map in [0, 1]; the average is a share of pictures. Deviations: as `average-drop`; an
increase below a millionth is rounding and counts as none.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ...metric import Case, Metric
from ...ops.fill import Fill
from ...registry import register
from ...shapes import Scores

ROUNDING = 1e-6


@register("average-increase", paper="arXiv:1710.11063", claims=("prefers-truth",))
@dataclass(frozen=True, kw_only=True)
class AverageIncrease(Metric):
    """Is the model more confident when only the marked part of the picture is shown? 1 is yes, 0
    no.

    fill: what hidden pixels become, the name of a `Fill`.

    Do not trust it where the model is already confident: a probability of 1 cannot rise. The hidden
    part may also have supported another class, so an increase does not prove that the map shows the
    evidence.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    unit: ClassVar[str] = "share of pictures"
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)

    fill: str | float = "mean"

    def __post_init__(self) -> None:
        Fill(self.fill)

    def score(self, case: Case) -> Scores:
        before, after = (
            case.probabilities(case.images),
            case.probabilities(case.visible_images(self.fill)),
        )
        return (after > before + ROUNDING).double()
