"""Reads pictures safely: the result is the pixels that a viewer would show, or one clear error.

A picture is turned upright (EXIF), put over white where it is transparent, and brought to eight
bits of red, green and blue; the numbers of files with other bands or more bits are kept beside them
for the network. Nothing is changed in what was passed in, and Pillow's global settings stay as they
are.
"""

import io
import os
import re
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageFile

from ..errors import BadImage, SightlineWarning
from ..files.finding import existing, formats, gather, printable
from .formats import arrays, kinds
from .formats.dicom import read_dicom
from .formats.levels import (
    GivenRange,
    Range,
    Raster,
    band_notes,
    bands_shown,
    check_range,
    over_white,
    raster_of,
    span_of,
)
from .formats.pillow import orientation, raster_of_image
from .formats.tiff import read_tiff, turned

__all__ = ["Picture", "Pixels", "encode_jpeg", "encode_png", "gather", "printable", "read"]

Pixels = UInt8[np.ndarray, "row col 3"]
"""Eight bits of red, green and blue."""

Source = str | os.PathLike[str] | bytes | Image.Image | np.ndarray
"""One picture: a path, the bytes of a file, a Pillow image or an array (row, col[, band])."""

LARGEST = 200_000_000
"""Pixels above which a picture is taken for a decompression bomb."""

_BANDS = 8  # times as many numbers as pixels are read
_STRICT = threading.Lock()
_REFUSALS = (SyntaxError, IndexError, TypeError, struct.error)  # how Pillow's formats say no

Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as a viewer shows it.

    array: upright. notes: what had to be decided while reading, in sentences. raster: the numbers
    of the file, where they are more than `array` shows; range, span: how they were read, and which
    of them are black and white; shown: the bands that are shown as red, green and blue.
    """

    array: Pixels
    name: str
    path: Path | None = None
    notes: tuple[str, ...] = ()
    raster: Raster | None = None
    range: Range | None = None
    span: tuple[float, float] = (0.0, 255.0)
    shown: tuple[int, int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.array.shape[0], self.array.shape[1]

    @property
    def caption(self) -> str:
        """Which bands are shown, where there are others; otherwise empty."""
        return next((note for note in self.notes if note.startswith("bands ")), "")

    def pil(self) -> Image.Image:
        """The same pixels as a Pillow image."""
        return Image.fromarray(self.array)

    def ranged(
        self, range: GivenRange | None, shown: tuple[int, int, int] | None = None
    ) -> "Picture":
        """The same picture with other numbers as black and white, or other bands shown.

        **Raises:** `BadImage` where the picture has no such bands.
        """
        chosen, shown = check_range(range) or self.range, shown or self.shown
        if (chosen, shown) == (self.range, self.shown) or (self.raster is None and not chosen):
            return self
        with _about(self.name):
            made = _shown(self.raster or raster_of(self.array), self.name, self.path, chosen, shown)
        kept = [note for note in self.notes if not note.startswith(("bands ", "its values "))]
        return replace(made, notes=tuple(dict.fromkeys([*kept, *made.notes])))

    def bands(self, channels: int) -> Shaped[np.ndarray, "row col channel"]:
        """The input for a network of `channels` channels: bytes, or float32 in [0, 1].

        **Raises:** `BadImage` where the picture has another number of bands.
        """
        raster = self.raster
        if raster is None or (raster.alpha and channels != raster.bands):
            if channels not in (1, 3):
                raise self._misfit(3 if raster is None else raster.bands, channels)
            return np.asarray(self.pil().convert("L"))[..., None] if channels == 1 else self.array
        values = raster.natural(self.span)
        if raster.bands == channels:
            return values
        values = values[..., :1] if raster.paged else values
        if values.shape[2] == 1 and channels == 3:
            return np.repeat(values, 3, axis=2)
        if values.shape[2] == 3 and channels == 1:
            grey = values.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
            return grey.astype(values.dtype)[..., None]
        raise self._misfit(raster.bands, channels)

    def _misfit(self, bands: int, channels: int) -> BadImage:
        first = " Its channels come first: transpose it." if self.array.shape[0] == channels else ""
        return BadImage(
            f"{self.name} has {bands} bands, and the network takes {channels};{first} the"
            " numbers of `mean` and `std` set how many bands are expected. Use"
            f" `sl.Preprocess(..., mean=[...], std=[...])` with {bands} each, or a file with"
            f" {channels}."
        )


def read(source: object, *, limit: int = LARGEST, range: GivenRange | None = None) -> Picture:
    """Read the pixels of a path, Pillow image or array, as a viewer shows them.

    source: a `Source`; anything else is refused. limit: most pixels that are accepted. range: which
    numbers are black and white, where the picture has other than eight bits. Arrays are uint8,
    uint16, or floats in [0, 1]. A Pillow image gives the frame at which it stands, a file its
    first.

    **Raises:** `BadImage`: missing, empty, truncated, too large, not a picture, or out of range.
    """
    chosen = check_range(range)
    if isinstance(source, np.ndarray):
        with _about(name := f"array {source.shape}"):
            raster = arrays.from_array(source)
            kept = replace(raster, values=raster.values.copy())
            return _plain(_shown(kept, name, None, chosen))
    if isinstance(source, Image.Image):
        name = source.filename if isinstance(source, ImageFile.ImageFile) else ""
        name = printable(os.fsdecode(name)) if name else "Pillow image"
        return _picture(source, name, None, limit, chosen)
    if isinstance(source, bytes):
        return _from_stream(io.BytesIO(source), f"{len(source)} bytes", None, limit, chosen)
    if not isinstance(source, str | os.PathLike):
        raise BadImage(
            f"cannot read a picture from {type(source).__name__}; expected a path, a Pillow image "
            "or an array (row, col[, colour]). A tensor is what `model.prepare` returns."
        )
    name, path = printable(Path(source)), existing(Path(source))
    try:
        with path.open("rb") as stream:
            return _from_stream(stream, name, path, limit, chosen)
    except OSError as problem:
        why = problem.strerror or type(problem).__name__
        raise BadImage(f"{name} cannot be opened: {why}. Check its permissions.") from None


def encode_png(array: UInt8[np.ndarray, "row col *colour"], level: int = 6) -> bytes:
    """The array as the bytes of a PNG file; level: 1 (fast) to 9 (small)."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG", compress_level=level)
    return stream.getvalue()


def encode_jpeg(array: Pixels, quality: int = 88) -> bytes:
    """The array as the bytes of a JPEG file."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def _from_stream(
    stream: BufferedIOBase, name: str, path: Path | None, limit: int, chosen: Range | None
) -> Picture:
    head = stream.read(kinds.FIRST)
    if not head:
        raise BadImage(f"{name} is empty (0 bytes); expected a picture. Fetch or export it again.")
    with _about(name):
        raster = _raster(stream, head, partial(_check_size, limit))
        if raster is not None:
            return _plain(_shown(raster, name, path, chosen))
        image = _opened(stream, head)
    with image:
        picture = _picture(image, name, path, limit, chosen, stream)
        if image.format == "JPEG" and _ends_in_filler(picture.array):
            _check_jpeg_is_whole(stream, image, name)
    return picture


@contextmanager
def _about(name: str) -> Iterator[None]:
    """Errors begin with the name and are ours."""
    try:
        yield
    except BadImage as problem:
        raise type(problem)(f"{name} {problem}") from None
    except SightlineWarning:  # where warnings are errors
        raise
    except MemoryError:
        raise BadImage(f"{name}: its pixels do not fit into memory. Make it smaller.") from None
    except Image.DecompressionBombError:
        raise BadImage(
            f"{name} is above Pillow's own limit, `PIL.Image.MAX_IMAGE_PIXELS`, which Pillow"
            " checks for this format. Raise that limit, or make the picture smaller."
        ) from None
    except Exception as problem:  # readers of broken files raise almost anything
        raise BadImage(f"{name} is truncated or broken{_why(problem)}. Fetch it again.") from None


def _why(problem: Exception) -> str:
    """A reader's own words, without anything that stands in the file or names a place."""
    if isinstance(problem, UnicodeError) or not isinstance(problem, (OSError, SyntaxError)):
        return f" ({type(problem).__name__})"
    text = re.sub(r"b(['\"]).*?\1|<[^>]*>", "...", str(problem), flags=re.DOTALL)
    return f": {printable(text)[:160]}" if text else ""


def _raster(stream: BufferedIOBase, head: bytes, check: arrays.Check) -> Raster | None:
    """The numbers of a file that Pillow does not read, or not whole; None for others."""
    stream.seek(0)
    if head.startswith(arrays.MAGIC):
        return arrays.read_npy(stream, check)
    if head.startswith(b"PK\x03\x04") and arrays.holds_arrays(stream):
        return arrays.read_npz(stream, check)
    if kinds.is_dicom(head):
        return read_dicom(stream, check)
    return read_tiff(stream, check) if kinds.is_tiff(head) else None


def _quietly(make: Callable[[], Made]) -> Made:
    """What `make` returns, also where warnings are errors.

    Pillow's remarks about metadata go the way of all warnings; only where they would cost the
    picture, they are ignored.
    """
    try:
        return make()
    except Warning:
        with _STRICT, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make()


def _opened(stream: BufferedIOBase, head: bytes) -> Image.Image:
    """The picture as Pillow opens it, without Pillow's limit of pixels (ours follows)."""
    for form in formats():
        opener, accepts = Image.OPEN[form]
        try:
            accepted = True if accepts is None else accepts(head[:16])
            if accepted and not isinstance(accepted, str):
                return _quietly(partial(_from_start, opener, stream))
        except _REFUSALS:
            continue
    image = kinds.opened_by_plugin(stream, head)
    if image is not None:
        return image
    kinds.refuse_foreign(head)
    raise BadImage(
        "is not a picture, or its first bytes are broken; expected JPEG, PNG, WebP, TIFF, GIF, BMP,"
        " .npy or another format that Pillow reads. Convert it first."
    )


def _from_start(opener: Callable[..., Image.Image], stream: BufferedIOBase) -> Image.Image:
    stream.seek(0)
    return opener(stream, "")


def _check_size(limit: int, rows: int, cols: int, bands: int = 1) -> None:
    """Refuses what is too large before it is decoded. **Raises:** `BadImage`."""
    if not rows or not cols:
        raise BadImage(f"is {rows} x {cols} pixels; expected at least one.")
    if rows * cols > limit or rows * cols * bands > _BANDS * limit:
        times = f" x {bands} bands" if bands > 1 else ""
        raise BadImage(
            f"is {rows} x {cols}{times} = {rows * cols / 1e6:.0f} million pixels; at most "
            f"{limit / 1e6:g} million are read, because such files are often decompression bombs. "
            "Make it smaller, or pass a larger `limit` to `sightline.pictures.reading.read`."
        )


def _picture(
    image: Image.Image,
    name: str,
    path: Path | None,
    limit: int,
    chosen: Range | None,
    stream: BufferedIOBase | None = None,
) -> Picture:
    notes: list[str] = []
    with _about(name):
        _check_size(limit, image.size[1], image.size[0])
        _quietly(image.load)
        if getattr(image, "is_animated", False):  # only formats with frames know the word
            notes.append("it has several frames; one is used")
        turn = orientation(image, notes)
        made = raster_of_image(image, stream)
        raster = replace(made, values=turned(made.values, turn), notes=tuple(notes) + made.notes)
        return _plain(_shown(raster, name, path, chosen))


def _shown(
    raster: Raster,
    name: str,
    path: Path | None,
    chosen: Range | None,
    shown: tuple[int, int, int] | None = None,
) -> Picture:
    """The raster with what a viewer shows of it."""
    span, notes = span_of(raster, chosen)
    order = bands_shown(raster, shown)
    seen = raster.natural(span)[..., order] if order else over_white(raster.natural(span))
    array = np.rint(seen * 255.0).astype(np.uint8) if seen.dtype != np.uint8 else seen
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    notes = (*raster.notes, *notes, *band_notes(raster, order))
    return Picture(np.ascontiguousarray(array), name, path, notes, raster, chosen, span, shown)


def _plain(picture: Picture) -> Picture:
    """Without the raster, where it holds no more than the array."""
    raster = picture.raster
    assert raster is not None
    usual = raster.values.dtype == np.uint8 and raster.bands in (1, 3) and picture.range is None
    return replace(picture, raster=None) if usual and not raster.inverted else picture


def _ends_in_filler(array: Pixels) -> bool:
    """Whether a corner is the middle grey that a JPEG decoder puts where data are missing."""
    corners = array[[0, 0, -1, -1], [0, -1, 0, -1]]
    return bool((corners == 128).all(1).any())


def _check_jpeg_is_whole(stream: BufferedIOBase, image: Image.Image, name: str) -> None:
    """Bytes before the end mark change the picture only if the decoder had run out of data."""
    stream.seek(0)
    data = stream.read()
    end = data.rfind(b"\xff\xd9")
    longer = io.BytesIO(data[:end] + b"\x5a" * 64 + data[end:])
    try:
        with _opened(longer, data[: kinds.FIRST]) as other:
            whole = np.array_equal(np.asarray(image), np.asarray(other))
    except (BadImage, OSError):
        return
    if not whole:
        raise BadImage(
            f"{name} is truncated: it holds fewer pixels than its header says. Fetch it again."
        )
