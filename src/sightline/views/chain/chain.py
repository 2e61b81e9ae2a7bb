"""Draws a Chain: question, answer and belief, step by step, for the report, a notebook, a file and
matplotlib.

Nothing here asks or computes a belief; that was the method.
"""

import io
from typing import TYPE_CHECKING

from markupsafe import Markup

from ... import registry
from ...explanations.chain import Chain
from .. import colour, encode, paint
from ..colour import Pixels
from ..overlay.photograph import Photograph
from ..overlay.plate import listed
from ..refusal import unless_refused
from ..standalone import page
from ..wording import percent
from . import steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = ("o", "s", "^", "D", "v")
_SIDE = 240  # pixels of a picture beside its chain
_LINES = 4
_LONGEST = 44


@registry.drawn(Chain, "panel")
@unless_refused("panel")
def panel(chain: Chain, row: int = 0) -> str:
    """The chain of one image for a report: an HTML fragment without script."""
    return Markup(
        '<p class="chain-finding">{}</p>{}<p class="quiet-line chain-ended">{}</p>'
    ).format(steps.finding(chain, row), steps.steps(chain, row), steps.ending(chain, row))


@registry.drawn(Chain, "text")
@unless_refused("text")
def text(chain: Chain, row: int = 0) -> str:
    """What came out, as one sentence."""
    return steps.finding(chain, row)


@registry.drawn(Chain, "html")
def html(chain: Chain) -> str:
    """All images as one self-contained page, for notebooks and files."""
    parts = [
        Markup('<section class="chain-of">{}<div>{}</div></section>').format(
            _picture(chain, row), Markup(panel(chain, row))
        )
        for row in range(len(chain))
    ]
    return page("chains", parts, width=960)


@registry.drawn(Chain, "figure")
@unless_refused("figure")
def figure(chain: Chain, *, i: int = 0, dark: bool = False) -> "Figure":
    """A matplotlib figure of image `i`: a line for each class that was ever likely, and a row for
    each question."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tokens = colour.DARK if dark else colour.LIGHT
    beliefs = chain.posterior[i]
    height = 1.3 + 0.3 * len(beliefs)
    drawn = Figure(figsize=(7.6, height), facecolor=tokens["paper"], layout="constrained")
    FigureCanvasAgg(drawn)
    ax = drawn.subplots()
    highest = [max(belief[k] for belief in beliefs) for k in range(len(chain.classes))]
    end = chain.prediction[i]
    likely = sorted(range(len(highest)), key=lambda k: (k != end, -highest[k]))[:_LINES]
    for place, k in enumerate(likely):
        ax.plot(
            [belief[k] for belief in beliefs],
            range(len(beliefs)),
            marker=_MARKERS[place],
            markersize=4,
            linewidth=1.8 if k == end else 1.0,
            zorder=3 if k == end else 2,
            color=tokens["accent"] if k == end else tokens["ink-3"],
            linestyle="-" if k == end else ("--", ":", "-.")[place % 3],
            label=f"{chain.classes[k]}, {percent(beliefs[-1][k])}",
        )
    _dress(ax, chain, i, tokens)
    return drawn


@registry.drawn(Chain, "tile")
def tile(chain: Chain, row: int, photo: Photograph) -> Pixels:
    """The questions and their answers as a list, for a figure of several explanations."""
    answers = enumerate(chain.answers[row])
    lines = [(f"{k + 1}. {chain.question(row, k)}", str(answer)) for k, answer in answers]
    return listed(lines or [("no question was needed", "")], photo.size)


@registry.drawn(Chain, "png")
@unless_refused("png")
def encoded(chain: Chain, i: int = 0, suffix: str = ".png") -> bytes:
    """The figure of image `i` as the bytes of a PNG file, or of a JPEG file by its suffix."""
    stream = io.BytesIO()
    drawn = figure(chain, i=i)
    drawn.savefig(stream, format=suffix.lstrip("."), dpi=150, facecolor=drawn.get_facecolor())
    return stream.getvalue()


def _dress(ax: "Axes", chain: Chain, i: int, tokens: dict[str, str]) -> None:
    rows = ["before any question"]
    for step, answer in enumerate(chain.answers[i]):
        asked = chain.question(i, step)
        asked = asked if len(asked) <= _LONGEST else f"{asked[: _LONGEST - 1].rstrip()}…"
        rows.append(f"{step + 1}. {asked}  {answer}")
    ax.set_yticks(range(len(rows)), rows, fontsize=8, color=tokens["ink"])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlim(-0.02, 1.02)
    ax.set_facecolor(tokens["card"])
    ax.tick_params(colors=tokens["ink-2"], labelsize=8, length=0)
    ax.grid(axis="x", color=tokens["line"], linewidth=0.6)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_xlabel("probability after the answer", fontsize=8, color=tokens["ink-2"])
    title = steps.finding(chain, i)
    ax.set_title(title, fontsize=9, color=tokens["ink"], loc="left", wrap=True)
    legend = ax.legend(fontsize=7.5, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    for text in legend.get_texts():
        text.set_color(tokens["ink-2"])


def _picture(chain: Chain, row: int) -> Markup:
    if chain.images is None:
        return Markup("")
    pixels = paint.visible_pixels(chain.images[row].detach().cpu().float().permute(1, 2, 0).numpy())
    source = encode.picture(pixels, long_side=_SIDE)
    return Markup('<img class="chain-picture" alt="the picture" src="{}">').format(source)
