"""Finding a class by what people call it."""

from collections.abc import Sequence

from ..errors import UnknownName, near


def find_label(label: str, labels: Sequence[str]) -> int:
    """The class of a label: exact, then in any case, then one of the names between commas.

    Raises: UnknownName with near labels.
    """
    if not labels:
        raise UnknownName(f"the model has no labels, so {label!r} means nothing; give an index.")
    if label in labels:
        return list(labels).index(label)
    lower = label.lower().strip()
    for i, names in enumerate(labels):
        if lower == names.lower():
            return i
    for i, names in enumerate(labels):
        if lower in (part.strip().lower() for part in names.split(",")):
            return i
    raise UnknownName(f"no class is labelled {label!r}{near(label, labels)}")
