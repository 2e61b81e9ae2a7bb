"""Several explanations side by side: methods in columns, pictures in rows, one scale a row."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ... import registry
from ...errors import BadField, ShapeError, UnknownName
from ...explanation import Explanation, Heatmap
from ..colour import Pixels
from ..paint import Ramp
from ..scale import check, ramps
from . import captions, plot
from .captions import drawn_map
from .photograph import Photograph, painted, photograph
from .plate import wrapped_to
from .style import Style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAD, _GAP = 0.16, 0.1  # inches around the figure and between its cells
_HEAD, _LINE, _BAR = 0.3, 0.155, 0.62  # inches: titles, a line of text, a colour bar with its words
_TALLEST = 1.7  # of a cell's width
_COLUMNS, _ROWS = 16, 40
_SIDE = 700  # pixels of a picture
_CHOICES = {
    "evidence": "Colour is a percentile of each map's own evidence, so it means the same in every"
    " column.",
    "shared": "Colour is the raw value, on one range for the row.",
    "per-image": "Colour is the raw value, on each map's own range (below it).",
    "symmetric": "Colour is the raw value, on each map's own range (below it), as far below zero as"
    " above.",
}


@dataclass(frozen=True, eq=False)
class _Cell:
    """One explanation of one picture. lines: what stands below it."""

    pixels: Pixels
    ramp: Ramp | None = None
    lines: tuple[str, ...] = ()


def figure(
    explanations: Any,
    *,
    titles: Sequence[str] | None = None,
    scale: Any = True,
    caption: bool = True,
    style: Any = None,
    dark: bool = False,
) -> "Figure":
    """A matplotlib figure of several explanations of the same pictures: methods in columns,
    pictures in rows, each row's photograph first.

    explanations: what `explain` returned, one or a list, of any kinds. titles: of the columns; None
    is the methods. scale: `evidence` (True; a colour means the same for every method), `shared`
    (raw values, one range for a row), `per-image`, `symmetric` or two numbers; False leaves the bar
    out. caption: what is explained, and what results that are no maps say. style: `colormap`,
    `opacity`, `contours`.

    Raises: BadField for no explanations, too many, or options that make no sense; ShapeError where
    they have unequal numbers of pictures.

    >>> import torch, sightline as sl
    >>> heat = sl.Heatmap(torch.rand(2, 8, 8), images=torch.rand(2, 3, 8, 8))
    >>> len(sl.figure([heat, heat], titles=["one", "two"], scale=False).axes)
    6
    """
    found, chosen = _listed(explanations), Style.of(style)
    rule = check("evidence" if isinstance(scale, bool) else scale)
    heads = _titles(found) if titles is None else [str(title) for title in titles]
    if len(heads) != len(found):
        raise BadField(
            f"{len(heads)} titles came for {len(found)} explanations; give one for each, or none."
        )
    wide = 2.5 if len(found) < 3 else 2.1 if len(found) < 6 else 1.7
    rows = [_Row.of(found, i, (rule, chosen, caption), wide) for i in range(len(found[0]))]
    each = scale is not False and rule == "shared"  # otherwise one bar stands for all rows
    last = [r for row in rows for r in row.ramps] if scale is not False and not each else []
    high = sum(row.height(wide, each) for row in rows) + _BAR * bool(last)
    high += _PAD + _HEAD + 0.5 * _PAD
    width = 2 * _PAD + (len(found) + 1) * (wide + _GAP) - _GAP
    drawn, tokens = plot.blank(max(width, 5.4), high, dark)
    sheet = _Sheet(drawn, tokens, wide)
    y = high - _PAD
    for k, head in enumerate(["picture", *heads]):
        lines = wrapped_to(head, 9.5, wide, bold=k > 0, most=1)
        sheet.text(sheet.left(k), y, lines, 9.5, "ink" if k else "ink-2", bold=k > 0)
    y -= _HEAD
    for row in rows:
        sheet.row(row, y)
        if each:
            below = y - row.picture_height(wide) - row.text_height()
            sheet.bars(row.ramps, below, rule, chosen)
        y -= row.height(wide, each)
    sheet.bars(last, y, rule, chosen)
    return drawn


def _listed(explanations: Any) -> list[Explanation]:
    given = [explanations] if isinstance(explanations, Explanation) else explanations
    listed = list(given) if isinstance(given, (list, tuple)) else [given]
    strange = [each for each in listed if not isinstance(each, Explanation)]
    if strange or not listed:
        got = type(strange[0]).__name__ if strange else "an empty list"
        raise BadField(
            f"a figure is made of explanations; got {got}. Give what `sl.explain` returned, one or"
            " a list."
        )
    counts = [len(each) for each in listed]
    if len(set(counts)) > 1 or not counts[0]:
        raise ShapeError(
            f"the explanations are of {', '.join(map(str, counts))} pictures; expected as many in"
            " each, and at least one, since a row is a picture. Take the same ones: `heat[:2]`."
        )
    if len(listed) > _COLUMNS or counts[0] > _ROWS:
        raise BadField(
            f"{len(listed)} explanations of {counts[0]} pictures do not fit into one figure; at"
            f" most {_COLUMNS} of {_ROWS}. Take some: `sl.figure([heat[:10] for heat in found])`."
        )
    return listed


def _titles(found: Sequence[Explanation]) -> list[str]:
    """The methods; with what tells them apart, the layer or the model, where they repeat."""
    names = [str(e.provenance.get("method", type(e).__name__.lower())) for e in found]
    for key, word in (("layer", "layer "), ("model", "")):
        for name in {n for n in names if names.count(n) > 1}:
            same = [k for k, n in enumerate(names) if n == name]
            held = {k: found[k].provenance.get(key) for k in same}
            if len(set(held.values())) > 1:
                for k in same:
                    names[k] = f"{name}, {word}{held[k]}" if held[k] else name
    return names


@dataclass(frozen=True, eq=False)
class _Row:
    """One picture: its photograph and a cell for each explanation. title: what is explained."""

    photo: Photograph
    title: tuple[str, ...]
    cells: tuple[_Cell, ...]

    @classmethod
    def of(
        cls, found: Sequence[Explanation], i: int, options: tuple[Any, Style, bool], wide: float
    ) -> "_Row":
        rule, style, caption = options
        maps = [drawn_map(e, i) if isinstance(e, Heatmap) else None for e in found]
        made = iter(ramps([m for m in maps if m is not None], rule))
        own = [None if values is None else next(made) for values in maps]
        first = next((e for e in found if e.images is not None or e.pictures is not None), found[0])
        subjects = [captions.subject(e.provenance, i) for e in found]
        common = subjects[0] if len(set(subjects)) == 1 else ""
        cells = []
        for explanation, values, ramp, subject in zip(found, maps, own, subjects, strict=True):
            photo = _photo(explanation, i)
            if isinstance(explanation, Heatmap) or explanation.refused[i] is not None:
                pixels = painted(photo, values, ramp, style)
            else:
                pixels = _other(explanation, i, photo)
            said = [] if common == subject else wrapped_to(subject, 7.5, wide, False, 2)
            note = _said(explanation, i)
            said += wrapped_to(note, 7.5, wide, False, 5)
            cells.append(_Cell(pixels, ramp, tuple(said) if caption else ()))
        if rule not in ("evidence", "shared") and isinstance(rule, str):
            cells = [_with_range(cell) for cell in cells]
        lines = wrapped_to(common, 9.0, wide, True, 2) if caption else []
        return cls(_photo(first, i), tuple(lines), tuple(cells))

    def picture_height(self, wide: float) -> float:
        shapes = [self.photo.size, *(cell.pixels.shape[:2] for cell in self.cells)]
        return wide * min(max(rows / cols for rows, cols in shapes), _TALLEST)

    def text_height(self) -> float:
        below = max([len(self.title), *(len(cell.lines) for cell in self.cells)])
        return 0.06 + _LINE * below

    def height(self, wide: float, bar: bool) -> float:
        below = _BAR * (bar and bool(self.ramps))
        return self.picture_height(wide) + self.text_height() + below + 0.12

    @property
    def ramps(self) -> list[Ramp]:
        """The ramps of its maps that tell anything apart."""
        return [c.ramp for c in self.cells if c.ramp is not None and not c.ramp.flat]


def _photo(found: Explanation, i: int) -> Photograph:
    size = (found.values.shape[1], found.values.shape[2]) if isinstance(found, Heatmap) else None
    return photograph(found, i, size or (224, 224), _SIDE)


def _with_range(cell: _Cell) -> _Cell:
    if cell.ramp is None or cell.ramp.flat:
        return cell
    return replace(cell, lines=(f"{cell.ramp.ends[0]} to {cell.ramp.ends[2]}", *cell.lines))


def _other(found: Explanation, i: int, photo: Photograph) -> Pixels:
    """What is no map: drawn on the photograph where the kind can be, else its own picture."""
    for form in ("tile", "png"):
        try:
            draw = registry.view(type(found), form)
        except UnknownName:
            continue
        if form == "tile":
            return draw(found, i, photo)
        return np.asarray(Image.open(io.BytesIO(draw(found, i, ".png"))).convert("RGB"))
    return photo.pixels


def _said(found: Explanation, i: int) -> str:
    if isinstance(found, Heatmap) or found.refused[i] is not None:
        return captions.caption(found, i).note
    try:
        return str(registry.view(type(found), "text")(found, i))
    except UnknownName:
        return ""


@dataclass(frozen=True, eq=False)
class _Sheet:
    """The figure, its colours, and the width of a cell in inches; lengths are inches from below."""

    drawn: "Figure"
    tokens: dict[str, str]
    wide: float

    def left(self, column: int) -> float:
        return _PAD + column * (self.wide + _GAP)

    def row(self, row: _Row, top: float) -> None:
        high = row.picture_height(self.wide)
        for k, pixels in enumerate([row.photo.pixels, *(cell.pixels for cell in row.cells)]):
            axes = self.axes(self.left(k), top - high, self.wide, high)
            axes.set_anchor("NW")
            plot.show(axes, pixels, self.tokens)
        under = top - high - 0.06
        self.text(self.left(0), under, row.title, 9.0, "ink", bold=True)
        for k, cell in enumerate(row.cells):
            self.text(self.left(k + 1), under, cell.lines, 7.5, "ink-2")

    def bars(self, made: Sequence[Ramp], top: float, rule: Any, style: Style) -> None:
        """A colour bar for each sign that maps have, and the rule in a sentence."""
        x, wide = self.left(1), min(self.wide, 2.3)
        for ramp in _distinct(made):
            axes = self.axes(x, top - 0.18, wide, 0.1)
            plot.scale_bar(axes, ramp, style, self.tokens, 7.5)
            if rule in ("per-image", "symmetric"):
                ends = ["lowest", "0" if ramp.signed else "", "highest"]
                axes.set_xticks([0, 0.5, 1], labels=ends)
            x += self.wide + _GAP
        if made:
            told = _CHOICES.get(rule, "Colour is the raw value between the two numbers.")
            lines = wrapped_to(told, 7.5, self.wide, False, 4)
            self.text(self.left(0), top - 0.05, lines, 7.5, "ink-2")

    def axes(self, x: float, y: float, wide: float, high: float) -> Any:
        whole, tall = self.drawn.get_size_inches()
        return self.drawn.add_axes((x / whole, y / tall, wide / whole, high / tall))

    def text(
        self, x: float, y: float, lines: Sequence[str], size: float, ink: str, bold: bool = False
    ) -> None:
        whole, tall = self.drawn.get_size_inches()
        for k, line in enumerate(lines):
            place = x / whole, (y - k * _LINE) / tall
            words = self.drawn.text(*place, line, va="top", fontsize=size, color=self.tokens[ink])
            words.set_fontweight("bold" if bold else "normal")
            words.set_parse_math(False)


def _distinct(made: Sequence[Ramp]) -> Iterator[Ramp]:
    """The ramps whose bars look different: one without a sign and one with."""
    for signed in (False, True):
        yield from [ramp for ramp in made if ramp.signed == signed][:1]
