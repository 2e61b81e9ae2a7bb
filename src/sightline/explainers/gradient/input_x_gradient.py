"""Input times gradient: what each pixel adds, if the network were linear.

Paper: Shrikumar et al., 2016, section 3 (from memory): x * ds/dx, with x the normalised picture.
Deviations: none at the default. Pictures are in natural units here, so x is (picture - mean) / std
and its derivative is std times the natural one: the product is (picture - model.mean) * d s / d
picture, the same number. That is the difference from a picture of the mean colour, so `baseline`
may name another.
"""

from dataclasses import dataclass
from typing import ClassVar

from ...explainer import Explainer
from ...explanation import Heatmap
from ...model import Model
from ...ops.fill import Fill
from ...registry import register
from ...shapes import Images
from ...target import Target


@register(
    "input-x-gradient",
    paper="arXiv:1605.01713",
    claims=(
        "class-sensitive",
        "weight-sensitive",
        "scale-invariant",
        "exact-on-linear",
        "ignores-dead-input",
    ),
)
@dataclass(frozen=True, kw_only=True)
class InputXGradient(Explainer):
    """What would each pixel add to the score, if the network were linear?

    values and native: signed, summed over colours. channels: each colour's product of derivative
    and difference from the baseline. baseline: the name of a `Fill`; the default, the model's mean
    colour, is zero in a normalised picture, so the numbers are those of normalised picture times
    gradient. Where all activations are ReLUs and nothing has a bias they sum to the score and equal
    `integrated-gradients`.

    Do not trust it where the network saturates: a pixel that matters may have no gradient. Pixels
    near the baseline's colour get values near 0, even where they matter. `integrated-gradients`
    solves the first problem, not the second.
    """

    needs: ClassVar[tuple[str, ...]] = ("gradients",)
    well_known: ClassVar[bool] = True

    baseline: str | float = "mean"

    def __post_init__(self) -> None:
        Fill(self.baseline)

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        _, grads = model.gradients(images, target)
        empty = Fill(self.baseline).like(images, model)
        shares = (images - empty).float() * grads.float()
        summed = shares.sum(1)
        return Heatmap(summed, native=summed, channels=shares)
