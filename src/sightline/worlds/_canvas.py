"""Paint smooth shapes with Agg, and beside them which part owns each pixel.

Points are (x, y) in the units of a `Frame`, y downwards; a frame maps them to pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import cos, sin
from typing import Any, cast

import numpy as np
from matplotlib.backend_bases import GraphicsContextBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, TransformedPath

Colour = tuple[float, float, float]
Points = Sequence[Any] | np.ndarray  # of (x, y)
Shape = tuple[np.ndarray, np.ndarray]  # vertices and codes of a path

BARK: Colour = (0.36, 0.28, 0.22)

_BEND = 0.5523  # of a quarter circle drawn as one cubic curve
_ROUND = np.array(
    [
        (1, 0), (1, _BEND), (_BEND, 1), (0, 1), (-_BEND, 1), (-1, _BEND), (-1, 0), (-1, -_BEND),
        (-_BEND, -1),
        (0, -1), (_BEND, -1), (1, -_BEND), (1, 0), (1, 0),
    ]
)  # fmt: skip
_CODES: dict[int, np.ndarray] = {}


def mix(first: Colour, second: Colour, amount: float) -> Colour:
    """First at 0, second at 1."""
    keep = 1 - amount
    return (
        first[0] * keep + second[0] * amount,
        first[1] * keep + second[1] * amount,
        first[2] * keep + second[2] * amount,
    )


def darker(colour: Colour, amount: float) -> Colour:
    return mix(colour, (0.05, 0.04, 0.06), amount)


def lighter(colour: Colour, amount: float) -> Colour:
    return mix(colour, (1.0, 0.99, 0.96), amount)


@dataclass(frozen=True)
class CanvasFrame:
    """An affine map from drawing units to pixels: pixel = matrix @ point + origin."""

    matrix: np.ndarray
    origin: np.ndarray

    @classmethod
    def page(cls, size: int) -> "CanvasFrame":
        """The whole picture as the unit square."""
        return cls(np.eye(2) * size, np.zeros(2))

    def place(
        self, at: Points, angle: float = 0.0, scale: float = 1.0, flip: bool = False
    ) -> "CanvasFrame":
        """A frame within this one: moved to `at`, turned clockwise by `angle` (radians)."""
        c, s = cos(angle) * scale, sin(angle) * scale
        turn = np.array([[-c, -s], [-s, c]] if flip else [[c, -s], [s, c]])
        return CanvasFrame(self.matrix @ turn, self.matrix @ np.asarray(at, float) + self.origin)

    def squeeze(self, horizontal: float, vertical: float) -> "CanvasFrame":
        return CanvasFrame(self.matrix * (horizontal, vertical), self.origin)

    def map(self, points: Points) -> np.ndarray:
        return np.asarray(points, float) @ self.matrix.T + self.origin

    @cached_property
    def unit(self) -> float:
        """Length of one drawing unit in pixels."""
        (a, b), (c, d) = self.matrix.tolist()
        return abs(a * d - b * c) ** 0.5


PIXELS = CanvasFrame(np.eye(2), np.zeros(2))


def _codes(count: int, closed: bool) -> np.ndarray:
    key = count if closed else -count
    if key not in _CODES:
        codes = np.full(3 * count + 1 + closed, Path.CURVE4, np.uint8)
        codes[0] = Path.MOVETO
        if closed:
            codes[-1] = Path.CLOSEPOLY
        _CODES[key] = codes
    return _CODES[key]


def smooth(points: Points, sharp: Sequence[int] = ()) -> Shape:
    """Vertices and codes of the closed curve through the points; corners at the indices `sharp`."""
    points = np.asarray(points, float)
    count = len(points)
    slope = np.empty_like(points)
    slope[1:-1] = points[2:] - points[:-2]
    slope[0], slope[-1] = points[1] - points[-1], points[0] - points[-2]
    slope /= 6
    for index in sharp:
        slope[index] = 0
    vertices = np.empty((3 * count + 2, 2))
    vertices[0 : 3 * count : 3] = points
    vertices[1 : 3 * count : 3] = points + slope
    vertices[2 : 3 * count - 3 : 3] = points[1:] - slope[1:]
    vertices[3 * count - 1] = points[0] - slope[0]
    vertices[3 * count :] = points[0]
    return vertices, _codes(count, True)


def line(points: Points) -> Shape:
    """Vertices and codes of the open curve through the points."""
    points = np.asarray(points, float)
    count = len(points) - 1
    slope = np.empty_like(points)
    slope[1:-1] = (points[2:] - points[:-2]) / 6
    slope[0], slope[-1] = (points[1] - points[0]) / 3, (points[-1] - points[-2]) / 3
    vertices = np.empty((3 * count + 1, 2))
    vertices[0::3] = points
    vertices[1::3] = points[:-1] + slope[:-1]
    vertices[2::3] = points[1:] - slope[1:]
    return vertices, _codes(count, False)


def circles(centres: Points, radii: float | np.ndarray) -> Shape:
    """Vertices and codes of many round dots as one path."""
    rounds = np.asarray(centres, float)[:, None] + _ROUND * np.reshape(radii, (-1, 1, 1))
    return rounds.reshape(-1, 2), np.tile(_codes(4, True), len(rounds))


def leaves(at: Points, angles: np.ndarray, length: float, width: float) -> Shape:
    """Pointed ovals that start at the points and grow along the angles, as one path."""
    angles = np.asarray(angles, float)
    along = np.stack([np.cos(angles), np.sin(angles)], 1) * length
    across = np.stack([-np.sin(angles), np.cos(angles)], 1) * width
    at = np.asarray(at, float)
    tip = at + along
    vertices = np.stack(
        [
            at,
            at + 0.25 * along + across,
            at + 0.7 * along + 0.8 * across,
            tip,
            at + 0.7 * along - 0.8 * across,
            at + 0.25 * along - across,
            at,
            at,
        ],
        1,
    )
    return vertices.reshape(-1, 2), np.tile(_codes(2, True), len(at))


def strokes(starts: Points, ends: Points) -> Shape:
    """Many straight short strokes as one path."""
    vertices = np.stack([np.asarray(starts), np.asarray(ends)], 1).reshape(-1, 2)
    return vertices, np.tile(np.array([Path.MOVETO, Path.LINETO], np.uint8), len(starts))


class _Curve:
    """The four attributes that Agg reads of a path, without the checks that `Path` makes."""

    __slots__ = ("codes", "should_simplify", "simplify_threshold", "vertices")

    def __init__(self, vertices: np.ndarray, codes: np.ndarray) -> None:
        self.vertices, self.codes = vertices, codes
        self.should_simplify, self.simplify_threshold = False, 0.0


class Canvas:
    """A square RGBA buffer to paint on; with `owners`, also the number of the part at each pixel.

    Paint without an owner colours pixels and leaves them to the part below.
    """

    def __init__(self, size: int, owners: bool = False) -> None:
        self.size = size
        self._flip = Affine2D.from_values(1, 0, 0, -1, 0, size)
        self._colours = RendererAgg(size, size, 72)
        self._pen = _pen(smooth_edges=True)
        self._owners = RendererAgg(size, size, 72) if owners else None
        self._flat = _pen(smooth_edges=False)
        if owners:
            self.owners[:] = 0
        self._clip: np.ndarray | None = None
        self._before: np.ndarray | None = None

    @property
    def pixels(self) -> np.ndarray:
        """(row, col, rgba), uint8, straight alpha; writing into it paints."""
        return np.asarray(self._colours.buffer_rgba())

    @property
    def owners(self) -> np.ndarray:
        """(row, col), uint8: 0 where nobody's."""
        assert self._owners is not None, "a canvas without owners"
        return np.asarray(self._owners.buffer_rgba())[..., 0]

    def fill(
        self,
        frame: CanvasFrame,
        shape: Shape,
        colour: Colour,
        alpha: float = 1.0,
        owner: int | None = None,
    ) -> None:
        self._draw(_Curve(frame.map(shape[0]), shape[1]), 0.0, colour, alpha, owner)

    def stroke(
        self,
        frame: CanvasFrame,
        shape: Shape,
        colour: Colour,
        width: float,
        alpha: float = 1.0,
        owner: int | None = None,
    ) -> None:
        """`width` in units of the frame."""
        self._draw(_Curve(frame.map(shape[0]), shape[1]), width * frame.unit, colour, alpha, owner)

    def _draw(
        self, curve: _Curve, width: float, colour: Colour, alpha: float, owner: int | None
    ) -> None:
        path = cast(Path, curve)
        _dip(self._pen, (*colour, alpha), width)
        self._colours.draw_path(self._pen, path, self._flip, None if width else (*colour, alpha))
        if self._owners is not None and owner is not None:
            number = (owner / 255, 0.0, 0.0, 1.0)
            _dip(self._flat, number, max(width, 1.0) if width else 0.0)
            self._owners.draw_path(self._flat, path, self._flip, None if width else number)

    def clip(self, frame: CanvasFrame, shape: Shape) -> None:
        """From here on paint only inside the shape, until `unclip`."""
        path = Path(frame.map(shape[0]), shape[1])
        self._pen.set_clip_path(TransformedPath(path, self._flip))
        if self._owners is not None:
            self._before = self.owners.copy()
            self._draw(_Curve(np.asarray(path.vertices), shape[1]), 0.0, (1.0, 1.0, 1.0), 0.0, 255)
            self._clip = self.owners == 255
            self.owners[:] = self._before

    def unclip(self) -> None:
        self._pen.set_clip_path(None)
        if self._clip is not None and self._before is not None:
            self.owners[:] = np.where(self._clip, self.owners, self._before)
        self._clip = self._before = None


def _dip(pen: GraphicsContextBase, colour: tuple[float, float, float, float], width: float) -> None:
    pen.set_alpha(colour[3])
    pen.set_foreground(colour, isRGBA=True)
    pen.set_linewidth(width)


def _pen(smooth_edges: bool) -> GraphicsContextBase:
    pen = GraphicsContextBase()
    pen.set_linewidth(0)
    pen.set_antialiased(smooth_edges)
    pen.set_snap(False)
    pen.set_capstyle("round")
    pen.set_joinstyle("bevel")
    return pen
