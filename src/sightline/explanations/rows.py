"""What the fields of a result hold for each picture: taken apart, joined, and left empty."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from operator import index
from typing import Any

import torch
from torch import Tensor

from ..errors import BadField, OutOfRange, SightlineWarning
from ..shapes import Flags
from .saving import Saved

PER_IMAGE = (
    "target_index",
    "target_label",
    "score",
    "probability",
    "saturated",
    "picture",
    "refused",
)
"""Entries of a provenance that hold one thing for each picture."""
NO_FRAMES = (
    "the original pictures are not known: the images came as tensors, or through a preprocessing"
    " whose geometry is unknown. Give paths, PIL images or arrays, and a `sl.Preprocess`."
)


def _is_result(value: Any) -> bool:
    """Whether it is an explanation itself; what these are stands above this file."""
    return isinstance(value, Saved)


def each(value: Any, change: Callable[[Any], Any]) -> Any:
    """A mapping, a list or an explanation with its parts changed; anything else as it is."""
    if isinstance(value, Mapping):
        return {k: each(change(v), change) for k, v in value.items()}
    if isinstance(value, (list, tuple)) and any(isinstance(v, Tensor) for v in value):
        return [change(v) for v in value]
    return value.detached() if _is_result(value) else value  # pyright: ignore


def taken(value: Any, picked: list[int]) -> Any:
    """What a field holds of some pictures, in that order."""
    if isinstance(value, Tensor):
        return value[torch.tensor(picked, dtype=torch.long, device=value.device)]
    if _is_result(value):
        return value.take(picked)
    if isinstance(value, Mapping):
        return {k: taken(v, picked) for k, v in value.items()}
    # an empty one says nothing of any image
    return [value[i] for i in picked] if isinstance(value, (list, tuple)) and value else value


def blank(value: Any, count: int) -> Any:
    """What a field holds, shaped alike, for pictures of which nothing is known."""
    if isinstance(value, Tensor):
        fill = float("nan") if value.is_floating_point() else 0
        return value.new_full((count, *value.shape[1:]), fill)
    if _is_result(value):
        return value.nothing(count, (1, 1), value)
    if isinstance(value, Mapping):
        return {k: blank(v, count) for k, v in value.items()}
    if isinstance(value, (list, tuple)) and value:
        kind = type(value[0])
        return [kind() if kind in (str, list, tuple, dict) else None] * count
    return value


def joined(values: list[Any]) -> Any:
    """What a field holds of all pictures of several results, in order."""
    first = values[0]
    if any(v is None for v in values):
        return None
    if isinstance(first, Tensor):
        return torch.cat(values) if len({v.shape[1:] for v in values}) == 1 else None
    if _is_result(first):
        return type(first).join(values)
    if isinstance(first, Mapping):
        return {k: joined([v.get(k) for v in values]) for k in first}
    return [x for v in values for x in v] if isinstance(first, (list, tuple)) else first


def row_of(which: Any, count: int) -> int:  # Any: checked here
    """The picture of so many that a number means, counted from 0 (-1 is the last).

    Raises: OutOfRange where there is no such picture; BadField for what is no whole number.
    """
    try:
        i = index(which)
    except TypeError:
        raise BadField(
            f"an explanation is read by a whole number or a slice; got {which!r}. Several"
            " pictures in any order: `take([2, 0])`."
        ) from None
    if not -count <= i < count:
        told = f"its pictures are 0 to {count - 1}" if count else "it has no pictures"
        raise OutOfRange(f"the explanation has no picture {i}: {told}.")
    return i % count


def why_empty(who: str, infinite: bool, saturated: bool) -> str:
    """Why a map is not shown: it is `infinite`, or all zero. who: the method and the model.
    saturated: whether the score is a probability that is rounded to 0 or 1."""
    if infinite:
        return f"{who} gives values that are not finite; the map is not shown."
    if saturated:
        return (
            f"{who} gives a map of zeros: the probability of the target is exactly 0 or 1"
            " here (rounded to float32), so no small change of the picture changes it."
            " Explain the logit: give the target `probability=False`."
        )
    return (
        f"{who} gives a map of zeros: nothing that the method reads changes the target (a"
        " picture without evidence, or a network that rounds inside). Try another target or"
        " layer, or occlusion or rise, which need no gradient."
    )


def warn_of_maps(method: str, clipped: Flags, remarks: Iterable[Any]) -> None:
    """Warns of maps (batch,) of which clipping left nothing, and says each remark once."""
    if clipped.any():
        warnings.warn(
            f"{method}: no evidence for the target is positive in {int(clipped.sum())} of"
            f" {len(clipped)} images, so the clipped map is empty there; `native` has the"
            " signed map.",
            SightlineWarning,
            stacklevel=9,
        )
    for text in dict.fromkeys(filter(None, remarks)):
        warnings.warn(f"{method}: {text}", SightlineWarning, stacklevel=9)
