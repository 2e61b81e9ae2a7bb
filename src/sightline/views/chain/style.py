"""The style of a chain, in a page that has the tokens and in a file that stands alone."""

from importlib.resources import files

from ..colour import DARK, LIGHT

_START, _END = "/* Chains of questions", "/* End of chains"


def alone(selector: str) -> str:
    """Tokens on `selector`, light and dark, and the rules of chains."""
    text = (files("sightline") / "report_assets" / "panel.css").read_text(encoding="utf-8")
    own = text[text.index(_START) : text.index(_END)]
    light, dark = (
        "".join(f"--{name}:{value};" for name, value in tokens.items()) for tokens in (LIGHT, DARK)
    )
    place = "background:var(--paper);color:var(--ink);font:15px/1.45 system-ui,sans-serif;"
    return (
        f"{selector}{{{light}{place}padding:16px;max-width:960px;margin:0 auto}}"
        f"@media(prefers-color-scheme:dark){{{selector}{{{dark}}}}}{own}"
    )
