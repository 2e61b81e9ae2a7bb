"""A picture with what is known of it, and collections of such pictures.

A sample's label is text of its own; which class of a model it means is found by name
(`data.classes`), and stands beside it.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np
from torch import Tensor

from .errors import BadField, BadImage
from .files.finding import existing
from .pictures.annotations import Box, FrameChange, check_box
from .pictures.encoded import Readable, digest
from .pictures.reading import Picture, printable, read
from .pictures.truth import Truth
from .shapes import AnyTensor

TOP = "the model's top class."
"""How a note ends that is about pictures without a target; it is left out where one was given."""

UNKNOWN = "unknown"
"""The doubt of a label that is no class of the model."""


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What a label of the data means to the model.

    text: the label as the data says it. index: the class, None where the model does not know it, or
    where nothing was said. doubt: why the index stands on less than a name (`data.classes` lists
    the reasons). note: a sentence on that.
    """

    text: str = ""
    index: int | None = None
    doubt: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        for name in ("text", "note"):  # a folder's name need not be UTF-8
            object.__setattr__(self, name, printable(getattr(self, name)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """A picture with what is known of it; the picture is read when its turn comes.

    label: in the data's own words, empty where there is none. number: the same as the data's own
    number, where it counts through `names`. meaning: the label as a class of the model. boxes: x0,
    y0, x1, y1 in the picture's pixels. mask, parts: (row, col) in its pixels; the mask is the
    object. keypoints: name -> (row, col). scene: what a drawn picture was drawn from. attributes:
    name -> certainty in [0, 1]. domain: where the picture comes from, for data of several domains.
    side: inputs beside the picture. error: why the sample cannot be used.
    """

    name: str
    source: Path | Readable | Picture | Tensor | None = None
    label: str = ""
    number: int | None = None
    names: tuple[str, ...] = ()
    meaning: Meaning = field(default_factory=Meaning)
    boxes: tuple[Box, ...] | None = None
    mask: np.ndarray | None = None
    parts: Mapping[str, np.ndarray] | None = None
    keypoints: Mapping[str, tuple[float, float]] | None = None
    scene: Any = None  # Any: worlds stand above this file
    attributes: Mapping[str, float] | None = None
    domain: str = ""
    side: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""

    def __post_init__(self) -> None:
        for text in ("name", "error"):
            object.__setattr__(self, text, printable(getattr(self, text)))

    @property
    def class_index(self) -> int | None:
        """The model's class of the label; None where it knows none, or nothing was said."""
        return self.meaning.index

    @property
    def unknown(self) -> bool:
        """Whether it has a label that the model does not know."""
        return self.meaning.doubt == UNKNOWN

    def digest(self) -> str:
        """A fingerprint of the picture. Raises: BadImage where there is no regular file; nothing
        else is opened, because a pipe or a device may never answer."""
        return self.source.digest() if isinstance(self.source, Readable) else digest(self.source)

    @property
    def truth_digest(self) -> str:
        """A fingerprint of what metrics may know of the picture besides its label."""
        drawn = asdict(self.scene) if self.scene else None
        facts = json.dumps([self.boxes, self.keypoints, drawn], default=_plain, sort_keys=True)
        known = hashlib.sha256(facts.encode())
        for name, mask in [("", self.mask), *sorted((self.parts or {}).items())]:
            known.update(name.encode())
            known.update(b"" if mask is None else np.packbits(mask).tobytes())
        return known.hexdigest()

    def load(self, preprocess: object = None) -> Picture | AnyTensor:
        """The picture, read in the range that a model's preprocessing says. Raises: BadImage."""
        range = getattr(preprocess, "range", None)
        if self.source is None:
            raise BadImage(self.error or f"{self.name} names no picture.")
        if isinstance(self.source, (Picture, Tensor)):
            return self.source
        if isinstance(self.source, Path):
            return read(self.source, range=range)
        return self.source.read(range)

    def truth(self, preprocess: object, picture: Picture | AnyTensor) -> Truth | None:
        """What metrics may know of the loaded picture, in the model's frame. Raises: BadField for a
        box that lies outside the picture."""
        for box in self.boxes or ():
            check_box(box, picture.size if isinstance(picture, Picture) else picture.shape[-2:])
        inside = FrameChange.of(preprocess, picture)
        parts = None if self.parts is None else {n: inside.mask(m) for n, m in self.parts.items()}
        found = Truth(
            labels=None if self.class_index is None else [self.class_index],
            boxes=None if self.boxes is None else [self.boxes],
            masks=None if self.mask is None else [inside.mask(self.mask)],
            parts=None if parts is None else [parts],
            keypoints=None if self.keypoints is None else [inside.points(self.keypoints)],
            scenes=None if self.scene is None else [self.scene],
        )
        return found if any(v is not None for v in found.__dict__.values()) else None


def _plain(value: Any) -> Any:
    """A set in an order that does not change from process to process."""
    return sorted(value) if isinstance(value, (set, frozenset)) else repr(value)


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Samples in order, each made when its turn comes: a collection, or a stream.

    name: for the page, and for opening the same samples again. start: a new pass from the first
    sample on. count: None where only the end of the stream will tell. at: sample number k without
    those before it, None for a stream. notes: what was decided while opening. handed: whether the
    pictures came from the program, so that no name finds them again. limit: where it was cut.
    listed: whether the samples are known before a picture is read.
    """

    name: str
    start: Callable[[], Iterator[Sample]]
    count: int | None = None
    at: Callable[[int], Sample] | None = None
    notes: tuple[str, ...] = ()
    handed: bool = False
    limit: int | None = None
    listed: bool = False

    @classmethod
    def counted(cls, name: str, count: int, at: Callable[[int], Sample], **about: Any) -> "Samples":
        """A collection of so many samples, each of which can be had by itself."""
        start = lambda: map(at, range(count))  # noqa: E731
        return cls(name=name, start=start, count=count, at=at, **about)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.start())

    def __len__(self) -> int:
        if self.count is None:
            raise TypeError(f"{self.name} is a stream: only its end tells how many samples it has.")
        return self.count

    @overload
    def __getitem__(self, which: int) -> Sample: ...
    @overload
    def __getitem__(self, which: slice) -> "Samples": ...
    def __getitem__(self, which: int | slice) -> "Sample | Samples":
        if isinstance(which, int):
            if self.at is None or self.count is None:
                raise self._no_place()
            if not -self.count <= which < self.count:
                raise IndexError(f"sample {which} of {self.count}")
            return self.at(which % self.count)
        stop = which.stop
        first = which.start in (None, 0) and which.step in (None, 1)
        if first and stop is not None and stop >= 0:
            count = None if self.count is None else min(stop, self.count)
            start = lambda: islice(self.start(), stop)  # noqa: E731
            return replace(self, start=start, count=count, limit=stop)
        if self.at is None or self.count is None:
            raise self._no_place()
        return self.take(range(self.count)[which])

    def take(self, rows: Sequence[int]) -> "Samples":
        """The samples of these numbers, in this order. Raises: BadField for a stream."""
        if self.at is None:
            raise self._no_place()
        at, rows = self.at, list(rows)
        some = lambda k: at(rows[k])  # noqa: E731
        return replace(self, start=lambda: map(at, rows), at=some, count=len(rows), limit=len(rows))

    def map(self, change: Callable[[Sample], Sample]) -> "Samples":
        """The same samples, each changed when its turn comes."""
        at = self.at
        changed = None if at is None else lambda k: change(at(k))
        return replace(self, start=lambda: map(change, self.start()), at=changed)

    def digest(self) -> str:
        """A fingerprint of all pictures, their labels and what is known of them, in order."""
        known = hashlib.sha256()
        for sample in self:
            known.update(f"{sample.label}\0{sample.number}\0{sample.truth_digest}\0".encode())
            known.update((sample.error or sample.digest()).encode("utf-8", "backslashreplace"))
        return known.hexdigest()

    def problems(self) -> Iterator[tuple[str, str]]:
        """(name, reason) of each sample that cannot be used, has no readable file, or whose label
        is no class of the model that the samples were matched with; no picture is decoded."""
        for sample in self:
            reason = sample.error or (sample.meaning.note if sample.unknown else "")
            try:
                if not reason and isinstance(sample.source, Path):
                    existing(sample.source)
            except BadImage as error:
                reason = str(error)
            if reason:
                yield sample.name, reason

    def to_toml(self) -> dict[str, Any]:
        """As a run file holds it."""
        kind = "handed_over" if self.handed else "source"
        entry: dict[str, Any] = {kind: printable(self.name)}
        if entry[kind] != self.name:  # TOML is UTF-8
            entry[f"{kind}_bytes"] = os.fsencode(self.name).hex()
        sizes = {"pictures": self.count, "limit": self.limit}
        return {**entry, **{name: size for name, size in sizes.items() if size is not None}}

    def _no_place(self) -> BadField:
        return BadField(
            f"{self.name} is a stream, which is read from its start; got a place in it. Take"
            " the first samples, `samples[:100]`, or loop over them."
        )
