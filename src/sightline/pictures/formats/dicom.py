"""DICOM files, read by pydicom (extra `dicom`): in their own units, with their own window."""

import importlib.util
from dataclasses import replace
from io import BufferedIOBase
from typing import Any

import numpy as np

from ...errors import BadImage, MissingReader
from .arrays import Check
from .levels import Raster, raster_of


def read_dicom(stream: BufferedIOBase, check: Check) -> Raster:
    """The first frame, in units after rescaling (such as Hounsfield's).

    Without a range, black and white are those of the file's window, or else of all its stored bits.
    MONOCHROME1 is inverted.

    **Raises:** `MissingReader` without pydicom, `BadImage` where it holds no picture.
    """
    if importlib.util.find_spec("pydicom") is None:
        raise MissingReader(
            "is a DICOM file, and pydicom is not installed; expected the extra `dicom`. Run `pip"
            " install 'sightline[dicom]'`."
        )
    import pydicom

    stream.seek(0)
    try:
        told: Any = pydicom.dcmread(stream)
        if "PixelData" not in told:
            raise BadImage("is a DICOM file without a picture (no pixel data).")
        check(int(told.Rows), int(told.Columns), int(told.get("SamplesPerPixel", 1)))
        pixels = np.asarray(told.pixel_array)
    except BadImage:
        raise
    except Exception as problem:  # each decoder has its own errors
        syntax = getattr(getattr(locals().get("told"), "file_meta", None), "TransferSyntaxUID", "")
        named = getattr(syntax, "name", "") or "unknown"
        raise BadImage(
            f"is a DICOM file that pydicom does not read here ({type(problem).__name__}; stored as"
            f" {named}). For compressed files run `pip install pylibjpeg pylibjpeg-libjpeg"
            " pylibjpeg-openjpeg`, or convert it first."
        ) from None
    frames = int(told.get("NumberOfFrames", 1) or 1)
    notes = ["it has several frames; one is used"] if frames > 1 else []
    pixels = pixels[0] if frames > 1 else pixels
    if pixels.ndim == 3:
        return _colour(told, pixels, notes)
    return _grey(told, pixels, notes)


def _colour(told: Any, pixels: np.ndarray, notes: list[str]) -> Raster:
    from pydicom.pixels.processing import convert_color_space

    known = str(told.PhotometricInterpretation)
    if known.startswith("YBR") and not known.startswith(("YBR_RCT", "YBR_ICT")):
        pixels = convert_color_space(pixels, known, "RGB")
    made = raster_of(np.asarray(pixels))
    return replace(made, high=float(2 ** int(told.BitsStored) - 1), notes=tuple(notes))


def _grey(told: Any, pixels: np.ndarray, notes: list[str]) -> Raster:
    from pydicom.pixels.processing import apply_modality_lut

    bits, signed = int(told.BitsStored), bool(told.get("PixelRepresentation", 0))
    ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1])
    if "ModalityLUTSequence" in told:
        values = np.asarray(apply_modality_lut(pixels, told), np.float32)
        ends = np.array([values.min(), values.max()])
    else:
        slope, shift = (float(told.get(n) or d) for n, d in _RESCALE)
        values = (pixels * slope + shift).astype(np.float32)
        ends = np.sort(ends * slope + shift)
    raster = raster_of(
        values, inverted=told.get("PhotometricInterpretation") == "MONOCHROME1", notes=tuple(notes)
    )
    raster = replace(raster, low=float(ends[0]), high=float(ends[1]))
    window = _window(told)
    if window is None:
        said = f"its {bits} stored bits were read as {ends[0]:g} (black) to {ends[1]:g} (white)"
        return replace(raster, notes=(*raster.notes, said))
    said = f"the window of its file was used: {window[0]:g} (black) to {window[1]:g} (white)"
    return replace(raster, usual=window, notes=(*raster.notes, said))


_RESCALE = (("RescaleSlope", 1), ("RescaleIntercept", 0))


def _window(told: Any) -> tuple[float, float] | None:
    """Black and white of the first window; None where the file has none."""
    try:
        centre, width = (
            float(np.atleast_1d(told[name].value)[0]) for name in ("WindowCenter", "WindowWidth")
        )
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    if str(told.get("VOILUTFunction", "LINEAR")) == "LINEAR":  # by the standard, not the exact one
        centre, width = centre - 0.5, width - 1
    return (centre - width / 2, centre + width / 2) if width > 0 else None
