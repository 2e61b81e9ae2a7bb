"""Batches: what people pass as images, as a checked tensor or a list of sources, and in chunks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import BadImage, ShapeError
from ..shapes import AnyTensor, BatchFirst, Images, Rows


def listed(images: Any) -> AnyTensor | list[Any]:
    """A tensor as it is, tensors in a sequence as one batch, anything else as a list of sources.

    Raises: ShapeError where nothing was given, or tensors of unequal size.
    """
    if isinstance(images, Tensor):
        return images
    many = isinstance(images, (list, tuple)) or (
        isinstance(images, np.ndarray) and images.ndim == 4
    )
    sources = list(images) if many else [images]
    if not sources:
        raise ShapeError("no images were given; at least one is needed.")
    tensors = [s for s in sources if isinstance(s, Tensor)]
    return batched(tensors) if len(tensors) == len(sources) else sources


def batched(tensors: list[AnyTensor]) -> BatchFirst:
    """One batch of images (channel, row, col), or of batches of them.

    Raises: ShapeError where their sizes differ.
    """
    single = all(t.ndim < 4 for t in tensors)
    sizes = {tuple(t.shape if single else t.shape[1:]) for t in tensors}
    if len(sizes) > 1:
        raise ShapeError(
            f"the images of one batch have the sizes {' and '.join(map(str, sorted(sizes)))};"
            " expected one. Resize them, give pictures and a `sl.Preprocess` with a size, or"
            " explain them one by one."
        )
    return torch.stack(tensors) if single else torch.cat(tensors)


def chunks(n: int, size: int) -> list[slice]:
    """Slices of at most `size` that cover 0..n."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def fit_side(side: Mapping[str, Any], count: int) -> None:
    """Side inputs that have one entry for each of `count` images, or one for all.

    Raises: ShapeError for any other number.
    """
    for name, values in side.items():
        if len(values) not in (1, count):
            raise ShapeError(
                f"{name!r} has {len(values)} entries for {count} images; give one for all, or one"
                f" for each: `model.given({name}=...)`."
            )


def rows_of(images: Images, rows: Rows | None, side: Mapping[str, Any]) -> Rows:
    """`rows`, or each image as its own, with side inputs that fit them.

    Raises: ShapeError where they do not.
    """
    if rows is None:
        fit_side(side, len(images))
        rows = torch.arange(len(images), device="cpu")
    return rows


def taken(values: tuple, rows: Sequence[int] | slice) -> tuple:
    """The entries of some images, in the order of `rows`."""
    return values[rows] if isinstance(rows, slice) else tuple(values[int(i)] for i in rows)


def side_rows(side: Mapping[str, Any], rows: Sequence[int] | slice) -> dict[str, Any]:
    """The side inputs of some images; one for all stays."""
    return {name: v if len(v) == 1 else v[rows] for name, v in side.items()}


def as_side(side: Mapping[str, Any]) -> dict[str, BatchFirst]:
    """Side inputs as tensors, batch first. Raises: ShapeError for what has no batch axis."""
    found = {}
    for name, value in side.items():
        try:
            held = isinstance(value, Tensor)
            found[name] = value if held else torch.as_tensor(value, device="cpu")
        except (TypeError, ValueError, RuntimeError):
            found[name] = torch.empty((), dtype=torch.float32, device="cpu")
        if not found[name].ndim or not len(found[name]):
            raise ShapeError(
                f"the side input {name!r} is a tensor with one entry per image; got"
                f" {str(value)[:40]}. Add a batch axis with `[None]`, or convert text to"
                " numbers."
            )
    return found


def check(images: AnyTensor, *, beyond: float | None) -> Images:
    """`images`, if they are a batch that a model can take; beyond: how far values may lie
    outside [0, 1]; None where units are unknown.

    Raises: ShapeError for a wrong shape or type, BadImage for values that are not numbers or out of
    range.
    """
    if images.ndim != 4 or not images.is_floating_point():
        hint = " Add a batch axis with `images[None]`." if images.ndim == 3 else ""
        hint = hint if images.is_floating_point() else " Convert with `images.float() / 255`."
        raise ShapeError(
            "images must be floating (batch, channel, row, col);"
            f" got {images.dtype} {tuple(images.shape)}.{hint}"
        )
    if not images.numel():
        raise ShapeError(f"the batch {tuple(images.shape)} is empty; at least one image is needed.")
    low, high = torch.aminmax(images)
    if not (torch.isfinite(low) and torch.isfinite(high)):
        raise BadImage("the images hold NaN or infinite values; every pixel must be a number.")
    if beyond is not None and (low < -beyond or high > 1 + beyond):
        raise BadImage(
            "images are in natural units, [0, 1], and the model normalises them; got values from"
            f" {low:.3g} to {high:.3g}. Use `sl.Model(net, preprocess=None)` for normalised"
            " tensors."
        )
    return images


def column(values: Sequence[float]) -> Float[Tensor, "channel 1 1"]:
    """Numbers of channels as float32 (channel, 1, 1)."""
    return torch.tensor(values, dtype=torch.float32, device="cpu")[:, None, None]
