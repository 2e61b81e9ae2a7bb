"""Turns pictures and maps into short text that a page can carry: JPEG or PNG, and deflated bytes
for maps.
"""

import base64
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..pictures import reading as images
from ..pictures.frame import Corners
from . import paint
from .colour import Pixels, Values

_SMALL = 200  # pixels; below this JPEG would smear the colours of a drawn picture
_LARGEST = 1440  # pixels on the long side, however large the picture was
_SMOOTH = 112  # a coarse map is enlarged to this, so that the page need not resample


@dataclass(frozen=True)
class Detail:
    """Pixels on the long side of the pictures and of the maps in a page."""

    picture: int
    map: int


DETAILS = (Detail(720, 224), Detail(560, 160), Detail(400, 128), Detail(320, 96))
"""From rich to light: a page takes the first at which it stays small."""


def lighter(excess: float) -> Detail:
    """The first detail whose maps take `excess` times fewer pixels than the richest one's."""
    richest = DETAILS[0].map
    fitting = [d for d in DETAILS if (richest / d.map) ** 2 >= excess * 1.1]
    return fitting[0] if fitting else DETAILS[-1]


def picture(pixels: Pixels, *, long_side: int, quality: int = 82) -> str:
    """The picture as a `data:` address, at most `long_side` pixels long; a very small one without
    loss.
    """
    small = fit_picture(paint.as_bytes(pixels), long_side)
    if max(small.shape[:2]) <= _SMALL and quality > 80:
        return _address("png", images.encode_png(small))
    return _address("jpeg", images.encode_jpeg(small, quality))


def _address(form: str, data: bytes) -> str:
    return f"data:image/{form};base64,{base64.b64encode(data).decode()}"


def page_picture(
    picture: images.Picture, box: Corners | None
) -> tuple[images.Pixels, Corners | None]:
    """The picture as large as a page ever shows it, and the model's frame in its pixels."""
    rows, cols = picture.size
    shrink = _LARGEST / max(rows, cols)
    if shrink >= 1:
        return picture.array, box
    high, wide = max(1, round(rows * shrink)), max(1, round(cols * shrink))
    smaller = np.asarray(picture.pil().resize((wide, high)))
    if box is None:
        return smaller, None
    x, y = wide / cols, high / rows
    return smaller, (box[0] * x, box[1] * y, box[2] * x, box[3] * y)


def fit_picture(picture: Pixels, long_side: int) -> Pixels:
    """The picture at most `long_side` pixels long."""
    from PIL import Image

    if max(picture.shape[:2]) <= long_side:
        return picture
    image = Image.fromarray(picture)
    image.thumbnail((long_side, long_side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.asarray(image)


def heat(values: Values, *, long_side: int = 224) -> dict[str, Any]:  # Any: becomes JSON
    """A map as `{rows, cols, low, high, data}` in 256 steps between `low` and `high`.

    Each byte is stored as its difference from its left neighbour (the first of a row from the one
    above it), then deflated: `heat_back` and the page's script undo it.
    """
    small = fit(np.asarray(values, dtype=np.float32), long_side)
    low, high = float(small.min()), float(small.max())
    span = high - low
    steps = np.zeros(small.shape) if not span > 0 else (small.astype(np.float64) - low) / span * 255
    bytes_ = steps.round().astype(np.uint8)
    change = bytes_.copy()
    change[:, 1:] -= bytes_[:, :-1]
    change[1:, 0] -= bytes_[:-1, 0]
    data = base64.b64encode(zlib.compress(change.tobytes(), 6)).decode()
    return {"rows": small.shape[0], "cols": small.shape[1], "low": low, "high": high, "data": data}


def heat_back(encoded: dict[str, Any]) -> Values:
    """The map that `heat` encoded, to within half a step."""
    raw = np.frombuffer(zlib.decompress(base64.b64decode(encoded["data"])), dtype=np.uint8)
    change = raw.reshape(encoded["rows"], encoded["cols"]).copy()
    change[:, 0] = np.cumsum(change[:, 0], dtype=np.uint8)
    steps = np.cumsum(change, axis=1, dtype=np.uint8)
    span = encoded["high"] - encoded["low"]
    return (encoded["low"] + steps / 255.0 * span).astype(np.float32)


def fit(values: Values, long_side: int) -> Values:
    """The map shrunk to `long_side` where it is longer, and enlarged where it is only a few
    cells.
    """
    longest = max(values.shape)
    wanted = long_side if longest > long_side else max(longest, min(_SMOOTH, long_side))
    if wanted == longest:
        return values
    rows, cols = (max(1, round(side * wanted / longest)) for side in values.shape)
    return paint.stretch(values, (rows, cols))
