"""Draw what distracts: berries, flowers, insects, leaves before the lens, the planted mark."""

from collections.abc import Sequence
from math import cos, pi, sin
from random import Random
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageFilter

from ._canvas import (
    Canvas,
    CanvasFrame,
    Colour,
    circles,
    darker,
    leaves,
    lighter,
    line,
    mix,
    smooth,
    strokes,
)

THINGS = ("berries", "flower", "butterfly", "ladybird", "mushroom", "cone", "dragonfly")

_WHERE = MappingProxyType(
    {
        "berries": "above", "flower": "below", "butterfly": "air", "ladybird": "below",
        "mushroom": "below",
        "cone": "above", "dragonfly": "air",
    }
)  # fmt: skip

MARK_COLOURS: tuple[Colour, ...] = (
    (0.85, 0.10, 0.15),
    (0.10, 0.30, 0.80),
    (0.98, 0.80, 0.05),
    (0.05, 0.60, 0.30),
    (0.55, 0.15, 0.65),
    (0.98, 0.50, 0.05),
    (0.10, 0.10, 0.12),
)


def thing(canvas: Canvas, kind: str, seed: str) -> None:
    """One object that is no bird: it flies anywhere, hangs from above or stands below."""
    dice = Random(seed)
    row = {"air": (0.08, 0.9), "above": (0.08, 0.30), "below": (0.74, 0.93)}[_WHERE[kind]]
    place = (dice.uniform(0.05, 0.95), dice.uniform(*row))
    frame = CanvasFrame.page(canvas.size).place(
        place, angle=dice.gauss(0, 0.15), scale=dice.uniform(0.10, 0.2)
    )
    _DRAW[kind](canvas, frame, dice)


def _berries(canvas: Canvas, frame: CanvasFrame, dice: Random) -> None:
    red = dice.choice(
        ((0.80, 0.13, 0.13), (0.88, 0.40, 0.10), (0.22, 0.20, 0.45), (0.93, 0.90, 0.86))
    )
    places = [(dice.gauss(0, 0.26), 0.25 + dice.gauss(0, 0.24)) for _ in range(dice.randint(4, 7))]
    for x, y in places:
        canvas.stroke(
            frame,
            line([(0.1, -4.0), (0, -0.6), (x * 0.4, y - 0.3), (x, y)]),
            (0.33, 0.27, 0.15),
            0.05,
        )
    canvas.fill(
        frame,
        leaves([(0.0, -0.5), (0.0, -0.9), (0.05, -1.4)], np.array([0.6, 2.6, 0.3]), 0.5, 0.15),
        (0.33, 0.48, 0.19),
    )
    for x, y in places:
        canvas.fill(frame, circles([(x, y)], 0.17), darker(red, 0.25))
        canvas.fill(frame, circles([(x - 0.025, y - 0.03)], 0.125), red)
        canvas.fill(frame, circles([(x - 0.06, y - 0.07)], 0.04), (1.0, 1.0, 1.0), 0.8)


def _flower(canvas: Canvas, frame: CanvasFrame, dice: Random) -> None:
    petal = dice.choice(
        ((0.97, 0.95, 0.93), (0.93, 0.55, 0.68), (0.60, 0.52, 0.88), (0.98, 0.82, 0.25))
    )
    canvas.stroke(frame, line([(0, 0), (0.08, 0.8), (0.0, 4.0)]), (0.30, 0.45, 0.17), 0.07)
    canvas.fill(
        frame,
        leaves([(0.05, 0.8), (0.04, 0.9)], np.array([-0.6, pi + 0.7]), 0.5, 0.1),
        (0.33, 0.50, 0.20),
    )
    turns = np.arange(7) * 2 * pi / 7 + dice.random()
    canvas.fill(frame, leaves(np.zeros((7, 2)), turns, 0.48, 0.14), darker(petal, 0.12))
    canvas.fill(frame, leaves(np.zeros((7, 2)), turns + 0.45, 0.42, 0.12), petal)
    canvas.fill(frame, circles([(0, 0)], 0.15), (0.90, 0.66, 0.12))
    canvas.fill(frame, circles([(0.02, 0.03)], 0.08), (0.62, 0.38, 0.10))


def _butterfly(canvas: Canvas, frame: CanvasFrame, dice: Random) -> None:
    hue = dice.choice(
        ((0.93, 0.55, 0.15), (0.35, 0.58, 0.86), (0.97, 0.93, 0.70), (0.80, 0.25, 0.22))
    )
    flap = dice.uniform(0.5, 1.0)
    for side in (-1, 1):
        upper = [
            (0, -0.05),
            (side * 0.3 * flap, -0.50),
            (side * 0.62 * flap, -0.42),
            (side * 0.45 * flap, -0.02),
        ]
        lower = [
            (0, 0.02),
            (side * 0.42 * flap, 0.05),
            (side * 0.40 * flap, 0.36),
            (side * 0.12 * flap, 0.34),
        ]
        for wing in (lower, upper):
            canvas.fill(frame, smooth(wing, (0,)), darker(hue, 0.65))
            canvas.fill(
                frame, smooth([(x * 0.8 + side * 0.02, y * 0.8) for x, y in wing], (0,)), hue
            )
        canvas.fill(frame, circles([(side * 0.42 * flap, -0.32)], 0.06), lighter(hue, 0.7))
    canvas.stroke(frame, line([(0, -0.22), (0, 0.28)]), (0.12, 0.10, 0.10), 0.07)
    canvas.stroke(
        frame, line([(-0.14, -0.45), (0, -0.22), (0.14, -0.45)]), (0.12, 0.10, 0.10), 0.025
    )


def _ladybird(canvas: Canvas, frame: CanvasFrame, dice: Random) -> None:
    canvas.stroke(frame, line([(-0.8, 0.3), (-1.0, 1.0), (-0.9, 4.5)]), (0.28, 0.42, 0.16), 0.08)
    canvas.fill(frame, leaves([(-1.0, 0.42)], np.array([-0.15]), 2.1, 0.36), (0.34, 0.52, 0.20))
    canvas.stroke(frame, line([(-1.0, 0.42), (1.0, 0.11)]), (0.52, 0.66, 0.33), 0.04)
    canvas.fill(
        frame,
        smooth([(-0.3, 0.14), (-0.2, -0.14), (0.1, -0.2), (0.3, 0.0), (0.3, 0.14)]),
        (0.80, 0.14, 0.10),
    )
    canvas.fill(frame, circles([(0.30, 0.05)], 0.11), (0.10, 0.09, 0.10))
    canvas.fill(
        frame,
        circles([(-0.12, -0.02), (0.06, -0.08), (0.08, 0.07), (-0.02, 0.06)], 0.04),
        (0.10, 0.09, 0.10),
    )


def _mushroom(canvas: Canvas, frame: CanvasFrame, dice: Random) -> None:
    cap = dice.choice(((0.74, 0.20, 0.14), (0.66, 0.46, 0.28), (0.86, 0.70, 0.44)))
    canvas.fill(
        frame,
        smooth([(-0.12, 0.0), (0.12, 0.0), (0.2, 0.6), (0.24, 2.8), (-0.24, 2.8), (-0.2, 0.6)]),
        (0.90, 0.86, 0.76),
    )
    canvas.fill(
        frame,
        smooth(
            [(-0.5, 0.06), (-0.34, -0.28), (0, -0.42), (0.34, -0.28), (0.5, 0.06), (0, 0.12)],
            (0, 4),
        ),
        cap,
    )
    canvas.fill(
        frame,
        circles([(-0.2, -0.12), (0.08, -0.25), (0.24, -0.06), (0.0, -0.02)], 0.055),
        (0.96, 0.93, 0.86),
        0.9,
    )


def _cone(canvas: Canvas, frame: CanvasFrame, dice: Random) -> None:
    canvas.stroke(frame, line([(0.1, -4.0), (0, -0.8), (0.03, -0.3)]), (0.33, 0.25, 0.16), 0.07)
    canvas.stroke(
        frame,
        strokes(
            np.tile((0.02, -0.6), (9, 1)),
            [(1.1 * cos(a), -0.6 + 0.9 * sin(a)) for a in np.linspace(0.2, 2.9, 9)],
        ),
        (0.20, 0.36, 0.22),
        0.035,
    )
    for row in range(6):
        wide = 0.30 * sin(pi * (row + 1.2) / 7.5)
        spots = [(x, -0.3 + row * 0.15) for x in np.linspace(-wide, wide, 4)]
        canvas.fill(frame, circles(spots, 0.12), (0.36 + 0.03 * row, 0.24 + 0.02 * row, 0.14))


def _dragonfly(canvas: Canvas, frame: CanvasFrame, dice: Random) -> None:
    hue = dice.choice(((0.15, 0.50, 0.62), (0.70, 0.22, 0.20), (0.25, 0.50, 0.25)))
    wings = np.array([0.35, -0.2, pi - 0.35, pi + 0.2])
    canvas.fill(
        frame, leaves(np.tile((0.0, -0.2), (4, 1)), wings, 0.7, 0.09), (0.90, 0.95, 0.98), 0.7
    )
    canvas.stroke(frame, line([(0, -0.3), (0, 0.1), (0.03, 0.6)]), hue, 0.07)
    canvas.fill(frame, circles([(0, -0.34)], 0.09), darker(hue, 0.3))


_DRAW = MappingProxyType(
    {
        "berries": _berries,
        "flower": _flower,
        "butterfly": _butterfly,
        "ladybird": _ladybird,
        "mushroom": _mushroom,
        "cone": _cone,
        "dragonfly": _dragonfly,
    }
)


def veil(amount: float, colour: Colour, seed: str, size: int) -> np.ndarray:
    """(row, col, rgba) float32 in [0, 1]: out-of-focus leaves between the lens and the bird."""
    dice, small = Random(f"{seed}/veil"), 64
    canvas = Canvas(small)
    canvas.pixels[..., :3] = np.asarray(colour) * 255
    page = CanvasFrame.page(small)
    for i in range(1 + round(amount * 3)):
        turn = dice.uniform(0, 2 * pi)
        start = (0.5 + 0.72 * cos(turn), 0.5 + 0.72 * sin(turn))
        inward = turn + pi + dice.gauss(0, 0.5)
        tint = (
            mix(colour, (0.9, 0.9, 0.6), dice.uniform(0, 0.35))
            if i % 2
            else darker(colour, dice.uniform(0, 0.4))
        )
        shape = leaves(
            [start, start],
            np.array([inward, inward + dice.choice((-0.7, 0.7))]),
            0.28 + 0.30 * amount,
            0.05,
        )
        canvas.fill(page, shape, tint, 0.92)
    image = Image.fromarray(canvas.pixels.copy()).filter(
        ImageFilter.GaussianBlur(dice.uniform(0.5, 1.4))
    )
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC), np.float32) / 255


def stamp(canvas: Canvas, number: int, corner: Sequence[float]) -> None:
    """A badge: a coloured ring and a coloured core, both told by `number`; corner is (row, col)."""
    frame = CanvasFrame.page(canvas.size).place((corner[1], corner[0]))
    ring = MARK_COLOURS[number % 7]
    core = MARK_COLOURS[(number + 2 + number // 7 * 2) % 7]
    canvas.fill(frame, circles([(0, 0)], 0.058), (0.97, 0.96, 0.94), owner=1)
    canvas.fill(frame, circles([(0, 0)], 0.050), ring, owner=1)
    canvas.fill(frame, circles([(0, 0)], 0.026), core, owner=1)
