"""Groups of like filters: k-means on normalised maps, so that one mask can stand for many."""

import torch
from torch import Tensor

from ....ops.noise import generator

ROUNDS = 10


def clustered(points: Tensor, k: int, seed: int) -> tuple[Tensor, Tensor]:
    """Lloyd's k-means of `points` (point, dimension): the centre of each point (point,) and the
    centres.

    Centres start on points that are far apart (k-means++). An empty cluster keeps its old centre.
    """
    centres = _spread(points, k, generator(seed, "clusters"))
    label = torch.cdist(points, centres).argmin(1)
    for _ in range(ROUNDS):
        count = torch.bincount(label, minlength=k).to(points)[:, None]
        summed = torch.zeros_like(centres).index_add_(0, label, points)
        centres = torch.where(count > 0, summed / count.clamp(min=1), centres)
        label = torch.cdist(points, centres).argmin(1)
    return label, centres


def _spread(points: Tensor, k: int, source: torch.Generator) -> Tensor:
    drawn = torch.rand(k, generator=source, dtype=torch.float32, device="cpu")
    chosen = [int(drawn[0] * len(points))]
    nearest = (points - points[chosen[0]]).square().sum(1)
    for u in drawn[1:].tolist():
        heights = nearest.double().cumsum(0)
        found = int(torch.searchsorted(heights, (heights[-1] * u).reshape(1)))
        chosen.append(min(found, len(points) - 1))
        nearest = torch.minimum(nearest, (points - points[chosen[-1]]).square().sum(1))
    return points[torch.tensor(chosen, device=points.device)]
