"""CAM: the class's own weights in the last linear layer, laid over the maps that they weigh.

Paper: Zhou et al., CVPR 2016, eq. 2: M_c = sum over filters of w_ck A_k. Deviations: divided by the
number of places (`per_place`), so that the map sums to the logit without its bias; the paper leaves
that factor out. The weights are read as the gradient at the layer, which is them over the number of
places; that the network is pooling and one linear layer is measured, and refused where it is not.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...errors import NotExplainable
from ...registry import register
from ...shapes import Weights
from ._head import Head
from ._weighted import LayerView, WeightedCAM

EVEN = 1e-3  # by how much of its largest value a filter's gradient may differ between places


@register(
    "cam",
    paper="arXiv:1512.04150",
    claims=(
        "class-sensitive",
        "weight-sensitive",
        "scale-invariant",
        "exact-on-pooled-head",
        "additive",
    ),
)
@dataclass(frozen=True, kw_only=True)
class CAM(WeightedCAM):
    """How much does each place add to the class, in a network that ends in average pooling and one
    linear layer?

    values and native: signed; they sum to the logit without its bias. per_place: False leaves out
    the division by the number of places, as the paper does. Raises: NotExplainable where anything
    else lies between the layer and the score (also a softmax: the score must be a logit).

    Do not trust it to say where the layer looked: a place of the map depends on its whole receptive
    field, which in deep networks is the whole picture.
    """

    differentiable_as: ClassVar[str] = "cam"

    keep_sign: bool = True
    per_place: bool = True

    def weigh(self, view: LayerView) -> Weights:
        weights = view.grads.mean((2, 3), keepdim=True)
        if not Head(view).affine or not _even(view.grads, weights):
            raise NotExplainable(
                f"cam needs global average pooling and one linear layer after {view.layer!r},"
                f" and a logit as target; the head of {view.model.name} is not average pooling"
                " plus one linear layer, or the target is not a logit. Use hires-cam, which"
                " needs neither."
            )
        return weights if self.per_place else weights * view.maps[0, 0].numel()


def _even(grads: Tensor, mean: Tensor) -> bool:
    return bool((grads - mean).abs().max() <= EVEN * grads.abs().max())
