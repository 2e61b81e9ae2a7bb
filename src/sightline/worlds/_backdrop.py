"""Paint what lies far behind a bird, out of focus."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageFilter

from ._canvas import (
    BARK,
    Canvas,
    CanvasFrame,
    Colour,
    circles,
    darker,
    lighter,
    line,
    mix,
    smooth,
    strokes,
)


@dataclass(frozen=True)
class Mood:
    """Colours of a kind of place, from the top of the picture to the bottom."""

    top: Colour
    middle: Colour
    bottom: Colour
    glow: Colour
    leaf: Colour


PLACES: Mapping[str, Mood] = MappingProxyType(
    {
        "forest": Mood((0.45, 0.58, 0.34), (0.30, 0.46, 0.26), (0.17, 0.29, 0.17),
            (0.90, 0.94, 0.60), (0.36, 0.54, 0.21)),
        "meadow": Mood((0.70, 0.83, 0.88), (0.75, 0.82, 0.58), (0.47, 0.62, 0.28),
            (0.97, 0.93, 0.66), (0.44, 0.60, 0.22)),
        "water": Mood((0.74, 0.83, 0.84), (0.47, 0.65, 0.72), (0.22, 0.42, 0.52),
            (0.95, 0.98, 0.95), (0.46, 0.56, 0.27)),
        "sky": Mood((0.43, 0.65, 0.86), (0.64, 0.80, 0.91), (0.86, 0.92, 0.92), (1.0, 1.0, 0.98),
            (0.38, 0.56, 0.24)),
        "snow": Mood((0.68, 0.76, 0.84), (0.82, 0.87, 0.91), (0.94, 0.95, 0.97), (1.0, 1.0, 1.0),
            (0.30, 0.42, 0.36)),
        "autumn": Mood((0.78, 0.66, 0.44), (0.78, 0.54, 0.28), (0.45, 0.31, 0.19),
            (1.0, 0.87, 0.52), (0.78, 0.46, 0.15)),
    }
)  # fmt: skip


def backdrop(place: str, grounded: bool, seed: str, size: int) -> np.ndarray:
    """(row, col, rgb) float32 in [0, 1]: out of focus, painted small and enlarged."""
    dice, mood, small = Random(f"{seed}/backdrop"), PLACES[place], 40
    canvas = Canvas(small)
    rows = np.linspace(0, 1, small)[:, None, None]
    lean = np.linspace(-1, 1, small)[None, :, None] * dice.uniform(-0.12, 0.12)
    along = np.clip(rows + lean, 0, 1)
    horizon = dice.uniform(0.42, 0.68)
    stops = [
        np.interp(along, (0, horizon, 1), (a, b, c))
        for a, b, c in zip(mood.top, mood.middle, mood.bottom, strict=True)
    ]
    canvas.pixels[..., :3] = np.concatenate(stops, 2) * 255
    canvas.pixels[..., 3] = 255
    page = CanvasFrame.page(small)
    _PAINT[place](canvas, page, dice, mood, horizon)
    if grounded:
        ground = mix(mood.bottom, mood.leaf if place != "snow" else mood.glow, 0.45)
        shape = smooth(
            [
                (-0.3, 0.70),
                (0.3, 0.66 + dice.uniform(-0.03, 0.03)),
                (1.3, 0.70),
                (1.3, 1.4),
                (-0.3, 1.4),
            ]
        )
        canvas.fill(page, shape, ground, 0.8)
    image = Image.fromarray(np.ascontiguousarray(canvas.pixels[..., :3]))
    image = image.filter(ImageFilter.GaussianBlur(dice.uniform(0.7, 1.6)))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC), np.float32) / 255


def _bokeh(canvas: Canvas, page: CanvasFrame, dice: Random, mood: Mood, horizon: float) -> None:
    for _ in range(dice.randint(3, 5)):
        x, lean, width = dice.random(), dice.gauss(0, 0.06), dice.uniform(0.03, 0.11)
        canvas.stroke(
            page,
            line([(x, -0.1), (x + lean, 1.1)]),
            darker(mix(mood.bottom, BARK, 0.5), dice.uniform(0.0, 0.4)),
            width,
            0.55,
        )
    for shade, count in (
        (darker(mood.leaf, 0.45), 9),
        (mood.leaf, 9),
        (lighter(mood.leaf, 0.25), 7),
    ):
        spots = [(dice.random(), dice.random()) for _ in range(count)]
        canvas.fill(
            page, circles(spots, np.array([dice.uniform(0.05, 0.15) for _ in spots])), shade, 0.35
        )
    for alpha in (0.25, 0.4, 0.6):
        spots = [(dice.random(), dice.random() * 0.75) for _ in range(5)]
        canvas.fill(
            page,
            circles(spots, np.array([dice.uniform(0.02, 0.06) for _ in spots])),
            mood.glow,
            alpha,
        )


def _meadow(canvas: Canvas, page: CanvasFrame, dice: Random, mood: Mood, horizon: float) -> None:
    hill = [
        (-0.2, horizon),
        (0.25, horizon - dice.uniform(0.02, 0.12)),
        (0.7, horizon + 0.03),
        (1.2, horizon - 0.05),
        (1.2, 1.3),
        (-0.2, 1.3),
    ]
    canvas.fill(page, smooth(hill), mix(mood.middle, mood.leaf, 0.5), 0.7)
    for shade in (lighter(mood.leaf, 0.3), mood.leaf, darker(mood.leaf, 0.3)):
        roots = np.array([(dice.random(), dice.uniform(0.75, 1.1)) for _ in range(16)])
        canvas.stroke(
            page,
            strokes(roots, roots - [(dice.gauss(0, 0.05), dice.uniform(0.15, 0.4)) for _ in roots]),
            shade,
            0.025,
            0.5,
        )
    petals = dice.choice(
        ((0.93, 0.45, 0.50), (0.98, 0.85, 0.35), (0.72, 0.55, 0.85), (0.97, 0.97, 0.94))
    )
    spots = [(dice.random(), dice.uniform(horizon, 1)) for _ in range(12)]
    canvas.fill(
        page, circles(spots, np.array([dice.uniform(0.012, 0.035) for _ in spots])), petals, 0.75
    )


def _water(canvas: Canvas, page: CanvasFrame, dice: Random, mood: Mood, horizon: float) -> None:
    far = [
        (-0.2, horizon),
        (0.2, horizon - dice.uniform(0.03, 0.1)),
        (0.6, horizon - dice.uniform(0.02, 0.08)),
        (1.2, horizon - 0.04),
        (1.2, horizon + 0.01),
        (-0.2, horizon + 0.01),
    ]
    canvas.fill(page, smooth(far), mix(mood.leaf, mood.top, 0.4), 0.9)
    for shade, alpha in ((mood.glow, 0.5), (darker(mood.bottom, 0.3), 0.4)):
        starts = np.array(
            [
                (dice.uniform(-0.1, 0.9), horizon + (1.02 - horizon) * dice.random() ** 0.7)
                for _ in range(14)
            ]
        )
        canvas.stroke(
            page,
            strokes(
                starts, starts + [(dice.uniform(0.08, 0.35), dice.gauss(0, 0.004)) for _ in starts]
            ),
            shade,
            0.016,
            alpha,
        )


def _clouds(canvas: Canvas, page: CanvasFrame, dice: Random, mood: Mood, horizon: float) -> None:
    for _ in range(dice.randint(2, 4)):
        x, y, wide = dice.random(), dice.uniform(0.1, 0.8), dice.uniform(0.08, 0.2)
        puffs = [(x + wide * dice.gauss(0, 0.8), y + wide * dice.gauss(0, 0.16)) for _ in range(8)]
        canvas.fill(
            page,
            circles(puffs, np.array([wide * dice.uniform(0.25, 0.5) for _ in puffs])),
            mood.glow,
            0.55,
        )
    if dice.random() < 0.5:
        tops = [(x / 6, dice.uniform(0.86, 0.97)) for x in range(-1, 8)]
        canvas.fill(page, smooth([*tops, (1.3, 1.3), (-0.3, 1.3)]), darker(mood.leaf, 0.2), 0.8)


def _snow(canvas: Canvas, page: CanvasFrame, dice: Random, mood: Mood, horizon: float) -> None:
    for _ in range(dice.randint(4, 7)):
        x, tall, wide = dice.random(), dice.uniform(0.2, 0.5), dice.uniform(0.08, 0.16)
        fir = [(x, horizon - tall), (x + wide, horizon + 0.06), (x - wide, horizon + 0.06)]
        canvas.fill(
            page, smooth(fir, (0, 1, 2)), mix(mood.leaf, mood.top, dice.uniform(0.3, 0.75)), 0.85
        )
    canvas.fill(
        page,
        smooth(
            [
                (-0.2, horizon + 0.05),
                (0.3, horizon),
                (0.8, horizon + 0.06),
                (1.2, horizon),
                (1.2, 1.3),
                (-0.2, 1.3),
            ]
        ),
        mood.bottom,
        0.75,
    )
    spots = [(dice.random(), dice.random()) for _ in range(25)]
    canvas.fill(
        page, circles(spots, np.array([dice.uniform(0.008, 0.025) for _ in spots])), mood.glow, 0.8
    )


_PAINT = MappingProxyType(
    {
        "forest": _bokeh,
        "autumn": _bokeh,
        "meadow": _meadow,
        "water": _water,
        "sky": _clouds,
        "snow": _snow,
    }
)
