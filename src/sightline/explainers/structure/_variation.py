"""Total variation of masks, plain and bilateral: the second lets a mask jump where the picture has
an edge.

Cards: I-GOS for TV, iGOS++ for the bilateral form. The public code of the latter averages colours
before squaring in one direction and after it in the other; here squares come first in both.
"""

import torch
from torch import Tensor


def steps_of(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbours down and across, of maps (..., row, col)."""
    return maps.diff(dim=-2), maps.diff(dim=-1)


def total_variation(masks: Tensor, power: float) -> Tensor:
    """Mean difference of neighbouring cells to a power, down plus across: (image, row, col) ->
    (image,).
    """
    return sum((_mean(step.abs() ** power) for step in steps_of(masks)), masks.new_zeros(()))


def edge_weights(pictures: Tensor, spread: float) -> tuple[Tensor, Tensor]:
    """How freely a mask may not jump between pixels, down and across: 1 where the picture is flat,
    near 0 at an edge. pictures (image, channel, row, col), normalised; spread: sigma of the card.
    """
    down, across = steps_of(pictures)
    return (
        torch.exp(-(down**2).mean(1) / spread),
        torch.exp(-(across**2).mean(1) / spread),
    )


def bilateral_variation(
    masks: Tensor, shown: Tensor, weights: tuple[Tensor, Tensor], power: float
) -> Tensor:
    """Half the variation of the cells plus half that of the mask at the picture's size, weighted.

    masks (image, row, col) in cells; shown: at the picture's size; weights: `edge_weights`.
    """
    image_part = [
        _mean(weight * step.abs() ** power)
        for step, weight in zip(steps_of(shown), weights, strict=True)
    ]
    return 0.5 * (total_variation(masks, power) + image_part[0] + image_part[1])


def _mean(values: Tensor) -> Tensor:
    """Over cells; a line of one cell has no neighbours and varies by 0."""
    return values.flatten(1).sum(1) / max(1, values[0].numel())
