"""Names and values as people read them: without the folders of a machine and addresses in memory.

What is shared (provenance, manifests, reports) holds these forms; what loads again, such as a run
file, holds the names themselves.
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import PurePath
from typing import Any

_FILES = ("file", "attributes")  # prefixes of names that are always a path
_QUERY = re.compile(r"\?(?=\w+=)")
_LIBRARY = ("arch",)  # keys of a name whose slashes are no folders
_FOLDERS = re.compile(r"(?<![\w./\\])(?:~\w*|[A-Za-z]:)?[/\\](?:[^\s/\\'\"?&<>|]+[/\\])+")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def display_name(name: str) -> str:
    """The name of a model without the folders in which its files lie.

    >>> display_name("file:/home/me/net.safetensors?arch=timm:resnet18&labels=/home/me/names.txt")
    'file:net.safetensors?arch=timm:resnet18&labels=names.txt'
    """
    prefix, colon, rest = name.partition(":")
    if not colon or prefix.lower() not in _FILES:
        start = f"{prefix}:" if colon and len(prefix) > 1 else ""
        return start + without_folders(name.removeprefix(start))
    mark = _QUERY.search(rest)
    path, query = (rest, "") if mark is None else (rest[: mark.start()], rest[mark.end() :])
    pairs = [pair.partition("=") for pair in query.split("&")] if query else []
    shown = [f"{k}{e}{v if k in _LIBRARY else last_part(v)}" for k, e, v in pairs]
    return f"{prefix}:{last_part(path)}{'?' if shown else ''}{'&'.join(shown)}"


def last_part(path: str) -> str:
    """The last part of a path of any system."""
    return re.split(r"[/\\]|%2[Ff]", path.rstrip("/\\"))[-1]


def without_folders(text: str) -> str:
    """The text with each absolute path in it cut down to its last part."""
    return _FOLDERS.sub("", text)


def displayed(value: Any) -> Any:  # Any: plain data, or what a method holds
    """A value of a provenance as plain data.

    Functions and classes are `module.qualname`, paths their last part, other objects their `repr`
    without an address.
    """
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return without_folders(value)
    if isinstance(value, Mapping):
        return {k: displayed(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [displayed(v) for v in value]
    if isinstance(value, PurePath):
        return value.name
    if isinstance(value, partial):
        return f"functools.partial({displayed(value.func)})"
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return display_text(value)


def display_text(value: object) -> str:
    """The `repr` of an object without an address in memory and without folders.

    >>> display_text(object())
    '<object object>'
    """
    text = repr(value)
    for named in re.findall(r"<(?:function|bound method) ([\w.<>]+)", text):
        text = re.sub(rf"<(?:function|bound method) {re.escape(named)}[^>]*>", named, text)
    return without_folders(_ADDRESS.sub("", text))
