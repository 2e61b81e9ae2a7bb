"""The score of a picture seen through a layer's maps, made into masks chunk by chunk."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ....ops.fill import Fill
from ....ops.masks import blend
from ....ops.resize import resize
from ....target import Target
from .._weighted import LayerView

AT_ONCE = 8  # masked pictures on a CPU: as fast as 16 with half the memory
AsMasks = Callable[[Tensor], Tensor]  # resized maps (map, row, col) -> masks in [0, 1]


@dataclass(frozen=True, eq=False)
class Seen:
    """One picture of a view, hidden behind the model's mean colour where a mask is 0."""

    view: LayerView
    row: int
    target: Target

    def scores(self, maps: Tensor, as_masks: AsMasks) -> Tensor:
        """The score of the picture seen through each of `maps` (map, row, col), resized."""
        image, found = self._image, []
        filled, model = self._filled, self.view.model
        few = model.batch or (AT_ONCE if image.device.type == "cpu" else 0)
        for part in maps.split(few or model.chunk(image, len(maps))):
            masks = as_masks(resize(part[:, None], image.shape[-2:])[:, 0])[:, None]
            rows = torch.full((len(masks),), self.row, device="cpu")
            pictures = blend(image, masks.to(image), filled)
            found.append(model.scores(pictures, self.target, rows=rows))
        return torch.cat(found).float().to(maps.device)

    def empty(self) -> Tensor:
        """The score of the picture with everything hidden, (1,)."""
        rows = torch.tensor([self.row], device="cpu")
        return self.view.model.scores(self._filled, self.target, rows=rows).float()

    @property
    def _image(self) -> Tensor:
        return self.view.images[self.row : self.row + 1]

    @property
    def _filled(self) -> Tensor:
        return Fill("mean").like(self._image, self.view.model)
