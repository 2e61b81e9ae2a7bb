"""HiResCAM: multiply each filter by its gradient place by place, then sum.

Paper: Draelos and Carin, 2020, eq. 4: raw = sum over filters of gradient times activation, without
ReLU; clipping is a matter of display. Where the layers behind are affine the map sums to the logit
without its bias and each place holds exactly its own share. Deviations: none.
"""

from dataclasses import dataclass

from ...registry import register
from ...shapes import Weights
from ._weighted import LayerView, WeightedCAM


@register(
    "hires-cam",
    paper="arXiv:2011.08891",
    claims=(
        "class-sensitive",
        "weight-sensitive",
        "scale-invariant",
        "exact-on-pooled-head",
        "additive",
    ),
)
@dataclass(frozen=True, kw_only=True)
class HiResCAM(WeightedCAM):
    """How much does each place of the layer add to the target, as far as the gradient tells?

    Do not trust its sum, or a single place as an exact share, unless what follows the layer is
    affine (pooling and one linear layer): behind a deeper head it is a local linearisation.
    """

    keep_sign: bool = True

    def weigh(self, view: LayerView) -> Weights:
        return view.grads
