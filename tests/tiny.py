"""Methods with the settings of their class variable `tiny`: a contract is about what a method does,
which more iterations of the same do not show."""

from typing import Any

from sightline import create
from sightline.registry import entry


def tiny(name: str, kind: str = "explainer", **fields: Any) -> Any:  # Any: the class depends on it
    """The method called `name`, quick; `fields` come before its own `tiny`."""
    return create(kind, name, **{**entry(kind, name).cls.tiny, **fields})
