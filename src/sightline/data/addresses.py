"""Pictures at an address that fsspec knows: `s3://`, `gs://`, `memory://`, `zip://...::...` and so
on; a folder, a glob, a table or a picture.

Each picture is fetched when its turn comes, once for its fingerprint and once to be looked at;
`simplecache::s3://...` keeps what was fetched. `file://` is a path of this machine.
"""

import glob
import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeVar

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from ..errors import BadImage, MissingExtra
from ..files.finding import is_picture_name
from ..pictures.encoded import Encoded, Readable
from ..pictures.formats.levels import GivenRange
from ..pictures.reading import Picture
from ..sample import Samples
from . import csv_table, folder

Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True, eq=False)
class Remote:
    """A picture at an address. system: a file system of fsspec's. path: in it."""

    system: Any
    path: str

    def read(self, range: GivenRange | None = None) -> Picture:
        """The picture, fetched. Raises: BadImage."""
        return Encoded(data=self._fetched(), name=self.path).read(range)

    def digest(self) -> str:
        """A fingerprint of its bytes. Raises: BadImage."""
        return hashlib.sha256(self._fetched()).hexdigest()

    def _fetched(self) -> bytes:
        return _asked(self.path, lambda: self.system.cat_file(self.path))


def is_address(source: str) -> bool:
    """Whether it names a place by a protocol: `s3://bucket/photos`. Pages of the web are none: what
    they show is saved first."""
    return "://" in source and not source.startswith(("http://", "https://"))


def local_path(address: str) -> str | None:
    """The path of an address on this machine (`file://`); None for another one. Raises: BadImage,
    MissingExtra for a protocol that cannot be used."""
    system, path = _opened(address)
    return path if type(system) is LocalFileSystem else None


def samples(address: str) -> Samples:
    """The pictures at an address. Raises: BadImage where there is none, MissingExtra for a protocol
    whose library is not installed."""
    system, path = _opened(address)
    if glob.has_magic(path):
        names = _asked(address, lambda: system.glob(path))
        fixed = [p for p in PurePosixPath(path).parents if not glob.has_magic(str(p))]
        return _folder(system, address, str(fixed[0]), names)
    if _asked(address, lambda: system.isdir(path)):
        return _folder(system, address, path, _asked(address, lambda: system.find(path)))
    data = _asked(address, lambda: system.cat_file(path))
    if PurePosixPath(path).suffix.lower() in csv_table.ENDINGS:
        parent = PurePosixPath(path).parent
        place = lambda name: _source(system, str(parent / name))  # noqa: E731
        return csv_table.table(address, data, place)
    picture = Encoded(data=data, name=path)
    return folder.of_files(address, [(PurePosixPath(path).name,)], lambda _: picture)


def _folder(system: Any, address: str, root: str, names: Sequence[str]) -> Samples:
    """The pictures below `root`, their first folder as label."""
    parts = [PurePosixPath(name).relative_to(root).parts for name in names]
    kept = sorted(
        (each, name)
        for each, name in zip(parts, names, strict=True)
        if is_picture_name(each[-1]) and not any(part.startswith(".") for part in each)
    )
    if not kept:
        return folder.empty(address, f"no pictures at {address} ({len(names)} other files).")
    return folder.of_files(
        address, [each for each, _ in kept], lambda k: _source(system, kept[k][1])
    )


def _source(system: Any, path: str) -> Readable:
    """The picture to come; its bytes where another process could not fetch them."""
    if isinstance(system, MemoryFileSystem):
        with suppress(BadImage):  # said when it is read
            return Encoded(data=_asked(path, lambda: system.cat_file(path)), name=path)
    return Remote(system=system, path=path)


def _opened(address: str) -> tuple[Any, str]:
    try:
        return url_to_fs(address)
    except ImportError as error:
        raise MissingExtra(f"{address} needs a library that is not installed: {error}.") from None
    except Exception as error:  # a protocol's own code
        raise BadImage(
            f"{address} cannot be opened ({type(error).__name__}: {error}); expected an address"
            " that fsspec knows, such as s3://bucket/photos or zip://::photos.zip."
        ) from None


def _asked(address: str, ask: Callable[[], Made]) -> Made:
    """What a file system answers. Raises: BadImage."""
    try:
        return ask()
    except FileNotFoundError:
        raise BadImage(f"no such file: {address}. Check the address.") from None
    except Exception as error:  # the network, a lock, a broken archive: each raises its own
        raise BadImage(
            f"{address} cannot be read ({type(error).__name__}: {error}). Check the address and its"
            " permissions."
        ) from None
