"""A picture as the bytes of its file, and fingerprints of pictures."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..errors import BadImage
from ..files.finding import existing
from ..shapes import AnyTensor
from .formats.levels import GivenRange
from .reading import Picture, printable, read


@runtime_checkable
class Readable(Protocol):
    """A picture that is fetched, decoded or drawn when its turn comes. Both may raise BadImage."""

    def read(self, range: GivenRange | None = None) -> Picture:
        """The picture."""
        ...

    def digest(self) -> str:
        """A fingerprint of its content."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """A picture as the bytes of its file. name: where they came from, for messages."""

    data: bytes
    name: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", printable(self.name))

    def read(self, range: GivenRange | None = None) -> Picture:
        """The picture. Raises: BadImage."""
        try:
            return replace(read(self.data, range=range), name=self.name)
        except BadImage as error:
            said = str(error).replace(f"{len(self.data)} bytes", self.name, 1)
            raise BadImage(said) from None

    def digest(self) -> str:
        """A fingerprint of the bytes."""
        return hashlib.sha256(self.data).hexdigest()


def digest(source: Path | Picture | AnyTensor | None) -> str:
    """A fingerprint of a file's bytes or of a picture's numbers. Raises: BadImage where there is no
    regular file, OSError where it cannot be read."""
    if isinstance(source, Path):
        try:
            with existing(source).open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError:
            read(source)  # says what is wrong with it
            raise
    array: Any = source
    if isinstance(source, Picture):
        array = source.array if source.raster is None else source.raster.values
    values = np.ascontiguousarray(np.asarray(array))
    known = hashlib.sha256(f"{values.shape} {values.dtype}".encode())
    known.update(values.tobytes())
    return known.hexdigest()
