"""The pictures of a run, and what is known to be true of them.

A folder (class folders optional), a CSV (`path,label[,box]`), a glob, or a sequence of pictures,
tensors, (picture, label) pairs or birds. Nothing is read before its turn comes; what is wrong with
one entry is said in that entry.
"""

import csv
import glob
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import BadField, BadImage, UnknownName
from ..images import Picture, gather, read
from ..metric import Truth
from ..model import Model
from ..preprocess import Preprocess
from ..worlds.aviary import Bird, Scene

Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Item:
    """One picture to come. boxes: x0, y0, x1, y1 in its pixels. masks, parts: (row, col) in its
    pixels; mask is the object. scene: what a bird was drawn from. error: why it cannot be used.
    """

    name: str
    picture: Path | Picture | Tensor | None = None
    label: int | None = None
    boxes: tuple[Box, ...] | None = None
    mask: np.ndarray | None = None
    parts: Mapping[str, np.ndarray] | None = None
    keypoints: Mapping[str, tuple[float, float]] | None = None
    scene: Scene | None = None
    error: str = ""

    def digest(self) -> str:
        """A fingerprint of the picture. Raises: BadImage where there is no such file."""
        known = hashlib.sha256()
        if isinstance(self.picture, Path):
            try:
                with self.picture.open("rb") as stream:
                    return hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError:
                read(self.picture)  # says what is wrong with it
                raise
        array = self.picture.array if isinstance(self.picture, Picture) else self.picture
        values = np.ascontiguousarray(np.asarray(array))
        known.update(f"{values.shape} {values.dtype}".encode())
        known.update(values.tobytes())
        return known.hexdigest()

    @property
    def truth_digest(self) -> str:
        """A fingerprint of what is known of the picture besides its label."""
        drawn = asdict(self.scene) if self.scene else None
        facts = json.dumps([self.boxes, self.keypoints, drawn], default=_plain, sort_keys=True)
        known = hashlib.sha256(facts.encode())
        for name, mask in [("", self.mask), *sorted((self.parts or {}).items())]:
            known.update(name.encode())
            known.update(b"" if mask is None else np.packbits(mask).tobytes())
        return known.hexdigest()

    def load(self) -> Picture | Tensor:
        """The picture. Raises: BadImage."""
        if self.picture is None:
            raise BadImage(self.error or f"{self.name} names no picture.")
        return read(self.picture) if isinstance(self.picture, Path) else self.picture

    def truth(self, model: Model, picture: Picture | Tensor) -> Truth | None:
        """What metrics may know. Raises: BadField for a box that lies outside the picture."""
        if isinstance(picture, Picture):
            for box in self.boxes or ():
                _inside(box, picture)
        inside = _frame(model, picture)
        found = Truth(
            labels=None if self.label is None else [self.label],
            boxes=None if self.boxes is None else [self.boxes],
            masks=None if self.mask is None else [inside.mask(self.mask)],
            parts=None
            if self.parts is None
            else [{name: inside.mask(mask) for name, mask in self.parts.items()}],
            keypoints=None if self.keypoints is None else [inside.points(self.keypoints)],
            scenes=None if self.scene is None else [self.scene],
        )
        return found if any(v is not None for v in found.__dict__.values()) else None


def _plain(value: Any) -> Any:
    """A set in an order that does not change from process to process."""
    return sorted(value) if isinstance(value, (set, frozenset)) else repr(value)


@dataclass(frozen=True, kw_only=True, eq=False)
class Collection:
    """Which pictures are looked at, in order? name: for the page. notes: what was decided."""

    name: str
    count: int
    items: Callable[[], Iterator[Item]]
    notes: tuple[str, ...] = ()


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
            f"data is a folder, a CSV, a glob or a sequence of pictures; got {type(data).__name__}."
        )
    if limit is None or limit >= found.count:
        return found
    return replace(found, count=limit, items=lambda: islice(found.items(), limit))


def _from_path(source: str, model: Model) -> Collection:
    if source.startswith(("hf:", "webdataset:")):
        raise BadField(
            f"{source}: collections by that name are not there yet in this version; give a folder,"
            " a CSV or a glob."
        )
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
            labels[name] = _label(model, name)
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


def _label(model: Model, word: str) -> int:
    """A class by its label, its label in a file name's spelling, or its number."""
    for spelling in (word, word.replace("-", " "), word.replace("_", " ")):
        try:
            return model.index(spelling)
        except UnknownName:
            continue
    if word.isdecimal() and (model.labels is None or int(word) < len(model.labels)):
        return int(word)
    return model.index(word)


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
            label=_label(model, cells["label"]) if cells.get("label") else None,
            boxes=_boxes(cells["box"]) if cells.get("box") else None,
        )
    except (UnknownName, BadField) as error:
        return replace(item, error=str(error))


def _boxes(text: str) -> tuple[Box, ...]:
    """`x0,y0,x1,y1` (commas or spaces), several with `;` between them."""
    found = []
    for part in filter(None, (p.strip("()[] ") for p in text.split(";"))):
        try:
            x0, y0, x1, y1 = (float(n) for n in part.replace(",", " ").split())
        except ValueError:
            raise BadField(f"a box is four numbers, x0,y0,x1,y1; got {part!r}.") from None
        found.append((x0, y0, x1, y1))
    return tuple(found)


def _inside(box: Box, picture: Picture) -> None:
    (x0, y0, x1, y1), (rows, cols) = box, picture.size
    if not (x0 < x1 and y0 < y1 and x1 > 0 and y1 > 0 and x0 < cols and y0 < rows):
        raise BadField(
            f"the box x0,y0,x1,y1 = {x0:g},{y0:g},{x1:g},{y1:g} lies outside the picture of {cols}"
            f" x {rows} pixels, or is empty; correct it."
        )


def _from_sequence(data: Iterable[Any], model: Model) -> Collection:
    held = data if isinstance(data, (Sequence, Tensor)) or _counted(data) else list(data)
    count = len(held)  # type: ignore[arg-type]

    def items() -> Iterator[Item]:
        width = len(str(max(count - 1, 0)))
        for k in range(count):
            yield _entry(held[k], f"{k:0{width}d}", model)  # type: ignore[index]

    notes = () if count else ("The collection is empty.",)
    return Collection(name=f"{count} pictures", count=count, items=items, notes=notes)


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
                item, label=_label(model, label) if isinstance(label, str) else int(label)
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


@dataclass(frozen=True, kw_only=True, eq=False)
class _Frame:
    """Brings what is known in the picture's pixels into the model's frame."""

    preprocess: Preprocess | None = None
    size: tuple[int, int] = field(default=(0, 0))

    def mask(self, mask: np.ndarray) -> np.ndarray:
        if self.preprocess is None:
            return mask
        drawn = np.repeat(mask.astype(np.uint8)[..., None] * np.uint8(255), 3, axis=2)
        return (self.preprocess.prepare(Picture(drawn, "mask"))[0] > 0.5).numpy()

    def points(self, points: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        if self.preprocess is None or not points:
            return dict(points)
        moved = self.preprocess.frame(self.size).points_to_model(np.array(list(points.values())))
        return {n: (float(r), float(c)) for n, (r, c) in zip(points, moved, strict=True)}


def _frame(model: Model, picture: Picture | Tensor) -> _Frame:
    known = model.preprocess
    if not isinstance(picture, Picture) or not isinstance(known, Preprocess):
        return _Frame()
    return _Frame(preprocess=known, size=picture.size)
