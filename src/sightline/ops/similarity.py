"""Similarity of two maps: correlations of values and ranks, structural similarity, and gradient
histograms.

Maps are (batch, row, col); each answer is (batch,) float64, NaN where a map is constant and a
correlation has no meaning. Windows and cells as in scikit-image (from memory): SSIM with Gaussian
weights, sample covariance and the border left out; HOG with 9 orientations, blocks of 3 x 3 cells
and L2-Hys.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ..shapes import Heat, Scores
from .resize import resize

DIGITS = 6  # of the largest value: what differs by less is equal
WINDOW, SIGMA = 11, 1.5
CELL, ORIENTATIONS, BLOCK = 16, 9, 3
LEAST = 1e-5


def rounded(heat: Heat) -> Heat:
    """`heat` (batch, row, col) over its largest size, to six digits, so that scale and rounding
    make no order."""
    largest = heat.abs().flatten(1).amax(1)[:, None, None]
    scaled = heat / torch.where(largest > 0, largest, 1)
    return torch.where(heat.isnan(), heat.double(), scaled.double().round(decimals=DIGITS))


def ranks(values: Float[Tensor, "batch number"]) -> Float[Tensor, "batch number"]:
    """The rank of each of `values` (batch, number), from 0, equal ones sharing their mean rank."""
    found = torch.empty_like(values, dtype=torch.float64)
    for row, line in enumerate(values):
        _, group, count = line.unique(return_inverse=True, return_counts=True)
        last = count.cumsum(0).double()
        found[row] = (last - (count.double() + 1) / 2)[group]
    return found


def pearson(a: Float[Tensor, "batch ..."], b: Float[Tensor, "batch ..."]) -> Scores:
    """Correlation of the values of two maps, in [-1, 1]."""
    a, b = a.double().flatten(1), b.double().flatten(1)
    a, b = a / _span(a), b / _span(b)
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    size = a.norm(dim=1) * b.norm(dim=1)
    found = (a * b).sum(1) / size
    return torch.where(size > 1e-9, found.clamp(-1, 1), torch.nan)


def spearman(a: Heat, b: Heat) -> Scores:
    """Correlation of the ranks of two maps, in [-1, 1], ties at their mean rank."""
    lost = a.isnan().flatten(1).any(1) | b.isnan().flatten(1).any(1)
    found = pearson(ranks(rounded(a).flatten(1)), ranks(rounded(b).flatten(1)))
    return torch.where(lost, torch.nan, found)


def ssim(a: Heat, b: Heat) -> Scores:
    """Structural similarity of two maps in [0, 1]; maps of less than 11 pixels are enlarged."""
    a, b = (_enlarged(each.double(), WINDOW) for each in (a, b))
    places = torch.arange(WINDOW, dtype=torch.float64, device=a.device) - WINDOW // 2
    weights = torch.exp(-(places**2) / (2 * SIGMA**2))
    weights = torch.outer(weights, weights) / weights.sum() ** 2

    def mean(values: Tensor) -> Tensor:
        return functional.conv2d(values[:, None], weights[None, None])[:, 0]

    left, right = mean(a), mean(b)
    sample = WINDOW**2 / (WINDOW**2 - 1)
    spread_left, spread_right = sample * (mean(a * a) - left**2), sample * (mean(b * b) - right**2)
    shared = sample * (mean(a * b) - left * right)
    steady, sure = 0.01**2, 0.03**2
    top = (2 * left * right + steady) * (2 * shared + sure)
    return (top / ((left**2 + right**2 + steady) * (spread_left + spread_right + sure))).mean(
        (1, 2)
    )


def hog(maps: Heat) -> Float[Tensor, "batch number"]:
    """Histograms of gradient directions (batch, number); maps below 48 pixels are enlarged."""
    maps = _enlarged(maps.double(), CELL * BLOCK)
    down, right = torch.zeros_like(maps), torch.zeros_like(maps)
    down[:, 1:-1] = maps[:, 2:] - maps[:, :-2]
    right[:, :, 1:-1] = maps[:, :, 2:] - maps[:, :, :-2]
    angle = torch.atan2(down, right).rad2deg() % 180
    bins = (angle / (180 / ORIENTATIONS)).long().clamp(max=ORIENTATIONS - 1)
    strength = torch.hypot(down, right)
    votes = functional.one_hot(bins, ORIENTATIONS).movedim(3, 1) * strength[:, None]
    cells = functional.avg_pool2d(votes, CELL)
    blocks = cells.unfold(2, BLOCK, 1).unfold(3, BLOCK, 1).movedim(1, -1)  # row, col, 3, 3, bin
    flat = blocks.flatten(3)
    flat = flat / (flat.square().sum(3, keepdim=True) + LEAST**2).sqrt()
    flat = flat.clamp(max=0.2)
    return (flat / (flat.square().sum(3, keepdim=True) + LEAST**2).sqrt()).flatten(1)


def stretched(maps: Float[Tensor, "*maps"]) -> Float[Tensor, "*maps"]:
    """Each of `maps` (map, ...) from 0 to 1, least value to largest; a constant one is zeros."""
    flat, shape = maps.flatten(1), (-1, *[1] * (maps.ndim - 1))
    low = flat.amin(1).view(shape)
    span = flat.amax(1).view(shape) - low
    return (maps - low) / torch.where(span > 0, span, 1)


def _enlarged(maps: Tensor, least: int) -> Tensor:
    size = [max(side, least) for side in maps.shape[-2:]]
    return resize(maps[:, None], size)[:, 0]


def _span(values: Tensor) -> Tensor:
    """What to divide by so that squares neither overflow nor vanish."""
    largest = values.abs().amax(1, keepdim=True)
    return torch.where(largest > 0, largest, 1)
