"""What people mark in a picture, in its own pixels: boxes, masks and points, and how they come
into a model's frame.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import BadField
from ..ops.masks import two_valued
from ..shapes import AnyTensor
from .preprocess import Preprocess
from .reading import Picture

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the picture as shown; right and lower edge outside."""


def boxes_of(text: str) -> tuple[Box, ...]:
    """`x0,y0,x1,y1` (commas or spaces), several with `;` between them."""
    found = []
    for part in filter(None, (p.strip("()[] ") for p in text.split(";"))):
        try:
            x0, y0, x1, y1 = (float(n) for n in part.replace(",", " ").split())
            if not all(map(math.isfinite, (x0, y0, x1, y1))):
                raise ValueError
        except ValueError:
            raise BadField(f"a box is four numbers, x0,y0,x1,y1; got {part!r}.") from None
        found.append((x0, y0, x1, y1))
    return tuple(found)


def check_box(box: Box, size: Sequence[int]) -> None:
    """Raises: BadField for a box of which nothing lies in the picture of `size` (row, col)."""
    (x0, y0, x1, y1), (rows, cols) = box, size
    if not (x0 < x1 and y0 < y1 and x1 > 0 and y1 > 0 and x0 < cols and y0 < rows):
        raise BadField(
            f"the box x0,y0,x1,y1 = {x0:g},{y0:g},{x1:g},{y1:g} lies outside the picture of {cols}"
            f" x {rows} pixels, or is empty, or its corners are exchanged; correct it."
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameChange:
    """Brings what is known in a picture's pixels into the model's frame."""

    preprocess: Preprocess | None = None
    size: tuple[int, int] = field(default=(0, 0))

    @classmethod
    def of(cls, preprocess: object, picture: Picture | AnyTensor) -> "FrameChange":
        """The change that a preprocessing makes; none for tensors, and where it is not known."""
        if not isinstance(picture, Picture) or not isinstance(preprocess, Preprocess):
            return cls()
        return cls(preprocess=preprocess, size=picture.size)

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """A mask (row, col) of the picture as one of the model's input."""
        mask = two_valued(mask)
        if self.preprocess is None:
            return mask
        drawn = np.repeat(mask.astype(np.uint8)[..., None] * np.uint8(255), 3, axis=2)
        grey = {"channels": 1, "mean": 0.0, "std": 1.0, "fill": 0.0, "range": None, "shown": None}
        way = replace(self.preprocess, **grey)  # a mask has neither bands nor a range
        return (way.prepare(Picture(drawn, "mask"))[0] > 0.5).numpy()

    def points(self, points: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        """Points (row, col) of the picture as those of the model's input."""
        if self.preprocess is None or not points:
            return dict(points)
        moved = self.preprocess.frame(self.size).points_to_model(np.array(list(points.values())))
        return {n: (float(r), float(c)) for n, (r, c) in zip(points, moved, strict=True)}
