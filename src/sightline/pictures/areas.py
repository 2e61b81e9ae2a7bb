"""Regions of a picture as masks: their box and largest piece, regions of the same size elsewhere,
and a short text that holds one.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import BadField
from ..ops.noise import generator
from .frame import Corners

Area = Bool[np.ndarray, "_row _col"]


def largest_piece(mask: Area) -> Area:
    """The largest connected piece of a mask (pixels that touch by a side); the first of equals."""
    from scipy.ndimage import label

    pieces, count = label(mask)  # type: ignore[misc]
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return pieces == int(sizes.argmax())


def box_of(mask: Area) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 around the mask, right and lower edge outside; zeros for an empty one."""
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return (0, 0, 0, 0)
    return int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1


def box_mask(box: Corners, size: tuple[int, int]) -> Area:
    """The pixels whose centre lies in the box x0, y0, x1, y1."""
    x0, y0, x1, y1 = box
    rows, cols = (np.arange(n) + 0.5 for n in size)
    return ((rows >= y0) & (rows < y1))[:, None] & ((cols >= x0) & (cols < x1))[None]


def above(heat: Float[Tensor, "row col"], share: float) -> Area:
    """The largest piece of the places that reach `share` of the map's highest value; empty where
    nothing is positive.
    """
    values = heat.detach().float().cpu().numpy()
    top = float(values.max())
    if not top > 0:
        return np.zeros(values.shape, bool)
    return largest_piece(values >= share * top)


def elsewhere(mask: Area, count: int, seed: int, purpose: str) -> Bool[Tensor, "count row col"]:
    """`count` regions of exactly as many pixels as the mask, none of them in it: each an ellipse of
    the proportions of the mask's box around a random place, cut where the mask or the picture's
    edge is in its way and grown by as much.

    Raises: BadField where the mask leaves less than its own size free.
    """
    free, size = np.flatnonzero(~mask.ravel()), int(mask.sum())
    if not 0 < size <= len(free):
        raise BadField(f"no room for {size} pixels beside a region of {size} in {mask.size}.")
    x0, y0, x1, y1 = box_of(mask)
    high, wide = max(y1 - y0, 1), max(x1 - x0, 1)
    drawn = torch.randint(len(free), (count,), generator=generator(seed, purpose), device="cpu")
    rows, cols = np.divmod(free, mask.shape[1])
    found = np.zeros((count, mask.size), bool)
    for k, place in enumerate(drawn.tolist()):
        far = ((rows - rows[place]) / high) ** 2 + ((cols - cols[place]) / wide) ** 2
        nearest = np.argsort(far, kind="stable")[:size]
        found[k, free[nearest]] = True
    return torch.from_numpy(found.reshape(count, *mask.shape))


def encode(mask: Area) -> str:
    """The mask as text: rows, columns, then the lengths of its runs, the first one outside."""
    flat = mask.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    starts = np.concatenate([[0], edges, [flat.size]])
    runs = np.diff(starts).tolist()
    runs = [0, *runs] if flat.size and flat[0] else runs
    return f"{mask.shape[0]} {mask.shape[1]} {' '.join(map(str, runs))}"


def decode(text: str) -> Area:
    """The mask that `encode` wrote. Raises: BadField for another text."""
    try:
        rows, cols, *runs = map(int, text.split())
        inside = np.arange(len(runs)) % 2 == 1
        return np.repeat(inside, runs).reshape(rows, cols)
    except ValueError:
        raise BadField(f"{text[:40]!r} is no mask as text: rows, columns, lengths.") from None
