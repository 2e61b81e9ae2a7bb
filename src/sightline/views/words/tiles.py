"""The picture with one word's region on it, and its evidence against regions of the same size."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from ...explanations.words import amount, level
from ...pictures.areas import decode
from ...pictures.frame import Corners
from .. import colour, encode, paint
from ..wording import number, percent

SIDE = 300  # pixels of the long side of a tile's picture
OUTCOMES = {
    "for": ("\N{CHECK MARK}", "counts"),
    "against": ("\N{CHECK MARK}", "counts against"),
    "none": ("\N{EN DASH}", "does not count"),
    "unchecked": ("?", "not checked"),
}
_WIDE, _HIGH = 240.0, 30.0  # units of an evidence strip


@dataclass(frozen=True, kw_only=True, eq=False)
class WordsPlate:
    """One picture in the model's frame, as bytes and as an address that a page holds once."""

    pixels: colour.Pixels

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def address(self) -> str:
        return encode.picture(self.pixels, long_side=SIDE)

    @property
    def name(self) -> str:
        """The id under which the page has it."""
        return f"words-{hashlib.sha256(self.pixels.tobytes()).hexdigest()[:12]}"


def stage(plate: WordsPlate) -> Markup:
    """The picture alone; the tiles refer to it."""
    width, height = plate.size
    return Markup(
        '<svg class="words-stage" viewBox="0 0 {} {}" role="img" aria-label="The picture">'
        '<defs><image id="{}" href="{}" width="{}" height="{}" preserveAspectRatio="none"/></defs>'
        '<use href="#{}"/></svg>'
    ).format(width, height, plate.name, plate.address, width, height, plate.name)


def tile(plate: WordsPlate, fact: Mapping[str, Any]) -> Markup:
    """The picture with the word's region outlined: under its map where it has one, else dimmed
    outside of it; the box is dashed."""
    width, height = plate.size
    unit = max(width, height) / 100
    mask = decode(fact["region"])
    heat = fact.get("map")
    lines = paint.trace_level(mask.astype(np.float32), 0.5)
    outline = paint.svg_path(lines, (width * 10, height * 10))
    if heat:
        values = np.asarray(heat, np.float32)
        large = paint.stretch(np.clip(values, 0, None), plate.pixels.shape[:2])
        over = paint.overlay(plate.pixels, large)
        below = Markup(
            '<image href="{}" width="{}" height="{}" preserveAspectRatio="none"/>'
        ).format(encode.picture(over, long_side=SIDE, quality=75), width, height)
        told = "its map over the picture, its region outlined, its box dashed"
    else:
        below = Markup(
            '<use href="#{}"/><path class="veil" fill-rule="evenodd" d="M0 0H{}V{}H0z{}"'
            ' transform="scale(0.1)"/>'
        ).format(plate.name, width * 10, height * 10, outline)
        told = "the picture, dimmed outside of its region"
    x0, y0, x1, y1 = fact["box"]
    return Markup(
        '<svg class="words-stage" viewBox="0 0 {} {}" role="img" aria-label="{}: {}">{}'
        '<g transform="scale(0.1)"><path class="halo" d="{}" stroke-width="{}"/>'
        '<path class="border" d="{}" stroke-width="{}"/></g>{}</svg>'
    ).format(
        width,
        height,
        fact["word"],
        told,
        below,
        outline,
        _n(unit * 22),
        outline,
        _n(unit * 9),
        _box((x0, y0, x1, y1), unit) if heat else Markup(""),
    )


def _box(box: Corners, unit: float) -> Markup:
    x0, y0, x1, y1 = box
    place = Markup('x="{}" y="{}" width="{}" height="{}"').format(x0, y0, x1 - x0, y1 - y0)
    return Markup(
        '<rect class="halo" {} stroke-width="{}"/><rect class="frame" {} stroke-width="{}"'
        ' stroke-dasharray="{} {}"/>'
    ).format(place, _n(unit * 2), place, _n(unit), _n(unit * 4), _n(unit * 3))


def domain(facts: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """The ends of all strips of one picture: every drop that was measured, and zero."""
    values = [0.0, *(f["evidence"] for f in facts), *(v for f in facts for v in f["others"])]
    low, high = min(values), max(values)
    return (low, high) if high > low else (-1.0, 1.0)


def strip(fact: Mapping[str, Any], ends: tuple[float, float]) -> Markup:
    """A line from the lowest to the highest drop: a tick for each region elsewhere, the band that a
    word must leave, zero, and the word's own drop."""
    low, high = ends

    def x(value: float) -> str:
        return _n(8 + (value - low) / (high - low) * (_WIDE - 16))

    ticks = "".join(f"M{x(v)} 11v8" for v in fact["others"])
    band = Markup("")
    if "null" in fact:
        wide = float(x(fact["null"])) - float(x(fact["null_low"]))
        band = Markup('<rect class="null" x="{}" y="7" width="{}" height="16" rx="2"/>').format(
            x(fact["null_low"]), _n(max(wide, 1.5))
        )
    kind = fact["outcome"] if fact["outcome"] in ("for", "against") else "idle"
    return Markup(
        '<svg class="words-strip" viewBox="0 0 {} {}" role="img" aria-label="{}">{}<path'
        ' class="axis" d="M8 15H{}"/><path class="zero" d="M{} 3v24"/><path class="tick" d="{}"/>'
        '<path class="own {}" d="M{} 4l6 11l-6 11l-6 -11z"/></svg>'
    ).format(
        _WIDE,
        _HIGH,
        spoken(fact),
        band,
        _WIDE - 8,
        x(0.0),
        ticks,
        kind,
        x(fact["evidence"]),
    )


def spoken(fact: Mapping[str, Any]) -> str:
    """The strip in words."""
    own = f"drop {amount(fact['evidence'])}"
    if "null" not in fact:
        return own
    between = f"{level(fact['null_low'])} to {level(fact['null'])}"
    return f"{own}; other regions of this size: {between}"


def check(fact: Mapping[str, Any]) -> Markup:
    """Whether the check was passed, by sign and by word, and why."""
    sign, word = OUTCOMES[fact["outcome"]]
    return Markup(
        '<p class="words-check {}"><span aria-hidden="true">{}</span> <strong>{}</strong>: {}</p>{}'
    ).format(fact["outcome"], sign, word, fact["why"], _same(fact))


def _same(fact: Mapping[str, Any]) -> Markup:
    """The words whose drop is the same measurement; nothing where there are none."""
    if not fact.get("same"):
        return Markup("")
    return Markup(
        '<p class="words-check"><strong>same place</strong> as {}: the drop cannot distinguish'
        " them</p>"
    ).format(", ".join(fact["same"]))


def described(fact: Mapping[str, Any]) -> Markup:
    """What an attribute's head says of it; nothing for a part that people named."""
    if fact.get("probability") is None:
        return Markup("")
    return Markup(
        '<p class="quiet-line"><span title="The attribute head\'s own probability.">detected'
        ' with {} confidence</span> · <span title="A description, not evidence: its probability'
        ' times its correlation with this class in the training data.">association with the class'
        ' {}</span></p><p class="quiet-line">{}</p>'
    ).format(percent(fact["probability"]), number(fact["contribution"]), _scale(fact))


def _scale(fact: Mapping[str, Any]) -> str:
    """What the colours of its map stand for, and where its region ends."""
    if not fact.get("map"):
        return ""
    highest = max(max(row) for row in fact["map"])
    return (
        f"colours: this attribute's map, from 0 to {number(highest)}; outline:"
        f" {percent(fact['cut'])} of its maximum"
    )


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
