"""The pictures of a run, and what is known to be true of them.

A folder (class folders optional), a CSV (`path,label[,box]`), a glob, a data set of Hugging Face
(`hf:NAME[:SPLIT]`), tar shards (`webdataset:PATTERN`), or a sequence of pictures, tensors,
(picture, label) pairs or birds. Nothing is read before its turn comes; what is wrong with one entry
is said in that entry.
"""

import csv
import glob
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

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
    if isinstance(data, (str, Path)):
        found = _from_path(str(data), model)
    elif isinstance(data, Iterable):
        found = _from_sequence(data, model)
    else:
        raise BadField(
            "data is a folder, a CSV, a glob, hf:NAME, webdataset:PATTERN or a sequence of"
            f" pictures; got {type(data).__name__}."
        )
    if limit is None or (found.count is not None and limit >= found.count):
        return found
    items = lambda: islice(found.items(), limit)  # noqa: E731
    count = None if found.count is None else limit
    return replace(found, count=count, limit=limit, items=items)


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
    items: dict[Path, Item] = {}
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadImage(f"{path} cannot be read as a table: {error}.") from None
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(row)]
    header = [word.strip().lower() for word in rows[0]] if rows else []
    named = "path" in header
    order = header if named else ["path", "label", "box"]
    for row in rows[1:] if named else rows:
        item = _row(row, order, path.parent, model)
        assert isinstance(item.picture, Path)
        file = item.picture
        known = items.get(file)
        if known and known.boxes and item.boxes:
            item = replace(
                known, boxes=(*known.boxes, *item.boxes), error=known.error or item.error
            )
        items[file] = item
    bare = sum(item.label is None and not item.error for item in items.values())
    notes = [f"{path} names no picture."] if not items else []
    if bare:
        notes.append(f"Pictures without a label: {bare}; their target is the model's top class.")
    return Collection(
        name=str(path), count=len(items), items=lambda: iter(items.values()), notes=tuple(notes)
    )


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


def _from_sequence(data: Iterable[Any], model: Model) -> Collection:
    held = data if isinstance(data, (Sequence, Tensor)) or _counted(data) else list(data)
    count = len(held)  # type: ignore[arg-type]

    def items() -> Iterator[Item]:
        width = len(str(max(count - 1, 0)))
        for k in range(count):
            yield _entry(held[k], f"{k:0{width}d}", model)  # type: ignore[index]

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
            item = _entry(given[0], number, model)
            label = given[1]
            return replace(
                item, label=label_of(model, label) if isinstance(label, str) else int(label)
            )
        if isinstance(given, Tensor):
            single = given[None] if given.ndim == 3 else given
            return Item(name=f"tensor {number}", picture=single)
        if isinstance(given, (str, Path)):
            return Item(name=str(given), picture=Path(given).expanduser())
        if isinstance(given, Picture):
            return Item(name=given.name, picture=given)
        return Item(name=f"picture {number}", picture=read(given))
    except (BadImage, UnknownName) as error:
        return Item(name=f"picture {number}", error=str(error))


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
