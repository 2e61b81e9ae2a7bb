"""The pictures of a run, and what is known to be true of them.

A folder (class folders optional), a CSV (`path,label[,box]`), a glob, a data set of Hugging Face
(`hf:NAME[:SPLIT]`), tar shards (`webdataset:PATTERN`), or a sequence of pictures, tensors,
(picture, label) pairs or birds. Nothing is read before its turn comes; what is wrong with one entry
is said in that entry.
"""

import csv
import glob
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image
from torch import Tensor

from ..errors import BadField, BadImage, UnknownName
from ..images import Picture, gather, read
from ..model import Model
from ..worlds.aviary import Bird
from .sources import hugging_face, shards
from .sources.item import Collection, Item, boxes_of, label_of

STREAMS: dict[str, Callable[[str, Model], Collection]] = {
    "hf": hugging_face.stream,
    "webdataset": shards.stream,
    "wds": shards.stream,
}


def collection(data: Any, model: Model, limit: int | None = None) -> Collection:
    """The pictures that `data` stands for, at most `limit`.

    Raises: BadField for a source that is not known, BadImage for a path that does not exist.
    """
    if isinstance(data, (str, os.PathLike)):
        found = _from_path(os.fspath(data), model)
    elif _is_one(data):
        found = _from_sequence([data], model)
    elif (isinstance(data, Iterable) or _counted(data)) and not isinstance(data, Mapping):
        found = _from_sequence(data, model)
    else:
        raise BadField(
            "data is a folder, a CSV, a glob, hf:NAME, webdataset:PATTERN, or pictures (one, a"
            f" sequence, or a torch Dataset); got {type(data).__name__}."
        )
    if limit is None or (found.count is not None and limit >= found.count):
        return found
    items = lambda: islice(found.items(), limit)  # noqa: E731
    count = None if found.count is None else limit
    return replace(found, count=count, limit=limit, items=items)


def _is_one(data: object) -> bool:
    """Whether this is a single picture, not several: arrays of two or three axes are one."""
    if isinstance(data, (np.ndarray, Tensor)):
        return data.ndim in (2, 3)
    return isinstance(data, (Bird, Picture, Image, bytes))


def _from_path(source: str, model: Model) -> Collection:
    prefix, colon, rest = source.partition(":")
    if colon and prefix in STREAMS:
        return STREAMS[prefix](rest, model)
    path = Path(source).expanduser()
    if path.is_file() and path.suffix.lower() in (".csv", ".tsv"):
        return _from_csv(path, model)
    try:
        files = gather([path])
    except BadImage as reason:
        if path.is_dir() or glob.has_magic(source):
            return Collection(name=source, count=0, items=lambda: iter(()), notes=(str(reason),))
        raise
    root = path if path.is_dir() else None
    labels, notes = _class_folders(files, root, model)
    return Collection(
        name=source,
        count=len(files),
        items=lambda: (
            Item(name=_relative(f, root), picture=f, label=labels.get(_folder(f, root)))
            for f in files
        ),
        notes=notes,
    )


def _folder(path: Path, root: Path | None) -> str:
    parts = path.relative_to(root).parts if root else ()
    return parts[0] if len(parts) > 1 else ""


def _relative(path: Path, root: Path | None) -> str:
    return path.relative_to(root).as_posix() if root else path.name


def _class_folders(
    files: Sequence[Path], root: Path | None, model: Model
) -> tuple[dict[str, int], tuple[str, ...]]:
    """The class of each folder that is called like one; a sentence about those that are not."""
    names = dict.fromkeys(_folder(f, root) for f in files)
    labels, strange = {}, []
    for name in filter(None, names):
        try:
            labels[name] = label_of(model, name)
        except UnknownName:
            strange.append(name)
    notes = []
    if strange:
        shown = ", ".join(strange[:3]) + (f" and {len(strange) - 3} more" if strange[3:] else "")
        notes.append(
            f"No class of {model.name} is called like these folders: {shown}. For their pictures"
            " the target is the model's top class."
        )
    if not labels and not strange:
        notes.append("The pictures have no labels: the target is the model's top class.")
    return labels, tuple(notes)


def _from_csv(path: Path, model: Model) -> Collection:
    items: dict[object, Item] = {}
    rows = _cells(path)
    header = [word.strip().lower() for word in rows[0]] if rows else []
    named = "path" in header
    if not named and {"label", "box"} & set(header):
        raise BadField(
            f"{path} has the columns {', '.join(header)}; expected path, and label and box where"
            " they are known."
        )
    order = header if named else ["path", "label", "box"]
    for number, row in enumerate(rows[1:] if named else rows):
        item = _row(row, order, path.parent, model)
        # The boxes of one class belong together; another class of the same picture is asked by
        # itself.
        key = number if item.error else (item.picture, item.label)
        known = items.get(key)
        if known:
            item = replace(known, boxes=(*(known.boxes or ()), *(item.boxes or ())) or None)
        items[key] = item
    bare = sum(item.label is None and not item.error for item in items.values())
    notes = [f"{path} names no picture."] if not items else []
    if bare:
        notes.append(f"Pictures without a label: {bare}; their target is the model's top class.")
    return Collection(
        name=str(path), count=len(items), items=lambda: iter(items.values()), notes=tuple(notes)
    )


def _cells(path: Path) -> list[list[str]]:
    """The rows of a table that are not empty. Raises: BadImage for what is no text in UTF-8."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadImage(f"{path} cannot be read as a table: {error}. Save it as UTF-8.") from None
    first = lines[0] if lines else ""
    comma = ";" if ";" in first and "," not in first else ","
    delimiter = "\t" if path.suffix.lower() == ".tsv" else comma
    return [row for row in csv.reader(lines, delimiter=delimiter) if any(row)]


def _row(row: Sequence[str], order: Sequence[str], folder: Path, model: Model) -> Item:
    if len(row) == len(order) + 3 and order[-1] == "box":  # x0,y0,x1,y1 without quotes
        row = [*row[: len(order) - 1], ",".join(row[len(order) - 1 :])]
    cells = {name: cell.strip() for name, cell in zip(order, row, strict=False)}
    name = cells.get("path", "")
    item = Item(name=name, picture=folder / Path(name).expanduser())
    try:
        return replace(
            item,
            label=label_of(model, cells["label"]) if cells.get("label") else None,
            boxes=boxes_of(cells["box"]) if cells.get("box") else None,
        )
    except (UnknownName, BadField) as error:
        return replace(item, error=str(error))


def _from_sequence(data: Any, model: Model) -> Collection:  # Any: what counts its entries too
    held = data if isinstance(data, (Sequence, Tensor)) or _counted(data) else list(data)
    count = len(held)  # type: ignore[arg-type]

    def items() -> Iterator[Item]:
        width = len(str(max(count - 1, 0)))
        for k in range(count):
            number = f"{k:0{width}d}"
            try:
                given = held[k]  # type: ignore[index]
            except Exception as error:  # a data set's own code
                told = f"{type(error).__name__}: {error}"
                yield Item(name=f"picture {number}", error=f"it could not be fetched ({told}).")
                continue
            yield _entry(given, number, model)

    notes = () if count else ("The collection is empty.",)
    name = "1 picture" if count == 1 else f"{count} pictures"
    return Collection(name=name, count=count, items=items, notes=notes, handed=True)


def _counted(data: Any) -> bool:
    return all(callable(getattr(type(data), name, None)) for name in ("__len__", "__getitem__"))


def _entry(given: object, number: str, model: Model) -> Item:
    try:
        if isinstance(given, Bird):
            return _bird(given, number, model)
        if isinstance(given, tuple) and len(given) == 2:
            return replace(_entry(given[0], number, model), label=_label(given[1], model))
        if isinstance(given, Tensor):
            single = given[None] if given.ndim == 3 else given
            return Item(name=f"tensor {number}", picture=single)
        if isinstance(given, (str, Path)):
            return Item(name=str(given), picture=Path(given).expanduser())
        if isinstance(given, Picture):
            return Item(name=given.name, picture=given)
        return Item(name=f"picture {number}", picture=read(given))
    except (BadImage, BadField, UnknownName) as error:
        return Item(name=f"picture {number}", error=str(error))


def _label(given: Any, model: Model) -> int | None:
    """A class by its name or number, None where it is not known. Raises: BadField, UnknownName."""
    if given is None or isinstance(given, str):
        return None if given is None else label_of(model, given)
    try:
        return operator.index(given)
    except TypeError:
        raise BadField(f"a label is a class's name or its number; got {given!r}.") from None


def _bird(bird: Bird, number: str, model: Model) -> Item:
    name = f"{bird.species} {number}"
    parts = {part: mask for part, mask in (bird.masks or {}).items() if mask.any()}
    x0, y0, x1, y1 = (float(edge) for edge in bird.box)
    return Item(
        name=name,
        picture=Picture(bird.image, name),
        label=model.index(bird.species) if model.labels else bird.label,
        boxes=((x0, y0, x1, y1),) if x1 > x0 and y1 > y0 else None,
        mask=bird.silhouette if bird.masks is not None else None,
        parts=parts if bird.masks is not None else None,
        keypoints=bird.keypoints,
        scene=bird.scene,
    )
