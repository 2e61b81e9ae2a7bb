"""The pictures of a folder, whose folders are classes where it has some; of a glob; of a file."""

import glob
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import BadImage
from ..pictures.encoded import Readable
from ..pictures.reading import gather, printable
from ..sample import TOP, Sample, Samples


def samples(source: str) -> Samples:
    """The pictures of a folder, a glob or a file. Raises: BadImage for a path that does not
    exist."""
    path = Path(source).expanduser()
    try:
        files = gather([path], regular=False)  # what is a pipe is said at its turn
    except BadImage as reason:
        if path.is_dir() or glob.has_magic(source):
            return empty(source, str(reason))
        raise
    root = path if path.is_dir() else _fixed(path)
    parts = [file.relative_to(root).parts if root else (file.name,) for file in files]
    return of_files(source, parts, files.__getitem__)


def of_files(
    name: str,
    parts: Sequence[tuple[str, ...]],
    source: Callable[[int], Path | Readable],
) -> Samples:
    """Pictures whose label is the first folder of their path, where there is one. parts: folders
    and name of each, below what was named."""
    labels = [each[0] if len(each) > 1 else "" for each in parts]
    names = tuple(sorted(set(filter(None, labels))))

    def at(k: int) -> Sample:
        return Sample(
            name=printable("/".join(parts[k])),
            source=source(k),
            label=labels[k],
            names=names if labels[k] else (),
        )

    notes = () if names else (f"The pictures have no labels: the target is {TOP}",)
    return Samples.counted(name, len(parts), at, notes=notes, listed=True)


def empty(name: str, reason: str) -> Samples:
    """No samples, and why."""
    return Samples(name=name, start=lambda: iter(()), count=0, notes=(reason,))


def _fixed(pattern: Path) -> Path | None:
    """The folder before the first wildcard of a glob; None for a file."""
    inside = [k for k, part in enumerate(pattern.parts) if glob.has_magic(part)]
    return Path(*pattern.parts[: inside[0]]) if inside and not pattern.exists() else None
