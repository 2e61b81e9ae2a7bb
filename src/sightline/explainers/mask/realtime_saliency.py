"""Real-time saliency: a network that has learned to mask answers in one pass.

Paper: Dabkowski and Gal, NIPS 2017: M = |a| / (|a| + |b|) of a U-Net on the classifier's maps,
whose coarsest are gated by sigmoid(<X_ij, E_c> - confidence). The network is in nets/masking.py,
its training in recipes/saliency_masks.py. Deviations: any classifier whose layers can be read is
its own encoder (the authors' is one ResNet-50), so the masking network is bound to it.

What the shipped network reached on 280 birds that it had not seen, at confidence 6, beside a
centred blob of the same area: the bird's species stays first where only the mask is kept in 94 %
(61 %) and where it is cut out in 18 % (74 %); overlap with the silhouette 0.44 (0.31), because it
keeps the telling parts and not the bird; for a wrong species the mask is a twentieth as large. By
the saliency metric, 0.84, it is no better than the blob, 0.81: that network does not know enlarged
birds. It was trained for 800 short steps; nets/weights/default-masks.json has all numbers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from ...errors import BadField, NotExplainable
from ...explainer import Explainer
from ...explanation import Heatmap
from ...model import Model
from ...nets.masking import MASKS, MaskingNetwork
from ...ops.resize import resize
from ...registry import register
from ...shapes import Images
from ...target import Target
from ._class_targets import classes_of


@register("realtime-saliency", paper="arXiv:1705.07857", claims=("non-negative",))
@dataclass(frozen=True, kw_only=True)
class RealtimeSaliency(Explainer):
    """Which region does a second network keep that was trained to keep the class and nothing else?

    values: the mask, in [0, 1], 1 for kept; native: the same in its own cells (a quarter of the
    picture's side). weights: a file that `python -m sightline.recipes.saliency_masks` wrote for
    this very model; None is the one that comes with `sightline:default`. confidence: how sure a
    place must be of the class to be let in; 0 lets in all that is similar, 5 or more the clearest
    only.

    Do not trust it on pictures unlike its training data, nor as an explanation of this single
    decision: it is a second network's guess of what the first one needs. `iterative-saliency`
    measures the model itself.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    probability: ClassVar[bool] = True
    differentiable_as: ClassVar[str] = "mask network"

    weights: str | Path | None = None
    confidence: float = 6.0

    def __post_init__(self) -> None:
        if isinstance(self.weights, Path):
            object.__setattr__(self, "weights", str(self.weights))
        if not -100 <= self.confidence <= 100:
            raise BadField(f"confidence is a number like 0 or 6; got {self.confidence}.")

    def reads(self, model: Model) -> tuple[str, ...]:
        return tuple(layer for layer in self.network(model).blueprint.layers if layer)

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        classes = classes_of(target, len(images), self.registered_name)
        network = self.network(model)
        with torch.no_grad():
            masks = network(network.blueprint.maps(model, images), classes, self.confidence)
        return Heatmap(resize(masks, images.shape[-2:])[:, 0], native=masks[:, 0])

    def network(self, model: Model) -> MaskingNetwork:
        """The masking network that was trained for the model. Raises: NotExplainable for none."""
        if not model.differentiable:
            raise NotExplainable(
                f"realtime-saliency reads layers, which the black box {model.name} does not have;"
                " use rise or occlusion."
            )
        instead = "; or use iterative-saliency, which needs no training"
        path = MASKS.require(self.weights, model, self.registered_name, instead)
        return MASKS.load(path, model)
