"""Bilinear resizing of maps, the one way that every heatmap reaches the size of its picture."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from ..shapes import Maps


def resize(maps: Maps, size: Sequence[int]) -> Float[Tensor, "batch filter row col"]:
    """`maps` (batch, filter, row, col) at `size` (row, col); bilinear, corners not aligned,
    differentiable."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return nn.functional.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
