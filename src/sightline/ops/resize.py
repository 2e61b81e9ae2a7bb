"""Bilinear resizing of maps, the one way that every heatmap reaches the size of its picture."""

from collections.abc import Sequence

from torch import Tensor, nn


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """`maps` (batch, filter, row, col) at `size` (row, col); bilinear, corners not aligned,
    differentiable."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return nn.functional.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
