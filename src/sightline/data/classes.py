"""Whose class is it? The one rule by which a label of the data becomes a class of the model.

1. A label in words is a *name*: of a folder, in a table, in a shard, a text of a pair. It is the
   model's class of that name: as written, in any case, as one of the names between a label's
   commas, or as file names spell it (`tabby_cat`, `001.tabby_cat`, `3 - three`). A name of ImageNet
   (`n02123045`) counts where the model's labels hold it, or where they are ImageNet's own.
2. A number whose data set names its classes (`.classes`, `class_to_idx`, a ClassLabel) stands for
   that name, never for the class that the model has at the same place.
3. A number in words (`3`) is the class *named* so. Where there is none it is an index, and where
   the model's classes have other names that is said. Where the model's names are numbers, it is a
   class that the model does not know.
4. The data set's own order counts only where no name contradicts it: the model's classes have no
   names, or the data's are mere numbers that fit neither as names nor as indices, and there are as
   many classes of the data as of the model.
5. A number from a program, of data without names, is an index.
6. Anything else the model does not know: its top class is explained, the picture's row says so, and
   no metric is told of that label.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, cached_property

import torch

from ..errors import SightlineError
from ..model import Model
from ..network.labels import matches, nearest, several
from ..sample import UNKNOWN, Meaning, Sample, Samples

__all__ = [
    "NUMBER",
    "ORDER",
    "OWN",
    "UNKNOWN",
    "Classes",
    "Meaning",
    "count_of",
    "match",
    "sentences",
]

NUMBER, ORDER, OWN = "number", "order", "own"
"""Why a label's class is in doubt, beside `UNKNOWN`: a bare number taken for an index; the order of
the data's names; the data's own numbers, where the model's classes have no names."""

_WNID = re.compile(r"n\d{8}")
_NUMBERED = re.compile(r"(\d+)(?:\s*[-.:]\s*|_+)(.*\D.*)")
_PLACEHOLDER = re.compile(r"label_\d+|class[ _]?\d+", re.IGNORECASE)
_AGREED = 990  # of 1000 labels: lists of ImageNet's differ in a few names


def match(samples: Samples, model: Model) -> Samples:
    """The samples, each with the model's class that its label means."""
    known: dict[tuple[str, ...], Classes] = {}

    def matched(sample: Sample) -> Sample:
        names = sample.names
        if names not in known:
            known[names] = Classes(model, names)
        if sample.number is not None:
            meaning = known[names].number(sample.number)
        elif sample.label:
            meaning = known[names].word(sample.label)
        else:
            return sample
        return replace(sample, meaning=meaning, names=())  # names would travel with every task

    return samples.map(matched)


class Classes:
    """The classes of the data as those of a model.

    names: the data set's own names in its own order, None where it has none.
    """

    def __init__(self, model: Model, names: Sequence[str] | None = None) -> None:
        self.model, self.names = model, list(names) if names else None
        self._known: dict[str, Meaning] = {}

    def word(self, word: str) -> Meaning:
        """What a label in words means."""
        if word not in self._known:
            self._known[word] = self._word(word)
        return self._known[word]

    def number(self, number: int) -> Meaning:
        """What a number of the data's own means."""
        if self.names is None:
            return Meaning(text=str(number), index=number)
        if not 0 <= number < len(self.names):
            return Meaning() if number < 0 else self._unknown(str(number), ".")
        name = self.names[number]
        found = self.word(name)
        if self._ordered and not self.labels and not self._numeric(self.names):
            note = f"The model names no classes: {name!r} is the data's own {number}."
            return Meaning(text=name, index=number, doubt=OWN, note=note)
        if found.doubt == NUMBER and found.index == number:  # both readings agree
            return Meaning(text=name, index=number)
        return found

    @cached_property
    def labels(self) -> list[str]:
        """The names of the model's classes; none where they only number them (`LABEL_3`)."""
        labels = self.model.labels or []
        return [] if all(map(_PLACEHOLDER.fullmatch, labels)) else labels

    @cached_property
    def count(self) -> int:
        """How many classes the model has; 0 where that cannot be told."""
        return count_of(self.model)

    def _word(self, word: str) -> Meaning:
        found = self._named(word)
        if len(found) == 1:
            return Meaning(text=word, index=found[0])
        if found:
            return self._unknown(word, f": {several(word, found, self.model.labels or [])}.")
        if self._ordered and self.names is not None and word in self.names:
            place = self.names.index(word)
            return Meaning(
                text=word,
                index=place,
                doubt=ORDER,
                note=f"{word!r} is taken for class {place}, by the order of the data's names.",
            )
        index = _whole(word)
        if index is None or self._numeric(self.labels) or not self._there(index):
            return self._unknown(word, nearest(word, self.model.labels or []))
        if not self.labels:
            return Meaning(text=word, index=index)
        called = f"the model calls class {index} {self.model.label(index)!r}"
        return Meaning(
            text=word,
            index=index,
            doubt=NUMBER,
            note=f"{word!r} is a bare number, taken for an index; {called}.",
        )

    def _named(self, word: str) -> list[int]:
        """The classes of that name."""
        labels = self.model.labels or []
        numbered, whole = _NUMBERED.fullmatch(word.strip()), _whole(word)
        spellings = [word, *(numbered.group(2, 1) if numbered else ())]
        for spelling in [*spellings, *([] if whole is None else [str(whole)])]:
            if labels and (found := matches(spelling, labels)):
                return found
        if _WNID.fullmatch(word) and word in (wnids := _wnids(tuple(labels))):
            return [wnids.index(word)]
        return []

    @cached_property
    def _ordered(self) -> bool:
        """Whether the order of the data's names may be that of the model's classes."""
        names = self.names or []
        if not names or len(set(names)) < len(names) or any(map(self._named, names)):
            return False
        if self.labels and not self._numeric(names):
            return False
        if self.count not in (0, len(names)):
            return False
        return not all(self._there(index) for index in map(_whole, names))

    def _there(self, index: int | None) -> bool:
        return index is not None and (not self.count or index < self.count)

    @staticmethod
    def _numeric(names: Sequence[str]) -> bool:
        return bool(names) and all(_whole(name) is not None for name in names)

    def _unknown(self, word: str, why: str) -> Meaning:
        note = f"The label {word!r} is no class of the model{why}"
        return Meaning(text=word, doubt=UNKNOWN, note=note)


def _whole(word: str) -> int | None:
    """The number that a word is, `2.0` as tables with gaps write it included."""
    digits = word.strip().removesuffix(".0")
    return int(digits) if digits.isascii() and digits.isdecimal() else None


@cache
def _wnids(labels: tuple[str, ...]) -> list[str]:
    """The WordNet name of each class, where these are the labels of ImageNet's 1000 classes."""
    if len(labels) != 1000:
        return []
    from timm.data.imagenet_info import ImageNetInfo

    known = ImageNetInfo("imagenet-1k")
    pairs = zip(labels, known.label_descriptions(), strict=True)
    agreed = sum(bool(_parts(ours) & _parts(theirs)) for ours, theirs in pairs)
    return list(known.label_names()) if agreed >= _AGREED else []


def _parts(label: str) -> set[str]:
    return {part.strip().lower() for part in label.split(",")}


def count_of(model: Model) -> int:
    """How many classes a model has, as its network tells; 0 where it does not."""
    if model.size is None:
        return 0
    with suppress(SightlineError):
        if model.differentiable:
            return model.anatomy.n_classes
        output = model.outputs(
            torch.full(
                (1, model.mean.shape[1], *model.size), 0.5, dtype=torch.float32, device="cpu"
            )
        )
        return output.shape[1] if output.ndim == 2 else 0
    return 0


def sentences(
    model: Model, meanings: Iterable[Meaning], things: str = "pictures"
) -> dict[str, str]:
    """What is to be said of the labels of a whole collection, by their doubt: how many `things`,
    which labels, and what to do."""
    total, held = 0, dict[str, list[Meaning]]()
    for each in meanings:
        total += 1
        if each.doubt:
            held.setdefault(each.doubt, []).append(each)
    return {
        doubt: f"{len(found)} of {total} {things} {_sentence(model, doubt, found)}"
        for doubt, found in sorted(held.items())
    }


def _sentence(model: Model, doubt: str, found: Sequence[Meaning]) -> str:
    first, labels = found[0], list(dict.fromkeys(each.text for each in found))
    which = ", ".join(map(repr, labels[:3])) + (
        f" and {len(labels) - 3} more" if labels[3:] else ""
    )
    if doubt == UNKNOWN:
        return (
            f"have a label that is no class of {model.display_name}: {which}. {first.note} The"
            " model's top class is explained for them, their rows say so, and metrics do not read"
            " what is true of them. Call the labels as the model does (`labels=` gives it names),"
            " or give one target for all."
        )
    if doubt == NUMBER:
        return (
            f"have a bare number for a label: {which}. {first.note} Write the names of the classes"
            " where others are meant."
        )
    if doubt == ORDER:
        return (
            f"have their class by the order of the data's names: {which}. {first.note}"
            f" {model.display_name} knows none of these names and has as many classes. Name its"
            " classes with `labels=` where another order is meant."
        )
    return f"have their class by the data's own numbers: {which}. {first.note}"
