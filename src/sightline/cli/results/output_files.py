"""The files that hold what was found in one picture."""

import io
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from ... import registry
from ...errors import UnknownName
from ...explanation import Explanation, Heatmap
from ...files.writing import write_bytes

Files = dict[str, dict[str, str]]
FILES = ("overlay", "arrays", "json", "svg", "png")  # entries that are names of files
_DRAWINGS = (".svg", ".png")


def results(found: Mapping[str, Explanation], out: Path, stem: str) -> Files:
    """Writes what each method found in a picture; method -> what -> name of a file, and under
    `text` what a result that is no map says in a sentence.

    A map is an overlay and arrays, any other result a drawing, where its kind has one, and JSON.
    """
    files = {}
    for name, each in found.items():
        own = f"{stem}--{name.replace(':', '-')}"  # as Windows wants it
        if isinstance(each, Heatmap):
            files[name] = _map(each, out, own)
        else:
            files[name] = _plain(each, out, own)
    return files


def _map(heat: Heatmap, out: Path, stem: str) -> dict[str, str]:
    overlay = heat.save(out / f"{stem}.png")
    arrays = write_bytes(out / f"{stem}.npz", _arrays(heat))
    return {"overlay": overlay.name, "arrays": arrays.name}


def _plain(found: Explanation, out: Path, stem: str) -> dict[str, str]:
    files = {"json": found.save(out / f"{stem}.json").name}
    with suppress(UnknownName):
        files["text"] = registry.view(type(found), "text")(found, 0)
    for suffix in _DRAWINGS:
        with suppress(UnknownName):  # not every kind is drawn in every form
            files[suffix[1:]] = found.save(out / f"{stem}{suffix}").name
    return files


def _arrays(heat: Heatmap) -> bytes:
    """The map as `.npz`, no pickle: `values`, `native`, the `box` it covers, `provenance`."""
    held = {"values": heat.values[0], "native": None if heat.native is None else heat.native[0]}
    arrays = {name: value.cpu().numpy() for name, value in held.items() if value is not None}
    if heat.frames:
        arrays["box"] = np.asarray(heat.frames[0].box, np.float64)
        arrays["picture_size"] = np.asarray(heat.frames[0].original)
    arrays["provenance"] = np.asarray(json.dumps(heat.provenance, ensure_ascii=False))
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()
