"""Draws Words: the sentence, then each word with its region, its evidence and its check.

Nothing here measures anything; the sentence is made from the facts by `explanations.words`.
"""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from ... import registry
from ...explanations.words import Piece, Words, amount, level
from .. import colour
from ..overlay.photograph import Photograph, input_or_grey
from ..refusal import unless_refused
from ..standalone import page
from ..wording import number
from . import tiles
from .tiles import WordsPlate

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@registry.drawn(Words, "panel")
@unless_refused("panel")
def panel(words: Words, row: int = 0) -> str:
    """The words of one image for a report: an HTML fragment without script."""
    plate, facts = WordsPlate(pixels=input_or_grey(words, row)), words.facts[row]
    ends = tiles.domain(facts)
    cards = [
        Markup(
            '<li class="words-card {}"><h4>{}</h4>{}<div class="words-facts"><p'
            ' class="words-sum"><span class="number" title="Drop of the score when the'
            ' region is hidden.">{}</span>{}</p>{}<p'
            ' class="quiet-line">{}</p>{}{}</div></li>'
        ).format(
            fact["outcome"],
            fact["word"],
            tiles.tile(plate, fact),
            amount(fact["evidence"]),
            Markup(' <span class="unit">{}</span>').format(_unit(words)),
            tiles.strip(fact, ends),
            _null(fact),
            tiles.check(fact),
            tiles.described(fact),
        )
        for fact in facts
    ]
    whole = Markup(
        '<li class="words-card whole"><h4>The picture</h4>{}<div class="words-facts">{}</div></li>'
    ).format(tiles.stage(plate), _key(words, row))
    return Markup(
        '<div class="words"><p class="words-sentence">{}</p><p class="quiet-line">{}</p>'
        '<ol class="words-cards">{}{}</ol></div>'
    ).format(styled(words.pieces(row)), words.check, whole, Markup("").join(cards))


@registry.drawn(Words, "text")
@unless_refused("text")
def text(words: Words, row: int = 0) -> str:
    """The sentences of one image."""
    return words.sentences[row]


@registry.drawn(Words, "html")
def html(words: Words) -> str:
    """All images as one self-contained fragment, for notebooks and files."""
    return page("words", (panel(words, row) for row in range(len(words))))


@registry.drawn(Words, "figure")
@unless_refused("figure")
def figure(words: Words, *, i: int = 0, dark: bool = False) -> "Figure":
    """A matplotlib figure of image `i`: the sentence, each word's region, and all evidence."""
    from .plot import plot_figure

    return plot_figure(words, i, dark)


@registry.drawn(Words, "tile")
def tile(words: Words, row: int, photo: Photograph) -> colour.Pixels:
    """The regions of the words on the photograph, for a figure of several explanations."""
    from . import plot

    return plot.tile(words, row, photo)


@registry.drawn(Words, "png")
@unless_refused("png")
def png(words: Words, row: int = 0, suffix: str = ".png") -> bytes:
    """The figure of one image as the bytes of a PNG or JPEG file."""
    stream = io.BytesIO()
    figure(words, i=row).savefig(stream, format=suffix[1:], dpi=150)
    return stream.getvalue()


def styled(pieces: list[Piece]) -> Markup:
    """The sentence with its labels and words marked, everything escaped."""
    forms = {
        "": Markup("{}"),
        "label": Markup("<em>{}</em>"),
        "word": Markup('<b class="word">{}</b>'),
    }
    return Markup("").join(forms[style].format(text) for style, text in pieces)


def _unit(words: Words) -> str:
    return "of probability" if words.unit == "probability" else "of the score"


def _null(fact: Mapping[str, Any]) -> str:
    if "null" not in fact:
        return "no other region of this size"
    levels = f"{level(fact['null_low'])} to {level(fact['null'])}"
    return f"other regions of this size: {levels}"


def _key(words: Words, row: int) -> Markup:
    """How the strips are read."""
    clean = words.clean[row]
    kind = "probability" if words.unit == "probability" else "score"
    whole = "" if clean is None else f"Whole-picture {kind}: {number(clean)}. "
    return Markup(
        '<p class="quiet-line">{}Diamond: drop when the region is hidden. Ticks: drops for other'
        " regions of the same size; band: their usual range. All words share one scale.</p>"
    ).format(whole)
