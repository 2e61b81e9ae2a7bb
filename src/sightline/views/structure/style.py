"""The style of a graph of sets, in a page that has the tokens and in a file that stands alone."""

from importlib.resources import files

from ..colour import DARK, LIGHT


def shared() -> str:
    """The part of `panel.css` that draws graphs of sets."""
    text = (files("sightline") / "report_assets" / "panel.css").read_text(encoding="utf-8")
    return text[text.index(".sag") :]


def alone(selector: str) -> str:
    """What a file or a notebook cell needs besides: tokens on `selector`, light and dark."""
    light, dark = (
        "".join(f"--{name}:{value};" for name, value in tokens.items()) for tokens in (LIGHT, DARK)
    )
    text = f"{selector}{{{light}color:var(--ink);font:15px/1.45 system-ui,sans-serif;}}"
    return f"{text}@media(prefers-color-scheme:dark){{{selector}{{{dark}}}}}"
