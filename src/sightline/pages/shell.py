"""The frame of every page: its template, colours, rules and script, in one file that needs nothing
else.

A page opens without a server and without a network, and (for its pictures) without a script.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from ..views import colour, standalone
from . import joiner

if TYPE_CHECKING:
    from jinja2 import Environment

_SCRIPT = "start.js"
_PANELS = "panel.css"  # it lies with the views, which need it for panels of their own

Context = Mapping[str, Any]  # Any: what a template reads


def rendered(
    template: str, context: Context, styles: Sequence[str], payload: Context | None = None
) -> str:
    """A page as one HTML text; labels, names and errors in it are escaped.

    styles: files of `static`. payload: what the page's script reads, as JSON; None for a page
    without a script.
    """
    shared: dict[str, Any] = {
        "light": declared(colour.LIGHT),
        "dark": declared(colour.DARK),
        "css": Markup("\n".join(map(asset, styles))),
    }
    if payload is not None:
        script = joiner.joined(_SCRIPT, asset)
        digest = hashlib.sha256(script.encode()).digest()
        shared["script"] = Markup(script)
        shared["script_hash"] = base64.b64encode(digest).decode()
        shared["payload"] = embedded(payload)
    return _environment().get_template(template).render({**context, **shared})


def embedded(data: Context) -> Markup:
    """JSON that cannot end its script element, whatever the labels say."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def code(text: str) -> Markup:
    """A sentence with what stands between backticks as code; everything else is escaped."""
    pieces = re.split(r"`([^`]+)`", text)
    marked = [
        Markup("<code>{}</code>").format(piece) if k % 2 else escape(piece)
        for k, piece in enumerate(pieces)
    ]
    return Markup("").join(marked)


def declared(values: Mapping[str, str]) -> Markup:
    """Colours as declarations of style properties."""
    return Markup("".join(f"--{name}:{value};" for name, value in values.items()))


def asset(name: str) -> str:
    """The text of a file in `static`, or the rules of panels."""
    if name == _PANELS:
        return standalone.stylesheet()
    return (files("sightline") / "pages" / "static" / name).read_text(encoding="utf-8")


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("sightline", "pages/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = code
    return environment
