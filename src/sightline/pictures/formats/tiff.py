"""TIFF of any number of bands: chunky, planar or one band a page, 8 to 64 bits, integers or floats.

Pillow reads up to four bands of eight bits, and one of others. What it leaves is shown to it as a
wide grey picture of bytes, so that its libtiff undoes the compression; the numbers are made of the
bytes here.
"""

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BufferedIOBase

import numpy as np
from jaxtyping import Shaped, UInt8

from ...errors import BadImage
from .arrays import Check
from .levels import Bands, Raster, raster_of, usual_range

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
          16: 8, 17: 8, 18: 8}  # fmt: skip
_LETTERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_DEFAULTS = {258: (1,), 259: (1,), 262: (1,), 274: (1,), 277: (1,), 284: (1,), 317: (1,), 339: (1,)}
_WHITE_IS_ZERO, _RGB = 0, 2
_LOSSLESS = (1, 5, 8, 32773, 32946, 34925, 50000)  # codecs that give back bytes as they were
_MOST = 100_000  # entries of a tag: more are a broken file
_PAGES = 64


@dataclass(frozen=True)
class _Page:
    """What the tags of one picture in the file say. order: `<` or `>`, of its numbers."""

    tags: Mapping[int, tuple[int, ...]]
    order: str

    def __getitem__(self, tag: int) -> int:
        return self.tags.get(tag, _DEFAULTS.get(tag, (0,)))[0]

    @property
    def size(self) -> tuple[int, int, int]:
        """Rows, columns, bands."""
        return self[257], self[256], self[277]

    @property
    def kind(self) -> str:
        """The letter and bits of its numbers, such as `u16` or `f32`."""
        return f"{ {2: 'i', 3: 'f'}.get(self[339], 'u') }{self[258]}"

    @property
    def known_to_pillow(self) -> bool:
        """Whether Pillow gives all that this page holds."""
        bands, alpha = self[277], self[338] in (1, 2) and 338 in self.tags
        if self[262] not in (_WHITE_IS_ZERO, 1, _RGB):
            return True
        if bands == 1:
            return self.kind in ("u1", "u2", "u4", "u8", "u16", "i16", "i32", "u32", "f32")
        return self.kind == "u8" and (bands == 3 or (bands in (2, 4) and alpha))

    def alike(self, other: "_Page") -> bool:
        """Whether two pages can be two bands of one picture."""
        return self.size == other.size and self.kind == other.kind and self[277] == 1


def read_tiff(stream: BufferedIOBase, check: Check) -> Raster | None:
    """The bands of a TIFF file, or None where Pillow reads all that it holds.

    Pages of one band each and one size are bands too (`paged`).

    **Raises:** `BadImage` for a layout or compression that cannot be read.
    """
    pages = _pages(stream)
    if not pages:
        return None
    first = pages[0]
    stack = [page for page in pages if first.alike(page)]
    paged = 1 < len(stack) == len(pages) <= _PAGES and first[262] in (_WHITE_IS_ZERO, 1)
    if not paged and first.known_to_pillow:
        return None
    rows, cols, bands = first.size
    bands = len(stack) if paged else bands
    check(rows, cols, bands)
    if first.kind not in ("u8", "u12", "u16", "i8", "i16", "i32", "u32", "f16", "f32", "f64"):
        if paged:
            return None
        raise BadImage(
            f"holds {bands} bands of {first.kind}; expected 8, 16 or 32 bits, or floats."
        )
    values = np.concatenate([_values(stream, page) for page in (stack if paged else [first])], 2)
    notes = (f"it has {bands} pages of one band; a network of {bands} channels is given all, "
             "others the first",) if paged else ()  # fmt: skip
    raster = raster_of(
        turned(values, first[274]), inverted=first[262] == _WHITE_IS_ZERO, paged=paged, notes=notes
    )
    if first[258] == 12:
        return replace(raster, high=4095.0)
    if first.kind in ("u8", "u16"):
        return raster
    floats = first[339] == 3
    return usual_range(raster, (1.0, 255.0, 65535.0) if floats else (255.0, 65535.0))


def turned(array: Bands, orientation: int) -> Shaped[np.ndarray, "rows cols band"]:
    """The array upright, by the number that EXIF has for it."""
    turn = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a),
    }.get(orientation)
    return array if turn is None else np.ascontiguousarray(turn(array))


def orientation_of(block: bytes) -> int | None:
    """The orientation in an EXIF block (0 where it says none), or None where it is broken."""
    block = block.removeprefix(b"Exif\0\0")
    if block[:4] not in (b"II*\0", b"MM\0*"):
        return 0
    try:
        pages = _pages(io.BytesIO(block), 1)
    except (BadImage, struct.error):
        return None
    return pages[0].tags.get(274, (0,))[0] if pages else None


def _pages(stream: BufferedIOBase, most: int = _PAGES + 1) -> list[_Page]:
    """The tags of all whole pictures in the file, without previews and masks."""
    stream.seek(0)
    start = stream.read(16)
    order = "<" if start[:2] == b"II" else ">"
    big = start[2:4] in (b"+\0", b"\0+")
    at = struct.unpack_from(f"{order}{'Q' if big else 'I'}", start, 8 if big else 4)[0]
    pages, seen = [], set()
    while at and at not in seen and len(pages) < most:
        seen.add(at)
        tags, at = _tags(stream, at, order, big)
        if tags is None:
            break
        if not tags.get(254, (0,))[0] & 0b101:
            pages.append(_Page(tags, order))
    return pages


def _tags(
    stream: BufferedIOBase, at: int, order: str, big: bool
) -> tuple[dict[int, tuple[int, ...]] | None, int]:
    """The whole numbers of a directory, and where the next one is."""
    head, entry, word = ("Q", "HHQ", "Q") if big else ("H", "HHI", "I")
    stream.seek(at)
    raw = stream.read(struct.calcsize(f"{order}{head}"))
    if len(raw) < struct.calcsize(f"{order}{head}"):
        return None, 0
    count = struct.unpack(f"{order}{head}", raw)[0]
    room = struct.calcsize(f"{order}{word}")
    size = struct.calcsize(f"{order}{entry}") + room
    body = stream.read(size * min(count, 4096))
    tail = stream.read(room)
    if len(body) < size * min(count, 4096):
        return None, 0
    tags = {}
    for k in range(min(count, 4096)):
        tag, kind, many = struct.unpack_from(f"{order}{entry}", body, k * size)
        if kind not in _LETTERS or many > _MOST or not many:
            continue
        held = body[(k + 1) * size - room : (k + 1) * size]
        if many * _SIZES[kind] > room:
            stream.seek(struct.unpack(f"{order}{word}", held)[0])
            held = stream.read(many * _SIZES[kind])
        if len(held) >= many * _SIZES[kind]:
            tags[tag] = struct.unpack_from(f"{order}{many}{_LETTERS[kind]}", held)
    return tags, struct.unpack(f"{order}{word}", tail)[0] if len(tail) == room else 0


def _values(stream: BufferedIOBase, page: _Page) -> Bands:
    """The numbers of a page, (row, col, band)."""
    if page[259] not in _LOSSLESS:
        raise BadImage(
            f"is a TIFF whose {page[277]} bands of {page.kind} are compressed in a way that is not"
            f" read here (number {page[259]}). Convert it first: `gdal_translate -co"
            " COMPRESS=DEFLATE IN OUT`, or save the array as .npy."
        )
    rows, cols, bands = page.size
    starts, counts = (324, 325) if 324 in page.tags else (273, 279)
    parts = list(zip(page.tags.get(starts, ()), page.tags.get(counts, ()), strict=False))
    planes = bands if page[284] == 2 else 1
    each = len(parts) // planes
    if not each:
        raise BadImage("is a TIFF without data; fetch it again.")
    made = [
        _plane(stream, page, parts[k * each : (k + 1) * each], bands // planes)
        for k in range(planes)
    ]
    return np.concatenate(made, axis=2)[:rows, :cols]


def _plane(
    stream: BufferedIOBase, page: _Page, parts: list[tuple[int, int]], bands: int
) -> Shaped[np.ndarray, "row wide band"]:
    """One plane of interleaved bands, as wide as its tiles are."""
    rows, cols, _ = page.size
    wide = page[322] if 322 in page.tags else cols
    across = -(-cols // wide)
    taken = -(-wide * bands * page[258] // 8)  # bytes of a row of a strip or tile
    data = _bytes(stream, page, parts, (rows, across * taken), taken)
    data = data.reshape(rows, across, taken)
    if page[258] == 12:
        numbers = _unpacked(data, wide * bands)
    elif page[317] == 3:
        numbers = _shuffled(data, page[258] // 8, bands)
    else:
        size = page[258] // 8
        numbers = data.view(f"{page.order}u{size}").astype(f"u{size}")
        if page[317] == 2:
            lines = numbers.reshape(rows, across, wide, bands)
            numbers = np.cumsum(lines, axis=2, dtype=lines.dtype)
        numbers = numbers.view(f"{page.kind[0]}{size}")
    return numbers.reshape(rows, across * wide, bands)


def _unpacked(data: UInt8[np.ndarray, "row tile byte"], count: int) -> np.ndarray:
    """Numbers of 12 bits, two in three bytes."""
    padded = np.pad(data, ((0, 0), (0, 0), (0, -data.shape[2] % 3))).astype(np.uint16)
    one, two, three = padded[..., ::3], padded[..., 1::3], padded[..., 2::3]
    pairs = np.stack([one << 4 | two >> 4, (two & 15) << 8 | three], axis=-1)
    return pairs.reshape(*data.shape[:2], -1)[..., :count]


def _shuffled(data: UInt8[np.ndarray, "row tile byte"], size: int, bands: int) -> np.ndarray:
    """Floats whose bytes were put apart, the highest first, and stored as differences."""
    rows, across, taken = data.shape
    lines = data.reshape(rows, across, taken // bands, bands)
    whole = np.cumsum(lines, axis=2, dtype=np.uint8).reshape(rows, across, size, taken // size)
    return np.ascontiguousarray(whole.swapaxes(2, 3)).view(f">f{size}").astype(f"f{size}")


def _bytes(
    stream: BufferedIOBase,
    page: _Page,
    parts: list[tuple[int, int]],
    size: tuple[int, int],
    tile: int,
) -> UInt8[np.ndarray, "row byte"]:
    """The bytes of a plane without their compression: read by Pillow as a grey picture."""
    from PIL.TiffImagePlugin import TiffImageFile

    body, places = io.BytesIO(), []
    for start, count in parts:
        stream.seek(start)
        places.append(8 + body.tell())
        body.write(stream.read(count))
    tags = {256: [size[1]], 257: [size[0]], 258: [8], 259: [page[259]], 262: [1], 277: [1]}
    counts = [count for _, count in parts]
    if 322 in page.tags:
        tags |= {322: [tile], 323: [page[323]], 324: places, 325: counts}
    else:
        tags |= {273: places, 278: [page[278] or size[0]], 279: counts}
    if 266 in page.tags:
        tags[266] = [page[266]]
    whole = io.BytesIO(_written(body.getvalue(), tags))
    with TiffImageFile(whole) as image:
        return np.array(image)


def _written(body: bytes, tags: dict[int, list[int]]) -> bytes:
    """A TIFF file of these data and tags, which stand behind them."""
    body += bytes(-len(body) % 4)
    at = 8 + len(body)
    entries, more = b"", b""
    behind = at + 2 + 12 * len(tags) + 4
    for tag, values in sorted(tags.items()):
        held = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            held, more = struct.pack("<I", behind + len(more)), more + held
        entries += struct.pack("<HHI", tag, 4, len(values)) + held
    return (
        struct.pack("<2sHI", b"II", 42, at)
        + body
        + struct.pack("<H", len(tags))
        + entries
        + bytes(4)
        + more
    )
