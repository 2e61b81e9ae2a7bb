"""The pieces of a graph of sets as SVG: the large picture with a layer for each set, and the graph
of thumbnails.

Hovering or focusing an element of class `nK` shows the layer `kK` of the large picture, by CSS
alone; a picture's pixels are in the page once, however often it is drawn.
"""

import hashlib
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ..wording import percent
from .layout import Edge, GraphLayout

Cells = Sequence[Sequence[int]]
_NAMED = 8  # patches; more are counted
_EDGE, _LINE, _LETTER = 5, 5, 2.1  # of the large picture, in hundredths of its long side
_SHRUNK = 0.92  # of its width: then the smallest text, of 12 units, has 11 px


@dataclass(frozen=True, kw_only=True)
class GridPlate:
    """A picture with a grid over it. address: `data:`; size: width and height in its own units."""

    address: str
    size: tuple[int, int]
    grid: tuple[int, int]

    @property
    def name(self) -> str:
        """The id under which the page has it."""
        return f"plate-{hashlib.sha256(self.address.encode()).hexdigest()[:12]}"

    @property
    def unit(self) -> float:
        """A hundredth of the long side."""
        return max(self.size) / 100

    @property
    def cell(self) -> tuple[float, float]:
        """Width and height of a cell."""
        return self.size[0] / self.grid[1], self.size[1] / self.grid[0]

    def veil(self, cells: Cells) -> str:
        """The path of all cells but these."""
        wide, high = self.cell
        held, (rows, cols) = {(r, c) for r, c in cells}, self.grid
        return "".join(
            f"M{c * wide:.2f} {r * high:.2f}h{wide:.2f}v{high:.2f}h{-wide:.2f}z"
            for r in range(rows)
            for c in range(cols)
            if (r, c) not in held
        )

    def border(self, cells: Cells) -> str:
        """The path of the sides between these cells and others."""
        wide, high = self.cell
        held, path = {(r, c) for r, c in cells}, ""
        for r, c in sorted(held):
            x, y = c * wide, r * high
            if (r - 1, c) not in held:
                path += f"M{x:.2f} {y:.2f}h{wide:.2f}"
            if (r + 1, c) not in held:
                path += f"M{x:.2f} {y + high:.2f}h{wide:.2f}"
            if (r, c - 1) not in held:
                path += f"M{x:.2f} {y:.2f}v{high:.2f}"
            if (r, c + 1) not in held:
                path += f"M{x + wide:.2f} {y:.2f}v{high:.2f}"
        return path


@dataclass(frozen=True, kw_only=True)
class SetLayer:
    """A set as the large picture shows it: its cells, and the line below."""

    cells: Cells
    line: str


def name(cell: Sequence[int]) -> str:
    """A cell as on a chess board: column letter, row number from the top."""
    column = chr(ord("A") + cell[1]) if cell[1] < 26 else f"{cell[1] + 1}."
    return f"{column}{cell[0] + 1}"


def names(cells: Cells) -> str:
    return " ".join(map(name, cells)) if cells else "no patch"


def score_line(cells: Cells, confidence: float, whole: float | None = None) -> str:
    """Which patches, and what they keep, as one line."""
    return f"{which(cells)}: keeps {share_left(confidence, whole)}"


def which(cells: Cells) -> str:
    """The names of a few patches; how many they are where they are many."""
    return names(cells) if len(cells) <= _NAMED else counted(len(cells))


def share_left(confidence: float, whole: float | None = None) -> str:
    """How much of the whole picture's score is kept; all of it where the set scores as much or
    more. whole: the whole picture's probability, to say then how much more."""
    if confidence < 1:
        return f"{percent(max(confidence, 0.0))} of the score"
    if whole is None:
        return "the full score"
    own = min(confidence * whole, 1.0)
    return f"the full score ({percent(own)}; whole picture {percent(whole)})"


def counted(patches: int) -> str:
    return "1 patch" if patches == 1 else f"{patches} patches"


def short(confidence: float) -> str:
    """What is kept, for a small picture: `93 %`, or `full score`."""
    return "full score" if confidence >= 1 else percent(max(confidence, 0.0))


def rules(count: int, first: int = 0) -> str:
    """The CSS that ties `count` focusable elements to their layers; the layer `first` is shown when
    nothing is pointed at. A hovered element goes before a focused one."""
    idle = f".sag:not(:has(.node:hover,.node:focus)) .k{first}"
    lines = [f"{idle}{{visibility:visible}}"]
    for k in range(count):
        lines.append(
            f".sag:has(.n{k}:hover) .k{k},"
            f".sag:not(:has(.node:hover)):has(.n{k}:focus) .k{k}{{visibility:visible}}"
        )
    return "".join(lines)


def stage(plate: GridPlate, shown: Sequence[SetLayer]) -> Markup:
    """The large picture, with the grid's names around it and one layer for each set."""
    (width, height), unit = plate.size, plate.unit
    wide, high = stage_size(plate, shown)
    parts = [
        Markup(
            '<svg class="stage-of-sets" viewBox="{} {} {} {}" role="img" aria-label="The picture'
            ' with the patches of the set that is pointed at">'
        ).format(_n(-_EDGE * unit), _n(-_EDGE * unit), _n(wide), _n(high)),
        Markup('<defs><image id="{}" href="{}" width="{}" height="{}"/></defs>').format(
            plate.name, plate.address, width, height
        ),
        Markup('<use href="#{}"/>').format(plate.name),
        _ruler(plate, unit),
    ]
    for k, each in enumerate(shown):
        parts.append(
            Markup(
                '<g class="layer k{}"><path class="veil" d="{}"/><path class="halo" d="{}"'
                ' stroke-width="{}"/><path class="border" d="{}" stroke-width="{}"/>'
                "{}</g>"
            ).format(
                k,
                plate.veil(each.cells),
                plate.border(each.cells),
                _n(unit * 1.3),
                plate.border(each.cells),
                _n(unit * 0.6),
                _below(each.line, plate),
            )
        )
    return Markup("").join([*parts, Markup("</svg>")])


def stage_size(plate: GridPlate, shown: Sequence[SetLayer]) -> tuple[float, float]:
    """Width and height of the large picture with its names and the lines below."""
    lines = max([1, *(len(_wrapped(each.line, plate)) for each in shown)])
    below = 2 + _LINE * lines
    return plate.size[0] + (_EDGE + 1) * plate.unit, plate.size[1] + (_EDGE + below) * plate.unit


def _wrapped(line: str, plate: GridPlate) -> list[str]:
    """A line in pieces as wide as the picture, a letter at about half its height."""
    return textwrap.wrap(line, max(16, int(plate.size[0] / (plate.unit * _LETTER))))


def _below(line: str, plate: GridPlate) -> Markup:
    texts = [
        Markup('<text class="line" x="0" y="{}" font-size="{}">{}</text>').format(
            _n(plate.size[1] + plate.unit * (0.2 + _LINE * (k + 1))), _n(plate.unit * 4), words
        )
        for k, words in enumerate(_wrapped(line, plate))
    ]
    return Markup("").join(texts)


def _ruler(plate: GridPlate, unit: float) -> Markup:
    wide, high = plate.cell
    rows, cols = plate.grid
    size = min(unit * 3.8, wide * 0.6, high * 0.8)
    words = [((c + 0.5) * wide, -unit * 1.4, name((0, c))[:-1]) for c in range(cols)]
    words += [(-unit * 2.4, (r + 0.5) * high + size * 0.35, str(r + 1)) for r in range(rows)]
    texts = [
        Markup('<text x="{}" y="{}">{}</text>').format(_n(x), _n(y), word) for x, y, word in words
    ]
    start = Markup('<g class="ruler" font-size="{}" text-anchor="middle">').format(_n(size))
    return Markup("").join([start, *texts, Markup("</g>")])


def thumbnail(plate: GridPlate, cells: Cells, size: tuple[float, float]) -> Markup:
    """The picture at (0, 0) with all but these cells veiled."""
    scale = f"scale({size[0] / plate.size[0]:.5f} {size[1] / plate.size[1]:.5f})"
    return Markup('<g transform="{}"><use href="#{}"/><path class="veil" d="{}"/></g>').format(
        scale, plate.name, plate.veil(cells)
    )


def graph(
    plate: GridPlate, layout: GraphLayout, faded: float, whole: float | None = None
) -> Markup:
    """The graph: thumbnails, outlines as long as the confidence, labelled removals. It shrinks only
    as far as its text stays readable. whole: the whole picture's probability."""
    width, height = layout.width, layout.height
    head = Markup(
        '<svg class="graph-of-sets" viewBox="0 0 {} {}" width="{}" height="{}" role="group"'
        ' style="min-width:{}px"'
        ' aria-label="Graph of patch sets: each step down takes one patch away">'
    ).format(_n(width), _n(height), _n(width), _n(height), round(width * _SHRUNK))
    edges = [_edge(layout, each) for each in layout.edges]
    labels = [_label(plate, each) for each in layout.edges]
    nodes = [_node(plate, layout, k, (faded, whole)) for k in range(len(layout.nodes))]
    return Markup("").join([head, *edges, *labels, *nodes, Markup("</svg>")])


def _edge(layout: GraphLayout, edge: Edge) -> Markup:
    above, below = layout.nodes[edge.above], layout.nodes[edge.below]
    wide, high = layout.picture
    x0, y0 = above.x + wide / 2, above.y + high + 20
    x1, y1 = below.x + wide / 2, below.y - 3
    top, bottom = edge.y - 12, edge.y + 12
    path = f"M{x0:.1f} {y0:.1f}"
    for x, upper, lower in edge.through:
        bend = (y0 + upper) / 2
        path += f"C{x0:.1f} {bend:.1f} {x:.1f} {bend:.1f} {x:.1f} {upper:.1f}V{lower:.1f}"
        x0, y0 = x, lower
    path += (
        f"C{x0:.1f} {(y0 + top) / 2 + 8:.1f} {edge.x:.1f} {(y0 + top) / 2:.1f}"
        f" {edge.x:.1f} {top:.1f}V{bottom:.1f}"
        f"C{edge.x:.1f} {(bottom + y1) / 2:.1f} {x1:.1f} {(bottom + y1) / 2 - 4:.1f}"
        f" {x1:.1f} {y1:.1f}"
    )
    return Markup('<path class="edge {}" d="{}"/>').format(weight(edge.drop), path)


def weight(drop: float) -> str:
    return "large" if drop >= 0.6 else "middling" if drop >= 0.2 else "small"


def _label(plate: GridPlate, edge: Edge) -> Markup:
    wide, high = plate.cell
    row, col = edge.removed
    side = 16.0
    box = f"{col * wide:.2f} {row * high:.2f} {wide:.2f} {high:.2f}"
    points = f"{-edge.drop * 100:+.0f} points".replace("-", "\N{MINUS SIGN}")
    return Markup(
        '<g class="removal"><title>without {}: {}</title><rect class="plaque" x="{}" y="{}"'
        ' width="42" height="20" rx="4"/><svg x="{}" y="{}" width="{}" height="{}" viewBox="{}"'
        ' preserveAspectRatio="xMidYMid slice"><use href="#{}"/></svg>'
        '<text x="{}" y="{}">{}</text></g>'
    ).format(
        name(edge.removed),
        points,
        _n(edge.x - 21),
        _n(edge.y - 10),
        _n(edge.x - 19),
        _n(edge.y - side / 2),
        side,
        side,
        box,
        plate.name,
        _n(edge.x + 9),
        _n(edge.y + 4),
        name(edge.removed),
    )


def _node(
    plate: GridPlate, layout: GraphLayout, k: int, levels: tuple[float, float | None]
) -> Markup:
    (wide, high), node, (faded, whole) = layout.picture, layout.nodes[k], levels
    length = max(0.0, min(1.0, node.confidence)) * 100
    kinds = f"node n{k}{' root' if node.root else ''}{' faded' if node.confidence < faded else ''}"
    spoken = f"{'Minimal: ' if node.root else ''}{score_line(node.cells, node.confidence, whole)}"
    outline = (
        f"M{wide / 2:.1f} -2.5H{wide + 0.5:.1f}q2 0 2 2V{high + 0.5:.1f}q0 2 -2 2H-0.5q-2 0 -2 -2"
        f"V-0.5q0 -2 2 -2z"
    )
    return Markup(
        '<g class="{}" tabindex="0" role="img" aria-label="{}" transform="translate({} {})">'
        '<rect class="behind" x="-4" y="-4" width="{}" height="{}" rx="5"/>{}'
        '<path class="track" d="{}"/><path class="kept" d="{}" pathLength="100"'
        ' stroke-dasharray="{} 100"/><text class="percent" x="{}" y="{}">{}</text></g>'
    ).format(
        kinds,
        spoken,
        _n(node.x),
        _n(node.y),
        _n(wide + 8),
        _n(high + 28),
        thumbnail(plate, node.cells, layout.picture),
        outline,
        outline,
        _n(length),
        _n(wide / 2),
        _n(high + 17),
        short(node.confidence),
    )


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
