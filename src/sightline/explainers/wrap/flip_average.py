"""Flip averaging: the map and the mirrored map of the mirror image, averaged.

Paper: Simonyan and Zisserman, ICLR 2015, section 3.2 (from memory), averages the class scores of a
picture and its mirror image. Averaging maps in the same way is a project definition.
"""

from dataclasses import dataclass, replace

from torch import Tensor

from ...explainer import Explainer, part_method
from ...explanation import Heatmap
from ...model import Model
from ...registry import register
from ...shapes import Images
from ...target import Target
from ._inner_method import inner_heatmap, refuse_places


@register(
    "flip-average",
    paper="arXiv:1409.1556",
    claims=(
        "class-sensitive",
        "weight-sensitive",
        "scale-invariant",
        "exact-on-pooled-head",
        "non-negative",
    ),
)
@dataclass(frozen=True, kw_only=True)
class FlipAverage(Explainer):
    """What does the method show for both the picture and its mirror image?

    explainer: the method, a name or an explainer with its own parameters. values, native and
    channels: the mean of both, as the method gives them. The target is the one of the clean
    picture. It costs twice the method. The claims listed here are those of the default method;
    another method keeps its own.

    Do not trust it where left and right have a meaning (text, organs, a question about sides): the
    mirror image is then a different picture.
    """

    explainer: Explainer | str = "grad-cam"

    def __post_init__(self) -> None:
        part_method(self.explainer)

    @property
    def parts(self) -> tuple[Explainer, ...]:
        return (part_method(self.explainer),)

    def fast(self) -> "FlipAverage":
        """The same around the fast form of its method."""
        return replace(self, explainer=self.parts[0].fast())

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        refuse_places(self.registered_name, target)
        (part,) = self.parts
        plain = inner_heatmap(part, model, images, target)
        mirrored = inner_heatmap(part, model, images.flip(3), target)
        return Heatmap(
            (plain.values + mirrored.values.flip(2)) / 2,
            native=_mean(plain.native, mirrored.native),
            channels=_mean(plain.channels, mirrored.channels),
        )


def _mean(plain: Tensor | None, mirrored: Tensor | None) -> Tensor | None:
    if plain is None or mirrored is None:
        return None
    return (plain + mirrored.flip(-1)) / 2
