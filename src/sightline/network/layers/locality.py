"""Does place in the picture survive in a tensor? Strips of a picture are changed and what moved is
located.

Also here: what the gradients between a layer and the logits say about the kind of head.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...shapes import Images
from ..tracing.layouts import Layout, to_maps

STRIPS = 4
"""The picture is changed in this many horizontal and as many vertical strips."""

_BUDGET = 1 << 12  # numbers per image that suffice to locate a change
_FIRM = 0.7  # correlation from which a layout counts as measured
_APART = 0.4  # of a strip: how far apart two tensors may see the same place
_LINE = 3  # places from which a single row or column of them can be told from chance
_SHARP = 0.6  # of an index's response, by one strip, from which that index is a place


def strips(size: tuple[int, int], channels: int) -> Images:
    """Nine pictures in [0, 1]: a noise picture, then four with a row strip and four with a column
    strip changed.
    """
    dice = torch.Generator().manual_seed(0)

    def noise() -> Tensor:
        fine = torch.randn(1, channels, *size, generator=dice, dtype=torch.float32, device="cpu")
        coarse = torch.randn(1, channels, 16, 16, generator=dice, dtype=torch.float32, device="cpu")
        coarse = torch.nn.functional.interpolate(coarse, size=size, mode="nearest")
        return (0.5 + 0.25 * (fine + coarse) / math.sqrt(2)).clamp(0, 1)

    pictures, other = noise().repeat(1 + 2 * STRIPS, 1, 1, 1), noise()[0]
    for s in range(STRIPS):
        rows = slice(s * size[0] // STRIPS, (s + 1) * size[0] // STRIPS)
        cols = slice(s * size[1] // STRIPS, (s + 1) * size[1] // STRIPS)
        pictures[1 + s, :, rows] = other[:, rows]
        pictures[1 + STRIPS + s, :, :, cols] = other[:, :, cols]
    return pictures


def responses(values: Tensor) -> list[Tensor] | None:
    """How much each index of each axis moved with each strip, (8, length) per axis; None if not
    finite.
    """
    values = _thinned(values.detach())
    moved = (values[1:].float() - values[:1].float()).abs_()
    if moved.ndim == 3:
        found = [moved.mean(2), moved.mean(1)]
    else:
        left, right = moved.mean(3), moved.mean(1)
        found = [left.mean(2), right.mean(2), right.mean(1)]
    found = [f.double() for f in found]
    return found if all(bool(torch.isfinite(f).all()) for f in found) else None


def locate(values: Tensor, size: tuple[int, int]) -> tuple[Layout, list[Tensor]] | None:
    """The best layout of a tensor made from `strips` pictures of this size, and its responses.

    None where the tensor has no layout to try. Layout.score tells how far to believe it; the style
    is `moved` where places are there, but not where the picture has them.
    """
    if values.ndim not in (3, 4, 5) or not values.numel() or not values.is_floating_point():
        return None
    if values.ndim == 5:
        return max(_located_deep(values, size), key=lambda found: found[0].score, default=None)
    moved = responses(values)
    if moved is None:
        return None
    if values.ndim == 4:
        found = _located_maps(values.shape, moved, size)
        axes = ((1, 2), (0, 1), (2, 1))  # of rows and columns; the last two exchanged
    else:
        found = _located_tokens(moved[0], size[0] / size[1])
        axes = ((0, 0),)
    ways = {axes_: (moved[axes_[0]][:STRIPS], moved[axes_[1]][STRIPS:]) for axes_ in axes}
    own = {"nchw": (1, 2), "nhwc": (0, 1), "tokens": (0, 0)}.get(found.style)
    shifted = found.style == "nchw" and any(map(_is_shifted, ways[1, 2]))
    kept = own is not None and is_firm(found) and not shifted
    apart = [axes_ for axes_, (rows, cols) in ways.items() if _is_apart(rows, cols)]
    if shifted or (apart and not (kept and own in apart)):
        found = Layout("moved", score=-1.0)
    return found, moved


def _is_apart(rows: Tensor, cols: Tensor) -> bool:
    """Whether places are kept apart, wherever they lie: each index of both axes responds to one
    strip. Where locality is merely weak it is not so.

    rows, cols: responses (4, length) to row strips and to column strips along one axis each.
    """
    return all(len(r[0]) >= STRIPS and _sharpness(r) > _SHARP for r in (rows, cols))


def _sharpness(moved: Tensor) -> float:
    """The share of an index's response that one strip makes, mean over the indices; a quarter
    where none stands out."""
    scaled = moved / moved.mean(1, keepdim=True).clamp_min(1e-300)
    total = scaled.sum(0)
    shares = scaled.amax(0)[total > 0] / total[total > 0]
    return float(shares.mean()) if len(shares) else 0.0


def _is_shifted(moved: Tensor) -> bool:
    """Whether the strips' responses lie, on average, beside the middle of the axis."""
    length = moved.shape[1]
    if length < STRIPS or not bool((moved.sum(1) > 0).all()):
        return False
    at = torch.arange(length, device="cpu").to(moved)
    middle = float(((moved * at).sum(1) / moved.sum(1)).mean())
    return abs(middle - (length - 1) / 2) > 0.12 * length + 0.25


def same_places(one: list[Tensor], other: list[Tensor], style: str) -> bool:
    """Whether two tensors of one layout and grid, by their responses, show the same part of the
    picture at the same place: neither is turned over, or of another crop.
    """
    row, col = {"nhwc": (0, 1), "tokens": (0, 0)}.get(style, (1, 2))
    for axis, strips_ in ((row, slice(None, STRIPS)), (col, slice(STRIPS, None))):
        apart = _at(_centroid(one[axis][strips_])) - _at(_centroid(other[axis][strips_]))
        if one[axis].shape[1] > 1 and float(apart.abs().mean()) > _APART:
            return False
    return True


def _at(centroid: Tensor) -> Tensor:
    """A centroid at a fixed number of places: two tensors may have been thinned unequally."""
    return centroid[
        torch.linspace(0, len(centroid) - 1, 64, dtype=torch.float32, device="cpu").round().long()
    ]


def is_firm(layout: Layout) -> bool:
    """Whether the layout was measured, not merely guessed."""
    return layout.score >= _FIRM


def layout_by_shape(shape: Sequence[int], size: tuple[int, int]) -> Layout | None:
    """The only layout that the shape (batch axis included) allows, place not verified."""
    aspect = size[0] / size[1]
    if len(shape) == 4:
        fits = [
            Layout(style, grid, score=0.0, verified=False)
            for style, grid in (("nchw", (shape[2], shape[3])), ("nhwc", (shape[1], shape[2])))
            if min(grid) > 1 and _fits(grid, aspect)
        ]
        return fits[0] if len(fits) == 1 else None
    if len(shape) == 3:
        grids = [(p, g) for p, g in _grids(shape[1], aspect) if p < g[1] and min(g) > 1]
        if grids:
            prefix, grid = min(grids)
            return Layout("tokens", grid, prefix, score=0.0, verified=False)
    return None


def head_kind(
    gradients: Float[Tensor, "kind image filter place"],
    prefix: float,
    tokens: bool,
    bends: set[str],
) -> str:
    """What kind of head follows, from its gradients for a few classes and from where it is not
    affine.

    prefix: share of the gradient's norm that lies on prefix tokens. bends: see `graph.bends`.
    """
    largest = gradients.abs().amax((1, 2, 3), keepdim=True)
    if not bool(torch.isfinite(largest).all()) or not bool((largest > 0).any()):
        return "unknown"
    mean = gradients.mean(3, keepdim=True)
    if bool(((gradients - mean).abs() <= 1e-3 * largest).all()):
        same = bool(((mean - mean[:, :1]).abs() <= 1e-3 * largest).all())
        return "pooled-linear" if same and not bends else "pooled-mlp"
    if bends == {"relu"} and _switched(gradients, largest):
        return "pooled-relu"
    if "maximum" in bends and _largest_alone(gradients):
        return "max-pool"
    if "softmax" in bends:
        return "class-token" if prefix > 0.9 else "attention-pool"
    if prefix > 0.9:
        return "class-token"
    if "convolution" in bends:
        return "convolutional"
    return "unknown" if tokens or bends & {"maximum", "power"} else "flattened-mlp"


def _switched(gradients: Tensor, largest: Tensor) -> bool:
    """Whether each filter's gradient is, at every place of both images, either zero or one and the
    same value.
    """
    top, bottom = gradients.amax((1, 3), keepdim=True), gradients.amin((1, 3), keepdim=True)
    value = torch.where(top.abs() > bottom.abs(), top, bottom)
    off = gradients.abs() <= 1e-3 * largest
    return bool((off | ((gradients - value).abs() <= 1e-3 * largest)).all())


def _largest_alone(gradients: Tensor) -> bool:
    """Whether most filters pass a gradient at one place of each picture."""
    places = (gradients != 0).sum(3)
    return 2 * int((places == 1).sum()) > int((places > 0).sum())


def _thinned(values: Tensor) -> Tensor:
    """Every second index of the longest axis, again and again, until it is cheap to look at; tokens
    stay.
    """
    while values[0].numel() > _BUDGET:
        axes = range(1, 4) if values.ndim == 4 else range(2, 3)
        longest = max(axes, key=lambda a: values.shape[a])
        if values.shape[longest] < 16:
            break
        keep = [slice(None)] * values.ndim
        keep[longest] = slice(None, None, 2)
        values = values[tuple(keep)]
    return values


def _located_deep(values: Tensor, size: tuple[int, int]) -> Iterator[tuple[Layout, list[Tensor]]]:
    """Layouts of maps with a third axis of place (a spectrum, time): before rows, or behind
    columns."""
    for style in ("ncdhw", "nchwd"):
        maps = to_maps(values, Layout(style))
        moved = responses(maps)
        if moved is not None:
            found = _located_maps(maps.shape, moved, size, ("nchw",))
            yield replace(found, style=style if found.style == "nchw" else "none"), moved


def _located_maps(
    shape: Sequence[int],
    moved: list[Tensor],
    size: tuple[int, int],
    styles: Sequence[str] = ("nchw", "nhwc"),
) -> Layout:
    best = Layout("none", score=-1.0)
    for style in styles:
        row, col = (2, 3) if style == "nchw" else (1, 2)
        grid = (shape[row], shape[col])
        rows, cols = moved[row - 1], moved[col - 1]
        score = _place(_centroid(rows[:STRIPS]), _centroid(cols[STRIPS:]))
        if min(grid) == 1 and not _is_line(style, grid, rows if grid[1] == 1 else cols, size):
            score = -1.0
        if score > best.score:
            best = Layout(style, grid, score=score)
    return best


def _place(row: Tensor, col: Tensor) -> float:
    """The smaller correlation of centroids with rows and columns; an axis of one has none."""
    scores = [_correlation(c, torch.arange(len(c), device="cpu")) for c in (row, col) if len(c) > 1]
    return min(scores, default=0.0)


def _is_line(style: str, grid: tuple[int, int], moved: Tensor, size: tuple[int, int]) -> bool:
    """Whether one row or column of places is one: long enough to tell, no list of tokens that form
    a grid, and, where filters come last and might be meant, in the picture's proportions.
    """
    if max(grid) < _LINE:
        return False
    tokens = _located_tokens(moved, size[0] / size[1])
    if is_firm(tokens) and min(tokens.grid or (0, 0)) > 1:
        return False
    return style == "nchw" or _fits(grid, size[0] / size[1])


def _located_tokens(moved: Tensor, aspect: float) -> Layout:
    row, col = _centroid(moved[:STRIPS]), _centroid(moved[STRIPS:])
    best, best_value = Layout("none", score=-1.0), -1.0
    for prefix, (height, width) in _grids(len(row), aspect):
        place = torch.arange(height * width, device="cpu")
        known = [(row, place // width)] * (height > 1) + [(col, place % width)] * (width > 1)
        if min(height, width) == 1 and max(height, width) < _LINE:
            continue
        for where in ("front", "back") if prefix else ("front",):
            keep = slice(prefix, None) if where == "front" else slice(None, len(row) - prefix)
            score = min(_correlation(found[keep], expected) for found, expected in known)
            if score - 1e-4 * prefix > best_value:
                best_value = score - 1e-4 * prefix
                best = Layout("tokens", (height, width), prefix, where, score)
    return best


def _grids(tokens: int, aspect: float) -> Iterator[tuple[int, tuple[int, int]]]:
    """Grids that `tokens` may form, each with the number of tokens left over."""
    tall = math.sqrt(tokens * aspect)
    seen = set()
    for height in range(max(1, math.ceil(0.7 * tall)), math.ceil(tall) + 1):
        for width in (math.floor(height / aspect), math.ceil(height / aspect)):
            if width > 0 and height * width <= tokens and (height, width) not in seen:
                seen.add((height, width))
                yield tokens - height * width, (height, width)


def _fits(grid: tuple[int, int], aspect: float) -> bool:
    return abs(grid[0] - grid[1] * aspect) < 1 or abs(grid[1] - grid[0] / aspect) < 1


def _centroid(moved: Tensor) -> Tensor:
    """For each index, the mean number of the strips that move it, (length,)."""
    scaled = moved / moved.mean(1, keepdim=True).clamp_min(1e-300)
    total = scaled.sum(0)
    middle = (len(moved) - 1) / 2
    mean = (scaled * torch.arange(len(moved), device="cpu").to(scaled)[:, None]).sum(
        0
    ) / total.clamp_min(1e-300)
    return torch.where(total > 0, mean, middle).cpu()


def _correlation(found: Tensor, expected: Tensor) -> float:
    if len(found) < 2:
        return 0.0
    found, expected = found - found.mean(), expected.double() - expected.double().mean()
    size = float(found.norm() * expected.norm())
    return float(found @ expected) / size if size > 0 else 0.0
