"""Pictures that a program hands over: one, a sequence, (picture, label) pairs, drawn birds, or a
data set of torch's kind.
"""

import operator
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image
from torch import Tensor

from ..errors import BadField, BadImage
from ..pictures.formats.levels import GivenRange
from ..pictures.reading import Picture, printable, read
from ..sample import Sample, Samples
from ..worlds.aviary import Bird
from .drawn_worlds import bird_sample
from .torch_datasets import names_at


def is_one(data: object) -> bool:
    """Whether this is a single picture, not several: arrays of two or three axes are one."""
    if isinstance(data, (np.ndarray, Tensor)):
        return data.ndim in (2, 3)
    return isinstance(data, (Bird, Picture, Sample, Image, bytes))


def is_counted(data: object) -> bool:
    """Whether it has a length and numbered entries."""
    return all(callable(getattr(type(data), name, None)) for name in ("__len__", "__getitem__"))


def samples(data: Any, range: GivenRange | None = None) -> Samples:  # Any: what is counted too
    """The pictures of a sequence, or of anything that can be looped over, each fetched when its
    turn comes. range: which numbers of arrays are black and white."""
    entries = data if isinstance(data, (Sequence, Tensor)) or is_counted(data) else list(data)
    count = len(entries)
    width = len(str(max(count - 1, 0)))

    def at(k: int) -> Sample:
        number = f"{k:0{width}d}"
        try:
            given, names = entries[k], names_at(entries, k)
        except Exception as error:  # a data set's own code
            reason = f"{type(error).__name__}: {error}"
            return Sample(name=f"picture {number}", error=f"it could not be fetched ({reason}).")
        return _entry(given, number, names, range)

    notes = () if count else ("The collection is empty.",)
    name = "1 picture" if count == 1 else f"{count} pictures"
    return Samples.counted(name, count, at, notes=notes, handed=True)


def _entry(given: object, number: str, names: tuple[str, ...], range: GivenRange | None) -> Sample:
    try:
        if isinstance(given, Sample):
            return given
        if isinstance(given, Bird):
            return bird_sample(given, number)
        if isinstance(given, tuple) and len(given) == 2:
            return _labelled(_entry(given[0], number, names, range), given[1], names)
        if isinstance(given, Tensor):
            single = given[None] if given.ndim == 3 else given
            return Sample(name=f"tensor {number}", source=single)
        if isinstance(given, (str, Path)):
            return Sample(name=printable(given), source=Path(given).expanduser())
        if isinstance(given, Picture):
            return Sample(name=given.name, source=given)
        return Sample(name=f"picture {number}", source=read(given, range=range))
    except (BadImage, BadField) as error:
        return Sample(name=f"picture {number}", error=str(error))


def _labelled(sample: Sample, label: Any, names: tuple[str, ...]) -> Sample:
    """The sample with a label that is a name or a number. Raises: BadField for anything else."""
    if label is None or isinstance(label, str):
        return replace(sample, label=label or "", number=None, names=names)
    try:
        number = operator.index(label)
    except TypeError:
        raise BadField(f"a label is a class's name or its number; got {label!r}.") from None
    known = 0 <= number < len(names)
    text = names[number] if known else str(number)
    return replace(sample, label=text, number=number, names=names)
