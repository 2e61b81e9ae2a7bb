"""Eigen-CAM: the main pattern of a layer, whatever the target.

Paper: Muhammad and Yeasin, IJCNN 2020, eq. 3: the maps projected on their first right singular
vector. Deviations: the maps are centred over places first, as the most used code does (the paper
projects without centring, from memory; `centred=False`). A singular vector has no sign: it is
turned so that the map agrees with where the layer's activations are large.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from ...explainer import Explainer
from ...explanation import Heatmap
from ...model import Model
from ...registry import register
from ...shapes import Images
from ...target import Target
from ._weighted import LayerView, resized_heatmap


@register(
    "eigen-cam",
    paper="arXiv:2008.00299",
    claims=("scale-invariant", "non-negative"),
)
@dataclass(frozen=True, kw_only=True)
class EigenCAM(Explainer):
    """Where does the strongest common pattern of a layer's filters stand out?

    native: signed; with `centred` its mean is 0. layer: None for the last spatial layer.

    Do not trust it as an explanation of a class: it ignores the target and all later layers. Every
    class gets the same map, and new random weights in later layers change nothing.
    """

    needs: ClassVar[tuple[str, ...]] = ("layer",)
    joins: ClassVar[bool] = True
    well_known: ClassVar[bool] = True

    layer: str | None = None
    centred: bool = True

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        maps = LayerView(model, images, target, self.layer_of(model)).maps
        points = maps.flatten(2).transpose(1, 2).double()  # (batch, place, filter)
        if self.centred:
            points = points - points.mean(1, keepdim=True)
        left, size, _ = torch.linalg.svd(points, full_matrices=False)
        found = left[:, :, 0] * size[:, :1]
        energy = maps.flatten(2).double().square().sum(1)
        agrees = (found * (energy - energy.mean(1, keepdim=True))).sum(1, keepdim=True)
        found = torch.where(agrees < 0, -found, found)
        return resized_heatmap(found.unflatten(1, maps.shape[2:]).to(maps), images)
