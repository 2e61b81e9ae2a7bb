"""What a file holds before it is a picture: numbers in bands, and what is black and white.

A *range* says which numbers become 0 and 1: `"full"`, all that the type or the file allows;
`"data"`, the least and the largest that are there (over all bands); or two numbers. Without one,
`"full"` is taken, and what that leaves nearly black is warned about.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from ...errors import BadField, BadImage, SightlineWarning

Range = Literal["full", "data"] | tuple[float, float]

GivenRange = str | Sequence[float | int]
"""A range as it may be written."""

Bands = Shaped[np.ndarray, "row col band"]

_NARROW = 4  # a 16-bit picture whose numbers stay below this part of the range is nearly black
_WIDE = 65535.0


@dataclass(frozen=True, eq=False)
class Raster:
    """The numbers of a picture as a file or an array holds them.

    low, high: what is black and white in the range `"full"`; None where nothing says so. alpha:
    whether the last of four bands hides. paged: whether the bands are the pages of a file, of which
    a viewer shows the first. inverted: whether the largest number is black. usual: the range that
    the file itself asks for.
    """

    values: Bands
    low: float | None = 0.0
    high: float | None = 255.0
    alpha: bool = False
    paged: bool = False
    inverted: bool = False
    usual: tuple[float, float] | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def bands(self) -> int:
        """How many there are."""
        return self.values.shape[2]

    def natural(
        self, span: tuple[float, float]
    ) -> UInt8[np.ndarray, "row col band"] | Float[np.ndarray, "row col band"]:
        """The numbers from black to white: bytes as they are, others in [0, 1] as float32."""
        if self.values.dtype == np.uint8 and span == (0.0, 255.0):
            return 255 - self.values if self.inverted else self.values
        low, high = span
        scaled = (self.values.astype(np.float64) - low) / ((high - low) or 1.0)
        made = np.clip(scaled, 0, 1).astype(np.float32)
        return 1 - made if self.inverted else made


def raster_of(array: Shaped[np.ndarray, "row col *band"], **facts: object) -> Raster:
    """The raster of an array, whose type says what is white."""
    values = array[..., None] if array.ndim == 2 else array
    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind == "b":
        values = values.astype(np.uint8) * np.uint8(255)
        kind, size = "u", 1
    low, high = {"f": (0.0, 1.0), "u": (0.0, float(2 ** (8 * size) - 1))}.get(kind, (None, None))
    if size > 2 and kind != "f":  # 32 bits are never used whole
        low = high = None
    return replace(Raster(values, low, high), **facts)  # pyright: ignore[reportArgumentType]


def usual_range(raster: Raster, tops: tuple[float, ...]) -> Raster:
    """The raster with the smallest of some usual whites that holds its numbers, said in a note."""
    low, high = float(raster.values.min()), float(raster.values.max())
    top = next((t for t in tops if low >= 0 and high <= t), None)
    if top is None:
        said = f"its values from {low:g} to {high:g} were stretched from black to white"
        return replace(raster, low=low, high=high, notes=(*raster.notes, said))
    said = f"its {raster.values.dtype} values were read as 0 (black) to {top:g} (white)"
    return replace(raster, low=0.0, high=top, notes=(*raster.notes, said))


def bands_shown(raster: Raster, told: tuple[int, int, int] | None) -> tuple[int, ...]:
    """Which bands a viewer shows as red, green and blue; none where transparency decides.

    **Raises:** `BadImage` for a band that is not there.
    """
    if told is not None and raster.bands > 3:
        if max(told) >= raster.bands:
            raise BadImage(
                f"has {raster.bands} bands, numbered from 0; shown={told} names bands"
                " that do not exist."
            )
        return told
    if raster.alpha and raster.bands in (2, 4):
        return ()
    return (0,) if raster.bands < 3 or raster.paged else (0, 1, 2)


def band_notes(raster: Raster, order: tuple[int, ...]) -> list[str]:
    """Which bands are shown, where there are more than are seen."""
    if len(order) == 3 and raster.bands > 3:
        red, green, blue = order
        return [f"bands {red}, {green} and {blue} of {raster.bands} are shown as red, green, blue"]
    return [f"band 0 of {raster.bands} is shown"] if order and raster.bands == 2 else []


def over_white(
    bands: Shaped[np.ndarray, "row col band"],
) -> Shaped[np.ndarray, "row col colour"]:
    """Colours (or grey) with the last band as their opacity, put over white."""
    from PIL import Image

    if bands.dtype != np.uint8:
        opacity = bands[..., -1:]
        return bands[..., :-1] * opacity + (1 - opacity)
    image = Image.fromarray(np.ascontiguousarray(bands)).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return np.array(Image.alpha_composite(white, image).convert("RGB"))


def check_range(given: object) -> Range | None:
    """A range as it is kept. **Raises:** `BadField` for anything else."""
    if given is None or given in ("full", "data"):
        return given  # pyright: ignore[reportReturnType]
    if isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2:
        low, high = given
        if all(isinstance(v, (int, float)) and math.isfinite(v) for v in given) and low < high:
            return float(low), float(high)
    raise BadField(
        f"range={given!r}; expected 'full', 'data', or the two numbers of black and white, the"
        " smaller first, such as (0, 4095)."
    )


def parse_range(text: str) -> Range:
    """`full`, `data` or `low,high`, as a command line has it. **Raises:** `BadField`."""
    word = text.strip().lower()
    try:
        given = word if word in ("full", "data") else tuple(float(v) for v in word.split(","))
        made = check_range(given)
    except (ValueError, BadField):
        made = None
    if made is None:
        raise BadField(f"--range {text}; expected full, data, or low,high such as 0,4095.")
    return made


def span_of(raster: Raster, chosen: Range | None) -> tuple[tuple[float, float], list[str]]:
    """The numbers that are black and white, and what had to be said about that.

    **Raises:** `BadImage` for NaN, and for numbers out of the range that the type stands for.
    """
    low, high = float(raster.values.min()), float(raster.values.max())
    if not np.isfinite([low, high]).all():
        raise BadImage(
            f"holds NaN or infinity (values from {low:g} to {high:g}); expected finite values."
            " Replace them first."
        )
    if isinstance(chosen, tuple):
        return chosen, []
    if chosen == "data":
        return (low, high), [f"its values from {low:g} to {high:g} were read as black to white"]
    if chosen is None and raster.usual:
        return raster.usual, []
    if raster.low is None or raster.high is None or low < raster.low or high > raster.high:
        black = min(low, 0.0)
        known = raster.low is not None and raster.high is not None
        expected = f"[{raster.low:g}, {raster.high:g}]" if known else "uint8, uint16 or [0, 1]"
        raise BadImage(
            f"holds {raster.values.dtype} values from {low:g} to {high:g}; expected {expected}."
            f" Set the values of black and white: range=({black:g}, {high:g}), or range='data',"
            f" in `sl.Preprocess` (`--range {black:g},{high:g}` on the command line)."
        )
    notes = _narrow(high, raster.high) if chosen is None else []
    return (raster.low, raster.high), notes


def _narrow(used: float, white: float) -> list[str]:
    """A warning where 16 bits hold fewer, which makes the picture nearly black."""
    if white != _WIDE or not 0 < used <= white / _NARROW:
        return []
    bits = max(int(used).bit_length(), 1)
    warnings.warn(
        f"a 16-bit picture holds {bits}-bit numbers, so it is nearly black (at most"
        f" {2**bits - 1} of {white:g}). If this is not intended, set the value of white:"
        f" range=(0, {2**bits - 1}), or range='data', in `sl.Preprocess` (`--range"
        f" 0,{2**bits - 1}` on the command line); range='full' keeps the values as they are.",
        SightlineWarning,
        stacklevel=2,
    )
    return [f"its values reach only {used:g} of {white:g}, so it is nearly black"]
