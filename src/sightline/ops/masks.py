"""Putting a mask on pictures, and masks that methods share."""

import torch
from torch import Tensor


def blend(images: Tensor, mask: Tensor, filled: Tensor) -> Tensor:
    """`images` where `mask` is 1, `filled` where it is 0; all broadcast to (batch, channel, row,
    col)."""
    return filled + mask * (images - filled)


def windows(size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    """Corners (window, 4) as (row, col, row end, col end) of windows that cover `size`.

    The last window of a line is shifted back inside, so that every pixel is covered and all windows
    have the same area. A window larger than the picture is cut to it.
    """
    starts = []
    for length, extent, step in zip(size, window, stride, strict=True):
        last = max(length - extent, 0)
        line = list(range(0, last + 1, step))
        starts.append(line if line[-1] == last else [*line, last])
    rows, cols = torch.meshgrid(*(torch.tensor(s) for s in starts), indexing="ij")
    rows, cols = rows.reshape(-1), cols.reshape(-1)
    ends = (rows + window[0]).clamp(max=size[0]), (cols + window[1]).clamp(max=size[1])
    return torch.stack([rows, cols, *ends], 1)


def cut_windows(corners: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks (window, 1, row, col) that are 0 inside each window and 1 elsewhere."""
    rows = torch.arange(size[0], device=corners.device)
    cols = torch.arange(size[1], device=corners.device)
    inside_rows = (rows >= corners[:, :1]) & (rows < corners[:, 2:3])
    inside_cols = (cols >= corners[:, 1:2]) & (cols < corners[:, 3:4])
    inside = inside_rows[:, :, None] & inside_cols[:, None, :]
    return (~inside)[:, None].float()
