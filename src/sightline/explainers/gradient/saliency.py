"""Gradient: how steeply the target depends on each pixel.

Paper: Simonyan, Vedaldi and Zisserman, ICLR workshop 2014, section 3: the largest absolute
derivative over the colours. Deviations: derivatives are per unit of natural brightness, [0, 1]; one
per unit of a normalised picture is `model.std` times that, so where a model's colours have unequal
deviations the maximum may fall on another colour.
"""

from dataclasses import dataclass
from typing import ClassVar

from ...explainer import Explainer
from ...explanation import Heatmap
from ...model import Model
from ...registry import register
from ...shapes import Images
from ...target import Target


@register(
    "gradient",
    paper="arXiv:1312.6034",
    claims=(
        "class-sensitive",
        "weight-sensitive",
        "scale-invariant",
        "exact-on-linear",
        "ignores-dead-input",
        "non-negative",
    ),
)
@dataclass(frozen=True, kw_only=True)
class Gradient(Explainer):
    """Which pixels would change the target most if they changed a little?

    values: the largest absolute derivative over colours. channels: the signed derivative of each
    colour. native: the signed sum over colours, at the resolution of the input.

    Do not trust it as "what the model used": where the model is saturated the gradient is small
    exactly at the evidence, and in deep networks it is noisy. Compare with `integrated-gradients`
    or `smooth-grad`.
    """

    needs: ClassVar[tuple[str, ...]] = ("gradients",)
    well_known: ClassVar[bool] = True
    differentiable_as: ClassVar[str] = "gradient"

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        _, grads = model.gradients(images, target)
        grads = grads.float()
        return Heatmap(grads.abs().amax(1), native=grads.sum(1), channels=grads)
