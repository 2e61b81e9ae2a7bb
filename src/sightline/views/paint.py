"""Puts a map over its picture: limits, overlay, and the outlines that hold a share of the mass.

Everything here takes plain arrays, (row, col[, colour]), so that figure, report and notebook agree
to the pixel. Which colour a number has, and what floor and mass are, is said in `scale`.
"""

import numpy as np
from jaxtyping import Float, Shaped

from . import colour
from .colour import Pixels, Values
from .scale import Ramp, Scale, floor, limits, mass, ramp

__all__ = ["Ramp", "Scale", "floor", "limits", "mass", "ramp"]

Line = Float[np.ndarray, "_point 2"]  # x, y in [0, 1] of the frame

MASSES = (0.25, 0.5, 0.75)
_COARSE = 56  # cells on the long side of outlines: finer ones of a noisy map are only dust
_OUTSIDE = 1e-3  # of [0, 1]: rounding; farther out are the numbers of a normalised picture
_SHORTEST = 8  # points of an outline; shorter ones are dust too


def rgba(values: Values, ramp: Ramp, name: str = "magnitude") -> Pixels:
    """The colours of a map: signed where its ramp is, else those of that colour map."""
    places = ramp.places(values).astype(np.float32)
    return colour.signed(places, 1.0) if ramp.signed else colour.magnitude(places, 0.0, 1.0, name)


def overlay(
    picture: Shaped[np.ndarray, "..."],
    values: Values,
    scale: Scale | Ramp = "evidence",
    *,
    opacity: float = 0.75,
    name: str = "magnitude",
) -> Pixels:
    """The picture with the map over it, as RGB bytes of the picture's size.

    picture: (row, col, 3), bytes or [0, 1], or normalised. values: (row, col) of any size,
    stretched to the picture's frame; NaN is where the model saw nothing and is shown dimmed. scale:
    the ramp of the map, or how to make it. name: the colour map of what has no sign.
    """
    base = visible_pixels(picture)
    fitted = stretch(values, base.shape[:2])
    own = scale if isinstance(scale, Ramp) else ramp(values, scale)
    colours = rgba(fitted, own, name)
    alpha = colours[..., 3:] / 255.0 * opacity
    mixed = (base * (1 - alpha) + colours[..., :3] * alpha).round().astype(np.uint8)
    unseen = np.isnan(fitted)
    mixed[unseen] = dimmed(base[unseen])
    return mixed


def dimmed(picture: Pixels) -> Pixels:
    """A picture as where the model saw nothing of it: darker and nearly without colours."""
    grey = picture @ np.array([0.299, 0.587, 0.114])
    return (0.42 * (0.55 * grey[..., None] + 0.45 * picture) + 14).round().astype(np.uint8)


def visible(values: Values, native: Values | None) -> Values:
    """The map that is drawn: the values, or, where nothing of them rises above their floor, the
    signed map that they were clipped from, if there is one."""
    if mass(values).sum() > 0 or native is None:
        return values
    signed = stretch(np.asarray(native, np.float32), (values.shape[0], values.shape[1]))
    return signed if np.isfinite(signed).all() and (signed != 0).any() else values


def visible_pixels(
    picture: Shaped[np.ndarray, "..."], bands: tuple[int, int, int] | None = None
) -> Pixels:
    """A picture that a network was given, as RGB bytes.

    One that reaches out of [0, 1], as networks without a preprocessing are given it, is stretched
    from its least number to its largest; two channels are shown as one, of more than three those
    of `bands` (the first three unless told).
    """
    array = np.asarray(picture)
    if array.ndim == 3 and array.shape[-1] == 2:
        array = array.mean(-1)
    if array.ndim == 3 and array.shape[-1] > 3:
        array = array[..., list(bands or (0, 1, 2))]
    if array.dtype != np.uint8 and array.size:
        low, high = float(array.min()), float(array.max())
        if high > low and (low < -_OUTSIDE or high > 1 + _OUTSIDE):
            array = (array - low) / (high - low)
    return as_bytes(array)


def as_bytes(picture: Shaped[np.ndarray, "..."]) -> Pixels:
    """A picture as RGB bytes, whether it came in bytes or in [0, 1], in colour or in grey."""
    array = np.asarray(picture)
    if array.ndim == 2:
        array = array[..., None]
    if array.shape[-1] == 2:
        array = array.mean(-1, keepdims=True).astype(array.dtype)
    if array.shape[-1] == 1:
        array = np.repeat(array, 3, axis=-1)
    if array.dtype != np.uint8:
        array = (np.clip(array.astype(np.float64), 0, 1) * 255).round().astype(np.uint8)
    return array[..., :3]


def stretch(values: Values, size: tuple[int, int]) -> Values:
    """The map at another size: averaged when it shrinks, bilinear when it grows."""
    from PIL import Image

    values = np.asarray(values, dtype=np.float32)
    if values.shape == tuple(size):
        return values
    picture = Image.fromarray(values, mode="F") if not np.isnan(values).any() else None
    if picture is None:  # bilinear would spread NaN: the nearest value keeps the border of the crop
        rows = (np.arange(size[0]) * values.shape[0]) // size[0]
        cols = (np.arange(size[1]) * values.shape[1]) // size[1]
        return values[rows[:, None], cols[None]]
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def mass_levels(values: Values) -> list[float]:
    """The values above which 25, 50 and 75 % of the map's mass lie (falling); empty without any
    mass.
    """
    heights = np.sort(mass(values), axis=None)[::-1]
    total = heights.sum()
    if not total > 0:
        return []
    running = np.cumsum(heights) / total
    return [float(heights[np.searchsorted(running, m)] + floor(values)) for m in MASSES]


def area_of_mass(values: Values, share: float = 0.5) -> float:
    """The smallest part of the picture that holds this share of the mass, in [0, 1]; 0 without any
    mass.
    """
    heights = np.sort(mass(values), axis=None)[::-1]
    if not heights.sum() > 0:
        return 0.0
    running = np.cumsum(heights) / heights.sum()
    return float(np.searchsorted(running, share) + 1) / heights.size


def outlines(values: Values) -> list[list[Line]]:
    """For 25, 50 and 75 % of the mass the lines around it, as (n, 2) points x, y in [0, 1] of the
    frame.
    """
    rows, cols = values.shape
    shrink = max(rows, cols) / _COARSE
    if shrink > 1:
        values = stretch(
            np.nan_to_num(values), (max(2, round(rows / shrink)), max(2, round(cols / shrink)))
        )
    lines = [trace_level(values, level) for level in mass_levels(values)]
    return [[line for line in level if len(line) >= _SHORTEST] for level in lines]


def trace_level(values: Values, level: float) -> list[Line]:
    """The lines along which a map crosses `level`, closed at the border, x and y in [0, 1]."""
    from contourpy import contour_generator

    rows, cols = values.shape
    low = min(float(np.nanmin(values)), level) - 1e-6 * (abs(level) + 1e-12)
    framed = np.pad(np.nan_to_num(values.astype(np.float64), nan=low), 1, constant_values=low)
    x = np.concatenate([[0.0], np.arange(cols) + 0.5, [cols]]) / cols
    y = np.concatenate([[0.0], np.arange(rows) + 0.5, [rows]]) / rows
    return [np.asarray(line) for line in contour_generator(x, y, framed).lines(level)]


def svg_path(lines: list[Line], size: tuple[int, int]) -> str:
    """Lines in [0, 1] as the `d` of an SVG path in a box of (width, height) whole units."""
    scaled = [(line * np.array(size)).round().astype(int) for line in lines if len(line) > 2]
    return "".join(f"M{' '.join(map(str, points.ravel().tolist()))}" for points in scaled)
