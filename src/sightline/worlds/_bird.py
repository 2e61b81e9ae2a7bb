"""Paint a bird, part by part, from back to front."""

from collections.abc import Mapping
from math import cos, radians, sin
from random import Random

import numpy as np

from ._anatomy import (
    BACK,
    BILLS,
    BODY,
    BREAST,
    COATS,
    COVERTS,
    CROWN,
    HEAD,
    WING,
    Coat,
    Pose,
    anatomy,
    silhouette,
)
from ._canvas import (
    PIXELS,
    Canvas,
    CanvasFrame,
    Colour,
    circles,
    darker,
    leaves,
    lighter,
    line,
    smooth,
    strokes,
)
from ._species import PALETTE, PARTS

NUMBER = {part: i + 1 for i, part in enumerate(PARTS)}
DARK: Colour = (0.16, 0.12, 0.11)


class Painter:
    """Paint one bird on a canvas, part by part, from back to front."""

    def __init__(
        self,
        canvas: Canvas,
        pose: Pose,
        traits: Mapping[str, str],
        removed: frozenset[str],
        seed: str,
    ) -> None:
        self.canvas, self.pose = canvas, pose
        self.traits, self.removed, self.seed = traits, removed, seed
        self.frames = anatomy(pose, CanvasFrame.page(canvas.size))
        tint = Random(f"{seed}/individual")
        self._lift = {name: (tint.gauss(0, 0.05), tint.gauss(0, 0.025)) for name in sorted(traits)}
        self._flicks = np.random.Generator(np.random.PCG64(tint.getrandbits(64)))
        self._whole = (tint.gauss(0, 0.03), tint.gauss(0, 0.02))

    def paint(self) -> None:
        self._legs()
        self._tail()
        self._crest()
        self._torso()
        self._breast()
        self._wing()
        self._head()
        self._bill()
        self._eye()

    def colour(self, name: str) -> Colour:
        """The attribute's colour on this very bird."""
        part = name.removesuffix("-colour")
        if part in self.removed:
            stand_in = {"crown": "face", "breast": "belly"}.get(part)
            if stand_in and stand_in not in self.removed:
                return self.colour(f"{stand_in}-colour")
            return PALETTE["dun"]
        return self._tinted(name)

    def _tinted(self, name: str) -> Colour:
        red, green, blue = PALETTE[self.traits[name]]
        light, warm = (a + b for a, b in zip(self._lift[name], self._whole, strict=True))
        scale = 1 + light
        shades = (red * scale + warm, green * scale, blue * scale - warm)
        return tuple(min(max(shade, 0.03), 1.0) for shade in shades)  # type: ignore[return-value]

    def trait(self, name: str) -> str:
        return "none" if name in self.removed else self.traits[name]

    def _legs(self) -> None:
        if "legs" in self.removed:
            return
        colour, ground, number = self.colour("leg-colour"), self.frames.ground, NUMBER["legs"]
        for i, (x, y) in enumerate(self.frames.feet):
            tint = darker(colour, 0.3 if i else 0.0)
            self.canvas.stroke(
                ground,
                line([(x - 0.03, y - 0.24), (x - 0.045, y - 0.1), (x, y)]),
                tint,
                0.032,
                owner=number,
            )
            toes = np.array([(x + 0.085, y + 0.03), (x + 0.05, y + 0.05), (x - 0.06, y + 0.035)])
            self.canvas.stroke(
                ground, strokes(np.tile((x, y), (3, 1)), toes), tint, 0.026, owner=number
            )

    def _tail(self) -> None:
        kind = self.trait("tail")
        if kind == "none":
            return
        frame, number = self.frames.tail, NUMBER["tail"]
        base = darker(self._tinted("wing-colour"), 0.1)
        spread = {
            "short": (-4, 0, 4),
            "long": (-3, 0, 3),
            "forked": (-13, -8, 9, 14),
            "fan": (-30, -18, -6, 6, 18, 30),
        }[kind]
        length = {"short": 0.38, "long": 0.80, "forked": 0.60, "fan": 0.56}[kind]
        width = {"short": 0.055, "long": 0.05, "forked": 0.045, "fan": 0.085}[kind]
        for i, degrees in enumerate(spread):
            angle = radians(180 - degrees)
            reach = length * (0.86 if kind == "forked" and abs(degrees) < 10 else 1.0)
            if kind == "long":
                reach *= 1.0 - 0.08 * abs(i - 1)
            c, s = cos(angle), sin(angle)
            outline = [
                (0.06, -width * 0.8),
                (0.5, -width),
                (0.93, -width * 0.95),
                (1.0, 0.0),
                (0.93, width * 0.9),
                (0.5, width),
                (0.06, width * 0.8),
            ]
            points = [(reach * u * c - v * s, reach * u * s + v * c) for u, v in outline]
            shade = lighter(base, 0.10) if i % 2 else base
            self.canvas.fill(frame, smooth(points, (0, 6)), shade, owner=number)
            self.canvas.stroke(
                frame,
                line([(0.1 * c, 0.1 * s), (reach * 0.96 * c, reach * 0.96 * s)]),
                darker(base, 0.45),
                0.009,
                0.7,
            )
            if kind == "fan":
                tip = [
                    (reach * u * c - v * s, reach * u * s + v * c)
                    for u, v in ((0.9, -width * 0.8), (0.93, 0), (0.9, width * 0.8), (1.0, 0.0))
                ]
                self.canvas.fill(
                    frame, smooth(tip, (0, 2)), lighter(base, 0.75), 0.95, owner=number
                )
        self.canvas.fill(
            frame,
            smooth([(0.1, -0.1), (-0.16, -0.05), (-0.2, 0.0), (-0.14, 0.05), (0.1, 0.1)]),
            darker(base, 0.5),
            0.35,
        )

    def _crest(self) -> None:
        kind = self.trait("crest")
        if kind == "none":
            return
        frame, base, number = self.frames.head, self._tinted("crown-colour"), NUMBER["crest"]
        plumes = {
            "short": [((-0.20, -0.37), 0.06), ((-0.27, -0.30), 0.06), ((-0.10, -0.39), 0.07)],
            "long": [((-0.52, -0.25), 0.05), ((-0.46, -0.40), 0.05), ((-0.33, -0.50), 0.055)],
        }[kind]
        for i, ((x, y), width) in enumerate(plumes):
            root = (
                (0.06 - 0.07 * i, -0.20 + 0.03 * i)
                if kind == "short"
                else (0.05 - 0.05 * i, -0.2 + 0.02 * i)
            )
            if kind == "long":
                root = (0.10, -0.16)
            middle = ((root[0] + x) / 2, (root[1] + y) / 2 - 0.05)
            shape = [
                root,
                (middle[0] + 0.02, middle[1] - width),
                (x, y),
                (middle[0] - 0.05, middle[1] + width),
                (-0.16, -0.10),
            ]
            self.canvas.fill(
                frame,
                smooth(shape, (2,)),
                (base, darker(base, 0.12), lighter(base, 0.10))[i],
                owner=number,
            )
            self.canvas.stroke(
                frame, line([root, middle, (x * 0.95, y * 0.97)]), darker(base, 0.5), 0.01, 0.5
            )

    def _torso(self) -> None:
        canvas, body = self.canvas, self.frames.body
        outline = silhouette(self.frames, self.pose.plump)
        belly = self.colour("belly-colour")
        canvas.stroke(
            PIXELS, outline, darker(PALETTE["dun"], 0.55), 0.012 * self.frames.ground.unit, 0.5
        )
        canvas.fill(PIXELS, outline, self._tinted("belly-colour"), owner=NUMBER["belly"])
        canvas.clip(PIXELS, outline)
        if "belly" in self.removed:
            canvas.fill(body, smooth(BODY * 1.1), belly)
        self._feathers(body, COATS["belly"], darker(belly, 0.45), 0.22)
        breast, back = self.colour("breast-colour"), self.colour("back-colour")
        self._region(BREAST, breast, "breast")
        self._feathers(body, COATS["breast"], lighter(breast, 0.6), 0.35)
        self._region(BACK, back, "back")
        self._feathers(body, COATS["back"], darker(back, 0.5), 0.3)

    def _region(self, points: np.ndarray, colour: Colour, part: str) -> None:
        shape, body = points, self.frames.body
        centre = shape.mean(0)
        self.canvas.fill(body, smooth(centre + (shape - centre) * 1.10), colour, 0.35)
        self.canvas.fill(body, smooth(centre + (shape - centre) * 1.05), colour, 0.5)
        self.canvas.fill(body, smooth(shape), colour, owner=NUMBER[part])

    def _feathers(self, frame: CanvasFrame, coat: Coat, colour: Colour, alpha: float) -> None:
        """Short flicks along the lie of the plumage."""
        dice, (left, right), (top, bottom) = self._flicks, coat.across, coat.down
        starts = dice.uniform((left, top), (right, bottom), (coat.count, 2))
        angles = coat.angle + dice.normal(0, 0.22, coat.count)
        lengths = dice.uniform(0.03, 0.075, (coat.count, 1))
        ends = starts + np.stack([np.cos(angles), np.sin(angles)], 1) * lengths
        self.canvas.stroke(frame, strokes(starts, ends), colour, 0.011, alpha)

    def _breast(self) -> None:
        """The pattern on the breast; leaves the clip of the torso behind."""
        kind, body, number = self.trait("breast"), self.frames.body, NUMBER["breast"]
        dice = Random(f"{self.seed}/breast")
        spots = [
            (
                0.08 + 0.092 * i + 0.046 * (j % 2) + dice.gauss(0, 0.008),
                -0.20 + 0.088 * j + dice.gauss(0, 0.008),
            )
            for j in range(6)
            for i in range(5)
        ]
        if kind == "streaked":
            starts = np.array(spots)
            self.canvas.stroke(
                body, strokes(starts, starts + np.array((-0.022, 0.042))), DARK, 0.026, 0.9, number
            )
        elif kind == "spotted":
            self.canvas.fill(body, circles(spots, 0.025), DARK, 0.92, number)
        elif kind == "band":
            arc = [(0.16, -0.36), (0.24, -0.12), (0.38, 0.02), (0.56, 0.06)]
            self.canvas.stroke(body, line(arc), DARK, 0.13, 0.95, number)
        elif kind == "bib":
            shape = [
                (0.20, -0.40),
                (0.20, -0.14),
                (0.28, 0.08),
                (0.42, 0.19),
                (0.62, 0.08),
                (0.62, -0.40),
            ]
            self.canvas.fill(body, smooth(shape), DARK, 0.95, number)

    def _wing(self) -> None:
        self.canvas.unclip()
        if "wing" in self.removed:
            return
        frame, base, number = self.frames.wing, self.colour("wing-colour"), NUMBER["wing"]
        shadow = WING + np.array((0.0, 0.035))
        self.canvas.fill(frame, smooth(shadow, (5,)), DARK, 0.18)
        self.canvas.fill(frame, smooth(WING, (5,)), base, owner=number)
        tips = [
            (-0.30, 0.115),
            (-0.24, 0.05),
            (-0.42, -0.02),
            (-0.62, -0.04),
            (-0.78, 0.02),
            (-0.52, 0.06),
        ]
        self.canvas.fill(frame, smooth(tips, (0, 4)), darker(base, 0.4), 0.8)
        for i in range(6):
            start, end = (-0.02 - 0.03 * i, 0.13 - 0.058 * i), (-0.36 - 0.055 * i, 0.10 - 0.034 * i)
            middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.02)
            self.canvas.stroke(frame, line([start, middle, end]), lighter(base, 0.4), 0.014, 0.75)
            self.canvas.stroke(
                frame,
                line([(start[0], start[1] + 0.015), (middle[0], middle[1] + 0.015), end]),
                darker(base, 0.6),
                0.009,
                0.6,
            )
        self.canvas.fill(frame, smooth(COVERTS), lighter(base, 0.07))
        self._scallops(frame, base)
        self._bars(frame)

    def _scallops(self, frame: CanvasFrame, base: Colour) -> None:
        places = [
            (0.20 - 0.08 * i, -0.19 + 0.075 * j + 0.037 * (i % 2))
            for i in range(4)
            for j in range(4)
        ]
        rims = np.concatenate(
            [np.array([(x, y - 0.035), (x - 0.045, y), (x, y + 0.035)]) for x, y in places]
        )
        codes = np.tile(np.array([1, 3, 3], np.uint8), len(places))
        self.canvas.stroke(frame, (rims, codes), darker(base, 0.55), 0.011, 0.55)
        self.canvas.stroke(
            frame, (rims - np.array((0.012, 0.0)), codes), lighter(base, 0.5), 0.010, 0.45
        )

    def _bars(self, frame: CanvasFrame) -> None:
        kind, number = self.trait("wing-bars"), NUMBER["wing-bars"]
        if kind == "none":
            return
        colour = self.colour("bar-colour")
        for at in (-0.13,) if kind == "one" else (-0.15, 0.03):
            y = np.linspace(-0.185, 0.115, 6)
            x = at - 0.05 * np.cos((y + 0.03) * 8) + 0.02
            feathers = leaves(np.stack([x + 0.035, y], 1), np.full(6, np.pi - 0.25), 0.085, 0.032)
            self.canvas.fill(frame, feathers, colour, owner=number)
            self.canvas.stroke(frame, line(np.stack([x, y], 1)), colour, 0.045, owner=number)

    def _head(self) -> None:
        canvas, head, face = self.canvas, self.frames.head, self.colour("face-colour")
        canvas.clip(PIXELS, silhouette(self.frames, self.pose.plump))
        soft = HEAD
        canvas.fill(head, smooth(soft * 1.12), face, 0.3)
        canvas.fill(head, smooth(soft * 1.06), face, 0.5)
        canvas.fill(head, smooth(soft), face, owner=NUMBER["face"])
        crown = self.colour("crown-colour")
        canvas.fill(head, smooth(CROWN + np.array((0.0, 0.02))), crown, 0.4)
        canvas.fill(head, smooth(CROWN), crown, owner=NUMBER["crown"])
        canvas.stroke(
            head,
            line([(-0.02, -0.21), (-0.12, -0.16), (-0.18, -0.06)]),
            lighter(crown, 0.4),
            0.03,
            0.18,
        )
        self._feathers(head, COATS["crown"], darker(crown, 0.5), 0.3)
        self._feathers(head, COATS["face"], darker(face, 0.4), 0.25)
        canvas.fill(
            head,
            smooth([(0.25, -0.03), (0.13, -0.045), (0.09, -0.01), (0.14, 0.04), (0.25, 0.05)]),
            DARK,
            0.16,
        )
        canvas.unclip()

    def _bill(self) -> None:
        kind = self.trait("bill")
        if kind == "none":
            return
        points, sharp, gape = BILLS[kind]
        frame = self.frames.head.place((0.215, 0.0)).squeeze(self.pose.turn, 1.0)
        colour, number = self.colour("bill-colour"), NUMBER["bill"]
        self.canvas.fill(frame, smooth(points, sharp), colour, owner=number)
        tip = max(points)[0]
        shine = [
            (0.01, points[0][1] * 0.65),
            (tip * 0.45, points[1][1] * 0.7),
            (tip * 0.75, points[1][1] * 0.35),
        ]
        self.canvas.stroke(frame, line(shine), lighter(colour, 0.6), 0.013, 0.55)
        end = (tip * 0.62, gape + (0.02 if kind != "curved" else 0.03))
        self.canvas.stroke(
            frame,
            line([(0.0, gape), (tip * 0.35, gape - 0.005), end]),
            darker(colour, 0.7),
            0.011,
            0.8,
        )

    def _eye(self) -> None:
        frame = self.frames.head.place((0.085 * self.pose.turn + 0.005, -0.035))
        ring = self.trait("eye-ring")
        if ring != "none":
            colour: Colour = (0.97, 0.96, 0.92) if ring == "white" else (0.98, 0.80, 0.10)
            self.canvas.fill(frame, circles([(0, 0)], 0.088), colour, owner=NUMBER["eye-ring"])
        if "eye" in self.removed:
            return
        self.canvas.fill(frame, circles([(0, 0)], 0.058), (0.07, 0.05, 0.05), owner=NUMBER["eye"])
        self.canvas.fill(frame, circles([(0.004, 0.012)], 0.040), (0.34, 0.19, 0.10), 0.8)
        self.canvas.fill(
            frame, circles([(0.0, 0.0)], 0.030), (0.03, 0.02, 0.03), 0.95, NUMBER["eye"]
        )
        self.canvas.fill(
            frame,
            circles([(0.016, -0.022), (-0.018, 0.022)], np.array([0.017, 0.007])),
            (1.0, 1.0, 1.0),
            0.92,
            NUMBER["eye"],
        )
