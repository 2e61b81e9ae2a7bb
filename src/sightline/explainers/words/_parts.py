"""Parts of pictures as people name them: masks or boxes in Python, a JSON or a CSV file.

In memory a part is plain text, so that explainers that hold parts can be compared, hashed and
written as JSON: `box x0 y0 x1 y1`, several joined by `;`, or `mask` and its run lengths.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ...errors import BadField, FileProblem, ShapeError
from ...ops.masks import two_valued
from ...pictures.areas import Area, box_mask, decode, encode
from ...pictures.frame import Frame
from ...pictures.reading import read

Places = tuple[tuple[str, str | tuple[str, ...]], ...]
"""Part -> its place in every picture, or one place per picture (empty where it is not seen)."""

COLUMNS = ("image", "part", "x0", "y0", "x1", "y1")


def plain(parts: Any) -> Places:  # Any: what people name parts by; checked here
    """The parts of a mapping, as plain data: part -> a box or mask for all pictures, or a list with
    one (or None) for each picture.

    Raises: BadField for what is neither.
    """
    if isinstance(parts, tuple) and all(isinstance(p, tuple) and len(p) == 2 for p in parts):
        return tuple((str(name), where) for name, where in parts)
    if not isinstance(parts, Mapping) or not parts:
        raise BadField(
            "named is a mapping of names to boxes x0, y0, x1, y1 or masks, or a file; got"
            f" {parts!r}."
        )
    found = []
    for name, value in parts.items():
        if _is_box(value) or _is_mask(value):
            found.append((str(name), _text(name, value)))
        elif isinstance(value, (list, tuple)):
            found.append((str(name), tuple(_text(name, each) for each in value)))
        else:
            raise BadField(_unclear(name, value))
    return tuple(found)


def from_file(path: Path) -> dict[str, dict[str, str]]:
    """Picture name -> part -> its place, from a file: CSV with the columns image, part, x0, y0, x1,
    y1, or JSON, `{"bird.jpg": {"crest": [x0, y0, x1, y1], "wing": "wing-mask.png"}}`; the name `*`
    stands for all pictures.

    Raises: FileProblem where it cannot be read, BadField where it says something else.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FileProblem(f"named={path} cannot be read: {error}. Expected JSON or CSV.") from None
    if path.suffix.lower() == ".csv":
        return _from_csv(text.splitlines(), path)
    try:
        held = json.loads(text)
    except ValueError as error:
        raise BadField(
            f"{path} is not JSON ({error}); expected JSON, or a table of boxes whose"
            " name ends in .csv. Check the file."
        ) from None
    shaped = isinstance(held, dict) and all(isinstance(v, dict) for v in held.values())
    if not held or not shaped:
        raise BadField(
            f'{path} must be {{"picture.jpg": {{"part": [x0, y0, x1, y1]}}}}, a mapping of pictures'
            f" to their parts; got {str(held)[:60]}."
        )
    return {
        picture: {name: _text(name, _opened(value, path.parent)) for name, value in parts.items()}
        for picture, parts in held.items()
    }


def mask_of(place: str, size: tuple[int, int], frame: Frame | None) -> Area | None:
    """The part as a mask in the model's frame (row, col) of `size`; None where nothing of it is
    there. Boxes and masks are in pixels of the picture where its frame is known.

    Raises: ShapeError for a mask of another size than the picture.
    """
    if not place:
        return None
    if place.startswith("mask "):
        mask = decode(place.removeprefix("mask "))
        mask = _framed(mask, size, frame)
    else:
        boxes = [_corners(part) for part in place.removeprefix("box ").split(";")]
        placed = [b if frame is None else frame.box_to_model(b) for b in boxes]
        mask = np.logical_or.reduce([box_mask(b, size) for b in placed])
    return mask if mask.any() else None


def is_mask_of(place: str, size: tuple[int, int]) -> bool:
    """Whether a place needs no frame: a mask of that size, or nothing at all."""
    return not place or (
        place.startswith("mask ") and decode(place.removeprefix("mask ")).shape == size
    )


def _corners(text: str) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = map(float, text.split())
    return x0, y0, x1, y1


def _framed(mask: Area, size: tuple[int, int], frame: Frame | None) -> Area:
    if mask.shape == size and (frame is None or frame.original != size):
        return mask  # already what the model sees
    if frame is None or mask.shape != frame.original:
        wanted = f" or {frame.original}, the picture's" if frame else ""
        raise ShapeError(
            f"a mask of {mask.shape} does not fit: expected {size}, the model's frame{wanted}."
        )
    return frame.to_model(mask)


def _is_box(value: Any) -> bool:
    listed = isinstance(value, (list, tuple, np.ndarray)) and len(value) == 4
    return listed and all(isinstance(v, (int, float, np.number)) for v in value)


def _is_mask(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray)) and value.ndim == 2


def _text(name: object, value: Any) -> str:
    if value is None or (isinstance(value, (list, tuple)) and not len(value)):
        return ""
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.ndim == 2:
        mask = two_valued(value, f"the mask of {name!r}")
        return f"mask {encode(mask)}" if mask.any() else ""
    if _is_box(value):
        x0, y0, x1, y1 = (float(v) for v in value)
        if not (x1 > x0 and y1 > y0):
            raise BadField(f"{name!r}: the box {list(value)} is empty; expected x0 < x1, y0 < y1.")
        return f"box {x0:g} {y0:g} {x1:g} {y1:g}"
    if isinstance(value, Sequence) and value and all(_is_box(v) for v in value):
        return "box " + ";".join(_text(name, v).removeprefix("box ") for v in value)
    raise BadField(_unclear(name, value))


def _unclear(name: object, value: Any) -> str:
    return (
        f"{name!r} is neither a box x0, y0, x1, y1 nor a mask (row, col): {str(value)[:60]}. Give"
        " one for all pictures, or a list with one for each (None where it is not seen)."
    )


def _opened(value: Any, folder: Path) -> Any:
    """A mask's file, white where the part is, as the mask; anything else as it is."""
    if not isinstance(value, str):
        return value
    return read(folder / value).array.mean(2) > 127


def _from_csv(lines: Sequence[str], path: Path) -> dict[str, dict[str, str]]:
    table = csv.DictReader(lines)
    if missing := [c for c in COLUMNS if c not in (table.fieldnames or ())]:
        raise BadField(
            f"{path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)};"
            f" expected {', '.join(COLUMNS)}."
        )
    found: dict[str, dict[str, str]] = {}
    for number, row in enumerate(table, 2):
        try:
            box = [float(row[c]) for c in COLUMNS[2:]]
        except (TypeError, ValueError):
            raise BadField(f"{path}, line {number}: x0, y0, x1, y1 must be numbers.") from None
        parts = found.setdefault(row["image"], {})
        text = _text(row["part"], box)
        known = parts.get(row["part"])
        parts[row["part"]] = f"{known};{text.removeprefix('box ')}" if known else text
    if not found:
        raise BadField(f"{path} holds no boxes; expected one line for each part of each picture.")
    return found
