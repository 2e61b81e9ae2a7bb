"""Guided backpropagation: the gradient, with negative signals stopped at every ReLU.

Paper: Springenberg et al., ICLR workshop 2015, section 3.4 (number from memory): backward through a
ReLU, R_in = R_out * [R_out > 0] * [z > 0]. Deviations: the paper shows single units, and any target
is allowed here; the reduction over colours is that of `gradient`, so that the two compare.
"""

from dataclasses import dataclass
from typing import ClassVar

from ...explainer import Explainer
from ...explanation import Heatmap
from ...model import Model
from ...ops.rules import GuidedReLU
from ...registry import register
from ...shapes import Images
from ...target import Target
from ._relu_rules import gradients_under_rule, target_score


@register("guided-backprop", paper="arXiv:1412.6806", claims=("scale-invariant", "non-negative"))
@dataclass(frozen=True, kw_only=True)
class GuidedBackprop(Explainer):
    """Which edges of the picture do the active units pass on, when only positive signals count?

    values: the largest absolute value over colours. channels: signed, per unit of natural
    brightness. native: the signed sum over colours, at the resolution of the input. Functional,
    in-place and re-used ReLUs all obey the rule; other activations beside them keep their plain
    derivative, and a network without any ReLU is refused.

    Do not trust it to explain the class: it fails the sanity check. The map barely depends on the
    top layers or on the target (Adebayo et al., 2018, and its erratum): it redraws the edges that
    the first layers detect. Use it for detail inside another map, as `guided-grad-cam` does.
    """

    needs: ClassVar[tuple[str, ...]] = ("gradients",)
    own_passes: ClassVar[bool] = True
    well_known: ClassVar[bool] = True

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        signals = gradients_under_rule(
            model, images, GuidedReLU(), target_score(target), target.reads
        )
        return Heatmap(signals.abs().amax(1), native=signals.sum(1), channels=signals)
