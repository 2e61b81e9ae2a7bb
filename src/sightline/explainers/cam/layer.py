"""LayerCAM: multiply each filter by its positive gradient place by place, at one layer or several.

Paper: Jiang et al., IEEE TIP 2021, eq. 6 and 7: raw = sum over filters of relu(G) A. Maps of
several stages are scaled by tanh(2 M / max M) and joined by the largest value (from memory; other
code takes the mean). Deviations: none known.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import BadField
from ...explainer import Explainer
from ...explanation import Heatmap
from ...model import Model
from ...ops.resize import resize
from ...registry import register
from ...shapes import Heat, Images
from ...target import Target
from ._weighted import LayerView, resized_heatmap

SHARPNESS = 2.0


@register(
    "layer-cam",
    paper="doi:10.1109/TIP.2021.3089943",
    claims=("class-sensitive", "weight-sensitive", "scale-invariant", "non-negative"),
)
@dataclass(frozen=True, kw_only=True)
class LayerCAM(Explainer):
    """Which places of a layer support the target, also in early layers with fine maps?

    layer: None for the last spatial layer. also: further layers, usually earlier and finer ones;
    each map is then scaled to [0, 1] and the larger value is shown at each place. native: the map
    of `layer` alone, before clipping.

    Do not trust its sum: evidence against the target is dropped at each place, so it does not add
    up to the score. With `also`, a weak stage is shown as bright as a strong one.
    """

    needs: ClassVar[tuple[str, ...]] = ("gradients", "layer")
    joins: ClassVar[bool] = True

    layer: str | None = None
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.also, str):
            raise BadField(f"also is a tuple of layer names; got the text {self.also!r}.")
        object.__setattr__(self, "also", tuple(self.also))

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        raw = _positive(LayerView(model, images, target, self.layer_of(model)))
        if not self.also:
            return resized_heatmap(raw, images)
        stages = [raw, *(_positive(LayerView(model, images, target, n)) for n in self.also)]
        size = images.shape[-2:]
        shown = torch.stack([resize(_scaled(s)[:, None], size)[:, 0] for s in stages]).amax(0)
        return Heatmap(shown, native=raw)


def _positive(view: LayerView) -> Heat:
    return (view.grads.relu() * view.maps).sum(1)


def _scaled(raw: Tensor) -> Tensor:
    shown = raw.relu()
    top = shown.flatten(1).amax(1).clamp(min=torch.finfo(shown.dtype).tiny)[:, None, None]
    return (SHARPNESS * shown / top).tanh()
