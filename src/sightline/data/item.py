"""A picture to come, what is known to be true of it, and how that is written in tables."""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import BadField, BadImage
from ..files.finding import existing
from ..model import Model
from ..ops.masks import two_valued
from ..pictures.formats.levels import GivenRange
from ..pictures.preprocess import Preprocess
from ..pictures.reading import Picture, printable, read
from ..sample import Truth
from ..worlds.aviary import Scene
from .classes import UNKNOWN, Meaning

Box = tuple[float, float, float, float]
TOP = "the model's top class."
"""How a note ends that is about pictures without a target; it is left out where one was given."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """A picture as the bytes of its file. name: where they came from, for messages."""

    data: bytes
    name: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", printable(self.name))

    def read(self, range: GivenRange | None = None) -> Picture:
        """The picture. Raises: BadImage."""
        try:
            return replace(read(self.data, range=range), name=self.name)
        except BadImage as error:
            said = str(error).replace(f"{len(self.data)} bytes", self.name, 1)
            raise BadImage(said) from None


@dataclass(frozen=True, kw_only=True, eq=False)
class Item:
    """One picture to come. boxes: x0, y0, x1, y1 in its pixels. masks, parts: (row, col) in its
    pixels; mask is the object. scene: what a bird was drawn from. error: why it cannot be used.
    meaning: how the label was found.
    """

    name: str
    picture: Path | Encoded | Picture | Tensor | None = None
    label: int | None = None
    boxes: tuple[Box, ...] | None = None
    mask: np.ndarray | None = None
    parts: Mapping[str, np.ndarray] | None = None
    keypoints: Mapping[str, tuple[float, float]] | None = None
    scene: Scene | None = None
    error: str = ""
    meaning: Meaning = field(default_factory=Meaning)

    def __post_init__(self) -> None:
        for text in ("name", "error"):
            object.__setattr__(self, text, printable(getattr(self, text)))

    def labelled(self, meaning: Meaning) -> "Item":
        """The item with what its label means."""
        return replace(self, label=meaning.index, meaning=meaning)

    @property
    def strange(self) -> bool:
        """Whether it has a label that the model does not know."""
        return self.meaning.doubt == UNKNOWN

    def digest(self) -> str:
        """A fingerprint of the picture. Raises: BadImage where there is no regular file; nothing
        else is opened, because a pipe or a device may never answer."""
        if isinstance(self.picture, Encoded):
            return hashlib.sha256(self.picture.data).hexdigest()
        known = hashlib.sha256()
        if isinstance(self.picture, Path):
            try:
                with existing(self.picture).open("rb") as stream:
                    return hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError:
                read(self.picture)  # says what is wrong with it
                raise
        array: Any = self.picture
        if isinstance(array, Picture):
            array = array.array if array.raster is None else array.raster.values
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

    def load(self, model: Model | None = None) -> Picture | Tensor:
        """The picture, read in the range that the model's preprocessing says. Raises: BadImage."""
        range = None if model is None else getattr(model.preprocess, "range", None)
        if self.picture is None:
            raise BadImage(self.error or f"{self.name} names no picture.")
        if isinstance(self.picture, Encoded):
            return self.picture.read(range)
        if isinstance(self.picture, Path):
            return read(self.picture, range=range)
        return self.picture

    def truth(self, model: Model, picture: Picture | Tensor) -> Truth | None:
        """What metrics may know. Raises: BadField for a box that lies outside the picture."""
        for box in self.boxes or ():
            _inside(box, picture.size if isinstance(picture, Picture) else picture.shape[-2:])
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
    """Which pictures are looked at, in order?

    name: for the page, and for starting the same run again. count: None where only the end of the
    stream will tell. items: from the start at each call. notes: what was decided. handed: whether
    the pictures came from the program, so that no name finds them again. limit: where a stream was
    cut. listed: whether the items are known before a picture is read.
    """

    name: str
    count: int | None
    items: Callable[[], Iterator[Item]]
    notes: tuple[str, ...] = ()
    handed: bool = False
    limit: int | None = None
    listed: bool = False

    def to_toml(self) -> dict[str, Any]:
        """As a run file holds it."""
        kind = "handed_over" if self.handed else "source"
        told: dict[str, Any] = {kind: printable(self.name)}
        if told[kind] != self.name:  # TOML is UTF-8
            told[f"{kind}_bytes"] = os.fsencode(self.name).hex()
        sizes = {"pictures": self.count, "limit": self.limit}
        return {**told, **{name: size for name, size in sizes.items() if size is not None}}


def boxes_of(text: str) -> tuple[Box, ...]:
    """`x0,y0,x1,y1` (commas or spaces), several with `;` between them."""
    found = []
    for part in filter(None, (p.strip("()[] ") for p in text.split(";"))):
        try:
            x0, y0, x1, y1 = (float(n) for n in part.replace(",", " ").split())
            if not all(map(math.isfinite, (x0, y0, x1, y1))):
                raise ValueError
        except ValueError:
            raise BadField(f"a box is four numbers, x0,y0,x1,y1; got {part!r}.") from None
        found.append((x0, y0, x1, y1))
    return tuple(found)


def _inside(box: Box, size: Sequence[int]) -> None:
    (x0, y0, x1, y1), (rows, cols) = box, size
    if not (x0 < x1 and y0 < y1 and x1 > 0 and y1 > 0 and x0 < cols and y0 < rows):
        raise BadField(
            f"the box x0,y0,x1,y1 = {x0:g},{y0:g},{x1:g},{y1:g} lies outside the picture of {cols}"
            f" x {rows} pixels, or is empty, or its corners are exchanged; correct it."
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Frame:
    """Brings what is known in the picture's pixels into the model's frame."""

    preprocess: Preprocess | None = None
    size: tuple[int, int] = field(default=(0, 0))

    def mask(self, mask: np.ndarray) -> np.ndarray:
        mask = two_valued(mask)
        if self.preprocess is None:
            return mask
        drawn = np.repeat(mask.astype(np.uint8)[..., None] * np.uint8(255), 3, axis=2)
        grey = {"channels": 1, "mean": 0.0, "std": 1.0, "fill": 0.0, "range": None, "shown": None}
        way = replace(self.preprocess, **grey)  # a mask has neither bands nor a range
        return (way.prepare(Picture(drawn, "mask"))[0] > 0.5).numpy()

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
