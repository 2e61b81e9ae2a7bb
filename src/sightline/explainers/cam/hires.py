"""HiResCAM: multiply each filter by its gradient place by place, then sum.

Paper: Draelos and Carin, 2020, eq. 4: raw = sum over filters of gradient times activation, without
ReLU; clipping is a matter of display. Where the later layers are affine, the map sums to the logit
without its bias and each place has exactly its own share. Deviations: none. Where what follows
normalises each place by itself (the last block of a transformer that reads a class token), the
score does not change when a place's maps grow, and the products of a place sum to 0: only rounding
would be shown, which is refused.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from ...errors import NotExplainable
from ...registry import register
from ...shapes import Weights
from ._weighted import LayerView, WeightedCAM

CANCELLED = 1e-4  # of the products' sizes: as little is left of a place's sum by rounding


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
    """How much does each place of the layer add to the target, according to the gradient?

    Do not trust its sum, or the exact share of a place, unless the part after the layer is affine
    (pooling and one linear layer). With a deeper head the map is a local linearisation.
    """

    recommended: ClassVar[bool] = True
    differentiable_as: ClassVar[str] = "cam with a weight per place"

    keep_sign: bool = True

    def weigh(self, view: LayerView) -> Weights:
        shares = view.grads * view.maps
        left = shares.sum(1).abs().flatten(1).amax(1)
        whole = shares.abs_().sum(1).flatten(1).amax(1)
        rounding = torch.finfo(view.trace.raw[view.layers[0]].dtype).eps
        if ((left <= max(CANCELLED, 2 * rounding) * whole) & (whole > 0)).any():
            earlier = view.model.anatomy.candidates[:1]
            raise NotExplainable(
                f"hires-cam at {view.layer!r} of {view.model.name}: the part after this layer"
                " normalises each place, so gradient times activation sums to 0 and the map"
                " would show only rounding errors. Use grad-cam or"
                f" layer-cam{f', or layer={earlier[0]!r}' if earlier else ''}."
            )
        return view.grads
