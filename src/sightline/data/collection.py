"""The pictures of a run, and what is known to be true of them.

A folder (class folders optional), a CSV (`path,label[,box]`), a glob, a data set of Hugging Face
(`hf:NAME[:SPLIT]`), tar shards (`webdataset:PATTERN`), or a sequence of pictures, tensors,
(picture, label) pairs or birds. Nothing is read before its turn comes; what is wrong with one entry
is said in that entry. Which class of the model a label means is told by `sources.classes`.
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

from ..errors import BadField, BadImage
from ..model import Model
from ..pictures.formats.levels import GivenRange
from ..pictures.reading import Picture, gather, printable, read
from ..worlds.aviary import LABELS, Bird
from . import hugging_face, shards
from .classes import Classes, Meaning
from .datasets import names_at
from .item import TOP, Collection, Item, boxes_of

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
        files = gather([path], regular=False)  # what is a pipe is said at its turn
    except BadImage as reason:
        if path.is_dir() or glob.has_magic(source):
            return Collection(name=source, count=0, items=lambda: iter(()), notes=(str(reason),))
        raise
    root = path if path.is_dir() else _fixed(path)
    names = sorted(filter(None, {_folder(file, root) for file in files}))
    classes = Classes(model, names)
    return Collection(
        name=source,
        count=len(files),
        items=lambda: (_filed(file, root, classes) for file in files),
        notes=() if names else (f"The pictures have no labels: the target is {TOP}",),
        listed=True,
    )


def _filed(file: Path, root: Path | None, classes: Classes) -> Item:
    """A picture whose label is its class folder, where it lies in one."""
    item, folder = Item(name=_relative(file, root), picture=file), _folder(file, root)
    return item.labelled(classes.word(folder)) if folder else item


def _fixed(pattern: Path) -> Path | None:
    """The folder before the first wildcard of a glob; None for a file."""
    inside = [k for k, part in enumerate(pattern.parts) if glob.has_magic(part)]
    return Path(*pattern.parts[: inside[0]]) if inside and not pattern.exists() else None


def _folder(path: Path, root: Path | None) -> str:
    parts = path.relative_to(root).parts if root else ()
    return parts[0] if len(parts) > 1 else ""


def _relative(path: Path, root: Path | None) -> str:
    return printable(path.relative_to(root).as_posix() if root else path.name)


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
    classes = Classes(model)
    for number, row in enumerate(rows[1:] if named else rows):
        item = _row(row, order, path.parent, classes)
        # The boxes of one class belong together; another class of the same picture is asked by
        # itself.
        key = number if item.error else (item.picture, item.label, item.meaning.told)
        known = items.get(key)
        if known:
            item = replace(known, boxes=(*(known.boxes or ()), *(item.boxes or ())) or None)
        items[key] = item
    bare = sum(not item.meaning.told and not item.error for item in items.values())
    notes = [f"{path} names no picture."] if not items else []
    if bare:
        notes.append(f"Pictures without a label: {bare}; their target is {TOP}")
    return Collection(
        name=str(path),
        count=len(items),
        items=lambda: iter(items.values()),
        notes=tuple(notes),
        listed=True,
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


def _row(row: Sequence[str], order: Sequence[str], folder: Path, classes: Classes) -> Item:
    if len(row) == len(order) + 3 and order[-1] == "box":  # x0,y0,x1,y1 without quotes
        row = [*row[: len(order) - 1], ",".join(row[len(order) - 1 :])]
    cells = {name: cell.strip() for name, cell in zip(order, row, strict=False)}
    name = cells.get("path", "")
    item = Item(name=name, picture=folder / Path(name).expanduser())
    item = item.labelled(classes.word(cells["label"])) if cells.get("label") else item
    try:
        return replace(item, boxes=boxes_of(cells["box"]) if cells.get("box") else None)
    except BadField as error:
        return replace(item, error=str(error))


def _from_sequence(data: Any, model: Model) -> Collection:  # Any: what counts its entries too
    held = data if isinstance(data, (Sequence, Tensor)) or _counted(data) else list(data)
    count = len(held)  # type: ignore[arg-type]
    known: dict[tuple[str, ...], Classes] = {}
    way = getattr(model.preprocess, "range", None)

    def items() -> Iterator[Item]:
        width = len(str(max(count - 1, 0)))
        for k in range(count):
            number = f"{k:0{width}d}"
            try:
                given = held[k]  # type: ignore[index]
                names = names_at(held, k)
            except Exception as error:  # a data set's own code
                told = f"{type(error).__name__}: {error}"
                yield Item(name=f"picture {number}", error=f"it could not be fetched ({told}).")
                continue
            if names not in known:
                known[names] = Classes(model, names)
            yield _entry(given, number, known[names], way)

    notes = () if count else ("The collection is empty.",)
    name = "1 picture" if count == 1 else f"{count} pictures"
    return Collection(name=name, count=count, items=items, notes=notes, handed=True)


def _counted(data: Any) -> bool:
    return all(callable(getattr(type(data), name, None)) for name in ("__len__", "__getitem__"))


def _entry(given: object, number: str, classes: Classes, range: GivenRange | None) -> Item:
    try:
        if isinstance(given, Bird):
            return _bird(given, number, classes)
        if isinstance(given, tuple) and len(given) == 2:
            return _entry(given[0], number, classes, range).labelled(_label(given[1], classes))
        if isinstance(given, Tensor):
            single = given[None] if given.ndim == 3 else given
            return Item(name=f"tensor {number}", picture=single)
        if isinstance(given, (str, Path)):
            return Item(name=printable(given), picture=Path(given).expanduser())
        if isinstance(given, Picture):
            return Item(name=given.name, picture=given)
        return Item(name=f"picture {number}", picture=read(given, range=range))
    except (BadImage, BadField) as error:
        return Item(name=f"picture {number}", error=str(error))


def _label(given: Any, classes: Classes) -> Meaning:
    """What a label given as a name or a number means. Raises: BadField for anything else."""
    if given is None:
        return Meaning()
    if isinstance(given, str):
        return classes.word(given)
    try:
        return classes.number(operator.index(given))
    except TypeError:
        raise BadField(f"a label is a class's name or its number; got {given!r}.") from None


def _bird(bird: Bird, number: str, classes: Classes) -> Item:
    name = f"{bird.species} {number}"
    parts = {part: mask for part, mask in (bird.masks or {}).items() if mask.any()}
    x0, y0, x1, y1 = (float(edge) for edge in bird.box)
    item = Item(
        name=name,
        picture=Picture(bird.image, name),
        boxes=((x0, y0, x1, y1),) if x1 > x0 and y1 > y0 else None,
        mask=bird.silhouette if bird.masks is not None else None,
        parts=parts if bird.masks is not None else None,
        keypoints=bird.keypoints,
        scene=bird.scene,
    )
    return item.labelled(Classes(classes.model, list(LABELS)).number(bird.label))
