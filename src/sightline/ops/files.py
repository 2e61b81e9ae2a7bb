"""Writing results so that nothing is half there: a temporary name first, then a rename."""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ..errors import FileProblem

_OF_FILES = frozenset(
    ".npz .npy .pt .pth .pkl .safetensors .csv .txt .pdf .gif .webp .tif .tiff .bmp .zip".split()
)


def write_bytes(path: Path, data: bytes) -> Path:
    """Write a file whole or not at all. Raises: FileProblem (disk full, no permission)."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise FileProblem(
            f"{path} could not be written: {error.strerror or error}. Free some space or choose"
            " another folder."
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
        raise FileProblem(f"{path} could not be written: {error.strerror or error}.") from None
    return path
