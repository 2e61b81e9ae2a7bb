"""Grad-CAM++: weigh each filter by its positive gradients, each place scaled by higher derivatives.

Paper: Chattopadhay et al., WACV 2018, eq. 10 and 19, for the score exp(s): there the second and
third derivatives are powers of the gradient G, and the weight is the sum over places of
relu(G) / (2 + G * sum of A_k). The factor exp(s) is the same for all filters and left out.
Deviations: none where maps are at least 0. G^2 is cancelled, where the usual code divides by
2 G^2 + ... + 1e-6: gradients of trained networks can be near 1e-4, where that constant outweighs
the rest and turns the weight into relu(G)^3. Maps with negative values (GELU, SiLU) can bring the
denominator near or below zero, which the paper does not treat: it is then held at 1, half of what
it is without the second term, with a warning (project definition).
"""

import warnings
from dataclasses import dataclass
from typing import ClassVar

from ...errors import SightlineWarning
from ...registry import register
from ...shapes import Weights
from ._weighted import LayerView, WeightedCAM

LEAST = 1.0


@register(
    "grad-cam++",
    paper="arXiv:1710.11063",
    claims=("class-sensitive", "weight-sensitive", "non-negative"),
)
@dataclass(frozen=True, kw_only=True)
class GradCAMPlusPlus(WeightedCAM):
    """Where is the class, when it appears several times in the picture or only on a small part of
    it?

    Only places where a filter raises the target count. Strong filters are damped, so that small
    instances show beside large ones. The logit's scale matters: multiplying it by 10 makes the
    damping 10 times as strong and changes the map; adding a constant changes nothing.

    Do not trust it to show evidence against the target, which it drops. Do not compare its maps
    between networks whose logits have different scales.
    """

    well_known: ClassVar[bool] = True

    def weigh(self, view: LayerView) -> Weights:
        total = view.maps.sum((2, 3), keepdim=True)
        positive = view.grads.relu()
        below = 2 + total * positive
        if (low := (below < LEAST) & (positive > 0)).any():
            warnings.warn(
                "grad-cam++: maps with negative values make the denominator of"
                f" {low.flatten(1).any(1).sum()} of {len(low)} images smaller than {LEAST:g};"
                f" {LEAST:g} is used there instead.",
                SightlineWarning,
                stacklevel=2,
            )
        return (positive / below.clamp(min=LEAST)).sum((2, 3), keepdim=True)
