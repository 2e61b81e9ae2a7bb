"""What a data set of torch's kind calls its own numbers."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any


def names_at(data: Any, k: int) -> tuple[str, ...]:  # Any: a data set of anybody's
    """The names of the classes that the label of entry `k` counts through, () where it has none.

    They are read from `class_to_idx`, else from `classes`; parts (`Subset`) and sums
    (`ConcatDataset`) of data sets are looked into. Where a `target_transform` changes the numbers,
    they are the user's own.
    """
    inner, indices = getattr(data, "dataset", None), getattr(data, "indices", None)
    if inner is not None and indices is not None:
        return names_at(inner, int(indices[k]))
    parts, ends = getattr(data, "datasets", None), getattr(data, "cumulative_sizes", None)
    if parts is not None and ends is not None:
        part = bisect_right(ends, k)
        return names_at(parts[part], k - (ends[part - 1] if part else 0))
    both = getattr(data, "transforms", None)
    if any(getattr(held, "target_transform", None) is not None for held in (data, both)):
        return ()
    return _by_number(getattr(data, "class_to_idx", None)) or _named(getattr(data, "classes", None))


def _by_number(numbers: Any) -> tuple[str, ...]:
    """The names of a mapping from name to number, several of one number between commas."""
    if not isinstance(numbers, Mapping) or not numbers:
        return ()
    held: dict[int, list[str]] = {}
    for name, number in numbers.items():
        if not isinstance(name, str) or not isinstance(number, int):
            return ()
        held.setdefault(number, []).append(name)
    whole = set(held) == set(range(len(held)))
    return tuple(", ".join(held[number]) for number in range(len(held))) if whole else ()


def _named(names: Any) -> tuple[str, ...]:
    """The names of a list, each a text, or several texts of one class."""
    if isinstance(names, str) or not isinstance(names, Sequence):
        return ()
    several = [(name,) if isinstance(name, str) else name for name in names]
    plain = all(
        isinstance(each, (list, tuple)) and each and all(isinstance(name, str) for name in each)
        for each in several
    )
    return tuple(", ".join(each) for each in several) if plain else ()
