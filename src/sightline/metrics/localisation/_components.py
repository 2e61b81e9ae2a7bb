"""Boxes around the connected parts of a map above each threshold."""

import numpy as np
import torch
from scipy.ndimage import find_objects, label
from torch import Tensor

LEVELS = 255  # thresholds 0/255 ... 254/255 of the largest value, as an 8-bit map has them
TOUCHING = np.ones((3, 3), dtype=int)


def eight_bit(heat: Tensor) -> np.ndarray:
    """The map from 0 to 255, least value to largest; a constant map is zeros."""
    heat = heat.double()
    span = heat.max() - heat.min()
    if not bool(span > 0):
        return np.zeros(tuple(heat.shape), dtype=np.uint8)
    return ((heat - heat.min()) / span * 255).to(torch.uint8).cpu().numpy()


def boxes_above(levels: np.ndarray, level: int, largest: bool) -> Tensor:
    """Boxes (part, 4) around the connected parts of `levels` (row, col) above a level, or around
    the one with the most pixels; corners count as touching."""
    parts, count = label(levels > level, structure=TOUCHING)  # type: ignore[misc]
    if not count:
        return torch.zeros(1, 4, dtype=torch.float64, device="cpu")
    places = find_objects(parts)
    if largest:
        places = [places[int(np.bincount(parts.ravel())[1:].argmax())]]
    corners = [(cols.start, rows.start, cols.stop, rows.stop) for rows, cols in places]
    return torch.tensor(corners, dtype=torch.float64, device="cpu")
