"""Draws Concepts: each x-feature on the picture with its value, weight and contribution, and their
sum, for the report, a notebook, a file and matplotlib.

Nothing here measures anything.
"""

import io
from typing import TYPE_CHECKING

from markupsafe import Markup

from ... import registry
from ...explanations.concepts import Concepts
from .. import colour
from ..overlay.photograph import Photograph
from ..refusal import unless_refused
from ..standalone import page
from ..wording import number
from . import tiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@registry.drawn(Concepts, "panel")
@unless_refused("panel")
def panel(concepts: Concepts, row: int = 0) -> str:
    """The features of one image for a report: an HTML fragment without script."""
    said, doubtful = tiles.trust(concepts, row)
    whole = Markup(
        '<li class="concept-card whole"><h4>the picture</h4>{}<div class="concept-facts">{}</div>'
        "</li>"
    ).format(tiles.image(tiles.pixels(concepts, row), "The picture", ""), _key(concepts, row))
    cards = [_card(concepts, row, k) for k in concepts.order(row)]
    return Markup(
        '<div class="concepts"><p class="concept-finding">{}</p><p class="concept-line">{}</p>'
        '<p class="quiet-line{}">{}</p><ol class="concept-cards">{}{}</ol></div>'
    ).format(
        tiles.finding(concepts, row),
        tiles.total(concepts, row),
        " concept-doubt" if doubtful else "",
        said,
        whole,
        Markup("").join(cards),
    )


@registry.drawn(Concepts, "text")
@unless_refused("text")
def text(concepts: Concepts, row: int = 0) -> str:
    """What the sum says, as a sentence."""
    return tiles.finding(concepts, row)


@registry.drawn(Concepts, "html")
def html(concepts: Concepts) -> str:
    """All images as one self-contained fragment, for notebooks and files."""
    return page("concepts", (panel(concepts, row) for row in range(len(concepts))))


@registry.drawn(Concepts, "figure")
@unless_refused("figure")
def figure(concepts: Concepts, *, i: int = 0, dark: bool = False) -> "Figure":
    """A matplotlib figure of image `i`: the picture, the features on it, their contributions."""
    from .plot import plot_figure

    return plot_figure(concepts, i, dark)


@registry.drawn(Concepts, "tile")
def tile(concepts: Concepts, row: int, photo: Photograph) -> colour.Pixels:
    """The feature that contributes most on the photograph, for a figure of several explanations."""
    from .plot import on_photograph

    maps = (tiles.heat(concepts, row, k) for k in concepts.order(row))
    first = next((values for values in maps if values is not None), None)
    return photo.pixels if first is None else on_photograph(photo, first)


@registry.drawn(Concepts, "png")
@unless_refused("png")
def png(concepts: Concepts, row: int = 0, suffix: str = ".png") -> bytes:
    """The figure of one image as the bytes of a PNG or JPEG file."""
    stream = io.BytesIO()
    made = figure(concepts, i=row)
    made.savefig(stream, format=suffix[1:], dpi=150, facecolor=made.get_facecolor())
    return stream.getvalue()


def _card(concepts: Concepts, row: int, feature: int) -> Markup:
    value = float(concepts.values[row, feature])
    weight = float(concepts.weights[row, feature])
    share = float(concepts.contributions[row, feature])
    largest = max(float(concepts.contributions[row].max()), 1e-9)
    told = f"{number(share)} of the score"
    return Markup(
        '<li class="concept-card{}"><h4>{}</h4>{}<div class="concept-facts"><p'
        ' class="concept-gives"><span class="number">{}</span> <span class="unit">of the'
        ' score</span></p>{}<p class="quiet-line"><span title="How active the feature is in'
        ' this picture.">value {}</span> &times; <span title="How much one unit of the'
        " feature adds to this class's score, in every picture.\">weight"
        " {}</span></p>{}</div></li>"
    ).format(
        "" if share > 0 else " idle",
        concepts.names[row][feature],
        tiles.tile(concepts, row, feature),
        number(share),
        tiles.bar(share / largest, told),
        number(value),
        number(weight),
        tiles.examples(concepts.examples[row][feature] if concepts.examples[row] else []),
    )


def _key(concepts: Concepts, row: int) -> Markup:
    layer = concepts.layer or "a layer"
    return Markup(
        '<p class="quiet-line">Score of <b>{}</b> before the softmax, as a sum of features'
        " that a second network learned from <code>{}</code>. Each map shows where its feature"
        " comes from, on its own scale, from 0 (clear) to its highest value (bright). {}</p>"
    ).format(concepts.called[row], layer, tiles.idle(concepts, row))
