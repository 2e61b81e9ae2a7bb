"""Seeing any layer's output as maps (batch, filter, row, col), and putting changed maps back."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import NotExplainable


@dataclass(frozen=True)
class Layout:
    """How a layer lays out its maps.

    style: `nchw`, `nhwc`, `tokens` (batch, token, filter), `ncdhw` or `nchwd` (a third axis of
    place, such as a spectrum or time, each of its steps seen as filters of its own) or `none`.
    grid: (rows, cols); None means "as large as the tensor says", not for `tokens`. prefix: how many
    tokens are not places (class, distillation, registers), and where they are. score: how well a
    strip of the picture moved the matching places, a correlation; `verified` is false where the
    layout was read from the shape alone.
    """

    style: str
    grid: tuple[int, int] | None = None
    prefix: int = 0
    prefix_at: str = "front"
    score: float = 1.0
    verified: bool = True

    def __str__(self) -> str:
        if self.style != "tokens":
            return self.style.upper()
        where = f" after {self.prefix}" if self.prefix_at == "front" else f" before {self.prefix}"
        extra = f"{where} prefix token{'s' if self.prefix > 1 else ''}" if self.prefix else ""
        return f"tokens {self.grid[0]}x{self.grid[1]}{extra}" if self.grid else "tokens"


def filters_of(shape: Sequence[int], layout: Layout) -> int:
    """How many filters maps of this shape (batch axis included) have."""
    if layout.style in ("ncdhw", "nchwd"):
        return shape[1] * shape[2 if layout.style == "ncdhw" else 4]
    return shape[1] if layout.style == "nchw" else shape[-1]


def to_maps(raw: Tensor, layout: Layout) -> Tensor:
    """`raw` as (batch, filter, row, col); gradients and sums carry over."""
    if layout.style == "nchw" and raw.ndim == 4:
        return raw
    if layout.style == "nhwc" and raw.ndim == 4:
        return raw.permute(0, 3, 1, 2)
    if layout.style == "ncdhw" and raw.ndim == 5:
        return raw.flatten(1, 2)
    if layout.style == "nchwd" and raw.ndim == 5:
        return raw.permute(0, 1, 4, 2, 3).flatten(1, 2)
    if layout.style == "tokens" and raw.ndim == 3 and layout.grid:
        places = _places(raw, layout)
        rows, cols = _grid(places.shape[1], layout)
        return places.unflatten(1, (rows, cols)).permute(0, 3, 1, 2)
    raise NotExplainable(
        f"a tensor of shape {tuple(raw.shape)} cannot be read as maps in layout {layout}; choose"
        " another layer."
    )


def from_maps(maps: Tensor, raw: Tensor, layout: Layout) -> Tensor:
    """`maps` in the layout of `raw`; prefix tokens are taken from `raw`, repeated for copies."""
    if layout.style == "nchw":
        return maps
    if layout.style == "nhwc":
        return maps.permute(0, 2, 3, 1)
    if layout.style == "ncdhw":
        return maps.unflatten(1, raw.shape[1:3])
    if layout.style == "nchwd":
        return maps.unflatten(1, (raw.shape[1], raw.shape[4])).permute(0, 1, 3, 4, 2)
    tokens = maps.permute(0, 2, 3, 1).flatten(1, 2)
    if not layout.prefix:
        return tokens
    front = layout.prefix_at == "front"
    prefix = raw[:, : layout.prefix] if front else raw[:, -layout.prefix :]
    if len(prefix) != len(tokens):
        prefix = prefix.expand(len(tokens), -1, -1)
    return torch.cat([prefix, tokens] if front else [tokens, prefix], 1)


def _places(raw: Tensor, layout: Layout) -> Tensor:
    if not layout.prefix:
        return raw
    return raw[:, layout.prefix :] if layout.prefix_at == "front" else raw[:, : -layout.prefix]


def _grid(tokens: int, layout: Layout) -> tuple[int, int]:
    assert layout.grid is not None
    rows, cols = layout.grid
    if rows * cols == tokens:
        return rows, cols
    aspect = rows / cols
    found = round((tokens * aspect) ** 0.5)
    if found and tokens % found == 0:
        return found, tokens // found
    raise NotExplainable(
        f"{tokens} tokens do not form a grid like {rows}x{cols}; resize the picture to the"
        " model's size."
    )
