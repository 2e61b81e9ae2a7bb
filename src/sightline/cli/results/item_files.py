"""One picture of a report as one file, so that a page can be made again without its network.

Large photographs are kept as JPEG, everything else as it is.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...errors import FileProblem
from ...files.writing import write_bytes
from ...pages.record import (
    Curve,
    MapEntry,
    MapEvidence,
    Method,
    MetricEntry,
    PanelEntry,
    PartShare,
    PictureEntry,
)
from ...pictures import reading
from ...targets.words import Predicted

JSON = Any  # whatever JSON holds
_KINDS: dict[str, type] = {
    "Item": PictureEntry,
    "MapEntry": MapEntry,
    "MapEvidence": MapEvidence,
    "PartShare": PartShare,
    "PanelEntry": PanelEntry,
    "MetricEntry": MetricEntry,
    "Curve": Curve,
    "Method": Method,
    "Predicted": Predicted,
}
"""Records by the names that they have in files, which stay whatever the classes are called."""

_NAMES = {kind: name for name, kind in _KINDS.items()}
_HEAVY = {"body", "curve", "parts", "provenance"}  # left out with the arrays
_SMALL = 400  # pixels on the long side, up to which a picture is kept without loss
_QUALITY = 95


def write(item: PictureEntry, path: Path) -> Path:
    """Writes all that a report shows of a picture. Raises: FileProblem."""
    arrays: dict[str, np.ndarray] = {}
    about = json.dumps(_plain(item, arrays), ensure_ascii=False, default=str)
    stream = io.BytesIO()
    held: Any = {"about": np.asarray(about), **arrays}  # Any: the names are no parameters of numpy
    np.savez_compressed(stream, **held)
    return write_bytes(path, stream.getvalue())


def read(path: Path, *, arrays: bool = True) -> PictureEntry:
    """What `write` wrote; without pictures, maps and all that is large where `arrays` is False.

    Raises: FileProblem where the file is missing or spoiled.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            return _made(json.loads(str(held["about"])), held if arrays else None)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise FileProblem(
            f"{path} cannot be read ({error}); expected what `sightline explain` wrote. Explain the"
            " picture again into another folder."
        ) from None


def _plain(value: Any, arrays: dict[str, np.ndarray]) -> JSON:
    if isinstance(value, np.ndarray):
        name = f"array-{len(arrays)}"
        photograph = value.dtype == np.uint8 and value.ndim == 3 and max(value.shape[:2]) > _SMALL
        arrays[name] = _jpeg(value) if photograph else value
        return {"array": name, "jpeg": photograph}
    if is_dataclass(value) and not isinstance(value, type):
        held = {f.name: _plain(getattr(value, f.name), arrays) for f in fields(value)}
        return {"kind": _NAMES[type(value)], **held}
    if isinstance(value, Mapping):
        return {"mapping": [[k, _plain(v, arrays)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_plain(v, arrays) for v in value]
    return str(value) if isinstance(value, str) else value


def _made(value: JSON, arrays: Any) -> Any:  # arrays: what np.load gives
    if isinstance(value, list):
        return tuple(_made(v, arrays) for v in value)
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return None if arrays is None else _array(arrays[value["array"]], value["jpeg"])
    if "mapping" in value:
        return {k: _made(v, arrays) for k, v in value["mapping"]}
    kind = _KINDS[value["kind"]]
    names = {f.name for f in fields(kind)} & set(value)
    names -= set() if arrays is not None else _HEAVY
    return kind(**{name: _made(value[name], arrays) for name in names})


def _jpeg(pixels: np.ndarray) -> np.ndarray:
    return np.frombuffer(reading.encode_jpeg(pixels, _QUALITY), np.uint8)


def _array(held: np.ndarray, jpeg: bool) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(held.tobytes()))) if jpeg else held
