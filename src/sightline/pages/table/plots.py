"""Draws how methods stand: quality over cost, and who wins against whom."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from ...views.wording import number, percent

_WIDTH, _HEIGHT = 360.0, 240.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 12.0, 20.0, 40.0
_LINE = 13.0  # pixels between two names
_LETTER = 6.2  # pixels of a letter, about


@dataclass(frozen=True, kw_only=True)
class CostPoint:
    """A method's price in passes and its mean by one metric."""

    name: str
    cost: float
    value: float
    interval: tuple[float, float] | None = None


def front(points: Sequence[CostPoint], sign: int) -> list[bool]:
    """Which methods no other beats in price and quality at once; sign: 1 where more is better."""
    return [
        not any(
            q.cost <= p.cost
            and sign * q.value >= sign * p.value
            and (q.cost < p.cost or sign * q.value > sign * p.value)
            for q in points
        )
        for p in points
    ]


def pareto(points: Sequence[CostPoint], nulls: Sequence[float], metric: str, sign: int) -> str:
    """Quality over cost: a dot and its interval for each method, the baselines as a band."""
    ends = [e for p in points for e in (p.value, *(p.interval or ()))]
    low, high = min([*ends, *nulls]), max([*ends, *nulls])
    pad = 0.06 * (high - low or 1.0)
    low, high = low - pad, high + pad
    costs = [math.log10(max(p.cost, 1.0)) for p in points]
    left, right = math.floor(min(costs)), max(math.ceil(max(costs)), math.floor(min(costs)) + 1)

    def x(cost: float) -> float:
        share = (math.log10(max(cost, 1.0)) - left) / (right - left)
        return _LEFT + 8 + share * (_WIDTH - _LEFT - _RIGHT - 16)

    def y(value: float) -> float:
        return _TOP + (1 - (value - low) / (high - low)) * (_HEIGHT - _TOP - _BOTTOM)

    best = front(points, sign)
    parts = _grid(x, y, (left, right), (low + pad, high - pad))
    if nulls:
        top, bottom = y(max(nulls)), y(min(nulls))
        parts.append(
            f'<rect class="null" x="{_LEFT}" width="{_WIDTH - _LEFT - _RIGHT}" y="{top:.1f}"'
            f' height="{max(bottom - top, 1):.1f}"/>'
        )
    for point, on in zip(points, best, strict=True):
        parts.append(_dot(point, x(point.cost), (y(point.value), y), on))
    parts += _names([(x(p.cost), y(p.value), p.name) for p in points])
    better = "higher" if sign > 0 else "lower"
    parts.append(
        f'<text class="tick" x="2" y="12">{escape(metric)}, {better} is better</text>'
        f'<text class="tick" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 6}" text-anchor="end">'
        "passes for a picture</text>"
    )
    told = "; ".join(f"{p.name}: {number(p.value)} for {number(p.cost)} passes" for p in points)
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img"'
        f' aria-label="{escape(f"{metric} over cost. {told}")}">{"".join(parts)}</svg>'
    )


def _grid(x, y, powers: tuple[int, int], levels: tuple[float, float]) -> list[str]:
    parts = []
    for level in (levels[0], sum(levels) / 2, levels[1]):
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(level):.1f}"'
            f' y2="{y(level):.1f}"/><text class="tick" x="{_LEFT - 4}" y="{y(level) + 4:.1f}"'
            f' text-anchor="end">{number(level)}</text>'
        )
    for power in range(powers[0], powers[1] + 1):
        parts.append(
            f'<text class="tick" x="{x(float(10**power)):.1f}" y="{_HEIGHT - _BOTTOM + 16}"'
            f' text-anchor="middle">{10**power:g}</text>'
        )
    return parts


def _dot(point: CostPoint, across: float, height, on: bool) -> str:
    down, y = height
    whisker = ""
    if point.interval:
        low, high = (y(end) for end in point.interval)
        whisker = (
            f'<line class="whisker" x1="{across:.1f}" x2="{across:.1f}" y1="{low:.1f}"'
            f' y2="{high:.1f}"/>'
        )
    kind = "dot front" if on else "dot"
    return f'{whisker}<circle class="{kind}" cx="{across:.1f}" cy="{down:.1f}" r="4.5"/>'


def _names(places: Sequence[tuple[float, float, str]]) -> list[str]:
    """The names beside their dots, moved down where they would cover a name or a dot."""
    taken = [(across - 6, across + 6, down + 4) for across, down, _ in places]
    parts = []
    for across, down, name in sorted(places, key=lambda p: p[1]):
        wide = _LETTER * len(name)
        right = across + 9 + wide < _WIDTH
        start = across + 9 if right else across - 9 - wide
        level = down + 4
        while any(
            abs(level - other) < _LINE and start < end and begin < start + wide
            for begin, end, other in taken
        ):
            level += 2
        taken.append((start, start + wide, level))
        anchor = "start" if right else "end"
        at = across + 9 if right else across - 9
        parts.append(
            f'<text class="name-of" x="{at:.1f}" y="{level:.1f}" text-anchor="{anchor}">'
            f"{escape(name)}</text>"
        )
    return parts


def matrix(shares: np.ndarray) -> list[list[dict[str, object] | None]]:
    """The cells of a table of shares: text, and how strongly to tint it (0 at an even half)."""
    return [
        [
            None
            if not math.isfinite(share)
            else {
                "text": percent(float(share)),
                "tint": round(abs(float(share) - 0.5) * 60),
                "won": bool(share > 0.5),
            }
            for share in row
        ]
        for row in shares
    ]
