"""Boxes on maps: which outputs a change can reach, and moving boxes between maps and batches.

A change is a row and a column interval per window. All boxes of one map have one size, so that they
form a batch: shorter ones are widened, and shifted inwards at the border of the map.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How an operation moves along one axis: output i sees inputs i * stride - padding + dilation *
    (0 .. kernel - 1).
    """

    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    @property
    def span(self) -> int:
        """How many inputs one output spans."""
        return self.dilation * (self.kernel - 1) + 1

    def outputs(self, changed: "Interval", length: int) -> "Interval":
        """The outputs, of `length`, that see one of the inputs that changed; widened to one size.

        An output that no window reaches stands for an empty interval: one size has to fit all.
        """
        pairs = []
        for start, end in changed.exact:
            first = -(-(start + self.padding - self.span + 1) // self.stride)
            last = (end - 1 + self.padding) // self.stride
            first, last = max(first, 0), min(last, length - 1)
            pairs.append((min(first, length - 1), max(last, first, 0) + 1))
        return Interval.of([(a, min(max(b, a + 1), length)) for a, b in pairs], length)

    def inputs(self, size: int) -> int:
        """How many inputs `size` neighbouring outputs see, halo included."""
        return (size - 1) * self.stride + self.span


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Along one axis, for each line of windows: what a change reaches, and a box around it.

    exact: (start, end) per line. starts: where each box begins; size: how long all are; length: of
    the axis.
    """

    exact: tuple[tuple[int, int], ...]
    starts: tuple[int, ...]
    size: int
    length: int

    @classmethod
    def of(cls, exact: list[tuple[int, int]], length: int) -> "Interval":
        size = max(end - start for start, end in exact)
        starts = tuple(min(start, length - size) for start, _ in exact)
        return cls(exact=tuple(exact), starts=starts, size=size, length=length)

    def hull(self, other: "Interval") -> "Interval":
        """What either change reaches."""
        pairs = zip(self.exact, other.exact, strict=True)
        return Interval.of([(min(a, c), max(b, d)) for (a, b), (c, d) in pairs], self.length)

    def moved(self, by: int, length: int) -> "Interval":
        """The same boxes on an axis of `length` that begins `by` earlier."""
        exact = tuple((a + by, b + by) for a, b in self.exact)
        starts = tuple(start + by for start in self.starts)
        return Interval(exact=exact, starts=starts, size=self.size, length=length)


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """One box per window on a map.

    grid: the line of each window among the rows and among the columns.
    """

    rows: Interval
    cols: Interval
    grid: tuple[tuple[int, int], ...]

    @classmethod
    def around(cls, corners: Tensor, size: tuple[int, int]) -> "Boxes":
        """Windows (window, 4) as (row, col, row end, col end) on a picture of `size`."""
        found = corners.tolist()
        rows = {line: i for i, line in enumerate(dict.fromkeys((c[0], c[2]) for c in found))}
        cols = {line: i for i, line in enumerate(dict.fromkeys((c[1], c[3]) for c in found))}
        return cls(
            rows=Interval.of(list(rows), size[0]),
            cols=Interval.of(list(cols), size[1]),
            grid=tuple((rows[c[0], c[2]], cols[c[1], c[3]]) for c in found),
        )

    @property
    def size(self) -> tuple[int, int]:
        return self.rows.size, self.cols.size

    @property
    def share(self) -> float:
        """The larger of the two sides, as a share of the map's."""
        return max(i.size / i.length for i in (self.rows, self.cols))

    @property
    def area(self) -> float:
        """A box's area as a share of the map's."""
        return self.rows.size * self.cols.size / (self.rows.length * self.cols.length)

    def places(self, windows: Sequence[int]) -> "Places":
        """Upper left corners of the boxes of some windows."""
        lines = (self.grid[i] for i in windows)
        return [(self.rows.starts[row], self.cols.starts[col]) for row, col in lines]

    def hull(self, other: "Boxes") -> "Boxes":
        """What either change reaches; both belong to the same windows."""
        rows, cols = self.rows.hull(other.rows), self.cols.hull(other.cols)
        return Boxes(rows=rows, cols=cols, grid=self.grid)

    def on(self, rows: Interval, cols: Interval) -> "Boxes":
        """The boxes of the same windows on another map."""
        return Boxes(rows=rows, cols=cols, grid=self.grid)


Places = list[tuple[int, int]]


def padded(maps: Tensor, sides: tuple[int, int, int, int], value: float) -> Tensor:
    """`maps` with (left, right, top, bottom) filled by `value`, in the same memory layout."""
    return F.pad(maps, sides, value=value) if any(sides) else maps


def cut(
    maps: Tensor, places: Places, size: tuple[int, int], pictures: Sequence[int] | None = None
) -> Tensor:
    """Boxes (window, filter, row, col) of maps (picture, filter, row, col).

    pictures: the one that each box is of; None: all are of the first.
    """
    found = _empty(maps, len(places), size)
    for i, (row, col) in enumerate(places):
        picture = pictures[i] if pictures else 0
        found[i].copy_(maps[picture, :, row : row + size[0], col : col + size[1]])
    return found


def whole(
    maps: Tensor, boxes: Tensor, places: Places, pictures: Sequence[int] | None = None
) -> Tensor:
    """Copies of maps (picture, filter, row, col), one per box, and the box put into it; pictures:
    as in `cut`.
    """
    found = _empty(maps, len(places), (maps.shape[2], maps.shape[3]))
    if len(maps) == 1 or not pictures:
        found.copy_(maps[:1].expand_as(found))
    else:
        for i, picture in enumerate(pictures):
            found[i].copy_(maps[picture])
    paste(found, [(0, 0)] * len(places), boxes, places)
    return found


def paste(into: Tensor, corners: Places, boxes: Tensor, places: Places) -> None:
    """Write `boxes` at `places` of a map into what lies at `corners` of the same map, where they
    meet; windows that lie alike go together.
    """
    moves = [(p[0] - c[0], p[1] - c[1]) for p, c in zip(places, corners, strict=True)]
    start = 0
    for end in range(1, len(moves) + 1):
        if end == len(moves) or moves[end] != moves[start]:
            meetings = [
                _meeting(move, into.shape[axis], boxes.shape[axis])
                for axis, move in enumerate(moves[start], 2)
            ]
            there, here = zip(*meetings, strict=True)
            into[start:end, :, *there].copy_(boxes[start:end, :, *here])
            start = end


def _meeting(move: int, room: int, size: int) -> tuple[slice, slice]:
    """Where a box of `size` that begins at `move` meets a room, there and in the box."""
    first, last = max(move, 0), max(min(move + size, room), 0)
    last = max(last, first)
    return slice(first, last), slice(first - move, last - move)


def _empty(like: Tensor, count: int, size: tuple[int, int]) -> Tensor:
    flat = like.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if flat else torch.contiguous_format
    shape = (count, like.shape[1], *size)
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=layout)
