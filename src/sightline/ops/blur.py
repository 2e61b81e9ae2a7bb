"""Gaussian blur of pictures and maps, written as two one-dimensional convolutions."""

import torch
from torch import nn

from ..errors import BadField
from ..shapes import Images


def gaussian_blur(images: Images, kernel: int, sigma: float) -> Images:
    """`images` (batch, channel, row, col) blurred with an odd `kernel` of `sigma` pixels; edges are
    replicated.

    Raises: BadField for an even kernel or a sigma that is not positive.
    """
    if kernel < 1 or kernel % 2 == 0 or sigma <= 0:
        raise BadField(f"blur needs an odd kernel and a positive sigma; got {kernel} and {sigma}.")
    half = kernel // 2
    places = torch.arange(-half, half + 1, dtype=images.dtype, device=images.device)
    weights = torch.exp(-(places**2) / (2 * sigma**2))
    weights = weights / weights.sum()
    channels = images.shape[1]
    padded = nn.functional.pad(images, (half, half, half, half), mode="replicate")
    column = weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    row = weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    tall = nn.functional.conv2d(padded, column, groups=channels)
    return nn.functional.conv2d(tall, row, groups=channels)
