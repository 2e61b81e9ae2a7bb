"""Writing results so that nothing is half there: a temporary name first, then a rename."""

import errno
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ..errors import FileProblem
from .finding import printable

_OF_FILES = frozenset(
    ".npz .npy .pt .pth .pkl .safetensors .csv .txt .pdf .gif .webp .tif .tiff .bmp .zip".split()
)

_ADDRESS = re.compile(r"[a-zA-Z][\w.+-]+:/")  # one slash where it went through a Path

_REMEDIES = {
    errno.ENOSPC: "Free some space, or choose a folder on another disk.",
    errno.EDQUOT: "Your quota is used up: delete files of your own, or choose a folder elsewhere.",
    errno.EFBIG: "Files of this size are not allowed there: choose a folder on another disk.",
    errno.EROFS: "The disk is read-only: choose a folder on another one.",
    errno.EACCES: "You may not write there: choose a folder of yours, or change the permissions.",
    errno.ENOTDIR: "A file has the name of one of its folders: choose another folder.",
    errno.EEXIST: "A file has the name of the folder: choose another name.",
    errno.EISDIR: "A folder has that name: choose another one.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.EIO: "The disk reports a fault: check it, or choose a folder on another one.",
    errno.ESTALE: "The network disk went away: mount it again, or choose another folder.",
    errno.ENOENT: "Something removed its folder meanwhile: choose a folder that stays.",
}
_REMEDIES[errno.EPERM] = _REMEDIES[errno.EACCES]


def remedy(error: OSError) -> str:
    """What to do about a file that could not be written, a sentence."""
    return _REMEDIES.get(error.errno or 0, "Choose another folder.")


def local_folder(out: str | os.PathLike[str]) -> Path:
    """The path of a folder for results. Raises: FileProblem for an address (`s3://bucket/a`)."""
    text = os.fspath(out)
    if _ADDRESS.match(text):
        raise FileProblem(
            f"{printable(text)} is an address; results are written into a folder of this machine."
            " Write them there, and copy the folder afterwards."
        )
    return Path(out)


def write_bytes(path: Path, data: bytes) -> Path:
    """Write a file whole or not at all. Raises: FileProblem (disk full, no permission), with
    what to do about it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise FileProblem(
            f"{printable(path)} could not be written: {error.strerror or error}. {remedy(error)}"
        ) from None
    return path


def write_folder(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write a new folder whole or not at all. Raises: FileProblem when it is not empty, or has the
    name of a file."""
    if path.suffix.lower() in _OF_FILES:
        raise FileProblem(
            f"{path} is the name of a file, and {path.suffix} is not supported; use .png, .jpg,"
            " .json or .html, or a folder's name without an ending."
        )
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileProblem(f"{path} exists already and is not empty; choose another name.")
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.mkdir(parents=True)
        for name, data in files.items():
            (partial / name).write_bytes(data)
        if path.exists():
            path.rmdir()
        partial.replace(path)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise FileProblem(
            f"{printable(path)} could not be written: {error.strerror or error}. {remedy(error)}"
        ) from None
    return path
