"""What a Pillow image holds: its bands, which way up it is, and how many bits its numbers have."""

import re
from io import BufferedIOBase
from typing import IO, cast

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from ...errors import BadImage
from .levels import Raster, raster_of, usual_range
from .tiff import orientation_of

_XMP = re.compile(r"tiff:Orientation(?:=\"|>)([1-8])")


def raster_of_image(image: Image.Image, stream: BufferedIOBase | None = None) -> Raster:
    """The numbers of a loaded image. stream: its file, where it has one.

    **Raises:** `BadImage` for NaN.
    """
    if stream is not None and _is_deep(image, stream):
        return _deep(image, stream)
    if image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.uint16)
        clear = image.info.get("transparency")
        if not isinstance(clear, int):
            return raster_of(wide)
        opacity = np.where(wide == clear, np.uint16(0), np.uint16(65535))
        return raster_of(np.stack([wide, opacity], axis=-1), alpha=True)
    if image.mode in ("I", "F"):
        return _guessed(np.array(image), image.format)
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        return raster_of(np.array(image.convert("RGBA")), alpha=True)
    return raster_of(np.array(image.convert("RGB")))


def orientation(image: Image.Image, notes: list[str]) -> int:
    """EXIF's number for which way up the image is; a broken block is ignored and noted."""
    block = image.info.get("exif")
    block = block if isinstance(block, bytes) else _from_text(image)
    if block is None:
        return int(image.getexif().get(0x0112, 1) or 1)
    found = orientation_of(block)
    if found is None:
        notes.append("its EXIF block is broken and was ignored")
    if found:
        return found
    packet = image.info.get("xmp", image.info.get("XML:com.adobe.xmp", ""))
    text = packet.decode("utf-8", "replace") if isinstance(packet, bytes) else str(packet)
    named = _XMP.search(text)
    return int(named[1]) if named else 1


def _from_text(image: Image.Image) -> bytes | None:
    """The EXIF block that older programs write into a text of a PNG file."""
    text = image.info.get("Raw profile type exif")
    try:
        return bytes.fromhex("".join(text.split("\n")[3:])) if isinstance(text, str) else None
    except ValueError:
        return None


def _deep(image: Image.Image, stream: BufferedIOBase) -> Raster:
    """All sixteen bits of a PNG in colour: Pillow gives the upper eight, and, asked for the other
    order of bytes, the lower."""
    stream.seek(0)
    with PngImageFile(cast(IO[bytes], stream)) as lower:
        lower.tile = [t._replace(args=f"{image.mode};16L") for t in lower.tile]
        low = np.array(lower, np.uint16)
    return raster_of(np.array(image, np.uint16) << 8 | low, alpha=image.mode == "RGBA")


def _is_deep(image: Image.Image, stream: BufferedIOBase) -> bool:
    stream.seek(24)
    bits = stream.read(1)
    plain = image.mode in ("RGB", "RGBA") and "transparency" not in image.info
    return image.format == "PNG" and bits == b"\x10" and plain


def _guessed(values: np.ndarray, form: str | None) -> Raster:
    """Grey of 32 bits, whose range no file states: the smallest usual one that holds it."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise BadImage("holds NaN or infinity; expected finite values. Replace them first.")
    tops = (255.0, 65535.0) if values.dtype.kind == "i" else (1.0, 255.0, 65535.0)
    if form == "PPM":  # Pillow has already brought these to 16 bits
        tops = (65535.0,)
    return usual_range(raster_of(values), tops)
