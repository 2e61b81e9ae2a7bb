"""How the network is called, and what its output means: from pictures to one row of scores each.

The picture is converted to what the network computes in and normalised, the side inputs follow
their rows, and the scores are found in what comes back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .ops.network.outputs import as_rows, scores_of
from .ops.network.plain import plain_segments


@dataclass(eq=False)
class Calling:
    """How one network is called: `calling(module, images)` gives its scores.

    mean, std: (1, channel, 1, 1), subtracted and divided where it `normalises`. side: inputs beside
    the pictures, batch first. forward, output: the user's own functions, as `Model` takes them.
    """

    mean: Tensor
    std: Tensor
    normalises: bool = False
    forward: Callable[..., Any] | None = None
    output: Callable[[Any], Any] | None = None
    side: Mapping[str, Any] = field(default_factory=dict)

    @plain_segments()
    def __call__(self, module: nn.Module, images: Tensor, rows: Tensor | None = None) -> Any:
        """What the network says of images in [0, 1]: scores (batch, class), or a detector's list.

        rows: the image of the batch that each row is a copy of; side inputs follow it.
        """
        like = next(module.parameters(), None)
        x = images if like is None else images.to(device=like.device, dtype=like.dtype)
        x = (x - self.mean.to(x)) / self.std.to(x) if self.normalises else x
        x = x.clone() if x is images else x  # the network may write into what it is given
        rows = torch.arange(len(x)) if rows is None else rows
        side = {k: v[rows % len(v)] for k, v in self.side.items()}
        returned = self.forward(module, x, **side) if self.forward else module(x, **side)
        return self.output(returned) if self.output else scores_of(returned)

    def rows(self, module: nn.Module, images: Tensor) -> Tensor:
        """The same as one tensor with the batch first; detections too."""
        return as_rows(self(module, images))
