"""The pictures of a folder, whose folders are classes where it has some; of a glob; of a file."""

import glob
from pathlib import Path

from ..errors import BadImage
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
    names = tuple(sorted(filter(None, {_folder(file, root) for file in files})))
    return Samples.counted(
        source,
        len(files),
        lambda k: _filed(files[k], root, names),
        notes=() if names else (f"The pictures have no labels: the target is {TOP}",),
        listed=True,
    )


def empty(name: str, reason: str) -> Samples:
    """No samples, and why."""
    return Samples(name=name, start=lambda: iter(()), count=0, notes=(reason,))


def _filed(file: Path, root: Path | None, names: tuple[str, ...]) -> Sample:
    """A picture whose label is its class folder, where it lies in one."""
    name = printable(file.relative_to(root).as_posix() if root else file.name)
    folder = _folder(file, root)
    return Sample(name=name, source=file, label=folder, names=names if folder else ())


def _fixed(pattern: Path) -> Path | None:
    """The folder before the first wildcard of a glob; None for a file."""
    inside = [k for k, part in enumerate(pattern.parts) if glob.has_magic(part)]
    return Path(*pattern.parts[: inside[0]]) if inside and not pattern.exists() else None


def _folder(path: Path, root: Path | None) -> str:
    parts = path.relative_to(root).parts if root else ()
    return parts[0] if len(parts) > 1 else ""
