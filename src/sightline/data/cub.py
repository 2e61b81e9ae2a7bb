"""CUB-200-2011 as it is published: `cub:DIR`, or `cub:DIR:train` and `cub:DIR:test` for a part.

Paper: Wah et al., The Caltech-UCSD Birds-200-2011 Dataset, 2011. The folder holds `images/`,
`images.txt`, `classes.txt`, `image_class_labels.txt`, `train_test_split.txt` and
`bounding_boxes.txt`, and where they are there `parts/` (key points, of which the visible ones
count) and `attributes/`. An attribute of a picture is what its annotator marked as present, 0 or
1; the published archive keeps `attributes.txt` beside the folder, which is read too.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from ..errors import BadField, FileProblem
from ..pictures.annotations import Box
from ..sample import Sample, Samples
from .openers import opener

SPLITS = ("train", "test")

Made = TypeVar("Made")


@opener("cub", form="cub:DIR[:train|test]")
def samples(rest: str) -> Samples:
    """The pictures of the folder, or of one of its parts. Raises: FileProblem, BadField."""
    place, _, split = rest.rpartition(":")
    chosen = split if place and split in SPLITS else ""
    return read(Path(place if chosen else rest).expanduser()).samples(chosen)


@dataclass(frozen=True, kw_only=True, eq=False)
class CubTables:
    """The tables of a folder. paths: picture's number -> path below `images/`, in order. classes:
    names, in the order of their numbers. labels: picture -> class. train: pictures to learn from.
    attributes: names, in order. present: picture -> the places of its attributes.
    """

    folder: Path
    paths: Mapping[str, str]
    classes: tuple[str, ...]
    labels: Mapping[str, int]
    train: frozenset[str]
    boxes: Mapping[str, Box]
    keypoints: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    present: Mapping[str, frozenset[int]] = field(default_factory=dict)

    def samples(self, split: str = "") -> Samples:
        """All pictures, or those of a part (`train`, `test`)."""
        chosen = [p for p in self.paths if not split or (p in self.train) == (split == "train")]
        name = f"cub:{self.folder}{':' if split else ''}{split}"
        at = lambda k: self._sample(chosen[k])  # noqa: E731
        return Samples.counted(name, len(chosen), at, listed=True)

    def _sample(self, number: str) -> Sample:
        path, label, marked = self.paths[number], self.labels[number], self.present.get(number)
        shown = None if marked is None else marked.__contains__
        return Sample(
            name=path,
            source=self.folder / "images" / path,
            label=self.classes[label],
            number=label,
            names=self.classes,
            boxes=(self.boxes[number],) if number in self.boxes else None,
            keypoints=self.keypoints.get(number),
            attributes=shown and {n: float(shown(k)) for k, n in enumerate(self.attributes)},
        )


def read(folder: Path) -> CubTables:
    """The tables of a folder. Raises: FileProblem for one that is not there, BadField naming the
    line that is wrong."""
    paths = {number: path for number, path in _rows(folder / "images.txt", 2, _pair)}
    names = dict(_rows(folder / "classes.txt", 2, _pair))
    order = {number: k for k, number in enumerate(names)}
    labels = {
        number: order[which]
        for number, which in _rows(folder / "image_class_labels.txt", 2, partial(_known, order))
    }
    split = dict(_rows(folder / "train_test_split.txt", 2, _pair))
    for table, file in ((labels, "image_class_labels.txt"), (split, "train_test_split.txt")):
        if lacking := [number for number in paths if number not in table]:
            raise BadField(f"{folder / file} says nothing of picture {lacking[0]}; add its line.")
    attributes, present = _attributes(folder)
    return CubTables(
        folder=folder,
        paths=paths,
        classes=tuple(names.values()),
        labels=labels,
        train=frozenset(number for number, which in split.items() if which == "1"),
        boxes=dict(_rows(folder / "bounding_boxes.txt", 5, _box)),
        keypoints=_keypoints(folder / "parts"),
        attributes=attributes,
        present=present,
    )


def _keypoints(folder: Path) -> dict[str, dict[str, tuple[float, float]]]:
    """The visible parts of each picture; none where there is no such folder."""
    if not folder.is_dir():
        return {}
    parts = dict(_rows(folder / "parts.txt", 2, _pair))
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for number, part, place in _rows(folder / "part_locs.txt", 5, partial(_place, parts)):
        points = found.setdefault(number, {})
        if place is not None:
            points[part] = place
    return found


def _attributes(folder: Path) -> tuple[tuple[str, ...], dict[str, frozenset[int]]]:
    """The attributes' names, and which of them each picture shows; none where nothing is said."""
    labels = folder / "attributes" / "image_attribute_labels.txt"
    if not labels.exists():
        return (), {}
    places = (folder / "attributes", folder, folder.parent)
    lists = [place / "attributes.txt" for place in places]
    names = dict(_rows(next((f for f in lists if f.exists()), lists[0]), 2, _pair))
    order = {number: k for k, number in enumerate(names)}
    found: dict[str, set[int]] = {}
    for number, which, present in _rows(labels, 3, partial(_mark, order)):
        shown = found.setdefault(number, set())
        if present:
            shown.add(which)
    return tuple(names.values()), {number: frozenset(shown) for number, shown in found.items()}


def _rows(path: Path, count: int, make: Callable[..., Made]) -> Iterator[Made]:
    """What `make` reads from the first `count` words of each line. Raises: FileProblem, BadField
    naming the line."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FileProblem(
            f"{path} cannot be read: {error}. Name the folder that holds images.txt."
        ) from None
    for number, line in enumerate(lines, 1):
        words = line.split(maxsplit=1) if count == 2 else line.split()[:count]
        if not words:
            continue
        try:
            yield make(*words)
        except (TypeError, ValueError, KeyError):
            raise BadField(
                f"{path}, line {number}: {line!r} does not hold {count} values that fit; fetch the"
                " file again."
            ) from None


def _pair(number: str, text: str) -> tuple[str, str]:
    return number, text.strip()


def _known(order: Mapping[str, int], number: str, which: str) -> tuple[str, str]:
    order[which.strip()]
    return number, which.strip()


def _box(number: str, *numbers: str) -> tuple[str, Box]:
    x, y, width, height = map(float, numbers)
    return number, (x, y, x + width, y + height)


def _place(
    parts: Mapping[str, str], number: str, part: str, x: str, y: str, visible: str
) -> tuple[str, str, tuple[float, float] | None]:
    return number, parts[part], (float(y), float(x)) if visible == "1" else None


def _mark(order: Mapping[str, int], number: str, which: str, present: str) -> tuple[str, int, bool]:
    return number, order[which], present == "1"
