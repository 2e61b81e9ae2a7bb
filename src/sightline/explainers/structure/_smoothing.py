"""Steps that solve for the roughness of the mask instead of following its slope.

A step as long as the class scores ask for makes a mask of speckle, whose variation then forbids it.
Taken semi-implicitly the same step is (I + step * H)^-1 direction, with H the curvature of the
variation, which the cosine transform of the cells makes diagonal: long steps come out smooth.
"""

import math

import torch
from torch import Tensor


def smoothed(directions: Tensor, steps: Tensor, smooth: float) -> Tensor:
    """Each direction (image, mask, row, col) as its step (image,) leaves it under `smooth` times a
    quadratic mean variation. Where `smooth` is 0 nothing changes.
    """
    rows, cols = directions.shape[-2:]
    across, down = _cosines(cols).to(directions), _cosines(rows).to(directions)
    # d2/dh2 of mean(down^2) + mean(across^2), in cosines: 2 / count * (2 - 2 cos)
    curve = (
        _bends(rows)[:, None] * 2 / max(1, (rows - 1) * cols)
        + _bends(cols)[None] * 2 / max(1, rows * (cols - 1))
    ).to(directions)
    damping = 1 + steps.to(directions).view(-1, 1, 1, 1) * smooth * curve
    return down.T @ ((down @ directions @ across.T) / damping) @ across


def _bends(count: int) -> Tensor:
    return 2 - 2 * torch.cos(
        math.pi * torch.arange(count, dtype=torch.float64, device="cpu") / count
    )


def _cosines(count: int) -> Tensor:
    """The orthonormal cosine transform of a line, (frequency, place)."""
    places = torch.arange(count, dtype=torch.float64, device="cpu") + 0.5
    waves = torch.arange(count, dtype=torch.float64, device="cpu")[:, None]
    found = torch.cos(math.pi * waves * places / count) * math.sqrt(2 / count)
    found[0] = math.sqrt(1 / count)
    return found
