"""Paint what a bird sits on, and the plants around it."""

from dataclasses import dataclass
from math import cos, pi, radians, sin
from random import Random
from types import MappingProxyType

import numpy as np

from ._backdrop import PLACES, Mood
from ._canvas import (
    BARK,
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

PERCHES = ("branch", "branch", "reeds", "ground", "stone", "post")


@dataclass(frozen=True)
class Setting:
    """Everything around the bird."""

    place: str
    perch: str
    slope: float  # of a branch, degrees
    lush: float  # foliage behind, 0 to 1
    veil: float  # foliage in front, 0 to 1
    things: tuple[str, ...]


@dataclass(frozen=True)
class _Spot:
    """Where a perch is drawn: its frame starts at the feet, `reach` units lead off the picture."""

    frame: CanvasFrame
    dice: Random
    mood: Mood
    setting: Setting
    reach: float


def perch(canvas: Canvas, setting: Setting, seed: str, feet: np.ndarray, unit: float) -> None:
    """What the feet, (foot, xy) in pixels, stand on; `unit` is the bird's length in pixels."""
    dice, mood = Random(f"{seed}/perch"), PLACES[setting.place]
    frame = CanvasFrame(np.eye(2) * unit, feet.mean(0) + np.array((0.0, 0.02 * unit)))
    _STAND[setting.perch](canvas, _Spot(frame, dice, mood, setting, canvas.size / unit + 1))


def _branch(canvas: Canvas, spot: _Spot) -> None:
    frame, dice, mood, reach = spot.frame, spot.dice, spot.mood, spot.reach
    slope, thick = radians(spot.setting.slope), dice.uniform(0.10, 0.17)
    frame = frame.place((0, thick * 0.55), angle=slope)
    bend = [dice.gauss(0, 0.05) for _ in range(4)]
    spine = [
        (-reach, bend[0] * 4),
        (-reach / 2, bend[1]),
        (0, 0),
        (reach / 2, bend[2]),
        (reach, bend[3] * 4),
    ]
    bark = mix(BARK, mood.leaf, dice.uniform(0.0, 0.2))
    for _ in range(round(2 + 3 * spot.setting.lush)):
        x, side = dice.uniform(-1.6, 1.6), dice.choice((-1, 1))
        twig = frame.place((x, 0), angle=side * dice.uniform(0.5, 1.2))
        _twig(canvas, twig, dice, mood, dice.uniform(0.4, 0.9))
    canvas.stroke(frame, line(spine), darker(bark, 0.5), thick * 1.06)
    canvas.stroke(frame, line(spine), bark, thick * 0.96)
    high = [(x, y - thick * 0.22) for x, y in spine]
    canvas.stroke(frame, line(high), lighter(bark, 0.3), thick * 0.30, 0.55)
    starts = np.array(
        [(dice.uniform(-2.2, 2.2), dice.uniform(-0.38, 0.38) * thick) for _ in range(34)]
    )
    canvas.stroke(
        frame,
        strokes(starts, starts + [(dice.uniform(0.05, 0.16), 0.0) for _ in starts]),
        darker(bark, 0.6),
        0.013,
        0.5,
    )
    if spot.setting.place == "snow":
        canvas.stroke(
            frame, line([(x, y - thick * 0.45) for x, y in spine]), (0.97, 0.98, 1.0), thick * 0.32
        )


def _twig(canvas: Canvas, frame: CanvasFrame, dice: Random, mood: Mood, length: float) -> None:
    canvas.stroke(
        frame,
        line([(0, 0), (length * 0.5, dice.gauss(0, 0.05)), (length, dice.gauss(0, 0.08))]),
        darker(BARK, 0.15),
        0.032,
    )
    count = dice.randint(4, 7)
    along = [length * (0.3 + 0.7 * i / count) for i in range(count)]
    sides = np.array([(1 if i % 2 else -1) * dice.uniform(0.4, 1.1) for i in range(count)])
    size = dice.uniform(0.16, 0.26)
    shade = mix(mood.leaf, (0.85, 0.75, 0.25), dice.uniform(0, 0.3))
    for first, tint in ((0, shade), (1, darker(shade, 0.25))):
        starts = np.array([(x, 0.0) for x in along[first::2]])
        angles = sides[first::2]
        canvas.fill(frame, leaves(starts, angles, size, size * 0.30), tint)
        ribs = starts + np.stack([np.cos(angles), np.sin(angles)], 1) * size * 0.85
        canvas.stroke(frame, strokes(starts, ribs), lighter(tint, 0.35), size * 0.04, 0.6)


def _reeds(canvas: Canvas, spot: _Spot) -> None:
    frame, dice, reach = spot.frame, spot.dice, spot.reach
    straw = mix((0.72, 0.64, 0.38), spot.mood.leaf, dice.uniform(0.1, 0.6))
    places = [dice.uniform(-1.8, 1.8) for _ in range(round(4 + 5 * spot.setting.lush))]
    for x in sorted(places, key=abs, reverse=True):
        _reed(canvas, spot, x, straw)
    foot = dice.gauss(0, 0.1)
    top = dice.uniform(-0.4, 0.4)
    stem = [(-foot * 2, reach), (0.0, 0.0), (foot * 0.5 + top * 0.3, -reach * 0.55)]
    canvas.stroke(frame, line(stem), darker(straw, 0.35), 0.085)
    canvas.stroke(frame, line(stem), straw, 0.068)
    canvas.stroke(frame, line([(x - 0.012, y) for x, y in stem]), lighter(straw, 0.4), 0.022, 0.7)
    canvas.stroke(frame, line([(-0.55, 0.22), (0, 0.03), (0.5, -0.04)]), darker(straw, 0.2), 0.06)


def _reed(canvas: Canvas, spot: _Spot, x: float, straw: Colour) -> None:
    frame, dice, reach = spot.frame, spot.dice, spot.reach
    lean, width = dice.gauss(0, 0.12), dice.uniform(0.03, 0.05)
    colour = darker(straw, dice.uniform(0, 0.3))
    tip = (x + lean * reach, -dice.uniform(0.2, 1.4))
    stem = [(x, reach), ((x + tip[0]) / 2 + 0.03, (reach + tip[1]) / 2), tip]
    canvas.stroke(frame, line(stem), colour, width)
    if dice.random() < 0.4:
        head = line([tip, (tip[0] + lean * 0.2, tip[1] - 0.3)])
        canvas.stroke(frame, head, (0.36, 0.22, 0.13), 0.11)
    else:
        angle = -pi / 2 + dice.choice((-1, 1)) * dice.uniform(0.3, 0.7)
        root = (x + lean * reach * 0.5, (reach + tip[1]) / 2)
        canvas.fill(frame, leaves([root], np.array([angle]), 0.9, 0.045), lighter(colour, 0.1))


def _ground(canvas: Canvas, spot: _Spot) -> None:
    frame, dice, mood = spot.frame, spot.dice, spot.mood
    _shadow(canvas, frame, 0.55)
    grass = mood.leaf if spot.setting.place != "snow" else (0.72, 0.70, 0.60)
    stones = [(dice.uniform(-2, 2), dice.uniform(-0.02, 0.6)) for _ in range(6)]
    for x, y in stones:
        wide = dice.uniform(0.03, 0.09)
        pebble = [
            (x - wide, y),
            (x - wide * 0.4, y - wide * 0.7),
            (x + wide * 0.7, y - wide * 0.5),
            (x + wide, y),
            (x, y + wide * 0.3),
        ]
        canvas.fill(
            frame, smooth(pebble), mix((0.60, 0.58, 0.54), mood.bottom, dice.uniform(0.1, 0.5))
        )
    for tint in (darker(grass, 0.35), grass, lighter(grass, 0.25)):
        roots = [
            (dice.uniform(-2.2, 2.2), dice.uniform(0.05, 0.9))
            for _ in range(round(12 + 20 * spot.setting.lush))
        ]
        canvas.fill(
            frame,
            leaves(
                roots,
                np.array([-pi / 2 + dice.gauss(0, 0.35) for _ in roots]),
                dice.uniform(0.18, 0.32),
                0.014,
            ),
            tint,
        )


def _shadow(canvas: Canvas, frame: CanvasFrame, wide: float) -> None:
    for grow in (1.25, 1.1, 0.95, 0.8, 0.65, 0.5, 0.35):
        oval = [
            (wide * grow * cos(a), 0.05 + 0.06 * grow * sin(a))
            for a in np.linspace(0, 2 * pi, 8, endpoint=False)
        ]
        canvas.fill(frame, smooth(oval), (0.07, 0.08, 0.12), 0.09)


def _stone(canvas: Canvas, spot: _Spot) -> None:
    frame, dice, mood, reach = spot.frame, spot.dice, spot.mood, spot.reach
    grey = mix((0.55, 0.54, 0.52), mood.bottom, dice.uniform(0.05, 0.35))
    wide, lean = dice.uniform(0.7, 1.2), dice.uniform(-0.12, 0.12)
    top = [
        (-wide, 0.52),
        (-wide * 0.88, 0.25),
        (-wide * 0.55, 0.07 + lean),
        (-0.2, 0.0),
        (0.25, 0.0),
        (wide * 0.6, 0.07 - lean),
        (wide * 0.92, 0.28),
        (wide * 1.05, 0.6),
    ]
    canvas.fill(
        frame,
        smooth([(-wide * 1.05, reach), *top, (wide * 1.1, reach)], (0, 9)),
        darker(grey, 0.22),
    )
    for shrink, alpha in ((0.93, 0.3), (0.84, 0.3), (0.74, 0.3)):
        light = [(x * shrink - 0.04, 0.02 + y * shrink) for x, y in top]
        canvas.fill(frame, smooth([*light, (0.1, 0.75 * shrink)]), lighter(grey, 0.12), alpha)
    spots = [(dice.uniform(-wide * 0.8, wide * 0.8), dice.uniform(0.2, 1.0)) for _ in range(22)]
    canvas.fill(
        frame,
        circles(spots, np.array([dice.uniform(0.006, 0.022) for _ in spots])),
        darker(grey, 0.5),
        0.35,
    )
    cover = (
        (0.96, 0.97, 1.0)
        if spot.setting.place == "snow"
        else mix(mood.leaf, (0.40, 0.44, 0.16), 0.6)
    )
    start = dice.randrange(0, 4)
    edge = top[start : start + 4]
    under = [(x * 0.9, y + dice.uniform(0.07, 0.22)) for x, y in reversed(edge)]
    canvas.fill(frame, smooth([*edge, *under], (0, 3)), cover, 0.75)
    _shadow(canvas, frame, 0.33)


def _post(canvas: Canvas, spot: _Spot) -> None:
    frame, dice, reach = spot.frame, spot.dice, spot.reach
    wood = mix((0.52, 0.44, 0.35), (0.6, 0.6, 0.6), dice.uniform(0, 0.5))
    wide = dice.uniform(0.17, 0.28)
    wire = dice.uniform(0.25, 0.5)
    canvas.stroke(
        frame,
        line([(-reach, wire - 0.1), (0, wire), (reach, wire - 0.15)]),
        (0.30, 0.30, 0.32),
        0.018,
        0.8,
    )
    canvas.fill(
        frame,
        smooth([(-wide, 0.03), (wide, 0.0), (wide * 1.04, reach), (-wide * 1.06, reach)], range(4)),
        wood,
    )
    canvas.fill(
        frame,
        smooth(
            [(wide * 0.45, 0.02), (wide, 0.0), (wide * 1.04, reach), (wide * 0.4, reach)], range(4)
        ),
        darker(wood, 0.5),
        0.45,
    )
    starts = np.array(
        [(dice.uniform(-wide, wide) * 0.9, dice.uniform(0.08, 1.4)) for _ in range(18)]
    )
    canvas.stroke(
        frame,
        strokes(starts, starts + [(0.0, dice.uniform(0.1, 0.4)) for _ in starts]),
        darker(wood, 0.55),
        0.014,
        0.55,
    )
    cap = (0.96, 0.97, 1.0) if spot.setting.place == "snow" else lighter(wood, 0.25)
    canvas.stroke(frame, line([(-wide, 0.035), (wide, 0.01)]), cap, 0.06)


_STAND = MappingProxyType(
    {"branch": _branch, "reeds": _reeds, "ground": _ground, "stone": _stone, "post": _post}
)
