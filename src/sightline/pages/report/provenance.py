"""How a result was made, as rows (field, value) in plain words, for the table under each card.

The provenance of a result is JSON for machines: nested, with reprs of dataclasses as values. Here
known fields get the names of the page, what is unknown keeps its own name, and no value is shown as
code.
"""

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...views.wording import listed, percent, seconds

Rows = list[tuple[str, str]]

_TIMES = "\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}"
_NAMES = {
    "method": "Method",
    "target_label": "Explained",
    "target_index": "Class number",
    "score": "Score",
    "probability": "Probability",
    "saturated": "Score saturated",
    "refused": "Refused",
    "layer": "Layer",
    "partial": "Layer carries only a part of the score",
    "passes": "Passes",
    "seconds": "Time",
    "count": "Pictures in this run",
    "copies": "Batched copies",
    "seed": "Seed",
    "model": "Model",
    "weights_digest": "Weights",
    "preprocessing": "Preprocessing",
    "gives": "Model output",
    "called": "How the model is called",
    "precision": "Precision",
    "ran_in": "Ran in",
    "device": "Device",
    "versions": "Versions",
}
"""In the order of the table; what is not named here stands after the settings."""

_SETTING = "setting: "
_MACHINE = {"schema", "target", "evaluations"}
"""Shown in other words (the target by its label, the evaluations as passes), or only for readers of
files."""

_IDLE: Mapping[str, Any] = {
    "saturated": False,
    "partial": False,
    "copies": 0,
    "count": 1,
}
"""Usual values, which say nothing."""

_OBJECTS = {"preprocessing": "preprocess: "}
"""Objects whose own name would only repeat the field's."""


def rows(facts: Mapping[str, Any], target: str = "") -> Rows:  # Any: whatever JSON holds
    """The table of one picture's result. target: what is explained, where `facts` has no label.

    A list of one value is that value; fields without a value are left out.
    """
    known = {name: _single(value) for name, value in facts.items() if name not in _MACHINE}
    if isinstance(spent := facts.get("evaluations"), Mapping):
        known["passes"] = listed([f"{n} {way}" for way, n in spent.items() if n]) or "none"
    if target and _empty(known.get("target_label")):
        known["target_label"] = target
    settings = known.pop("parameters", None)
    if isinstance(settings, Mapping):
        shown = {k: v for k, v in settings.items() if not (k == "layer" and known.get("layer"))}
        known |= {f"{_SETTING}{name}": value for name, value in shown.items()}
    order = [name for name in _NAMES if name in known]
    rest = [name for name in known if name not in _NAMES]
    place = order.index("model") if "model" in order else len(order)
    table = [_row(name, known[name]) for name in (*order[:place], *rest, *order[place:])]
    return [(name, text) for name, text in table if text]


def _row(name: str, value: Any) -> tuple[str, str]:
    heading = _NAMES.get(name) or _words(name).capitalize()
    if name in _IDLE and value == _IDLE[name]:
        return heading, ""
    if name.startswith(_SETTING) and value is None:
        return heading, "default"
    text = _FORMS.get(name, plain)(value)
    return heading, text.partition(": ")[2] if text.startswith(_OBJECTS.get(name, "\0")) else text


def plain(value: Any) -> str:
    """A value of JSON in words: `yes` and `no`, numbers with two digits, lists with commas, and
    what was the repr of an object as its name and fields."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        if set(value) == {"name", "fields"}:  # a method that is the setting of another
            return f"{value['name']}: {plain(value['fields'])}".removesuffix(": ")
        pairs = ((_words(str(k)), plain(v)) for k, v in value.items())
        return ", ".join(f"{name} {text}" if text else name for name, text in pairs)
    if isinstance(value, Sequence):
        return ", ".join(filter(None, map(plain, value)))
    return _text(str(value))


def size(shape: Sequence[int]) -> str:
    """A shape with multiplication signs between its sides."""
    return _TIMES.join(map(str, shape))


def _text(text: str) -> str:
    """A string as it is; the repr of an object in words, without its place in memory."""
    text = re.sub(r"<(?:bound method |built-in )?(\w+) ?'?([\w.]*)'?[^<>]*? at 0x\w+>", r"\2", text)
    if not re.fullmatch(r"\w+\(.*\)", text, re.DOTALL):
        return text
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        return text
    return _code(tree) if isinstance(tree, ast.Call) else text


def _code(node: ast.expr) -> str:
    """An expression in words: `Class((3,), probability=False)` is `class: 3; probability no`."""
    if isinstance(node, ast.Constant):
        return plain(node.value) or "none"
    if isinstance(node, ast.Call):
        fields = [_code(argument) for argument in node.args]
        named = [(k.arg or "", k.value) for k in node.keywords if ast.unparse(k.value) != "None"]
        fields += [f"{_words(name)} {_code(value)}".strip() for name, value in named]
        return f"{_words(ast.unparse(node.func))}: {'; '.join(fields)}".removesuffix(": ")
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return ", ".join(map(_code, node.elts)) or "none"
    if isinstance(node, ast.Dict):
        keys = [_code(k) if k else "" for k in node.keys]
        return ", ".join(f"{k} {_code(v)}" for k, v in zip(keys, node.values, strict=True))
    return ast.unparse(node)


def _words(name: str) -> str:
    """`keep_sign` as `keep sign`, `IGOSPlus` as it is."""
    name = name.replace("_", " ").replace(".", " ").strip()
    return name.lower() if re.fullmatch(r"[A-Z][a-z]+", name) else name


def _single(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value


def _empty(value: Any) -> bool:
    return value is None or value == ""


def _share(value: Any) -> str:
    return percent(float(value)) if isinstance(value, (int, float)) else plain(value)


def _duration(value: Any) -> str:
    return seconds(float(value)) if isinstance(value, (int, float)) else plain(value)


_FORMS: Mapping[str, Callable[[Any], str]] = {"probability": _share, "seconds": _duration}
