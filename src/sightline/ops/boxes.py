"""Boxes as `x0, y0, x1, y1`: how much they overlap."""

import torch
from jaxtyping import Float
from torch import Tensor


def overlap(box: Float[Tensor, "4"], boxes: Float[Tensor, "box 4"]) -> Float[Tensor, " box"]:
    """Intersection over union of `box` (4,) with each of `boxes` (n, 4), in [0, 1]."""
    low = torch.maximum(box[:2], boxes[:, :2])
    high = torch.minimum(box[2:], boxes[:, 2:])
    shared = (high - low).clamp(min=0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
    return shared / ((box[2:] - box[:2]).prod() + areas - shared).clamp(min=1e-9)
