"""The graph of sets as a matplotlib figure: fixed, for print and notebooks without CSS."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...explanations.regions import Regions
from .. import colour
from ..overlay.photograph import Photograph, kept_of, photograph
from ..overlay.photograph import veiled as whole_veiled
from . import drawing
from .layout import GraphLayout, laid_out
from .sentences import shown_first, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIDE = 700  # pixels of the photograph
_FINE = 32  # times that a cell is repeated, so that its edges are straight on a photograph
_WEIGHTS = {"small": 0.8, "middling": 1.6, "large": 2.8}


def plot_figure(
    pixels: colour.Pixels, regions: Regions, row: int, title: str, dark: bool
) -> "Figure":
    """One image: the patches of the set in the title on the picture, and the graph beside it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tokens = colour.DARK if dark else colour.LIGHT
    lead = shown_first(regions, row)
    layout = laid_out(regions.links[row], pixels.shape[1] / pixels.shape[0], lead)
    scale = 1 / 90  # inches per unit of the layout
    width = 3.6 + layout.width * scale
    height = max(3.9, layout.height * scale) + 0.6
    figure = Figure(figsize=(width, height), facecolor=tokens["paper"])
    FigureCanvasAgg(figure)
    figure.text(
        0.12 / width, 1 - 0.16 / height, title, va="top", fontsize=9, color=tokens["ink"], wrap=True
    )
    large = figure.add_axes((0.25 / width, 1 - 3.85 / height, 3.1 / width, 3.1 / height))
    first = layout.nodes[lead]
    photo = photograph(regions, row, side=_SIDE)
    large.imshow(shown(photo, first.cells, regions.grid))
    line = drawing.score_line(first.cells, first.confidence, whole(regions, row))
    large.set_xlabel(textwrap.fill(line, 52), fontsize=8, color=tokens["ink-2"])
    _names(large, photo, regions.grid, tokens["ink-3"])
    down = layout.height * scale / height
    across = figure.add_axes((3.6 / width, 1 - 0.55 / height - down, 1 - 3.6 / width, down))
    _graph(across, pixels, regions, layout, tokens)
    return figure


def shown(photo: Photograph, cells: Sequence[Any], grid: Sequence[int]) -> colour.Pixels:
    """The photograph with all but these cells, which lie in what the model saw, nearly black."""
    kept = np.zeros((grid[0], grid[1]), dtype=bool)
    for r, c in cells:
        kept[r, c] = True
    return whole_veiled(photo, kept_of(photo, kept, _FINE))


def veiled(pixels: colour.Pixels, cells: Sequence[Any], grid: Sequence[int]) -> colour.Pixels:
    """The picture with all but these cells nearly black."""
    rows, cols = pixels.shape[:2]
    kept = np.zeros((rows, cols, 1), dtype=bool)
    for r, c in cells:
        top, bottom = round(r * rows / grid[0]), round((r + 1) * rows / grid[0])
        left, right = round(c * cols / grid[1]), round((c + 1) * cols / grid[1])
        kept[top:bottom, left:right] = True
    dimmed = (pixels * 0.16 + np.array([17, 18, 21])).round()
    return np.where(kept, pixels, dimmed).astype(np.uint8)


def _graph(
    axes: "Axes",
    pixels: colour.Pixels,
    regions: Regions,
    layout: GraphLayout,
    tokens: dict[str, str],
) -> None:
    wide, high = layout.picture
    axes.set_xlim(0, layout.width)
    axes.set_ylim(layout.height, 0)
    axes.set_axis_off()
    for edge in layout.edges:
        above, below = layout.nodes[edge.above], layout.nodes[edge.below]
        between = [(at, level) for at, *levels in edge.through for level in levels]
        way = [(above.x + wide / 2, above.y + high + 18), *between]
        way += [(edge.x, edge.y - 10), (edge.x, edge.y + 10), (below.x + wide / 2, below.y - 3)]
        x, y = zip(*way, strict=True)
        weight = _WEIGHTS[drawing.weight(edge.drop)]
        axes.plot(x, y, color=tokens["ink-3"], linewidth=weight, zorder=1)
        plate = {"facecolor": tokens["paper"], "edgecolor": tokens["line"], "boxstyle": "round"}
        axes.text(
            edge.x,
            edge.y,
            f"−{drawing.name(edge.removed)}",  # noqa: RUF001
            fontsize=7,
            ha="center",
            va="center",
            color=tokens["ink-2"],
            bbox=plate,
        )
    for node in layout.nodes:
        faded = node.confidence < regions.thresholds[1]
        extent = (node.x, node.x + wide, node.y + high, node.y)
        shown = veiled(pixels, node.cells, regions.grid)
        axes.imshow(shown, extent=extent, alpha=0.4 if faded else 1.0, zorder=2, aspect="auto")
        _outline(axes, node.x, node.y, layout.picture, (node.confidence, tokens))
        axes.text(
            node.x + wide / 2,
            node.y + high + 11,
            drawing.short(node.confidence),
            fontsize=8,
            ha="center",
            va="center",
            fontweight="bold" if node.root else "normal",
            color=tokens["ink-3" if faded else "ink"],
        )


def _outline(
    axes: "Axes",
    x: float,
    y: float,
    size: tuple[float, float],
    kept: tuple[float, dict[str, str]],
) -> None:
    """As long as the share that is kept, clockwise from the middle of the upper side."""
    share, tokens = kept
    wide, high = size
    corners = [(0.5, 0), (1, 0), (1, 1), (0, 1), (0, 0), (0.5, 0)]
    points = np.array([(x + a * wide, y + b * high) for a, b in corners])
    axes.plot(*points.T, color=tokens["line"], linewidth=1.2, zorder=3)
    lengths = np.hypot(*np.diff(points, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    end = along[-1] * min(max(share, 0.0), 1.0)
    places = np.concatenate([along[along < end], [end]])
    line = [np.interp(places, along, points[:, k]) for k in (0, 1)]
    axes.plot(*line, color=tokens["accent"], linewidth=2.2, zorder=4, solid_capstyle="butt")


def _names(axes: "Axes", photo: Photograph, grid: Sequence[int], ink: str) -> None:
    """The letters and numbers of the cells, along what the model saw."""
    middle = (
        [(c + 0.5) / grid[1] for c in range(grid[1])],
        [(r + 0.5) / grid[0] for r in range(grid[0])],
    )
    across = photo.points(np.array([(x, 0.0) for x in middle[0]]))
    down = photo.points(np.array([(0.0, y) for y in middle[1]]))
    axes.set_xticks([x for x, _ in across], [drawing.name((0, c))[:-1] for c in range(grid[1])])
    axes.set_yticks([y for _, y in down], [str(r + 1) for r in range(grid[0])])
    axes.set_xlim(-0.5, photo.size[1] - 0.5)
    axes.set_ylim(photo.size[0] - 0.5, -0.5)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=7, colors=ink)
    for side in axes.spines.values():
        side.set_visible(False)
