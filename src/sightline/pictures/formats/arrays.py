"""Pictures in NumPy's files: one array (row, col[, band]) in `.npy`, or in `.npz`."""

import zipfile
from collections.abc import Callable
from io import BufferedIOBase
from typing import Any, cast

import numpy as np
from jaxtyping import Shaped

from ...errors import BadImage
from .levels import Raster, raster_of

MAGIC = b"\x93NUMPY"
_FEW = 32  # bands that may stand first, by mistake
_USUAL = ("image", "arr_0")  # names of the picture among several arrays

Check = Callable[[int, int, int], None]
"""(rows, cols, bands), before anything is decoded."""


def read_npy(stream: BufferedIOBase, check: Check) -> Raster:
    """The array of a `.npy` file. **Raises:** `BadImage`."""
    version = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else _second
    shape, column_major, dtype = header(stream)
    if dtype.kind not in "fubi":
        raise BadImage(f"holds an array of {dtype}; expected uint8, uint16 or floats.")
    if len(shape) in (2, 3):
        check(shape[0], shape[1], shape[2] if len(shape) == 3 else 1)
    elif int(np.prod(shape)) > 10**6:
        raise BadImage(f"holds an array {shape}; expected (row, col) or (row, col, band).")
    size = int(np.prod(shape)) * dtype.itemsize
    data = stream.read(size)
    if len(data) < size:
        raise BadImage("is truncated: it holds fewer numbers than its header says. Save it again.")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if column_major else "C")
    return from_array(array.astype(dtype.newbyteorder("=")))


def _second(stream: BufferedIOBase) -> Any:  # Any: shape, order, dtype
    return np.lib.format.read_array_header_2_0(stream)


def read_npz(stream: BufferedIOBase, check: Check) -> Raster:
    """The only array of a `.npz` file, or the one called `image`. **Raises:** `BadImage`."""
    with zipfile.ZipFile(stream) as archive:  # pyright: ignore[reportArgumentType]
        names = [n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy")]
        if not names:
            raise BadImage("is a zip archive without an array; expected a picture. Unpack it.")
        named = [n for n in _USUAL if n in names]
        if len(names) > 1 and not named:
            raise BadImage(
                f"holds {len(names)} arrays; expected one, or one named 'image'. Save only the"
                " picture."
            )
        with archive.open(f"{(named or names)[0]}.npy") as member:
            return read_npy(cast(BufferedIOBase, member), check)


def holds_arrays(stream: BufferedIOBase) -> bool:
    """Whether this zip file is a `.npz`."""
    try:
        with zipfile.ZipFile(stream) as archive:  # pyright: ignore[reportArgumentType]
            return any(name.endswith(".npy") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def from_array(array: Shaped[np.ndarray, "..."]) -> Raster:
    """The array (row, col[, band]) as a raster. **Raises:** `BadImage` for another kind."""
    shape, bands = array.shape, array.shape[2] if array.ndim == 3 else 1
    first = array.ndim == 3 and shape[0] <= _FEW < bands and shape[0] < shape[1]
    usual = array.ndim == 3 and shape[0] in (1, 3, 4) and bands > 4 and shape[0] < shape[1]
    if (first or usual) and array.size:
        raise BadImage(
            f"has its channels first, {shape}; expected (row, col, colour). Transpose it: "
            "`array.transpose(1, 2, 0)`."
        )
    if array.ndim not in (2, 3) or not array.size:
        raise BadImage(
            f"is not one picture, but {shape}; expected (row, col) or (row, col, colour). Pass"
            " pictures one by one or as a list."
        )
    if array.dtype.kind not in "fubi":
        raise BadImage(
            f"has dtype {array.dtype}; expected uint8 (0 to 255), uint16 (0 to 65535) or"
            " floats in [0, 1]."
        )
    return raster_of(array, alpha=bands == 4)
