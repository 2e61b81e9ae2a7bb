"""Where a place of the model's input lies in the original picture: resize and crop, undone."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Real, Shaped
from PIL import Image
from torch import Tensor

from ..errors import ShapeError

Number = float | int
Corners = tuple[Number, Number, Number, Number]
"""x0, y0, x1, y1 in pixels, right and lower edge outside."""


@dataclass(frozen=True)
class Frame:
    """Where in the original picture does a place of the model's input lie?

    original, size: (rows, cols) of the picture and of the input. box: what the input shows,
    x0, y0, x1, y1 in pixels of the picture; it leaves the picture where the input was padded.
    """

    original: tuple[int, int]
    size: tuple[int, int]
    box: Corners

    def to_original(
        self, values: Real[Tensor, "row col"] | Real[np.ndarray, "row col"]
    ) -> Float[np.ndarray, "rows cols"]:
        """The map over the whole original picture, bilinear; NaN where the crop removed it.

        The map may be coarser than the model's input: it is taken to cover all of it.
        """
        cells = np.asarray(torch.as_tensor(values, device="cpu").detach().cpu().float())
        x0, y0, x1, y1 = self.box
        rows = _seen(y0, y1, self.original[0], cells.shape[0])
        cols = _seen(x0, x1, self.original[1], cells.shape[1])
        padded = np.pad(cells, ((rows.before, rows.after), (cols.before, cols.after)), "edge")
        seen = Image.fromarray(padded).resize(
            (cols.last - cols.first, rows.last - rows.first),
            Image.Resampling.BILINEAR,
            (cols.start, rows.start, cols.stop, rows.stop),
        )
        whole = np.full(self.original, np.nan, np.float32)
        whole[rows.first : rows.last, cols.first : cols.last] = np.asarray(seen)
        return whole

    def to_model(self, values: Shaped[np.ndarray, "rows cols"]) -> Shaped[np.ndarray, "row col"]:
        """A mask of the whole picture as the input shows it: the nearest pixel, 0 outside.

        Raises: ShapeError for a mask of another size than the picture's.
        """
        if values.shape != self.original:
            raise ShapeError(
                f"a mask of {values.shape} for a picture of {self.original}; expected its size."
            )
        lines = [np.stack([np.arange(n, dtype=float)] * 2, 1) for n in self.size]
        row, col = (self.points_to_original(lines[i])[:, i].round().astype(int) for i in (0, 1))
        inside = [(0 <= at) & (at < n) for at, n in zip((row, col), self.original, strict=True)]
        row, col = (at.clip(0, n - 1) for at, n in zip((row, col), self.original, strict=True))
        return values[row[:, None], col[None]] * (inside[0][:, None] & inside[1][None])

    @property
    def seen(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 of the picture's pixels that the input shows, as `to_original` has it."""
        x0, y0, x1, y1 = self.box
        rows = _seen(y0, y1, self.original[0], self.size[0])
        cols = _seen(x0, x1, self.original[1], self.size[1])
        return cols.first, rows.first, cols.last, rows.last

    def points_to_original(self, points: Real[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """(row, col) of the input as (row, col) of the picture; whole numbers are pixel centres."""
        start, scale = self._affine()
        return (np.asarray(points, float) + 0.5) * scale + start - 0.5

    def points_to_model(self, points: Real[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """(row, col) of the picture as (row, col) of the input; outside it where cropped away."""
        start, scale = self._affine()
        return (np.asarray(points, float) + 0.5 - start) / scale - 0.5

    def box_to_original(self, box: Corners) -> Corners:
        """x0, y0, x1, y1 of the input as x0, y0, x1, y1 of the picture."""
        (y, x), (height, width) = self._affine()
        x0, y0, x1, y1 = box
        return x0 * width + x, y0 * height + y, x1 * width + x, y1 * height + y

    def box_to_model(self, box: Corners) -> Corners:
        """x0, y0, x1, y1 of the picture as those of the input; not clipped to what it shows."""
        (y, x), (height, width) = self._affine()
        x0, y0, x1, y1 = box
        return (x0 - x) / width, (y0 - y) / height, (x1 - x) / width, (y1 - y) / height

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON holds them."""
        return {name: list(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Frame":
        """The frame whose `to_json` this is."""
        return cls(**{name: tuple(value) for name, value in fields.items()})

    def _affine(self) -> tuple[np.ndarray, np.ndarray]:
        x0, y0, x1, y1 = self.box
        return np.array([y0, x0]), np.array([(y1 - y0) / self.size[0], (x1 - x0) / self.size[1]])


@dataclass(frozen=True)
class _Span:
    """Pixels first..last of a side that the input shows, and where they begin and end on a map.

    before, after: cells by which the map must be continued to reach them.
    """

    first: int
    last: int
    start: float
    stop: float
    before: int
    after: int


def _seen(low: float, high: float, pixels: int, cells: int) -> _Span:
    first = max(math.ceil(low - 0.5 - 1e-6), 0)  # a pixel is seen when its centre is
    last = min(math.floor(high - 0.5 + 1e-6) + 1, pixels)
    if last <= first:  # less than one pixel is shown
        first, last = max(math.floor(low), 0), min(math.ceil(high), pixels)
    scale = cells / (high - low)
    start, stop = (first - low) * scale, (last - low) * scale
    before, after = max(math.ceil(-start), 0), max(math.ceil(stop - cells), 0)
    return _Span(first, last, start + before, stop + before, before, after)
