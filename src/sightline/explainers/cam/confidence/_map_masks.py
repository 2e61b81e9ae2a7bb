"""The score of a picture seen through a layer's maps, made into masks chunk by chunk."""

from collections.abc import Callable

from torch import Tensor

from ....hiding import HiddenImage, hidden_images
from ....ops.fill import Fill
from ....ops.resize import resize
from ....target import Target
from .._weighted import LayerView

AT_ONCE = 8  # masked pictures on a CPU: as fast as 16 with half the memory
AsMasks = Callable[[Tensor], Tensor]  # resized maps (map, row, col) -> masks in [0, 1]


def hidden_view(view: LayerView, target: Target) -> list[HiddenImage]:
    """Each picture of the view, behind the model's mean colour where a mask is 0."""
    model, images = view.model, view.images
    at_once = model.batch or (AT_ONCE if images.device.type == "cpu" else None)
    return hidden_images(model, target, images, Fill("mean").like(images, model), at_once)


def map_scores(image: HiddenImage, maps: Tensor, as_masks: AsMasks) -> Tensor:
    """The score of the picture seen through each of `maps` (map, row, col), resized."""
    size = image.image.shape[-2:]

    def lay(part: Tensor) -> Tensor:
        return as_masks(resize(part[:, None], size)[:, 0])[:, None]

    return image.scores(maps, lay).float().to(maps.device)
