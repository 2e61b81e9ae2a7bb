"""Filling holes from what surrounds them, by diffusion on a pyramid; torch only.

Known pixels are averaged into ever smaller pictures, each with how much of it is known; on the way
back up every unknown pixel takes the coarser picture's colour. A project definition: the plainest
filling that leaves no edge and no texture of its own.
"""

from torch import Tensor, nn

from ....ops.resize import resize
from ....shapes import Images

_LEAST = 1e-4  # of a pixel: less than this counts as unknown


def inpainted(images: Images, known: Tensor) -> Tensor:
    """The pictures with what is unknown filled in from what is known.

    known: (batch, 1, row, col) in [0, 1]. Where nothing at all is known the picture is black.
    """
    rows, cols = images.shape[-2:]
    coloured = images * known
    if min(rows, cols) > 1:
        pooled = nn.functional.avg_pool2d(nn.functional.pad(known, (0, cols % 2, 0, rows % 2)), 2)
        colours = nn.functional.avg_pool2d(
            nn.functional.pad(coloured, (0, cols % 2, 0, rows % 2)), 2
        )
        there = pooled > _LEAST
        average = colours / pooled.clamp(min=_LEAST)
        coarse = inpainted(average * there, (pooled * 4).clamp(max=1) * there)
        return coloured + (1 - known) * resize(coarse, (rows, cols))
    whole = known.sum((2, 3), keepdim=True)
    return (coloured.sum((2, 3), keepdim=True) / whole.clamp(min=_LEAST)).expand_as(images)
