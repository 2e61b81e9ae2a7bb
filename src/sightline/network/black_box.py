"""A user's function from images to scores, dressed as a module without parameters."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import BadModel


class BlackBox(nn.Module):
    """Runs `function` on float32 images (batch, channel, row, col) of its own; arrays become
    tensors.

    Raises: BadModel for something that is no function, or returns no scores for each image.
    """

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        if not callable(function):
            raise BadModel(
                f"a black box is a function from images to scores; got {type(function).__name__}."
            )
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        count = len(images)
        returned = self.function(images.detach().float().clamp(0, 1))  # a copy: it may write
        try:
            tensor = isinstance(returned, Tensor)
            scores = returned if tensor else torch.as_tensor(np.asarray(returned), device="cpu")
        except (TypeError, ValueError):
            scores = torch.empty((), dtype=torch.float32, device="cpu")
        if not scores.ndim or len(scores) != count:
            what = f"scores {tuple(scores.shape)}" if scores.ndim else type(returned).__name__
            raise BadModel(
                f"the function returned {what} for {count} images; expected a tensor or an array"
                f" (image, class), one row for each image."
            )
        return scores
