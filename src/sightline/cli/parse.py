"""From the words of a command line to models, methods, metrics and pictures."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from .. import registry, run, zoo
from ..attack import Attack
from ..data import openers
from ..data.addresses import is_address
from ..data.classes import match
from ..data.opening import open_samples
from ..errors import BadField, BadImage, UnknownName, near
from ..explainer import Explainer
from ..explainers.layer_choice import at_layer
from ..metric import Metric
from ..model import Model
from ..pictures import reading
from ..pictures.formats.levels import Range, parse_range
from ..pictures.preprocess import Preprocess
from ..sample import Sample
from .results.names import titles

log = logging.getLogger("sightline")

DEFAULT = "sightline:default"
METRICS = "deletion,insertion"  # where none is named
Method = Explainer | Metric | Attack
_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def model(
    name: str | None,
    *,
    device: str,
    precision: str | None = None,
    batch: int | None = None,
    range: str | None = None,
) -> Model:
    """The model of that name on the device; the embedded one, said aloud, for no name."""
    chosen = None if range is None else parse_range(range)
    made = in_range(zoo.load(name or DEFAULT, precision=precision or "exact"), chosen)
    if name is None:
        count = len(made.labels or ())
        log.info("no model was named: using %s, which knows %d drawn birds only", DEFAULT, count)
    made.to(device)
    made.batch = batch or made.batch
    return made


def in_range(model: Model, chosen: Range | None) -> Model:
    """The model, reading pictures in that range. Raises: BadField where it reads none."""
    if chosen is not None:
        if not isinstance(model.preprocess, Preprocess):
            raise BadField(
                f"--range says how pictures are read, and the preprocessing of {model.name} is"
                " unknown; leave it out, or give `mean=`, `std=` and `size=` beside `file:`."
            )
        model.preprocess = replace(model.preprocess, range=chosen)
    return model


def methods(
    model: Model,
    names: str | None,
    *,
    settings: Sequence[str] = (),
    layer: str | None = None,
    seed: int | None = None,
) -> list[Explainer]:
    """The explainers of a comma-separated list of names and groups, with their parameters set."""
    words = None
    if names is not None:
        words = [*dict.fromkeys(registry.without_groups("explainer", _words(names)))]
    made = run.chosen(model, words)
    given = [_setting(text) for text in settings]
    changed = [_with(explainer, given, seed) for explainer in made]
    for method, name, _ in given:
        if not any(_concerns(e, method, name) for e in made):
            raise _nobody(made, method, name)
    return changed if layer is None else at_layer(changed, layer)


def judges(names: str | Sequence[Metric] | None, settings: Sequence[str] = ()) -> list[Metric]:
    """The metrics of a comma-separated list, with their parameters set; `none` for no metric, None
    for the usual ones."""
    names = METRICS if names is None else names
    if isinstance(names, str) and names.strip().lower() in ("none", ""):
        return []
    words = dict.fromkeys(_words(names)) if isinstance(names, str) else names
    made = [registry.create("metric", w) if isinstance(w, str) else w for w in words]
    given = [_setting(text, "metric") for text in settings]
    for method, name, _ in given:
        if not any(_concerns(m, method, name) for m in made):
            raise _nobody(made, method, name)
    return [_with(metric, given, None) for metric in made]


def of_metrics(settings: Sequence[str]) -> tuple[list[str], list[str]]:
    """The settings whose owner is a metric (`deletion.steps=56`), and the others."""
    own, rest = [], []
    for text in settings:
        owner = text.partition("=")[0].strip().rpartition(".")[0]
        try:
            known = bool(owner) and bool(registry.entry("metric", owner))
        except UnknownName:
            known = False
        (own if known else rest).append(text)
    return own, rest


def attack(name: str, settings: Sequence[str]) -> tuple[Attack, list[str]]:
    """The attack with its parameters set, and the settings that are not its own (`rise.masks=500`,
    or a field that it lacks)."""
    made = registry.create("attack", name)
    own, rest = [], []
    for text in settings:
        left, equals, value = text.partition("=")
        owner, _, field = left.strip().rpartition(".")
        mine = not owner or _is_name("attack", owner, made.registered_name)
        if equals and mine and field in _hints(made):
            own.append((None, field, value.strip()))
        else:
            rest.append(text)
    return _with(made, own, None), rest


def _is_name(kind: str, spelled: str, name: str) -> bool:
    try:
        return registry.entry(kind, spelled).name == name
    except UnknownName:
        return False


def pictures(
    model: Model, sources: Sequence[str], limit: int | None
) -> tuple[list[Sample], list[tuple[str, str]]]:
    """The pictures of all sources, files without repeats, and (source, reason) where there is none,
    or where it is no regular file. Labels of collections are matched with the model's classes;
    those of class folders are not read.

    Raises: BadImage where no source has a picture, BadField for a stream without a limit.
    """
    found: dict[Path | Sample, None] = {}
    missing = []
    for source in sources:
        try:
            if openers.opener_of(source) or is_address(source):
                found.update(dict.fromkeys(_collected(model, source, limit)))
                continue
            named = reading.gather([source], regular=False)
        except BadImage as error:
            missing.append((source, str(error)))
            continue
        for path in named:
            try:
                found[reading.existing(path)] = None
            except BadImage as error:
                missing.append((reading.printable(path), str(error)))
    if not found:
        raise BadImage(" ".join(reason for _, reason in missing))
    chosen = list(found)[:limit]
    names = iter(titles([each for each in chosen if isinstance(each, Path)]))
    samples = [
        Sample(name=next(names), source=each) if isinstance(each, Path) else each for each in chosen
    ]
    return samples, missing


def _collected(model: Model, source: str, limit: int | None) -> Iterable[Sample]:
    """The pictures of a collection with a name of its own."""
    samples = match(open_samples(source, limit), model)
    if samples.count is None and limit is None:
        raise BadField(
            f"{source} is a stream, whose end is not known; say how many pictures with --limit, or"
            " use `sightline evaluate`."
        )
    return samples


def _words(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise BadField(f"{text!r} names nothing; give names separated by commas.")
    return words


def _setting(text: str, kind: str = "explainer") -> tuple[str | None, str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise BadField(f"--set takes FIELD=VALUE, such as masks=500; got {text!r}.")
    method, dot, field = name.strip().rpartition(".")
    return (registry.entry(kind, method).name if dot else None), field, value.strip()


def _concerns(explainer: Method, method: str | None, name: str) -> bool:
    return name in _hints(explainer) and method in (None, explainer.registered_name)


def _with(explainer: Method, given: Sequence[tuple[str | None, str, str]], seed: int | None) -> Any:
    hints = _hints(explainer)
    changes: dict[str, Any] = {"seed": seed} if seed is not None and "seed" in hints else {}
    for method, name, text in given:
        if _concerns(explainer, method, name):
            try:
                changes[name] = typed(text, hints[name])
            except ValueError:
                kind = str(getattr(hints[name], "__name__", hints[name]))
                raise BadField(
                    f"{explainer.registered_name}.{name} is {kind}; got {text!r}."
                ) from None
    made: Any = explainer  # every explainer is a dataclass, which its contract cannot say
    return replace(made, **changes) if changes else explainer


def _hints(explainer: Method) -> dict[str, Any]:
    hints = get_type_hints(type(explainer))
    return {name: hints[name] for name in registry.to_json(explainer)["fields"]}


def _nobody(made: Sequence[Method], method: str | None, name: str) -> UnknownName:
    fields = sorted({f for e in made if method in (None, e.registered_name) for f in _hints(e)})
    who = method or ", ".join(e.registered_name for e in made)
    return UnknownName(
        f"{who} has no field {name!r}{near(name, fields)} Fields: {', '.join(fields) or 'none'}."
    )


def typed(text: str, hint: Any) -> Any:  # Any: the hint says which type
    """What `text` means for a field of that type. Raises: ValueError where it has no meaning."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _first(text, parts)
    if origin is Literal:
        return (
            {str(value): value for value in parts}[text]
            if text in map(str, parts)
            else _wrong(text)
        )
    if origin is tuple:
        pieces = [piece.strip() for piece in text.strip("()[] ").split(",") if piece.strip()]
        kinds = parts[:1] * len(pieces) if parts[1:] == (...,) else parts
        return tuple(typed(piece, kind) for piece, kind in zip(pieces, kinds, strict=True))
    if hint is bool:
        return text.lower() in _YES if text.lower() in (*_YES, *_NO) else _wrong(text)
    if hint is NoneType:
        return None if text.lower() == "none" else _wrong(text)
    return hint(text) if hint in (int, float, str, Path) else _wrong(text)


def _first(text: str, kinds: Sequence[Any]) -> Any:
    for kind in sorted(kinds, key=lambda k: (k is str, k is not NoneType)):
        try:
            return typed(text, kind)
        except ValueError:
            continue
    return _wrong(text)


def _wrong(text: str) -> Any:
    raise ValueError(text)
