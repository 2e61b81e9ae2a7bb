"""Reading pictures safely: whatever comes, the pixels that a viewer would show, or one clear error.

A picture is turned upright (EXIF), put over white where it is transparent, and brought to eight
bits of red, green and blue. Nothing is changed in what was passed in, and Pillow's global settings
are afterwards as they were.
"""

import glob
import io
import os
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageFile, UnidentifiedImageError

from .errors import BadImage, near

Pixels = UInt8[np.ndarray, "row col 3"]
"""Eight bits of red, green and blue."""

Source = str | os.PathLike[str] | bytes | Image.Image | np.ndarray
"""One picture: a path, the bytes of a file, a Pillow image or an array (row, col[, colour])."""

LARGEST = 200_000_000
"""Pixels above which a picture is taken for a decompression bomb."""

_RUNS_PROGRAMS = ("EPS", "WMF")  # Pillow hands these to Ghostscript or to the system
_PILLOW = threading.Lock()
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, eq=False)
class Picture:
    """What does a viewer show for this file?

    array: upright. notes: what had to be decided while reading, in sentences.
    """

    array: Pixels
    name: str
    path: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.array.shape[0], self.array.shape[1]

    def pil(self) -> Image.Image:
        """The same pixels as a Pillow image."""
        return Image.fromarray(self.array)


def read(source: object, *, limit: int = LARGEST) -> Picture:
    """Which pixels does this path, Pillow image or array show?

    source: a `Source`; anything else is refused. limit: most pixels that are accepted. Arrays
    are uint8, or floats in [0, 1]. A Pillow image gives the frame at which it stands, a file its
    first.

    **Raises:** `BadImage`: missing, empty, truncated, too large, not a picture, or out of range.
    """
    if isinstance(source, np.ndarray):
        return Picture(_from_array(source), f"array {source.shape}")
    if isinstance(source, Image.Image):
        name = source.filename if isinstance(source, ImageFile.ImageFile) else ""
        return _picture(source, str(name) or "Pillow image", None, limit, [])
    if isinstance(source, bytes):
        return _from_stream(io.BytesIO(source), f"{len(source)} bytes", None, limit)
    if not isinstance(source, str | os.PathLike):
        raise BadImage(
            f"cannot read a picture from {type(source).__name__}; expected a path, a Pillow image "
            "or an array (row, col[, colour]). A tensor is what `model.prepare` returns."
        )
    path = _existing(Path(source))
    try:
        with path.open("rb") as stream:
            return _from_stream(stream, str(path), path, limit)
    except OSError as problem:
        why = problem.strerror or problem
        raise BadImage(f"{path} cannot be opened: {why}. Check its permissions.") from None


def gather(sources: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Which files do these folders (with all below, sorted), globs and files stand for?

    Folders and globs give the files whose ending is that of a picture and that are not hidden; a
    file that is named is kept whatever it is. Each file comes once.

    **Raises:** `BadImage` when something does not exist or holds no picture.
    """
    listed = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    if not listed:
        raise BadImage("no pictures were named; expected at least one file, folder or glob.")
    found: dict[Path, None] = {}
    for source in listed:
        found.update(dict.fromkeys(_expanded(Path(source).expanduser())))
    return list(found)


def encode_png(array: UInt8[np.ndarray, "row col *colour"]) -> bytes:
    """The array as the bytes of a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def encode_jpeg(array: Pixels, quality: int = 88) -> bytes:
    """The array as the bytes of a JPEG file."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def _expanded(source: Path) -> Iterator[Path]:
    if source.is_dir():
        inside = [Path(at, name) for at, _, names in os.walk(source) for name in names]
        pictures = sorted(f for f in inside if _looks_like_a_picture(f.relative_to(source)))
        if not pictures:
            raise BadImage(
                f"no pictures in the folder {source} ({len(inside)} other files); expected at "
                "least one. Name another folder."
            )
        yield from pictures
    elif glob.has_magic(str(source)) and not source.exists():
        root = Path(source.anchor or ".")
        matches = sorted(root.glob(str(source.relative_to(source.anchor))))
        pictures = [m for m in matches if m.is_file() and _looks_like_a_picture(Path(m.name))]
        if not pictures:
            raise BadImage(
                f"no pictures match {source} ({len(matches)} other matches); expected at least "
                "one. Check the pattern."
            )
        yield from pictures
    else:
        yield _existing(source)


def _looks_like_a_picture(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and Image.registered_extensions().get(path.suffix.lower()) in _formats()


def _formats() -> list[str]:
    Image.init()
    return [form for form in Image.OPEN if form not in _RUNS_PROGRAMS]


def _existing(path: Path) -> Path:
    try:
        path = path.expanduser()
        if path.is_file():
            return path
        folder, other = path.is_dir(), path.exists()
        siblings = [f.name for f in path.parent.iterdir()] if path.parent.is_dir() else []
    except (OSError, ValueError, RuntimeError) as problem:  # too long, null byte, locked folder
        raise BadImage(
            f"{str(path)[:200]!r} cannot be opened: {problem}. Check the path and its permissions."
        ) from None
    if folder:
        raise BadImage(
            f"{path} is a folder; expected one picture. `sightline.images.gather` lists a folder."
        )
    if other:
        raise BadImage(f"{path} is a device or a pipe; expected a picture in a regular file.")
    if str(path).startswith(("http:/", "https:/")):
        raise BadImage(f"{path} is an address; expected a file. Save the picture first.")
    raise BadImage(f"no such file: {path}{near(path.name, siblings)} Check the path.")


def _from_stream(stream: io.BufferedIOBase, name: str, path: Path | None, limit: int) -> Picture:
    start = stream.read(16)
    if not start:
        raise BadImage(f"{name} is empty (0 bytes); expected a picture. Fetch or export it again.")
    stream.seek(0)
    notes: list[str] = []
    with _opened(stream, name, start, notes) as image:
        picture = _picture(image, name, path, limit, notes)
        if image.format == "JPEG" and _ends_in_filler(picture.array):
            _check_jpeg_is_whole(stream, image, name)
    return picture


@contextmanager
def _calm(notes: list[str]) -> Iterator[None]:
    """Pillow for a moment without its bomb limit (ours follows), its warnings turned into notes."""
    with _PILLOW, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        kept = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = kept
    notes.extend(dict.fromkeys(str(one.message).strip() for one in said))


def _opened(stream: io.BufferedIOBase, name: str, start: bytes, notes: list[str]) -> Image.Image:
    try:
        with _calm(notes):
            return Image.open(stream, formats=_formats())  # pyright: ignore[reportArgumentType]
    except UnidentifiedImageError:
        raise BadImage(
            f"{name} is not a picture, or its first bytes are broken ({start!r}); expected JPEG, "
            "PNG, WebP, TIFF, GIF, BMP or another format that Pillow reads. Convert it first."
        ) from None
    except Exception as problem:  # decoders of broken headers raise almost anything
        raise BadImage(f"{name} has a broken header: {problem}. Fetch it again.") from None


def _picture(
    image: Image.Image, name: str, path: Path | None, limit: int, notes: list[str]
) -> Picture:
    columns, rows = image.size
    if not rows or not columns:
        raise BadImage(f"{name} is {rows} x {columns} pixels; expected at least one.")
    if rows * columns > limit:
        raise BadImage(
            f"{name} is {rows} x {columns} = {rows * columns / 1e6:.0f} million pixels; at most "
            f"{limit / 1e6:g} million are read, because such files are often decompression bombs. "
            "Make it smaller, or pass a larger `limit` to `sightline.images.read`."
        )
    try:
        image.load()
        if getattr(image, "is_animated", False):  # only formats with frames know the word
            notes.append("it has several frames; one is used")
        array = _colours(_upright(image, notes), image.format, notes)
    except BadImage as problem:
        raise BadImage(f"{name} {problem}") from None
    except MemoryError:
        raise BadImage(
            f"{name}: {rows} x {columns} pixels do not fit into memory. Make it smaller."
        ) from None
    except Exception as problem:  # decoders of broken files raise almost anything
        raise BadImage(f"{name} is truncated or broken: {problem}. Fetch it again.") from None
    return Picture(array, name, path, tuple(notes))


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    try:
        with _calm(notes):
            turn = _UPRIGHT.get(image.getexif().get(0x0112, 1))
    except Exception:  # a broken EXIF block does not make the pixels worse
        notes.append("its EXIF block is broken and was ignored")
        return image
    return image if turn is None else image.transpose(turn)


def _colours(image: Image.Image, form: str | None, notes: list[str]) -> Pixels:
    if image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.uint32)
        grey = ((wide + 128) // 257).astype(np.uint8)
        if isinstance(clear := image.info.get("transparency"), int):
            grey = np.where(wide == clear, np.uint8(255), grey)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        grey = _eight_bits(np.asarray(image), form, notes)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def _eight_bits(
    values: Shaped[np.ndarray, "row col"], form: str | None, notes: list[str]
) -> UInt8[np.ndarray, "row col"]:
    """Grey of 32 bits, whose range no file states: the smallest usual one that holds it."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise BadImage("holds NaN or infinity; expected finite values. Replace them first.")
    tops = (255.0, 65535.0) if values.dtype.kind == "i" else (1.0, 255.0, 65535.0)
    if form == "PPM":  # Pillow has already brought these to 16 bits
        tops = (65535.0,)
    top = next((t for t in tops if low >= 0 and high <= t), None)
    if top is None:
        notes.append(f"its values from {low:g} to {high:g} were stretched from black to white")
        values, top = values.astype(np.float64) - low, (high - low) or 1.0
    else:
        notes.append(f"its 32-bit values were read as 0 (black) to {top:g} (white)")
    return np.rint(values.astype(np.float64) * (255 / top)).astype(np.uint8)


def _ends_in_filler(array: Pixels) -> bool:
    """Whether a corner is the middle grey that a JPEG decoder puts where data are missing."""
    corners = array[[0, 0, -1, -1], [0, -1, 0, -1]]
    return bool((corners == 128).all(1).any())


def _check_jpeg_is_whole(stream: io.BufferedIOBase, image: Image.Image, name: str) -> None:
    """Bytes before the end mark change the picture only if the decoder had run out of data."""
    stream.seek(0)
    data = stream.read()
    end = data.rfind(b"\xff\xd9")
    longer = io.BytesIO(data[:end] + b"\x5a" * 64 + data[end:])
    try:
        with _opened(longer, name, b"", []) as other:
            whole = np.array_equal(np.asarray(image), np.asarray(other))
    except (BadImage, OSError):
        return
    if not whole:
        raise BadImage(
            f"{name} is truncated: it holds fewer pixels than its header says. Fetch it again."
        )


def _from_array(array: Shaped[np.ndarray, "..."]) -> Pixels:
    shape, colours = array.shape, array.shape[2] if array.ndim == 3 else 1
    if colours not in (1, 3, 4) and shape[0] in (1, 3, 4):
        raise BadImage(
            f"array {shape} has its channels first; expected (row, col, colour). Transpose it: "
            "`array.transpose(1, 2, 0)`."
        )
    if array.ndim not in (2, 3) or colours not in (1, 3, 4) or not array.size:
        raise BadImage(
            f"array {shape} is not one picture; expected (row, col) or (row, col, colour) with "
            "1, 3 or 4 colours. Pass pictures one by one or as a list."
        )
    if array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):  # also true for NaN
            raise BadImage(
                f"float array has values from {low:g} to {high:g}; expected [0, 1]. Scale it, or "
                "pass uint8 (0 to 255)."
            )
        array = np.rint(array.astype(np.float64) * 255).astype(np.uint8)
    elif array.dtype.kind == "b":
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype != np.uint8:
        raise BadImage(
            f"array has dtype {array.dtype}; expected uint8 (0 to 255) or floats in [0, 1]. Divide "
            "it by its largest possible value."
        )
    if colours == 4:
        return _colours(Image.fromarray(np.ascontiguousarray(array)), None, [])
    array = array.reshape(*shape[:2], colours)
    return np.repeat(array, 3, axis=2) if colours == 1 else array.copy()
