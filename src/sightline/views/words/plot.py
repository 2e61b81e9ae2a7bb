"""Words as a matplotlib figure: fixed, for print and for files."""

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...explanations.words import Words, amount, shortened
from ...pictures.areas import decode
from .. import colour, paint
from ..overlay.photograph import Photograph, kept_of, painted, photograph
from ..overlay.style import Style
from . import tiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN = 7  # words with a picture of their own; the evidence shows all
_ACROSS = 4
_SIDE = 480  # pixels of a photograph


def plot_figure(words: Words, row: int, dark: bool) -> "Figure":
    """One image: the sentence, each word's region on the whole photograph, and the evidence of
    all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tokens = colour.DARK if dark else colour.LIGHT
    photo, facts = photograph(words, row, side=_SIDE), list(words.facts[row])
    shown = facts[:_SHOWN]
    lines = textwrap.wrap(words.sentences[row], 92)
    rows = -(-(len(shown) + 1) // _ACROSS)
    tall = 1.9 * min(photo.size[0] / photo.size[1], 1.6) + 0.3
    strips = 0.26 * len(facts) + 0.65
    height = 0.25 + 0.19 * len(lines) + rows * tall + (strips if facts else 0.1)
    figure = Figure(figsize=(7.8, height), facecolor=tokens["paper"])
    FigureCanvasAgg(figure)
    figure.text(
        0.02, 1 - 0.1 / height, "\n".join(lines), va="top", fontsize=10, color=tokens["ink"]
    )
    top = 1 - (0.2 + 0.19 * len(lines)) / height
    for k, fact in enumerate([None, *shown]):
        across, down = k % _ACROSS, k // _ACROSS
        place = (0.02 + across * 0.245, top - ((down + 1) * tall - 0.02) / height)
        axes = figure.add_axes((*place, 0.225, (tall - 0.3) / height))
        _bare(axes, tokens)
        if fact is None:
            axes.imshow(photo.pixels)
            axes.set_title("the picture", fontsize=8, loc="left", color=tokens["ink-2"])
            continue
        mask = decode(fact["region"])
        axes.imshow(_tile(photo, fact, mask))
        axes.contour(kept_of(photo, mask).astype(float), [0.5], colors="white", linewidths=1.2)
        sign = tiles.OUTCOMES[fact["outcome"]][1]
        title = f"{shortened(fact['word'])[:24]}: {sign}"
        axes.set_title(title, fontsize=8, loc="left", color=tokens["ink"])
    if facts:
        low = 0.42 / height
        _strips(figure.add_axes((0.3, low, 0.66, (strips - 0.55) / height)), words, row, tokens)
    return figure


def tile(words: Words, row: int, photo: Photograph) -> colour.Pixels:
    """The regions of all words on the photograph, the rest darker."""
    kept = np.zeros(photo.size, dtype=bool)
    for fact in words.facts[row]:
        kept |= kept_of(photo, decode(fact["region"]))
    return _darker(photo, kept)


def _tile(photo: Photograph, fact: Mapping[str, Any], mask: np.ndarray) -> colour.Pixels:
    heat = fact.get("map")
    if not heat:
        return _darker(photo, kept_of(photo, mask))
    values = np.clip(np.asarray(heat, np.float32), 0, None)
    return painted(photo, values, paint.ramp(values), Style())


def _darker(photo: Photograph, kept: np.ndarray) -> colour.Pixels:
    dark = (photo.pixels * 0.35).round()
    return np.where(kept[..., None], photo.pixels, dark).astype(np.uint8)


def _strips(axes: "Axes", words: Words, row: int, tokens: dict[str, str]) -> None:
    facts = words.facts[row]
    tint = {"for": tokens["for"], "against": tokens["against"]}
    for k, fact in enumerate(facts):
        if "null" in fact:
            wide = fact["null"] - fact["null_low"]
            axes.barh(k, wide, 0.62, fact["null_low"], color=tokens["line"], zorder=1)
        axes.plot(fact["others"], [k] * len(fact["others"]), "|", color=tokens["ink-3"], ms=5)
        own = tint.get(fact["outcome"], tokens["ink-2"])
        axes.plot([fact["evidence"]], [k], "D", color=own, ms=5, zorder=3)
    names = [f"{shortened(f['word'])}  {amount(f['evidence'])}" for f in facts]
    axes.set_yticks(range(len(facts)), labels=names, fontsize=8, color=tokens["ink"])
    axes.invert_yaxis()
    axes.axvline(0, color=tokens["ink-3"], linewidth=0.8)
    axes.set_facecolor(tokens["paper"])
    axes.tick_params(labelsize=8, colors=tokens["ink-2"], length=2)
    unit = "probability" if words.unit == "probability" else "score"
    told = (
        f"drop of the {unit} when the region is hidden; ticks and band: other regions of the"
        " same size"
    )
    axes.set_xlabel(told, fontsize=8, color=tokens["ink-2"])
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(tokens["line"])


def _bare(axes: "Axes", tokens: dict[str, str]) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(tokens["line"])
