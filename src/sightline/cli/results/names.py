"""What pictures are called in a report, and what their files are called: no two alike."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import PurePath

_LONGEST = 120  # characters of a file's stem; a method's name and an ending come behind
_SHORT = 39  # characters of a name on the terminal
_TAIL = 14  # of them, those at its end


def titles(paths: Sequence[PurePath]) -> list[str]:
    """The name of each file, with as many folders before it as tell it from the others; those
    above are nobody else's business. Files of one path keep one title.

    >>> titles([PurePath("/home/me/a/x.png"), PurePath("/home/me/b/x.png"), PurePath("y.png")])
    ['a/x.png', 'b/x.png', 'y.png']
    """
    found = [""] * len(paths)
    groups: list[tuple[int, list[int]]] = [(1, list(range(len(paths))))]
    while groups:
        length, members = groups.pop()
        alike = defaultdict(list)
        for k in members:
            found[k] = _end(paths[k], length)
            alike[found[k]].append(k)
        for same in alike.values():
            if any(len(_parts(paths[k])) > length for k in same) and len(same) > 1:
                groups.append((length + 1, same))
    return found


def unused(title: str, path: PurePath, taken: Collection[str]) -> str:
    """The title, with more of the path or else a number where another picture has it."""
    longer = (_end(path, length) for length in range(2, len(_parts(path)) + 1))
    name = next((name for name in (title, *longer) if name not in taken), title)
    number = 1
    while name in taken:
        number += 1
        name = f"{title} ({number})"
    return name


def short(name: str) -> str:
    """A name as the terminal shows it, under 40 characters: the first of several names between
    commas, or its beginning and its end.

    >>> short("bald eagle, American eagle, Haliaeetus leucocephalus")
    'bald eagle'
    """
    if len(name) <= _SHORT:
        return name
    first = name.partition(", ")[0]
    if len(first) <= _SHORT and "(" not in first:
        return first
    return f"{name[: _SHORT - _TAIL - 1]}…{name[-_TAIL:]}"


def stem(path: PurePath, taken: Collection[str]) -> str:
    """How the files of a picture begin; on no system the same as another of `taken` (lower
    case)."""
    plain = path.stem[:_LONGEST] or "picture"
    name, number = plain, 1
    while name.lower() in taken:
        number += 1
        name = f"{plain}-{number}"
    return name


def _parts(path: PurePath) -> tuple[str, ...]:
    return path.parts[1:] if path.anchor else path.parts


def _end(path: PurePath, length: int) -> str:
    return "/".join(_parts(path)[-length:])
