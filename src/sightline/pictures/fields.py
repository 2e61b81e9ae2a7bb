"""What the short forms of a `Preprocess`'s fields stand for, and what makes no sense there."""

import math
from collections.abc import Sequence
from typing import Literal

from ..errors import BadField

Number = float | int

Fit = Literal["cover", "contain", "stretch", "keep"]

_LARGEST_PART = 4.0  # timm's crop_pct reaches 1.14


def geometry(
    size: object, crop: object, resize: object, fit: Fit | None
) -> dict[str, tuple[int, int] | int | str | None]:
    """`size`, `crop`, `resize` and `fit` with short forms written out."""
    sides = None if size is None else _pair(size)
    to = resize if resize is None or isinstance(resize, int) else _pair(resize)
    if isinstance(crop, bool):
        crop = "center" if crop else None
    if isinstance(crop, int | float | tuple | list) and sides is not None:
        part = _part(crop)
        if part is None:
            to, sides = to or _one(sides), _pair(crop)
        elif to is None and part > 0:
            to = _one((math.floor(sides[0] / part), math.floor(sides[1] / part)))
        else:
            raise BadField(
                f"crop={crop!r} with resize={resize}; expected a part above 0, which says how far"
                " to resize, and no `resize`. Give one of them, or the crop as a side."
            )
        crop, fit = "center", fit or "cover"
    if crop not in ("center", None) or (crop and sides is None):
        raise BadField(
            f"crop={crop!r} with size={size}; expected 'center', None, a part such as 0.875 or a "
            "side, and a size to crop to."
        )
    fit = fit or ("cover" if isinstance(to, int) or (to is None and crop) else "stretch")
    to = _one(sides) if to is None and sides is not None else to
    if to is None or fit == "keep":
        to, fit = None, "keep"
    elif fit != "cover":
        to = _pair(to)
    if crop is None and sides is not None and (fit, to) != ("stretch", sides):
        raise BadField(
            f"size={size} without a crop needs a stretch to exactly that; got resize={resize}, "
            f"fit={fit}. Set crop='center', or size=None."
        )
    return {"size": sides, "crop": crop, "resize": to, "fit": fit}


def _part(crop: object) -> float | None:
    """The part of the picture that is kept, where `crop` is one. Raises: BadField for a side with a
    point."""
    if isinstance(crop, float) and crop > _LARGEST_PART:
        raise BadField(
            f"crop={crop}: a number with a decimal point is the share that is kept, up to"
            f" {_LARGEST_PART}; expected that, or a whole number of pixels. Write a side in"
            " pixels without a decimal point."
        )
    return float(crop) if isinstance(crop, float) or (isinstance(crop, int) and crop == 1) else None


def channel_count(given: int | None, *values: Number | Sequence[Number]) -> int:
    """As many as were given, else as many as the sequences have numbers, else 3."""
    lengths = {len(v) for v in values if not isinstance(v, int | float)}
    if given is None:
        lengths -= {1} if len(lengths) > 1 else set()
        if len(lengths) > 1:
            raise BadField(
                f"mean, std and fill have {sorted(lengths)} numbers; expected the"
                " same count for all. Give one number per band."
            )
        given = next(iter(lengths), 3)
    if not isinstance(given, int) or given < 1:
        raise BadField(f"channels={given}; expected a whole number, at least 1.")
    return given


def three_bands(shown: Sequence[int] | None) -> tuple[int, int, int] | None:
    if shown is None:
        return None
    if len(shown) != 3 or not all(isinstance(k, int) and k >= 0 for k in shown):
        raise BadField(f"shown={shown}; expected three bands, counted from 0, such as (3, 2, 1).")
    return shown[0], shown[1], shown[2]


def per_channel(name: str, given: Number | Sequence[Number], channels: int) -> tuple[float, ...]:
    values = (given,) if isinstance(given, int | float) else tuple(given)
    values = values * channels if len(values) == 1 else values
    if channels == 1 and len(values) == 3:
        values = (sum(values) / 3,)
    if len(values) != channels or not all(map(math.isfinite, values)):
        raise BadField(f"{name}={given}; expected one number or {channels}.")
    if name == "std" and not all(values):
        raise BadField(f"std={given}; expected numbers other than 0.")
    return tuple(float(v) for v in values)


def _pair(value: object) -> tuple[int, int]:
    given = value if isinstance(value, tuple | list) else (value, value)
    sides = [side for side in given if isinstance(side, int) and side > 0]
    if len(given) != 2 or len(sides) != 2:
        raise BadField(f"size {value!r}; expected a positive number of pixels or (rows, cols).")
    return sides[0], sides[1]


def _one(sides: tuple[int, int]) -> int | tuple[int, int]:
    return sides[0] if sides[0] == sides[1] else sides
