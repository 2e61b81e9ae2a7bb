"""A user's function from images to scores, dressed as a module without parameters."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class BlackBox(nn.Module):
    """Runs `function` on float32 images (batch, channel, row, col); arrays become tensors."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        returned = self.function(images.detach().float())
        return returned if isinstance(returned, Tensor) else torch.as_tensor(np.asarray(returned))
