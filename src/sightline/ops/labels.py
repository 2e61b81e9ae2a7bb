"""Finding a class by what people call it, and calling results by their classes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import BadField, UnknownName, near


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
    """The class of a label: exact, then in any case, then one of the names between commas.

    Raises: UnknownName with near labels, or where several classes have that name.
    """
    if not labels:
        raise UnknownName(f"the model has no labels, so {label!r} means nothing; give an index.")
    lower = label.lower().strip()
    parts = [[part.strip().lower() for part in names.split(",")] for names in labels]
    for found in (
        [i for i, names in enumerate(labels) if label == names],
        [i for i, names in enumerate(labels) if lower == names.lower()],
        [i for i, names in enumerate(parts) if lower in names],
    ):
        if len(found) > 1:
            which = ", ".join(f"{i} ({labels[i]})" for i in found)
            raise UnknownName(f"{label!r} may mean the classes {which}; give an index.")
        if found:
            return found[0]
    told = ", ".join(repr(each) for each in labels[:3]) + (", ..." if labels[3:] else "")
    raise UnknownName(
        f"no class is labelled {label!r}{near(label, labels)} Give one of the {len(labels)} labels"
        f" ({told}) or an index."
    )


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
