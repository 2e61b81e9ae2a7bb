"""What DATA can begin with: each opener is a file of this room and says its own words."""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from ..sample import Samples

Opening = Callable[[str], Samples]
Given = TypeVar("Given", bound=Opening)

_OPENERS: dict[str, "Opener"] = {}


@dataclass(frozen=True, kw_only=True)
class Opener:
    """One kind of DATA. form: how it is written. open: what stands behind the colon -> samples."""

    form: str
    open: Opening


def opener(*words: str, form: str) -> Callable[[Given], Given]:
    """Makes a function the opener of DATA that begins with one of these words and a colon. form:
    how it is written, `hf:NAME[:SPLIT]`."""

    def keep(open: Given) -> Given:
        _OPENERS.update(dict.fromkeys(words, Opener(form=form, open=open)))
        return open

    return keep


@cache
def openers() -> dict[str, Opener]:
    """All openers by their words."""
    room = __name__.rpartition(".")[0]
    for module in sorted(pkgutil.iter_modules([str(Path(__file__).parent)]), key=lambda m: m.name):
        import_module(f"{room}.{module.name}")
    return _OPENERS


def opener_of(source: str) -> Opener | None:
    """What opens DATA of this name; None for a path."""
    return openers().get(source.partition(":")[0])


def forms() -> list[str]:
    """How DATA with a word of its own is written, each kind once."""
    return list(dict.fromkeys(each.form for each in openers().values()))
