"""Maps over their photographs as parts of a matplotlib figure: the same pixels as in a file."""

from typing import TYPE_CHECKING

from .. import colour
from ..colour import Pixels
from ..paint import Ramp
from .plate import wrapped_to
from .style import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .captions import Caption

Tokens = dict[str, str]

_LEADING = 1.36  # heights of the type from line to line


def blank(width: float, height: float, dark: bool) -> tuple["Figure", Tokens]:
    """An empty figure of so many inches, without pyplot, and the colours of its theme."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tokens = colour.DARK if dark else colour.LIGHT
    made = Figure(figsize=(width, height), facecolor=tokens["paper"])
    FigureCanvasAgg(made)
    return made, tokens


def show(ax: "Axes", pixels: Pixels, tokens: Tokens, title: str = "") -> None:
    """A picture without ticks, its title on the left above it."""
    ax.imshow(pixels, interpolation="antialiased", aspect="equal")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_facecolor(tokens["card"])
    for spine in ax.spines.values():
        spine.set_visible(False)
    if title:
        ax.set_title(title, fontsize=9, color=tokens["ink"], loc="left", pad=5, parse_math=False)


def scale_bar(ax: "Axes", ramp: Ramp, style: Style, tokens: Tokens, size: float = 8) -> None:
    """A colour bar that fills these axes: numbers at its ends and middle, its unit below."""
    table = colour.table("signed" if ramp.signed else style.table)
    ax.imshow(table[None], aspect="auto", extent=(0, 1, 0, 1))
    ax.set_yticks([])
    ax.set_xticks([0, 0.5, 1], labels=list(ramp.ends))
    for text, side in zip(ax.get_xticklabels(), ("left", "center", "right"), strict=True):
        text.set_horizontalalignment(side)
    ax.tick_params(length=0, labelsize=size, colors=tokens["ink-2"], pad=3)
    ax.set_xlabel(ramp.unit, fontsize=size, color=tokens["ink-2"], labelpad=2)
    for spine in ax.spines.values():
        spine.set_edgecolor(tokens["edge"])
        spine.set_linewidth(0.6)


def captioned(
    figure: "Figure", caption: "Caption", place: tuple[float, float, float], tokens: Tokens
) -> None:
    """A caption whose upper left corner lies at x, y of the figure and that is so wide, all in
    shares of the figure."""
    x, y, width = place
    inches = figure.get_figwidth() * width
    line = _LEADING / 72 / figure.get_figheight()
    for text, size, ink, bold in _texts(caption):
        for part in wrapped_to(text, size, inches, bold):
            words = figure.text(x, y, part, va="top", fontsize=size, color=tokens[ink])
            words.set_fontweight("bold" if bold else "normal")
            words.set_parse_math(False)
            y -= line * size


def caption_height(caption: "Caption", width: float) -> float:
    """Inches that a caption of that width (inches) takes."""
    return sum(
        len(wrapped_to(text, size, width, bold)) * size * _LEADING / 72
        for text, size, _, bold in _texts(caption)
    )


def _texts(caption: "Caption") -> list[tuple[str, float, str, bool]]:
    """(text, points, ink, bold) of each part of a caption."""
    return [
        (caption.title, 10.0, "ink", True),
        (caption.detail, 8.5, "ink-2", False),
        (caption.note, 8.5, "ink", False),
        (caption.caution, 7.5, "ink-2", False),
    ]
