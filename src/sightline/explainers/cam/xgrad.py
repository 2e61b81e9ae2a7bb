"""XGrad-CAM: weigh each filter by the mean of its gradient, places counted by their activation.

Paper: Fu et al., BMVC 2020, eq. 8: alpha_k = sum of G A / sum of A, chosen so that the map sums to
what gradient times activation sums to (the axioms of sensitivity and conservation to first order,
from memory). Deviations: where a filter's activations cancel, the sum is kept 1e-7 away from zero
with its sign; a dead filter gets exactly 0.
"""

from dataclasses import dataclass

import torch

from ...registry import register
from ...shapes import Weights
from ._weighted import LayerView, WeightedCAM

LEAST = 1e-7


@register(
    "xgrad-cam",
    paper="arXiv:2008.02312",
    claims=(
        "class-sensitive",
        "weight-sensitive",
        "scale-invariant",
        "exact-on-pooled-head",
        "non-negative",
    ),
)
@dataclass(frozen=True, kw_only=True)
class XGradCAM(WeightedCAM):
    """How much would the target's score rise if a whole filter became stronger in proportion to its
    activation?

    `native` sums to the same number as that of `hires-cam`; a place's own value is still the
    filter's average.

    Do not trust it on layers with negative values (GELU, SiLU, tokens): where a filter's
    activations nearly cancel, the division makes its weight arbitrarily large.
    """

    def weigh(self, view: LayerView) -> Weights:
        total = view.maps.sum((2, 3), keepdim=True)
        safe = torch.where(total < 0, total.clamp(max=-LEAST), total.clamp(min=LEAST))
        return (view.grads * view.maps).sum((2, 3), keepdim=True) / safe
