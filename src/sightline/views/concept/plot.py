"""Concepts as a matplotlib figure: fixed, for print and for files."""

import textwrap
from typing import TYPE_CHECKING

from ...explanations.concepts import Concepts
from .. import colour, paint
from ..overlay.photograph import Photograph, painted, photograph
from ..overlay.style import Style
from ..wording import number
from . import tiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACROSS = 3
_SIDE = 480  # pixels of a photograph
_LONGEST = 28


def plot_figure(concepts: Concepts, row: int, dark: bool) -> "Figure":
    """One image: the picture and each feature on it, then the contributions."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tokens = colour.DARK if dark else colour.LIGHT
    photo = photograph(concepts, row, side=_SIDE)
    order = concepts.order(row)
    lines = [
        *textwrap.wrap(tiles.finding(concepts, row), 88),
        *textwrap.wrap(tiles.trust(concepts, row)[0], 100),
    ]
    down = -(-(len(order) + 1) // _ACROSS)
    tall = 2.4 * min(photo.size[0] / photo.size[1], 1.6) + 0.3
    bars = 0.28 * (len(order) + 1) + 0.6
    height = 0.3 + 0.19 * len(lines) + down * tall + bars
    figure = Figure(figsize=(7.8, height), facecolor=tokens["paper"])
    FigureCanvasAgg(figure)
    text = "\n".join(lines)
    figure.text(0.02, 1 - 0.1 / height, text, va="top", fontsize=9, color=tokens["ink"])
    top = 1 - (0.2 + 0.19 * len(lines)) / height
    for place, k in enumerate([None, *order]):
        across, line = place % _ACROSS, place // _ACROSS
        corner = (0.02 + across * 0.327, top - ((line + 1) * tall - 0.02) / height)
        axes = figure.add_axes((*corner, 0.307, (tall - 0.3) / height))
        _tile(axes, concepts, (row, k), photo, tokens)
    left = figure.add_axes((0.3, 0.42 / height, 0.62, (bars - 0.5) / height))
    _bars(left, concepts, row, tokens)
    return figure


def on_photograph(photo: Photograph, values: colour.Values) -> colour.Pixels:
    """A feature's map on the photograph."""
    return painted(photo, values, paint.ramp(values), Style())


def _tile(
    axes: "Axes",
    concepts: Concepts,
    which: tuple[int, int | None],
    photo: Photograph,
    tokens: dict[str, str],
) -> None:
    row, feature = which
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(tokens["line"])
    if feature is None:
        axes.imshow(photo.pixels)
        axes.set_title("the picture", fontsize=8, loc="left", color=tokens["ink-2"])
        return
    values = tiles.heat(concepts, row, feature)
    axes.imshow(photo.pixels if values is None else on_photograph(photo, values))
    title = _short(concepts.names[row][feature])
    title += ": not in this picture" if values is None else ""
    axes.set_title(title, fontsize=8, loc="left", color=tokens["ink"])


def _bars(axes: "Axes", concepts: Concepts, row: int, tokens: dict[str, str]) -> None:
    order = concepts.order(row)
    shares = [float(concepts.contributions[row, k]) for k in order]
    values = [float(concepts.offset[row]), *shares]
    names = ["offset", *(_short(concepts.names[row][k]) for k in order)]
    tints = [tokens["ink-3"], *[tokens["accent"]] * len(order)]
    axes.barh(range(len(values)), values, 0.6, color=tints)
    axes.set_yticks(
        range(len(values)),
        [f"{name}  {number(value)}" for name, value in zip(names, values, strict=True)],
        fontsize=8,
        color=tokens["ink"],
    )
    axes.invert_yaxis()
    axes.axvline(0, color=tokens["ink-3"], linewidth=0.8)
    axes.set_facecolor(tokens["paper"])
    axes.tick_params(labelsize=8, colors=tokens["ink-2"], length=2)
    total, score = float(concepts.reconstructed[row]), float(concepts.score[row])
    told = (
        f"parts of the score; their sum is {number(total)}, the model's own score {number(score)}"
    )
    axes.set_xlabel(told, fontsize=8, color=tokens["ink-2"])
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(tokens["line"])


def _short(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1].rstrip()}…"
