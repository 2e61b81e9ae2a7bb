"""A panel that stands alone, in a file or a notebook: our tokens, and the rules of its kind."""

from collections.abc import Iterable
from importlib.resources import files

from markupsafe import Markup

from .colour import DARK, LIGHT

_PLACE = "color:var(--ink);background:var(--paper);font:15px/1.45 system-ui,sans-serif;"


def stylesheet() -> str:
    """The rules of all kinds of panels."""
    return (files("sightline") / "views" / "panel.css").read_text(encoding="utf-8")


def rules(kind: str) -> str:
    """The rules of one kind of panel, those between its marks in `panel.css`."""
    text = stylesheet()
    return text[text.index(f"/* {kind} */") : text.index(f"/* end of {kind} */")]


def tokens(selector: str, more: str = "") -> str:
    """Our colours on `selector`, light and dark, and `more` declarations."""
    light, dark = (
        "".join(f"--{name}:{value};" for name, value in held.items()) for held in (LIGHT, DARK)
    )
    return f"{selector}{{{light}{more}}}@media(prefers-color-scheme:dark){{{selector}{{{dark}}}}}"


def page(kind: str, panels: Iterable[str], width: int = 1200) -> Markup:
    """Panels below each other as one self-contained fragment without script."""
    own = f".sightline-{kind}"
    css = (
        tokens(own, f"{_PLACE}padding:16px;max-width:{width}px;margin:0 auto;")
        + f"{own} p,{own} h4{{margin:0}}{own} em{{font-style:normal;font-weight:700}}"
        + f"{own} .quiet-line{{font-size:13px;color:var(--ink-2)}}"
        + rules(kind)
    )
    return Markup(
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        '<style>{}</style><div class="sightline-{}">{}</div>'
    ).format(Markup(css), kind, Markup("<hr>").join(map(Markup, panels)))
