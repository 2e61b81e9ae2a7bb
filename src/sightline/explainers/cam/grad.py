"""Grad-CAM: weigh each filter by the mean of its gradient.

Paper: Selvaraju et al., ICCV 2017, eq. 1-2. Deviations: none.
"""

from dataclasses import dataclass
from typing import ClassVar

from ...registry import register
from ...shapes import Weights
from ._weighted import LayerView, WeightedCAM


@register(
    "grad-cam",
    paper="arXiv:1610.02391",
    claims=(
        "class-sensitive",
        "weight-sensitive",
        "scale-invariant",
        "exact-on-pooled-head",
        "non-negative",
    ),
)
@dataclass(frozen=True, kw_only=True)
class GradCAM(WeightedCAM):
    """How much would the target's score rise if a whole filter became stronger?

    Do not trust it where one filter matters in one place and not in another: averaging the gradient
    discards location. Prefer `hires-cam` there.
    """

    well_known: ClassVar[bool] = True
    recommended: ClassVar[bool] = True
    differentiable_as: ClassVar[str] = "cam"

    def weigh(self, view: LayerView) -> Weights:
        return view.grads.mean((2, 3), keepdim=True)
