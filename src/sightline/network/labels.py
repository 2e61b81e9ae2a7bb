"""Finding a class by what people call it, and calling results by their classes."""

import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from ..errors import BadField, BadTarget, UnknownName, near

_BETWEEN = re.compile(r"[\s_\-]+")


def class_names(labels: Any) -> list[str]:  # Any: checked here
    """The label of each class, from a sequence of them or a mapping from index to label.

    Raises: BadField for a text, or a mapping that leaves out an index.
    """
    if isinstance(labels, Mapping):
        found = {str(index): label for index, label in labels.items()}
        if set(found) != set(map(str, range(len(found)))):
            raise BadField(
                f"labels maps {len(found)} indices, but not 0 to {len(found) - 1}; expected a"
                " label for each class."
            )
        labels = [found[str(i)] for i in range(len(found))]
    if isinstance(labels, (str, bytes)) or not isinstance(labels, Iterable):
        raise BadField(
            "labels is a list with the name of each class, in the order of their indices; got"
            f" {labels!r}."
        )
    return [str(label) for label in labels]


def find_label(label: str, labels: Sequence[str]) -> int:
    """The one class that `matches` finds.

    Raises: UnknownName with near labels, or where several classes have that name.
    """
    if not labels:
        raise UnknownName(
            f"{label!r} is not a class of this model, which has no labels; give an index."
        )
    found = matches(label, labels)
    if len(found) > 1:
        raise UnknownName(f"{several(label, found, labels)}; give one of them by its index.")
    if found:
        return found[0]
    told = ", ".join(repr(each) for each in labels[:3]) + (", ..." if labels[3:] else "")
    raise UnknownName(
        f"no class is labelled {label!r}{nearest(label, labels)} Give one of the {len(labels)}"
        f" labels ({told}) or an index."
    )


def matches(label: str, labels: Sequence[str]) -> list[int]:
    """The classes that a label may mean: none, one, or several of that name.

    A label counts as written, else in any case, else as one of the names between a label's commas,
    else in a file name's spelling (`garbage_truck`), else as several names of which each is known.
    """
    if label in labels:
        return [i for i, each in enumerate(labels) if each == label]
    for spelled in (_lower, _plain):
        word, words = spelled(label), [spelled(each) for each in labels]
        if found := [i for i, each in enumerate(words) if each == word]:
            return found
        if found := [i for i, each in enumerate(labels) if word in map(spelled, each.split(","))]:
            return found
    parts = [part for part in label.split(",") if part.strip()]
    each = [matches(part, labels) for part in parts] if len(parts) > 1 else [[]]
    return sorted({i for found in each for i in found}) if all(each) else []


def several(label: str, found: Sequence[int], labels: Sequence[str]) -> str:
    """The start of a sentence: a label means several classes, and which."""
    which = ", ".join(f"{i} ({labels[i]})" for i in found[:5])
    return f"{label!r} may mean the classes {which}{', ...' if found[5:] else ''}"


def nearest(label: str, labels: Sequence[str]) -> str:
    """The end of a sentence: it suggests the names most like this one."""
    return near(label.strip(), [part.strip() for each in labels for part in each.split(",")])


def _lower(text: str) -> str:
    return text.strip().lower()


def _plain(text: str) -> str:
    """A name without what spellings differ by: case, and what stands between its words."""
    return " ".join(_BETWEEN.sub(" ", text).split()).lower()


def class_name(index: int, labels: Sequence[str] | None) -> str:
    """A class as people read it: its label, with the number where several have it; `class 3`."""
    if not labels or not 0 <= index < len(labels):
        return f"class {index}"
    label = labels[index]
    return f"{label} (class {index})" if labels.count(label) > 1 else label


def in_short(kind: str, count: int, told: Mapping[str, Any]) -> str:
    """An explanation of `count` images in one line, from its provenance."""
    made = " ".join(
        f"{word} {told[key]}" for word, key in (("by", "method"), ("of", "model")) if told.get(key)
    )
    labels = [str(label) for label in dict.fromkeys(told.get("target_label") or ()) if label]
    classes = [f"class {label}" if label.isdigit() else label for label in labels]
    aimed = ", ".join(classes[:3]) + (", ..." if classes[3:] else "") or told.get("target", "")
    word = "against" if classes and str(told.get("target")).startswith("-") else "for"
    images = f"{count} image{'s' * (count != 1)}"
    return f"<{kind}: {', '.join(filter(None, (images, made, aimed and f'{word} {aimed}')))}>"


def class_of(model: Any, which: Any) -> int:
    """The index of a class that is given by label or index. Raises: BadTarget for anything else."""
    if isinstance(which, str):
        return model.index(which)
    return whole_number(which, "class", " or a label")


def whole_number(value: Any, what: str, other: str = "") -> int:
    """A whole number of any library. Raises: BadTarget for anything else, also for yes and no."""
    try:
        if isinstance(value, bool) or getattr(value, "dtype", None) == torch.bool:
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise BadTarget(
            f"the {what} of a target is a whole number{other}; got {value!r}."
        ) from None
