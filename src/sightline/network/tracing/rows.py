"""One row is one picture: what a layer returns must have a row for each, and hold numbers."""

import torch
from torch import Tensor

from ...errors import NotExplainable


def refuse_folded(value: Tensor, address: str, pictures: int) -> None:
    """Raises: NotExplainable where a layer has not one row for each picture, because the network
    folds frames, views or tiles into the batch, or takes them out of it."""
    rows = len(value) if value.ndim else 0
    if rows != pictures:
        raise NotExplainable(
            f"layer {address!r} has {rows} row{'s' * (rows != 1)} for {pictures}"
            f" picture{'s' * (pictures != 1)} ({tuple(value.shape)}): the network folds"
            " something into the batch there (frames, views, tiles), so its maps are not those"
            " of one picture each. Choose a layer before or after the fold, or use a method"
            " that reads no layer, such as gradient or rise."
        )


def refuse_infinite(maps: Tensor, address: str) -> None:
    """Raises: NotExplainable where maps hold NaN or infinite values."""
    if not torch.isfinite(maps).all():
        raise NotExplainable(
            f"layer {address!r} has NaN or infinite values for these pictures; choose another"
            " layer, or check the network's weights and preprocessing."
        )
