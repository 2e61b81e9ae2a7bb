"""Which files are pictures, and how a file's name is shown.

On a command line links are the user's own and are followed; of a folder that is served to others
only regular files whose real place lies inside it count.
"""

import glob
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from PIL import Image

from ..errors import BadImage, near

RUNS_PROGRAMS = ("EPS", "WMF")  # Pillow hands these to Ghostscript or to the system
_STUBS = ("BUFR", "GRIB", "HDF5", "MPEG")  # Pillow knows these by name only
_OURS = (".npy", ".npz", ".dcm", ".dicom", ".heic", ".heif", ".hif", ".jxl", ".avif", ".tif",
         ".tiff")  # fmt: skip


def printable(name: object) -> str:
    """The name as text that can be printed: bytes that are not UTF-8 become `\\udcff` and so on."""
    return str(name).encode("utf-8", "backslashreplace").decode()


def formats() -> list[str]:
    """The formats that Pillow decodes by itself."""
    Image.init()
    return [form for form in Image.OPEN if form not in RUNS_PROGRAMS + _STUBS]


def gather(
    sources: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    inside: bool = False,
    regular: bool = True,
) -> list[Path]:
    """Which files do these folders (with all below, sorted), globs and files stand for?

    Folders and globs give the regular files whose ending is that of a picture and that are not
    hidden; a file that is named is kept whatever its ending. Linked files and folders are followed.
    Each file comes once. inside: for what is served to others: only files whose real place lies in
    the named folder (or in that of the named file, or of the glob). regular: without it, pipes,
    devices and broken links that are named like pictures are listed too, so that whoever reads them
    can say so.

    **Raises:** `BadImage` when something does not exist or holds no picture.
    """
    listed = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    if not listed:
        raise BadImage("no pictures were named; expected at least one file, folder or glob.")
    found: dict[Path, None] = {}
    for source in listed:
        found.update(dict.fromkeys(_expanded(Path(source), inside, regular)))
    return list(found)


def existing(path: Path) -> Path:
    """The path of a regular file. **Raises:** `BadImage` that says what is there instead."""
    shown = printable(path)
    try:
        there = path.expanduser()
        if there.is_file():
            return there
        folder, other = there.is_dir(), there.exists()
        siblings = [f.name for f in there.parent.iterdir()] if there.parent.is_dir() else []
    except (OSError, ValueError, RuntimeError) as problem:  # too long, null byte, locked folder
        why = getattr(problem, "strerror", None) or "it is no path"
        raise BadImage(
            f"{shown[:200]!r} cannot be opened: {why}. Check the path and its permissions."
        ) from None
    if folder:
        raise BadImage(
            f"{shown} is a folder; expected one picture. `sightline.files.finding.gather` lists a"
            " folder."
        )
    if other:
        raise BadImage(f"{shown} is a device or a pipe; expected a picture in a regular file.")
    if shown.startswith(("http:/", "https:/")):
        raise BadImage(f"{shown} is an address; expected a file. Save the picture first.")
    hint = near(printable(path.name), map(printable, siblings))
    raise BadImage(f"no such file: {shown}{hint} Check the path.")


def _expanded(named: Path, inside: bool, regular: bool) -> Iterator[Path]:
    source = named.expanduser()
    if source.is_dir():
        below = list(_walked(source, inside))
        pictures = sorted(f for f in below if _is_picture(f, source, regular))
        if inside:
            pictures = [f for f in pictures if _within(f, source)]
        if not pictures:
            raise BadImage(
                f"no pictures in the folder {printable(named)} ({len(below)} other files);"
                " expected at least one. Choose another folder."
            )
        yield from pictures
    elif glob.has_magic(str(source)) and not source.exists():
        matches = sorted(_matches(source, inside))
        pictures = [m for m in matches if _is_picture(m, m.parent, regular)]
        if inside:
            pictures = [m for m in pictures if _within(m, _fixed(source))]
        if not pictures:
            raise BadImage(
                f"no pictures match {printable(named)} ({len(matches)} other matches); expected at"
                " least one. Check the pattern."
            )
        yield from pictures
    else:
        file = existing(named)
        if inside and not _within(file, file.parent):
            raise BadImage(f"{printable(named)} leads out of its folder; only files in it count.")
        yield file


def _walked(source: Path, inside: bool) -> Iterator[Path]:
    """All files below a folder, through links where they are followed; a loop is walked once."""
    above: dict[str, frozenset[str]] = {str(source): frozenset()}
    for at, folders, names in os.walk(source, followlinks=not inside):
        seen = above.pop(at, frozenset()) | {os.path.realpath(at)}
        folders[:] = sorted(f for f in folders if os.path.realpath(Path(at, f)) not in seen)
        above |= {str(Path(at, f)): seen for f in folders}
        yield from (Path(at, name) for name in names)


def _matches(pattern: Path, inside: bool) -> Iterable[Path]:
    """What a glob stands for; `**` goes through linked folders too, where they are followed."""
    if "**" not in pattern.parts:
        root = Path(pattern.anchor or ".")
        return root.glob(str(pattern.relative_to(pattern.anchor)))
    root = _fixed(pattern)
    wanted = pattern.relative_to(root).parts
    return [f for f in _walked(root, inside) if _fits(f.relative_to(root).parts, wanted)]


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether folders and a name are those of a pattern; `**` is any number of folders."""
    if not pattern or not parts:
        return not pattern and not parts
    if pattern[0] == "**":
        rest = pattern[1:]
        return not rest or any(_fits(parts[k:], rest) for k in range(len(parts)))
    return fnmatch(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def is_picture_name(name: str) -> bool:
    """Whether a file of this name is taken for a picture."""
    ending = Path(name).suffix.lower()
    return ending in _OURS or Image.registered_extensions().get(ending) in formats()


def _is_picture(path: Path, root: Path, regular: bool) -> bool:
    """Whether the name is a picture's, and a regular file is behind it (or, where that is not
    asked, no folder); nothing is opened."""
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    if hidden or not is_picture_name(path.name):
        return False
    return _is_regular(path) if regular else not path.is_dir()


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:  # a broken link, a locked folder
        return False


def _within(path: Path, root: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def _fixed(pattern: Path) -> Path:
    """The folder in front of the first wildcard."""
    parts = pattern.parts
    cut = next(k for k, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:cut]) if cut else Path()
