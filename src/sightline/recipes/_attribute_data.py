"""Pictures with a class, attributes and, where known, a mask of the object: drawn birds, a table of
a folder's pictures, or CUB-200-2011.
"""

import csv
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..data import cub as published
from ..errors import BadField, FileProblem, UnknownName, near
from ..model import Model
from ..pictures.areas import box_mask
from ..sample import Sample, Samples
from ..worlds.aviary import ATTRIBUTES, SPECIES, Aviary, Bird, Scene, render

NONE = -100  # the class that no loss counts
GRID = 16  # cells a side in which a step knows the object
TRAIN_SEED, TEST_SEED = 3, 1003
SWAPPED = ("bill", "crest", "breast", "tail", "eye-ring", "wing-bars")
BOX = ("x0", "y0", "x1", "y1")


@dataclass(frozen=True, eq=False)
class AttributeTensors:
    """Pictures in the model's frame, (picture, channel, row, col) in [0, 1], and what is true.

    attributes (picture, attribute) in [0, 1]; masks (picture, row, col), or None; places: for each
    picture attribute -> mask of the part that shows it, where that is known. odd (picture,): which
    pictures show another attribute than their class has, and count for attributes alone. classes:
    `NONE` for a picture that teaches attributes alone.
    """

    images: Tensor
    classes: Tensor
    attributes: Tensor
    labels: Sequence[str]
    names: Sequence[str]
    masks: Tensor | None = None
    places: Sequence[Mapping[str, Any]] | None = None
    odd: Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of a picture."""
        return self.images.shape[2], self.images.shape[3]

    def packed(self) -> Tensor:
        """Class, attributes and cells of each picture as one row of numbers."""
        count = len(self.images)
        cells = torch.full((count, GRID, GRID), -1.0, dtype=torch.float32, device="cpu")
        if self.masks is not None:
            cells = functional.adaptive_avg_pool2d(self.masks.float()[:, None], GRID)[:, 0]
        return torch.cat([self.classes[:, None].float(), self.attributes, cells.flatten(1)], 1)


class AttributeSource(ABC):
    """Where pictures to learn from and pictures to be examined on come from."""

    @abstractmethod
    def lessons(self, model: Model) -> tuple[AttributeTensors, AttributeTensors]:
        """To learn from, and to be examined on, in the model's frame."""

    @abstractmethod
    def told(self) -> dict[str, Any]:
        """What the data are, for the log."""


def words_of(attributes: Mapping[str, str]) -> list[str]:
    """A drawn bird's attributes as words: `long crest`, `azure back`, `two wing bars`."""
    return [w for name, value in attributes.items() if (w := _word(name, value))]


def _word(name: str, value: str) -> str:
    if value in ("none", "removed") or name == "bar-colour":
        return ""
    told = {"band": "banded", "bib": "bibbed", "fan": "fanned", "cone": "cone-shaped"}
    if name.endswith("-colour"):
        part = name.removesuffix("-colour")
        return f"{value} {'legs' if part == 'leg' else part}"
    plural = name == "wing-bars" and value == "one"
    part = "wing bar" if plural else name.replace("-", " ")
    return f"{told.get(value, value)} {part}"


def part_of(word: str) -> str:
    """The part of a drawn bird that shows an attribute."""
    last = word.split()[-1]
    known = {"bar": "wing-bars", "bars": "wing-bars", "ring": "eye-ring"}
    return known.get(last, last)


@dataclass(frozen=True, eq=False)
class DrawnAttributes(AttributeSource):
    """Drawn birds, from seeds that nothing else uses. Half as many more have a part of another
    species: they belong to no class, and keep attributes from being classes under other names.
    """

    count: int
    exam: int
    size: int | None = None

    @cached_property
    def names(self) -> list[str]:
        """Every attribute that some species has and some other has not, in a fixed order."""
        held = [set(words_of(s.attributes)) for s in SPECIES]
        every = dict.fromkeys(
            word for n in ATTRIBUTES for v in ATTRIBUTES[n] if (word := _word(n, v))
        )
        return [w for w in every if 0 < sum(w in h for h in held) < len(held)]

    def lessons(self, model: Model) -> tuple[AttributeTensors, AttributeTensors]:
        side = self.size or (model.size[0] if model.size else 128)
        train, exam = (
            self._drawn(Aviary(seed=seed, size=side, count=count, masks=True))
            for seed, count in ((TRAIN_SEED, self.count), (TEST_SEED, self.exam))
        )
        assert train.odd is not None
        return replace(train, classes=train.classes.masked_fill(train.odd, NONE), odd=None), exam

    def _drawn(self, aviary: Aviary) -> AttributeTensors:
        """The aviary, and half as many birds with a part of another species."""
        odd = [render(_swapped(aviary, i), aviary.size, True) for i in range(len(aviary) // 2)]
        whole = self._gathered([*aviary, *odd])
        return replace(whole, odd=torch.arange(len(whole.images), device="cpu") >= len(aviary))

    def _gathered(self, birds: Sequence[Bird]) -> AttributeTensors:
        held = [set(words_of(bird.attributes)) for bird in birds]
        pixels = torch.from_numpy(np.stack([bird.image for bird in birds]))
        return AttributeTensors(
            images=pixels.permute(0, 3, 1, 2).float() / 255,
            classes=torch.tensor([bird.label for bird in birds], device="cpu"),
            attributes=torch.tensor(
                [[float(w in h) for w in self.names] for h in held],
                dtype=torch.float32,
                device="cpu",
            ),
            labels=[species.name for species in SPECIES],
            names=self.names,
            masks=torch.from_numpy(np.stack([bird.silhouette for bird in birds])),
            places=[
                {w: m for w in h if (m := (bird.masks or {})[part_of(w)]).any()}
                for bird, h in zip(birds, held, strict=True)
            ],
        )

    def told(self) -> dict[str, Any]:
        seeds = {"train": TRAIN_SEED, "test": TEST_SEED}
        counts = {"train": self.count, "test": self.exam, "odd": "half as many in addition"}
        return {"kind": "drawn birds", **counts, "size": self.size, "seeds": seeds}


def _swapped(aviary: Aviary, index: int) -> Scene:
    """A bird with one part as another species has it, which shows."""
    scene, dice = aviary.scene(index), Random(f"odd part {aviary.seed} {index}")
    while True:
        other = scene.swap(dice.choice(SWAPPED), dice.choice(SPECIES))
        if set(words_of(other.attributes)) != set(words_of(scene.attributes)):
            return other


def birds(count: int, size: int | None = None, exam: int = 280) -> DrawnAttributes:
    """Drawn birds to learn from and to be examined on. Raises: BadField for fewer than species."""
    if count < len(SPECIES):
        raise BadField(f"{count} birds; at least {len(SPECIES)}, one of each species, are needed.")
    return DrawnAttributes(count, exam, size)


@dataclass(frozen=True, eq=False, kw_only=True)
class Photographs(AttributeSource):
    """Photographs with class, attributes and perhaps a box, to learn from and to be examined on.

    names: of the attributes, as they are in the samples. labels, words: of classes and attributes
    for people.
    """

    train: Samples
    exam: Samples
    labels: Sequence[str]
    names: Sequence[str]
    words: Sequence[str]
    kind: str

    def lessons(self, model: Model) -> tuple[AttributeTensors, AttributeTensors]:
        return self._read(model, self.train), self._read(model, self.exam)

    def _read(self, model: Model, samples: Samples) -> AttributeTensors:
        chosen = list(samples)
        images = model.prepare([sample.load() for sample in chosen])
        frames, masks = model.frames(images), None
        if frames is not None and all(sample.boxes for sample in chosen):
            size = (images.shape[2], images.shape[3])
            drawn = [
                box_mask(f.box_to_model(s.boxes[0]), size)  # type: ignore[index]
                for f, s in zip(frames, chosen, strict=True)
            ]
            masks = torch.from_numpy(np.stack(drawn))
        certain = [[(s.attributes or {})[name] for name in self.names] for s in chosen]
        return AttributeTensors(
            images=images,
            classes=torch.tensor([sample.number for sample in chosen], device="cpu"),
            attributes=torch.tensor(certain, dtype=torch.float32, device="cpu"),
            labels=self.labels,
            names=self.words,
            masks=masks,
        )

    def told(self) -> dict[str, Any]:
        return {"kind": self.kind, "train": len(self.train), "test": len(self.exam)}


def table(path: Path, pictures: Path, labels: Sequence[str] | None = None) -> Photographs:
    """A CSV with the columns `image` (a file below `pictures`) and `class`, optionally `split`
    (train or test; without it every fifth line is for the exam) and the box x0, y0, x1, y1; every
    other column is an attribute, 0 or 1 or a certainty between. labels: the classes allowed.

    Raises: FileProblem, or BadField or UnknownName naming the line.
    """
    rows, columns = _rows(path, ("image", "class"))
    boxed = set(BOX) <= set(columns)
    known = {"image", "class", "split", *(BOX if boxed else ())}
    names = [c for c in columns if c not in known]
    if not names:
        raise BadField(f"{path} has no attribute column beside {', '.join(columns)}; add one each.")
    classes = list(labels) if labels else sorted({row["class"] for _, row in rows})
    parts: dict[str, list[Sample]] = {"train": [], "test": []}
    for number, row in rows:
        where = f"{path}, line {number}"
        if row["class"] not in classes:
            raise UnknownName(f"{where}: no class {row['class']!r}{near(row['class'], classes)}")
        split = (row.get("split") or ("test" if (number - 2) % 5 == 4 else "train")).lower()
        if split not in parts:
            raise BadField(f"{where}: split is train or test; got {split!r}.")
        box = _box([row[c] for c in BOX], where) if boxed else None
        sample = Sample(
            name=row["image"],
            source=pictures / row["image"],
            label=row["class"],
            number=classes.index(row["class"]),
            names=tuple(classes),
            boxes=None if box is None else (box,),
            attributes={n: _certainty(row[n], n, where) for n in names},
        )
        parts[split].append(sample)
    train, exam = (
        Samples.counted(f"{path}, {split}", len(part), part.__getitem__)
        for split, part in parts.items()
    )
    known = {"labels": classes, "names": names, "words": names, "kind": "table"}
    return _whole(Photographs(train=train, exam=exam, **known), path)


def cub(folder: Path) -> Photographs:
    """CUB-200-2011 as it is published, with the attributes that each picture's annotator saw.

    Raises: FileProblem, BadField; also where there are no attributes.
    """
    birds = published.read(folder)
    if not birds.attributes:
        raise BadField(f"{folder} holds no attributes/image_attribute_labels.txt; add it.")
    if lacking := [path for number, path in birds.paths.items() if number not in birds.present]:
        raise BadField(f"{folder} says no attributes of {lacking[0]}; fetch its tables again.")
    present = sorted(set(birds.labels.values()))
    names = tuple(birds.classes[k] for k in present)

    def among(sample: Sample) -> Sample:
        return replace(sample, number=names.index(sample.label), names=names)

    found = Photographs(
        train=birds.samples("train").map(among),
        exam=birds.samples("test").map(among),
        labels=[_species(name) for name in names],
        names=birds.attributes,
        words=[cub_word(name) for name in birds.attributes],
        kind="CUB",
    )
    return _whole(found, folder)


def cub_word(name: str) -> str:
    """`has_bill_shape::hooked_seabird` as `hooked seabird bill shape`."""
    what, _, value = name.removeprefix("has_").partition("::")
    value = value.partition("_(")[0].replace("_", " ")
    words = f"{value} {what.replace('_', ' ')}".split()
    return " ".join(w for i, w in enumerate(words) if i == 0 or w != words[i - 1])


def _species(name: str) -> str:
    return name.partition(".")[2].replace("_", " ") or name


def _rows(path: Path, needed: Sequence[str]) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError) as error:
        raise FileProblem(f"{path} cannot be read: {error}.") from None
    columns = list(reader.fieldnames or ())
    if missing := [c for c in needed if c not in columns]:
        raise BadField(
            f"{path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; it has"
            f" {', '.join(columns) or 'none'}."
        )
    if not rows:
        raise BadField(f"{path} holds no lines below its header.")
    return rows, columns


def _certainty(text: str | None, name: str, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise BadField(
            f"{where}: attribute {name!r} is {text!r}; expected 0, 1 or a certainty in [0, 1]."
        )
    return value


def _box(texts: Sequence[str | None], where: str) -> tuple[float, float, float, float] | None:
    if not any(texts):
        return None
    try:
        x0, y0, x1, y1 = (float(t or "") for t in texts)
    except ValueError:
        raise BadField(f"{where}: the box {texts} is not x0, y0, x1, y1 in pixels.") from None
    return x0, y0, x1, y1


def _whole(found: Photographs, path: Path) -> Photographs:
    for part, what in ((found.train, "learn from"), (found.exam, "be tested on")):
        if not len(part):
            raise BadField(f"{path} has no picture to {what}.")
    if len(found.labels) < 2:
        raise BadField(f"{path} has only one class; at least two are needed.")
    return found


def source_of(given: Mapping[str, Any], size: int | None) -> AttributeSource:
    """What the options `table` (with `pictures`), `cub` and `birds` name; drawn birds of `size`
    pixels where they name nothing."""
    if given["table"]:
        return table(given["table"], given["pictures"] or given["table"].parent)
    return cub(given["cub"]) if given["cub"] else birds(given["birds"] or 700, size)
