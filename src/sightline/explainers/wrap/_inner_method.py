"""Running the method that a wrapper holds, on pictures made from those of the batch."""

import torch
from torch import Tensor

from ...errors import BadField, NotExplainable
from ...explainer import Explainer
from ...explanation import Heatmap
from ...model import Model
from ...target import Target
from ...targets.given import PerImage
from ...targets.structured import Box, Region, Unit
from ..contract.requirements import reading


def inner_heatmap(part: Explainer, model: Model, images: Tensor, target: Target) -> Heatmap:
    """What `part` says about `images`, which share one clean pass; without a graph.

    model and target: for these very images, so `take` them first where images are copies.

    Raises: BadField where the method gives no heatmap.
    """
    read, gradients = reading(model, (part,))
    with (
        model.shared(images, (*read, *target.reads), gradients=gradients),
        torch.set_grad_enabled(gradients),
    ):
        heat = part.explain(model, images, target)
    if not isinstance(heat, Heatmap):
        raise BadField(
            f"{part!r} gives no heatmap, and only heatmaps can be averaged. Use a"
            " method that gives one."
        )
    native, channels = (
        None if each is None else each.detach().float() for each in (heat.native, heat.channels)
    )
    return Heatmap(heat.values.detach().float(), native=native, channels=channels)


def refuse_places(name: str, target: Target) -> None:
    """Raises: NotExplainable for a target that names a place: it would be another one in a picture
    that was moved.
    """
    targets = target.targets if isinstance(target, PerImage) else (target,)
    for each in targets:
        if isinstance(each, (Box, Region)) or (isinstance(each, Unit) and each.at is not None):
            raise NotExplainable(
                f"{name} moves the picture, and the target {each!r} is a place in it; explain a"
                f" class, or use the method without {name}."
            )
