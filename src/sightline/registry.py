"""Finds every method by walking the package: a new file is a new method, nothing else is edited.

`@register(name, paper=, claims=)` puts a frozen dataclass under its name; `create` makes one from a
name and fields, `to_json` and `from_json` carry it through files, command lines and forms. Third
parties announce methods by the entry-point groups `sightline.explainers` and `sightline.metrics`.
"""

import dataclasses
import importlib
import importlib.util
import logging
import pkgutil
import re
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from inspect import Parameter, signature
from numbers import Integral, Real
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import BadField, UnknownName, near

_T = TypeVar("_T", bound=type)
_F = TypeVar("_F", bound=Callable[..., Any])

log = logging.getLogger("sightline")

ROOMS = {
    "explainer": "explainers",
    "metric": "metrics",
    "attack": "attacks",
    "recipe": "recipes",
}


@dataclass(frozen=True)
class Entry:
    """One registered method: its class and what its file says about it."""

    name: str
    kind: str
    cls: type
    paper: str
    claims: tuple[str, ...]

    @property
    def doc(self) -> str:
        return (self.cls.__doc__ or "").strip()

    @property
    def about(self) -> str:
        """What its file says of the paper, the equations and every deviation."""
        return (sys.modules[self.cls.__module__].__doc__ or "").strip()

    @property
    def room(self) -> str:
        """The room of its kind that it lives in (`cam`, `mask`); empty for one that lives in none,
        or in another package."""
        root, *rooms = self.cls.__module__.split(".")
        return rooms[1] if root == __package__ and len(rooms) > 2 else ""

    @property
    def question(self) -> str:
        """The first sentence of the docstring: what the method answers."""
        paragraph = " ".join(self.doc.split("\n\n")[0].split())
        return re.split(r"(?<=[?.]) ", paragraph)[0]

    @property
    def caution(self) -> str:
        """The sentence that says when not to trust the result."""
        for paragraph in self.doc.split("\n\n"):
            if "not trust" in paragraph.lower():
                return " ".join(paragraph.split())
        return ""


_entries: dict[tuple[str, str], Entry] = {}
_families: dict[tuple[str, str], type] = {}
_views: dict[tuple[type, str], Callable[..., Any]] = {}


def register(name: str, *, paper: str = "", claims: tuple[str, ...] = ()) -> Callable[[_T], _T]:
    """Put a class under `name`; its kind is the one of its contract (explainer, metric, ...)."""

    def enter(cls: _T) -> _T:
        key = (cls.kind, _spelling(name))
        known = _entries.get(key)
        if known and known.cls.__qualname__ != cls.__qualname__:
            raise BadField(f"two {cls.kind}s are called {name!r}: {known.cls!r} and {cls!r}")
        _entries[key] = Entry(name, cls.kind, cls, paper, claims)
        cls.registered_name = name
        return cls

    return enter


def register_family(opening: str) -> Callable[[_T], _T]:
    """Put a class under all names `OPENING:REST`, which stand for methods that are written
    elsewhere: its class method `named(name, **fields)` makes each when it is used."""

    def enter(cls: _T) -> _T:
        _families[cls.kind, opening] = cls
        cls.opening = opening
        return cls

    return enter


def families(kind: str) -> dict[str, type]:
    """How names of methods that are written elsewhere begin, and the class behind each."""
    _discover(kind)
    return {opening: cls for (k, opening), cls in sorted(_families.items()) if k == kind}


def written_elsewhere(kind: str, name: str) -> bool:
    """Whether a method of that name (`captum:Saliency`) is another library's, or a user's."""
    return _family(kind, name) is not None


def drawn(what: type, form: str) -> Callable[[_F], _F]:
    """Make the decorated function the view of `what` in `form` (`figure`, `html`, `png`, `svg`,
    `text`)."""

    def enter(function: _F) -> _F:
        _views[what, form] = function
        return function

    return enter


def view(what: type, form: str) -> Callable[..., Any]:
    """The function that draws `what` as `form`. Raises: UnknownName where nobody draws it."""
    for room in ("views", "pages"):
        _walk(room)
        for parent in what.__mro__:
            if (parent, form) in _views:
                return _views[parent, form]
    raise UnknownName(f"no view draws {what.__name__} as {form!r}.")


def fitting_view(what: type, form: str, options: Collection[str]) -> Callable[..., Any]:
    """The function that draws `what` as `form` with these options.

    Raises: UnknownName where nobody draws it, or for an option that it does not take.
    """
    draw = view(what, form)
    known = [
        p.name for p in signature(draw).parameters.values() if p.kind is Parameter.KEYWORD_ONLY
    ]
    for option in options:
        if option not in known:
            raise UnknownName(
                f"the {form} of {what.__name__} has no option {option!r}{near(option, known)}"
                f" Options: {', '.join(known) or 'none'}."
            )
    return draw


def discover_kinds() -> None:
    """Imports every kind of explanation, so that a saved one is found by its name."""
    _walk("explanations")


def available(kind: str) -> list[str]:
    """All names of a kind (`explainer`, `metric`, `attack`, `recipe`), sorted."""
    _discover(kind)
    return sorted(e.name for (k, _), e in _entries.items() if k == kind)


def entry(kind: str, name: str) -> Entry:
    """What is registered under `name`, in any spelling. Raises: UnknownName with near names."""
    _discover(kind)
    found = _entries.get((kind, _spelling(name)))
    if found is None and (family := _family(kind, name)):
        found = Entry(name, kind, family, "", ())
    if found is None:
        names = available(kind)
        _refuse_opening(kind, name)
        raise UnknownName(
            f"no {kind} named {name!r}{near(name, names)} All names: {', '.join(names) or 'none'}."
            " (Spelling variants such as `gradcam`, `Grad-CAM` are accepted.)"
        )
    return found


def _family(kind: str, name: str) -> Any:  # Any: a class that makes methods by `named`
    """The class behind names such as `captum:Saliency`; None for other names."""
    opening, colon, rest = name.strip().partition(":")
    return families(kind).get(opening.strip().lower()) if colon and rest else None


def _refuse_opening(kind: str, name: str) -> None:
    """Raises: UnknownName for `captun:Saliency`, with the openings that there are."""
    opening, colon, _ = name.partition(":")
    known = families(kind)
    if colon and known:
        raise UnknownName(
            f"no {kind} is called {name!r}{near(opening, known)} Names with a colon begin with"
            f" {', '.join(f'{word}:' for word in known)}"
        )


def group(kind: str, word: str) -> list[str]:
    """The names that `all` or `all-ROOM` (`all-cam`, `all-gradient`) stands for; none for any other
    word. Raises: UnknownName for a room that does not exist."""
    start, _, room = word.strip().lower().replace("_", "-").partition("-")
    if start != "all" or (kind, _spelling(word)) in _entries:
        return []
    found: dict[str, list[str]] = {}
    for name in available(kind):
        found.setdefault(entry(kind, name).room, []).append(name)
    if room and room not in found:
        rooms = sorted(f"all-{r}" for r in found if r)
        raise UnknownName(f"no group {word!r}{near(word, rooms)} Groups: all, {', '.join(rooms)}.")
    return found[room] if room else available(kind)


def without_groups(kind: str, wanted: Sequence[Any]) -> list[Any]:  # Any: names, or methods as is
    """What is wanted, with the names that a group stands for in its place."""
    groups = [group(kind, each) if isinstance(each, str) else [] for each in wanted]
    return [name for each, names in zip(wanted, groups, strict=True) for name in names or [each]]


def create(kind: str, name: str, **fields: Any) -> Any:  # Any: the class depends on the name
    """Make the method called `name` with these parameters.

    Raises: UnknownName for a name or a field that does not exist, BadField for a bad value.
    """
    cls = entry(kind, name).cls
    if family := _family(kind, name):
        return family.named(name, **fields)
    known = [f.name for f in dataclasses.fields(cls)]
    for field in fields:
        if field not in known:
            raise UnknownName(
                f"{entry(kind, name).name} has no field {field!r}{near(field, known)}"
                f" Fields: {', '.join(known) or 'none'}."
            )
    given = {field: _fitting(cls, field, value) for field, value in fields.items()}
    return cls(**given)


def _fitting(cls: Any, field: str, value: Any) -> Any:
    """A field's value, numbers of other libraries as Python's, lists as tuples. Raises: BadField
    for another type than the plain one that the field is annotated with."""
    hint = _hints(cls).get(field, Any)
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    several = any(get_origin(kind) is tuple for kind in kinds)
    if several and isinstance(value, (list, tuple)):
        value = tuple(_number(each) for each in value)
    value = _number(value)
    if all(_said(kind) for kind in kinds) and not any(_is(value, kind) for kind in kinds):
        expected, shown = " or ".join(_said(kind) for kind in kinds), repr(value)
        shown = shown if len(shown) < 80 else f"an object of type {type(value).__name__}"
        raise BadField(f"{cls.registered_name}: {field} is {expected}; got {shown}.")
    return value


_PLAIN: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "True or False",
    type(None): "None",
}


_SEVERAL = {int: "whole numbers", float: "numbers", str: "texts"}


def _said(kind: Any) -> str:
    """A plain type, or a tuple of one, in words; nothing for any other."""
    parts = get_args(kind)
    if get_origin(kind) is not tuple or not parts:
        return _PLAIN.get(kind, "")
    several = {_SEVERAL.get(each, "") for each in parts if each is not ...}
    if len(several) != 1 or "" in several:
        return ""
    return f"{'several' if ... in parts else len(parts)} {several.pop()}"


def _number(value: Any) -> Any:
    if isinstance(value, Real) and not isinstance(value, bool):
        return int(value) if isinstance(value, Integral) else float(value)
    return value


def _is(value: Any, kind: Any) -> bool:
    if get_origin(kind) is tuple:
        parts = get_args(kind)
        if not isinstance(value, tuple) or (... not in parts and len(value) != len(parts)):
            return False
        return all(_is(each, parts[0]) for each in value)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


@cache
def _hints(cls: type) -> dict[str, Any]:
    try:
        return get_type_hints(cls)
    except NameError:  # somebody else's, with names that are not there when it runs
        return {}


def to_json(method: Any) -> dict[str, Any]:  # Any: one of the registered dataclasses
    """A method as plain data: `{"name": ..., "fields": {...}}`; methods in fields are nested."""
    fields = {f.name: _plain(getattr(method, f.name)) for f in dataclasses.fields(method)}
    return {"name": method.registered_name, "fields": fields}


def from_json(kind: str, data: dict[str, Any]) -> Any:
    """The method that `to_json` wrote."""
    fields = {
        name: from_json(kind, value) if _is_method(value) else _unplain(value)
        for name, value in data["fields"].items()
    }
    return create(kind, data["name"], **fields)


def _is_method(value: object) -> bool:
    return isinstance(value, dict) and set(value) == {"name", "fields"}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_json(value)
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def _unplain(value: Any) -> Any:
    return tuple(_unplain(v) for v in value) if isinstance(value, list) else value


def _spelling(name: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", name.lower()).replace("++", "plusplus")


@cache
def _discover(kind: str) -> None:
    if kind not in ROOMS:
        raise UnknownName(f"no kind {kind!r}{near(kind, ROOMS)} Kinds: {', '.join(ROOMS)}.")
    _walk(ROOMS[kind])
    for point in entry_points(group=f"sightline.{ROOMS[kind]}"):
        try:
            point.load()
        except Exception as error:  # a broken plug-in must not take the library down
            log.warning("plug-in %s (%s) was skipped: %s", point.name, point.value, error)


@cache
def _walk(room: str) -> None:
    root = __package__
    if importlib.util.find_spec(f"{root}.{room}") is None:
        return
    package = importlib.import_module(f"{root}.{room}")
    for module in pkgutil.walk_packages(package.__path__, f"{root}.{room}."):
        importlib.import_module(module.name)
