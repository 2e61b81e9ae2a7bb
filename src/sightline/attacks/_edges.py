"""Where a picture has edges: the Sobel magnitude of its grey values.

As in AdvEdge (arXiv:2211.15926, read in its code): pictures in [0, 1], the mean over the colours.
Deviation: the border is replicated, so that a flat picture has no edges at all.
"""

import torch
from torch import Tensor
from torch.nn import functional

SHARP = 0.1  # magnitude from which a pixel counts as an edge


def edges(images: Tensor) -> Tensor:
    """The edge weight of each pixel, (batch, 1, row, col), 0 to about 4.5."""
    grey = functional.pad(images.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    ramp = torch.tensor(
        [[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], dtype=torch.float32, device="cpu"
    ).to(grey)
    kernels = torch.stack([ramp, ramp.T])[:, None]
    return functional.conv2d(grey, kernels).square().sum(1, keepdim=True).sqrt()
