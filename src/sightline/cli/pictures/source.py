"""A picture that is still to be explained."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from ...metric import Truth
from ...pages.record import PictureEntry
from ...pictures.reading import Picture


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureSource:
    """A picture to come: its name and how to read it, a digest of its content, and what is known to
    be true of it. path: what its files are called by, and what tells it from another of its name.
    finished: what is said of the picture once its maps are there.

    Both functions may raise a SightlineError or an OSError.
    """

    name: str
    read: Callable[[], Picture]
    digest: Callable[[], str]
    path: PurePath
    truth: Truth | None = None
    known: dict[str, Any] = field(default_factory=dict)  # fields of the report's PictureEntry
    finished: Callable[[PictureEntry], PictureEntry] = lambda entry: entry
