"""A picture with its plate: below it, never over it, what was explained and what the colours mean.

The type grows with the picture. Text is set in DejaVu Sans, which comes with matplotlib and knows
Latin, Greek and Cyrillic letters.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .. import colour
from ..colour import Pixels
from ..paint import Ramp
from ..wording import NARROW
from .captions import Caption
from .style import Style

_NARROWEST = 360  # pixels of a plate, whatever the width of its picture
_TYPE = 0.025  # of the picture's side
_SIZES = 13, 30  # pixels: the least and the largest type
_BESIDE = 34  # widths of a letter from which caption and scale stand side by side
_LINES = 3  # of a title; longer ones end in an ellipsis
_NOTE_LINES = 12
_LONGEST = 3000  # letters that are read of a text

_Font = ImageFont.FreeTypeFont


def plated(pixels: Pixels, caption: Caption | None, ramp: Ramp | None, style: Style) -> Pixels:
    """The picture over a plate with its caption and its colour bar; what is None is left out."""
    if caption is None and ramp is None:
        return pixels
    rows, cols = pixels.shape[:2]
    width = max(cols, _NARROWEST)
    side = min(max(rows * cols, 1) ** 0.5, width)
    plate = _Plate(width, round(min(max(_TYPE * side, _SIZES[0]), _SIZES[1])), style)
    drawn = plate.drawn(caption, ramp)
    whole = Image.new("RGB", (width, rows + drawn.height), colour.LIGHT["paper"])
    whole.paste(Image.fromarray(pixels), ((width - cols) // 2, 0))
    whole.paste(drawn, (0, rows))
    return np.asarray(whole)


@dataclass(frozen=True)
class _Text:
    """Lines in one font and colour, and how far below the last block they begin."""

    lines: list[str]
    font: _Font
    ink: str
    before: int = 0

    @property
    def step(self) -> int:
        return round(1.36 * self.font.size)

    @property
    def height(self) -> int:
        return self.before + self.step * len(self.lines)


@dataclass(frozen=True)
class _Plate:
    """width: of the plate. size: of its type, both in pixels."""

    width: int
    size: int
    style: Style

    @property
    def pad(self) -> int:
        return round(0.95 * self.size)

    def drawn(self, caption: Caption | None, ramp: Ramp | None) -> Image.Image:
        room = self.width - 2 * self.pad
        beside = caption is not None and ramp is not None and room > _BESIDE * self.size
        bar = min(round(17 * self.size), room)
        left = room - bar - 2 * self.pad if beside else room
        texts = [] if caption is None else self._texts(caption, left)
        high = sum(text.height for text in texts)
        below = 0 if beside or not texts else round(0.7 * self.size)
        scale = 0 if ramp is None else self._scale_height
        body = max(high, scale) if beside else high + below + scale
        made = Image.new("RGB", (self.width, body + 2 * self.pad), colour.LIGHT["paper"])
        pen, y = ImageDraw.Draw(made), self.pad
        for text in texts:
            y += text.before
            for line in text.lines:
                pen.text((self.pad, y), line, font=text.font, fill=text.ink)
                y += text.step
        if ramp is not None:
            x = self.width - self.pad - bar if beside else self.pad
            self._scale(made, ramp, (x, self.pad if beside else self.pad + high + below, bar))
        return made

    def _texts(self, caption: Caption, room: int) -> list[_Text]:
        tokens, small = colour.LIGHT, max(12, round(0.86 * self.size))
        wanted = (
            (caption.title, _font(self.size, bold=True), tokens["ink"], _LINES),
            (caption.detail, _font(small), tokens["ink-2"], 2),
            (caption.note, _font(small), tokens["ink"], _NOTE_LINES),
        )
        gap = round(0.15 * self.size)
        found = [
            _Text(wrapped(text, font, room, most), font, ink, gap)
            for text, font, ink, most in wanted
            if text
        ]
        return [_Text(t.lines, t.font, t.ink, t.before if k else 0) for k, t in enumerate(found)]

    @property
    def _bar(self) -> int:
        return max(8, round(0.62 * self.size))

    @property
    def _scale_height(self) -> int:
        return self._bar + round(0.35 * self.size) + round(2.5 * self._small)

    @property
    def _small(self) -> int:
        return max(11, round(0.78 * self.size))

    def _scale(self, made: Image.Image, ramp: Ramp, place: tuple[int, int, int]) -> None:
        """The colours, the numbers at their ends and middle, and their unit, at x, y, width."""
        x, y, wide = place
        pen, font, tokens = ImageDraw.Draw(made), _font(self._small), colour.LIGHT
        table = colour.table("signed" if ramp.signed else self.style.table)
        steps = np.linspace(0, len(table) - 1, wide).round().astype(int)
        made.paste(Image.fromarray(np.repeat(table[steps][None], self._bar, axis=0)), (x, y))
        pen.rectangle((x, y, x + wide - 1, y + self._bar - 1), outline=tokens["edge"])
        y += self._bar + round(0.35 * self.size)
        middle = x + wide / 2
        for text, at, anchor in zip(
            ramp.ends, (x, middle, x + wide), ("la", "ma", "ra"), strict=True
        ):
            pen.text((at, y), _plain(text), font=font, fill=tokens["ink-2"], anchor=anchor)
        y += round(1.25 * self._small)
        pen.text((middle, y), ramp.unit, font=font, fill=tokens["ink-2"], anchor="ma")


def listed(lines: Sequence[tuple[str, str]], size: tuple[int, int]) -> Pixels:
    """Lines of text, each with a word in bold on its right, on an empty field of (rows, cols)."""
    rows, cols = size
    kind = max(11, round(cols / 26))
    made = Image.new("RGB", (cols, rows), colour.LIGHT["card"])
    pen, pad = ImageDraw.Draw(made), round(0.8 * kind)
    bold, plain, step = _font(kind, bold=True), _font(kind), round(1.7 * kind)
    for k, (text, word) in enumerate(lines[: max(1, (rows - pad) // step)]):
        y, word = pad + k * step, _plain(word)
        room = round(cols - 3 * pad - bold.getlength(word))
        told = wrapped(text, plain, room, 1)
        pen.text((pad, y), told[0] if told else "", font=plain, fill=colour.LIGHT["ink"])
        place = (cols - pad, y)
        pen.text(place, word, font=bold, fill=colour.LIGHT["accent"], anchor="ra")
    return np.asarray(made)


def wrapped(text: str, font: _Font, room: int, most: int) -> list[str]:
    """The text in at most so many lines of `room` pixels; words longer than a line are divided, and
    what does not fit ends in an ellipsis."""
    words, lines = _plain(text)[:_LONGEST].split(), [""]
    while words:
        word = words.pop(0)
        longer = f"{lines[-1]} {word}".lstrip()
        if font.getlength(longer) <= room:
            lines[-1] = longer
        elif lines[-1]:
            lines.append("")
            words.insert(0, word)
        else:
            cut = max(1, sum(font.getlength(word[: k + 1]) <= room for k in range(len(word))))
            lines[-1] = word[:cut]
            lines.append("")
            words[:0] = [word[cut:]] if word[cut:] else []
    lines = [line for line in lines if line]
    if len(lines) > most:
        last = lines[most - 1]
        while last and font.getlength(f"{last}…") > room:
            last = last[:-1]
        lines = [*lines[: most - 1], f"{last.rstrip()}…"]
    return lines


def wrapped_to(text: str, size: float, inches: float, bold: bool, most: int = 12) -> list[str]:
    """The text in lines of so many inches, set in `size` points; no line for an empty text."""
    pixels = 4 * size  # 288 a inch, so that whole pixels are fine enough
    return wrapped(text, _font(round(pixels), bold=bold), int(inches * 288), most) if text else []


def _plain(text: str) -> str:
    return text.replace(NARROW, "\N{NO-BREAK SPACE}").replace("`", "")


@cache
def _font(size: int, *, bold: bool = False) -> _Font:
    found = importlib.util.find_spec("matplotlib")  # its files only: importing it takes long
    assert found is not None and found.origin is not None
    folder = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / f"DejaVuSans{'-Bold' if bold else ''}.ttf"), size)
