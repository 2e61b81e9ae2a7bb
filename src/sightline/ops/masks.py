"""Putting a mask on pictures, and masks that methods share."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from ..errors import BadField


def two_valued(mask: Any, name: str = "a mask") -> np.ndarray:
    """The pixels inside a mask, bool: those that are not 0 where it holds 0 and at most one other
    number.

    name: what it is, for messages. Raises: BadField for soft masks, those of a JPEG, and those that
    number several objects: where they end is the user's to say.
    """
    array = mask.detach().cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
    if array.dtype == bool or not array.size:
        return array.astype(bool)
    found = f"values of {array.dtype}"
    if array.dtype.kind in "uif":
        high = array.max()
        if high >= 0 and bool(((array == 0) | (array == high)).all()):
            return array != 0
        values = np.unique(array)
        found = f"{len(values)} values from {values[0]:g} to {values[-1]:g}"
    raise BadField(
        f"{name} is True inside, or holds 0 and one number above it; got {found}. Make it"
        " boolean: `mask > 0.5` for a soft mask, `mask > 127` for a mask from a JPEG, `mask =="
        " 3` for one of several objects."
    )


def blend(
    images: Float[Tensor, "*#picture"],
    mask: Shaped[Tensor, "*#picture"],
    filled: Float[Tensor, "*#picture"],
) -> Float[Tensor, "*picture"]:
    """`images` where `mask` is 1, `filled` where it is 0; all broadcast to (batch, channel, row,
    col)."""
    return filled + mask * (images - filled)


def windows(
    size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]
) -> Int[Tensor, "window 4"]:
    """Corners (window, 4) as (row, col, row end, col end) of windows that cover `size`.

    The last window of a line is shifted back inside, so that every pixel is covered and all windows
    have the same area. A window larger than the picture is cut to it.
    """
    starts = []
    for length, extent, step in zip(size, window, stride, strict=True):
        last = max(length - extent, 0)
        line = list(range(0, last + 1, step))
        starts.append(line if line[-1] == last else [*line, last])
    rows, cols = torch.meshgrid(*(torch.tensor(s, device="cpu") for s in starts), indexing="ij")
    rows, cols = rows.reshape(-1), cols.reshape(-1)
    ends = (rows + window[0]).clamp(max=size[0]), (cols + window[1]).clamp(max=size[1])
    return torch.stack([rows, cols, *ends], 1)


def cut_windows(
    corners: Int[Tensor, "window 4"], size: tuple[int, int]
) -> Float[Tensor, "window 1 row col"]:
    """Masks (window, 1, row, col) that are 0 inside each window and 1 elsewhere."""
    rows = torch.arange(size[0], device=corners.device)
    cols = torch.arange(size[1], device=corners.device)
    inside_rows = (rows >= corners[:, :1]) & (rows < corners[:, 2:3])
    inside_cols = (cols >= corners[:, 1:2]) & (cols < corners[:, 3:4])
    inside = inside_rows[:, :, None] & inside_cols[:, None, :]
    return (~inside)[:, None].float()
