"""Guided Grad-CAM: the fine strokes of guided backpropagation, where the class map lies.

Paper: Selvaraju et al., ICCV 2017, section 3.1 (number from memory): the product of guided
backpropagation and the upsampled Grad-CAM map. As in the authors' code the map is clipped and
upsampled but not scaled. Deviations: either part may be another method; `native` is the product
with the map before clipping, so that a class without positive evidence has one too.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from ...errors import BadField
from ...explainer import Explainer, part_method
from ...explanation import Heatmap
from ...model import Model
from ...ops.resize import resize
from ...registry import register
from ...shapes import Images
from ...target import Target


@register(
    "guided-grad-cam",
    paper="arXiv:1610.02391",
    claims=("class-sensitive", "scale-invariant", "non-negative"),
)
@dataclass(frozen=True, kw_only=True)
class GuidedGradCAM(Explainer):
    """Which edges of the picture lie where the evidence for the target is?

    cam: the method whose clipped map says where; it may be an explainer with a `layer` of its own.
    fine: the method whose channels say what. channels: their product, signed for each colour.
    values: the largest absolute value over colours. native: the sum over colours of the channels,
    times the map before clipping.

    Do not trust the edges: they come from a method that fails the sanity check and hardly depends
    on the class. Only the region in which they are shown depends on it. Read the map of `cam`
    beside it.
    """

    needs: ClassVar[tuple[str, ...]] = ("gradients",)
    own_passes: ClassVar[bool] = True

    cam: Explainer | str = "grad-cam"
    fine: Explainer | str = "guided-backprop"

    def __post_init__(self) -> None:
        part_method(self.cam)
        part_method(self.fine)

    @property
    def parts(self) -> tuple[Explainer, ...]:
        return part_method(self.cam), part_method(self.fine)

    def fast(self) -> "GuidedGradCAM":
        """The same with both parts fast."""
        cam, fine = self.parts
        return replace(self, cam=cam.fast(), fine=fine.fast())

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        cam, fine = self.parts
        where, what = (part.explain(model, images, target) for part in (cam, fine))
        if not isinstance(where, Heatmap):
            raise BadField(f"cam is a method that gives heatmaps; {cam!r} does not.")
        if not isinstance(what, Heatmap) or what.channels is None:
            raise BadField(
                f"fine is a method with a value for each colour, such as guided-backprop or"
                f" gradient; {fine!r} has none."
            )
        strokes = what.channels.detach().float()
        found = where.values.detach().float().clamp(min=0)[:, None] * strokes
        signed = _whole(where, images) * strokes.sum(1)
        return Heatmap(found.abs().amax(1), native=signed, channels=found)


def _whole(heat: Heatmap, images: Tensor) -> Tensor:
    """The map before clipping, (batch, row, col) of the pictures."""
    raw = heat.values if heat.native is None else heat.native
    return resize(raw.detach().float()[:, None], images.shape[-2:])[:, 0]
