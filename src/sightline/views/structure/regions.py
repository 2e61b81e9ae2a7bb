"""Draws Regions: the graph of patch sets beside its picture, for the report, a notebook, a file and
matplotlib.

Nothing here measures anything; what a set keeps was measured by the method.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from ... import registry
from ...explanations.regions import Regions, ordered
from .. import colour, encode
from ..overlay.photograph import Photograph, input_or_grey
from ..refusal import unless_refused
from ..standalone import page, rules, tokens
from ..wording import percent
from . import drawing
from .drawing import GridPlate, SetLayer
from .layout import GraphLayout, laid_out
from .sentences import counting, finding, leading, shown_first, whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIDE = 480  # pixels of the picture
_SMALL = 64.0  # of the thumbnails in the strip
_HEAD = 64  # of a file that stands alone: its two lines


@registry.drawn(Regions, "panel")
@unless_refused("panel")
def panel(regions: Regions, row: int = 0) -> str:
    """The graph of one image for a report: an HTML fragment that works by CSS alone."""
    plate = _plate(regions, row)
    lead, score = shown_first(regions, row), whole(regions, row)
    layout = laid_out(regions.links[row], plate.size[0] / plate.size[1], lead)
    start = len(layout.nodes)
    strip = _strip(regions, row)
    shown = _shown(layout, score)
    shown += [SetLayer(cells=cells, line=line) for cells, _, line in strip]
    thumbs = [_thumb(plate, start + i, cells, words) for i, (cells, words, _) in enumerate(strip)]
    notes = [Markup('<p class="doubt">{}</p>').format(note) for note in regions.notes[row]]
    return Markup(
        '<style>{}</style><div class="sag"><div class="sag-picture">{}</div><div class="sag-side">'
        '<p class="sag-finding">{}</p><p class="quiet-line">{}</p>{}'
        '<div class="sag-scroll" role="region" aria-label="Graph" tabindex="-1">{}</div>'
        '<p class="quiet-line">{}</p>'
        '<div class="sag-strip">{}</div></div></div>'
    ).format(
        Markup(drawing.rules(start + len(strip), lead)),
        drawing.stage(plate, shown),
        finding(regions, row),
        counting(regions, row),
        Markup("").join(notes),
        drawing.graph(plate, layout, regions.thresholds[1], score),
        _key(regions),
        Markup("").join(thumbs),
    )


@registry.drawn(Regions, "html")
def html(regions: Regions) -> str:
    """All images as one self-contained fragment, for notebooks and files."""
    return page("regions", (panel(regions, row) for row in range(len(regions))))


@registry.drawn(Regions, "svg")
@unless_refused("svg")
def svg(regions: Regions, row: int = 0) -> str:
    """One image as a picture that stands alone: the large picture on the left, its graph on the
    right; hovering and focusing work where the viewer knows CSS."""
    plate = _plate(regions, row)
    lead, score = shown_first(regions, row), whole(regions, row)
    layout = laid_out(regions.links[row], plate.size[0] / plate.size[1], lead)
    shown = _shown(layout, score)
    side = 380.0
    large_wide, large_high = drawing.stage_size(plate, shown)
    high = side * large_high / large_wide
    first, _, second = finding(regions, row).partition("; ")
    width = max(side + 24 + layout.width, 9.0 * len(first) + 32, 6.6 * len(second) + 32)
    height = max(high, layout.height) + _HEAD + 8
    large = str(drawing.stage(plate, shown)).replace(
        "<svg ", f'<svg x="12" y="{_HEAD}" width="{side:.0f}" height="{high:.0f}" ', 1
    )
    small = str(drawing.graph(plate, layout, regions.thresholds[1], score)).replace(
        "<svg ", f'<svg x="{side + 24:.0f}" y="{_HEAD}" ', 1
    )
    css = tokens("svg.sag", "color:var(--ink);") + rules("regions")
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" class="sag" viewBox="0 0 {} {}" width="{}"'
        ' height="{}"><title>{}</title><style>{}</style><rect class="sheet" width="100%"'
        ' height="100%"/><text class="heading" x="16" y="28">{}</text>'
        '<text class="line" x="16" y="50" font-size="13">{}</text>{}{}</svg>'
    ).format(
        round(width),
        round(height),
        round(width),
        round(height),
        finding(regions, row),
        Markup(_in_svg(css + drawing.rules(len(layout.nodes), lead))),
        first,
        second,
        Markup(large),
        Markup(small),
    )


@registry.drawn(Regions, "png")
@unless_refused("png")
def png(regions: Regions, row: int = 0, suffix: str = ".png") -> bytes:
    """The figure of one image as the bytes of a PNG or JPEG file."""
    stream = io.BytesIO()
    figure(regions, i=row).savefig(stream, format=suffix[1:], dpi=150)
    return stream.getvalue()


@registry.drawn(Regions, "figure")
@unless_refused("figure")
def figure(regions: Regions, *, i: int = 0, dark: bool = False) -> "Figure":
    """A matplotlib figure of image `i`: the best set on the picture, and the graph beside it."""
    from .plot import plot_figure

    return plot_figure(input_or_grey(regions, i), regions, i, finding(regions, i), dark)


@registry.drawn(Regions, "tile")
def tile(regions: Regions, row: int, photo: Photograph) -> colour.Pixels:
    """The set that is shown first on the photograph, for a figure of several explanations."""
    from .plot import shown

    cells = leading(regions, row)[0] if regions.minimal[row] else ()
    return shown(photo, cells, regions.grid)


@registry.drawn(Regions, "text")
@unless_refused("text")
def text(regions: Regions, row: int = 0) -> str:
    """What was found in one picture, as one or two sentences."""
    return finding(regions, row)


def _strip(regions: Regions, row: int) -> list[tuple[Sequence[Any], str, str]]:
    """Every minimal set and what is left without the necessary one: cells, words, line."""
    found: list[tuple[Sequence[Any], str, str]] = []
    score = whole(regions, row)
    for k, (cells, kept) in enumerate(
        zip(regions.minimal[row], regions.confidences[row], strict=True)
    ):
        cells = ordered(cells)
        line = drawing.score_line(cells, kept, score)
        found.append((cells, f"enough {k + 1}: {drawing.short(kept)}", line))
    needed, left = regions.necessary[row], regions.remaining[row]
    if needed is not None and left is not None:
        rows, cols = regions.grid
        needed = ordered(needed)
        rest = [(r, c) for r in range(rows) for c in range(cols) if (r, c) not in needed]
        line = f"without {drawing.which(needed)}: keeps {drawing.share_left(left, score)}"
        found.append((rest, f"necessary: {drawing.short(left)} left", line))
    return found


def _thumb(plate: GridPlate, k: int, cells: Sequence[Any], words: str) -> Markup:
    aspect = plate.size[0] / plate.size[1]
    size = (_SMALL, _SMALL / aspect) if aspect >= 1 else (_SMALL * aspect, _SMALL)
    return Markup(
        '<figure class="node n{}" tabindex="0"><svg width="{:.0f}" height="{:.0f}" role="img"'
        ' aria-label="{}">{}</svg><figcaption>{}</figcaption></figure>'
    ).format(k, size[0], size[1], words, drawing.thumbnail(plate, cells, size), words)


def _key(regions: Regions) -> str:
    enough, gone = (percent(t) for t in regions.thresholds)
    return (
        "Each step down takes one patch away. The blue outline shows how much of the score remains:"
        f" {enough} of the whole picture's score is enough; sets below {gone} are faded. Point at a"
        " picture, or go through them with Tab, to see its patches large."
    )


def _shown(layout: GraphLayout, whole: float | None) -> list[SetLayer]:
    lines = ((n.cells, drawing.score_line(n.cells, n.confidence, whole)) for n in layout.nodes)
    return [SetLayer(cells=cells, line=line) for cells, line in lines]


def _plate(regions: Regions, row: int) -> GridPlate:
    pixels = input_or_grey(regions, row)
    return GridPlate(
        address=encode.picture(pixels, long_side=_SIDE),
        size=(pixels.shape[1], pixels.shape[0]),
        grid=(regions.grid[0], regions.grid[1]),
    )


def _in_svg(css: str) -> str:
    """CSS as text of an XML file."""
    return css.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
