"""Which kind of file is this? By its first bytes; what Pillow does not read is named, with what
does."""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedIOBase
from typing import Any

from ...errors import BadImage, MissingReader

FIRST = 1024  # bytes by which a kind is known

_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_JXL = (b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n")
_CONVERT = "convert it to PNG or TIFF first"


@dataclass(frozen=True)
class Plugin:
    """A library that opens a kind of file: its module, the class in it, and how it is installed."""

    kind: str
    module: str
    opener: str
    install: str


_PLUGINS = {
    "heic": Plugin("HEIC", "pillow_heif", "HeifImageFile", "pillow-heif"),
    "jxl": Plugin("JPEG XL", "pillow_jxl.JpegXLImagePlugin", "JXLImageFile", "pillow-jxl-plugin"),
    "avif": Plugin("AVIF", "PIL.AvifImagePlugin", "AvifImageFile", "-U Pillow"),
}
_STARTS = {
    b"\x89HDF\r\n\x1a\n": ("HDF5", "read the array with h5py and pass it"),
    b"\x0e\x03\x13\x01": ("HDF4", "read the array with pyhdf and pass it"),
    b"CDF": ("netCDF", "read the array with xarray and pass it"),
    b"GRIB": ("GRIB", "read the array with cfgrib and pass it"),
    b"BUFR": ("BUFR", "read the array with eccodes and pass it"),
    b"MATLAB 5": ("MATLAB data", "read the array with scipy.io.loadmat and pass it"),
    b"NITF": ("NITF", "convert it with gdal_translate first"),
    b"v/1\x01": ("OpenEXR", "read the array with OpenCV or OpenEXR and pass it, with range="),
    b"#?R": ("Radiance HDR", "read the array with OpenCV and pass it, with range="),
    b"II\xbc": ("JPEG XR", _CONVERT),
    b"FUJIFILMCCD-RAW": ("a camera's raw data (RAF)", "develop it with rawpy or dcraw first"),
    b"%PDF": ("PDF", "convert the page with pdftoppm first"),
    b"%!PS": ("PostScript", "convert it with Ghostscript by hand first"),
    b"\xc5\xd0\xd3\xc6": ("PostScript (EPS)", "convert it with Ghostscript by hand first"),
    b"\xd7\xcd\xc6\x9a": ("WMF", _CONVERT),
    b"AT&TFORM": ("DjVu", "convert it with ddjvu first"),
    b"\x1aE\xdf\xa3": ("video (Matroska or WebM)", "take frames with ffmpeg first"),
    b"\x1f\x8b": ("gzip", "unpack it first"),
    b"BZh": ("bzip2", "unpack it first"),
    b"\xfd7zXZ": ("xz", "unpack it first"),
    b"7z\xbc\xaf": ("7-Zip", "unpack it first"),
    b"PK\x03\x04": ("zip", "unpack it first"),
    b"Rar!": ("RAR", "unpack it first"),
    b"\x80\x02": ("pickled data", "save the array with numpy.save"),
    b"version https://git-lfs": ("Git LFS pointer", "run `git lfs pull`"),
}


def is_dicom(head: bytes) -> bool:
    """Whether these first bytes are DICOM's."""
    return head[128:132] == b"DICM"


def is_tiff(head: bytes) -> bool:
    """Whether these first bytes are those of a TIFF or a BigTIFF file."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") and head[8:10] != b"CR"


def opened_by_plugin(stream: BufferedIOBase, head: bytes) -> Any | None:  # Any: a Pillow image
    """The picture of a format that a plugin of Pillow's reads; None for other formats.

    **Raises:** `MissingReader` with its name where it is not installed.
    """
    plugin = _plugin(head)
    if plugin is None:
        return None
    if importlib.util.find_spec(plugin.module.partition(".")[0]) is None:
        raise MissingReader(
            f"is a {plugin.kind} file, which Pillow reads with a plugin only. Run `pip install"
            f" {plugin.install}`, or {_CONVERT}."
        )
    try:
        opener: Callable[..., Any] = getattr(importlib.import_module(plugin.module), plugin.opener)
    except (ImportError, AttributeError):
        raise MissingReader(
            f"is a {plugin.kind} file, and the installed {plugin.module.partition('.')[0]} does not"
            f" read it. Run `pip install {plugin.install}`, or {_CONVERT}."
        ) from None
    stream.seek(0)
    return opener(stream)


def refuse_foreign(head: bytes) -> None:
    """Names a format that is known and not read. **Raises:** `BadImage`."""
    found = next((known for start, known in _STARTS.items() if head.startswith(start)), None)
    brand, words = head[8:12], head[:FIRST].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head[4:8] == b"ftyp" and _plugin(head) is None:
        found = ("video (MP4 or QuickTime)", "take frames with ffmpeg first")
        found = (
            ("a camera's raw data (CR3)", "develop it with rawpy") if brand == b"crx " else found
        )
    elif head[:4] == b"RIFF" and brand == b"AVI ":
        found = ("video (AVI)", "take frames with ffmpeg first")
    elif head[:2] in (b"II", b"MM") and head[8:10] == b"CR":
        found = ("a camera's raw data (CR2)", "develop it with rawpy or dcraw first")
    elif head[344:348] in (b"n+1\0", b"ni1\0"):
        found = ("NIfTI", "read the array with nibabel and pass one slice, with range=")
    elif b"<svg" in words:
        found = ("SVG", "draw it with rsvg-convert or Inkscape first")
    elif words.startswith((b"<!doctype html", b"<html")):
        found = ("a web page", "the download failed: fetch the picture itself")
    elif head[257:262] == b"ustar":
        found = ("tar", "unpack it first, or name it webdataset:PATH")
    if found:
        raise BadImage(f"is not a picture that is read here, but {found[0]}; {found[1]}.")


def _plugin(head: bytes) -> Plugin | None:
    if head.startswith(_JXL):
        return _PLUGINS["jxl"]
    if head[4:8] == b"ftyp":
        brands = {head[8:12], *(head[k : k + 4] for k in range(16, min(head[3], 64), 4))}
        if brands & {b"avif", b"avis"}:
            return _PLUGINS["avif"]
        return _PLUGINS["heic"] if brands & set(_HEIC) else None
    return None
