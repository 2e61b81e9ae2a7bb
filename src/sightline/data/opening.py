"""The one way from DATA to samples: a name, or pictures of a program.

Names are a folder (class folders optional), a CSV (`path,label[,box][,domain]`), a glob, an address
that fsspec knows, or one of the forms that the files of this room say (`openers`). Nothing is read
before its turn comes; what is wrong with one sample is said in that sample. Which class of a model
a label means is told by `classes.match`.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import BadField
from ..pictures.formats.levels import GivenRange
from ..sample import Samples
from . import addresses, csv_table, folder, sequence
from .openers import forms, opener_of


def open_samples(
    data: Any,  # Any: checked here
    limit: int | None = None,
    *,
    range: GivenRange | None = None,
) -> Samples:
    """The samples that `data` stands for, at most `limit`. range: which numbers are black and white
    in arrays that were handed over.

    Raises: BadField for a source that is not known, BadImage for a path that does not exist.
    """
    found = _opened(data, range)
    if limit is None or (found.count is not None and limit >= found.count):
        return found
    return found[:limit]


def _opened(data: Any, range: GivenRange | None) -> Samples:
    if isinstance(data, Samples):
        return data
    if isinstance(data, (str, os.PathLike)):
        return _named(os.fspath(data))
    if sequence.is_one(data):
        return sequence.samples([data], range)
    several = isinstance(data, Iterable) or sequence.is_counted(data)
    if several and not isinstance(data, Mapping):
        return sequence.samples(data, range)
    raise BadField(
        f"data is a folder, a CSV, a glob, an address, {', '.join(forms())}, or pictures (one, a"
        f" sequence, or a torch Dataset); got {type(data).__name__}."
    )


def _named(source: str) -> Samples:
    if known := opener_of(source):
        return known.open(source.partition(":")[2])
    if addresses.is_address(source):
        path = addresses.local_path(source)
        return addresses.samples(source) if path is None else _named(path)
    path = Path(source).expanduser()
    if path.is_file() and path.suffix.lower() in csv_table.ENDINGS:
        return csv_table.samples(path)
    return folder.samples(source)
