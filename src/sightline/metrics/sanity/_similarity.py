"""The ways in which two maps of one picture are compared when the model changes."""

from typing import Literal, get_args

import torch
from torch import Tensor

from ...errors import BadField
from ...ops.similarity import hog, pearson, spearman, ssim, stretched

Similarity = Literal["rank-absolute", "rank-signed", "ssim", "hog", "hog-pearson"]


def check(name: str) -> None:
    """Raises: BadField for a similarity that does not exist."""
    if name not in get_args(Similarity):
        raise BadField(f"similarity is one of {', '.join(get_args(Similarity))}; got {name!r}.")


def similarity(name: str, a: Tensor, b: Tensor) -> Tensor:
    """How alike the maps `a` and `b` (batch, row, col) are, (batch,) float64; 1 is equal, NaN where
    there is no map or a correlation has no meaning. A map that did not change at all has 1, also a
    constant one, whose correlations have no meaning."""
    same = (a == b).flatten(1).all(1)
    return torch.where(same, 1.0, _changed(name, a, b))


def _changed(name: str, a: Tensor, b: Tensor) -> Tensor:
    if name == "rank-absolute":
        return spearman(a.abs(), b.abs())
    if name == "rank-signed":
        return spearman(a, b)
    lost = a.isnan().flatten(1).any(1) | b.isnan().flatten(1).any(1)
    left, right = (stretched(torch.nan_to_num(each.double())) for each in (a, b))
    if name == "ssim":
        found = ssim(left, right)
    else:
        correlate = spearman if name == "hog" else pearson
        found = correlate(hog(left)[:, None], hog(right)[:, None])
    return torch.where(lost, torch.nan, found)
