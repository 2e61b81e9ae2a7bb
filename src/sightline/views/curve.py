"""Draws a number with its baselines, and a curve with the band of the baselines, as small SVG
pictures.

A number that beats its nulls is not coloured: it is drawn beside them. Colours come from the page's
tokens (`currentColor` and CSS classes), so the same drawing serves light, dark and print.
"""

from collections.abc import Mapping, Sequence
from html import escape

from .wording import number

KINDS = 6
"""Kinds of line (colour and dash) that the page tells apart."""

_WIDTH, _HEIGHT = 320.0, 180.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 10.0, 10.0, 40.0


def strip(
    value: float,
    interval: tuple[float, float] | None,
    nulls: Mapping[str, float],
    domain: tuple[float, float],
) -> str:
    """A line on which the nulls are a band with ticks, the value a dot, its interval a bar."""
    low, high = domain
    span = (high - low) or 1.0

    def at(x: float) -> float:
        return round(3 + 94 * min(max((x - low) / span, 0.0), 1.0), 1)

    parts = ['<line class="axis" x1="0" x2="100%" y1="10" y2="10"/>']
    if nulls:
        first, last = at(min(nulls.values())), at(max(nulls.values()))
        wide = max(last - first, 1.0)
        parts.append(f'<rect class="null" x="{first}%" y="4" width="{wide:.1f}%" height="12"/>')
        for name, level in nulls.items():
            told = escape(f"{name}: {number(level)}")
            parts.append(
                f'<line class="null-tick" x1="{at(level)}%" x2="{at(level)}%" y1="4" y2="16">'
                f"<title>{told}</title></line>"
            )
    if interval:
        first, last = at(interval[0]), at(interval[1])
        parts.append(f'<line class="whisker" x1="{first}%" x2="{last}%" y1="10" y2="10"/>')
    parts.append(f'<circle class="value" cx="{at(value)}%" cy="10" r="4.5"/>')
    return f'<svg class="strip" aria-hidden="true">{"".join(parts)}</svg>'


def curves(
    lines: Sequence[tuple[str, Sequence[float], Sequence[float]]],
    band: tuple[Sequence[float], Sequence[float], Sequence[float]] | None,
    labels: tuple[str, str],
) -> str:
    """Curves (name, x, y) over [0, 1], and behind them the band (x, low, high) of the nulls, with
    numbered axes.
    """
    heights = [b for _, _, y in lines for b in y] + (list(band[2]) if band else [])
    depths = [b for _, _, y in lines for b in y] + (list(band[1]) if band else [])
    top = max([1e-12, *heights])
    top = 1.0 if 0.5 < top <= 1.0 else top * 1.05
    bottom = min([0.0, *depths])

    def point(a: float, b: float) -> str:
        px = _LEFT + a * (_WIDTH - _LEFT - _RIGHT)
        py = _TOP + (1 - (b - bottom) / (top - bottom)) * (_HEIGHT - _TOP - _BOTTOM)
        return f"{px:.1f},{py:.1f}"

    parts = _axes(bottom, top, labels, point)
    if band:
        there = [point(a, b) for a, b in zip(band[0], band[2], strict=True)]
        back = [point(a, b) for a, b in zip(band[0], band[1], strict=True)]
        parts.append(f'<polygon class="null" points="{" ".join(there + back[::-1])}"/>')
    for k, (_, x, y) in enumerate(lines):
        words = " ".join(point(a, b) for a, b in zip(x, y, strict=True))
        parts.append(f'<polyline class="curve curve-{k % KINDS + 1}" points="{words}"/>')
    told = "; ".join(
        f"{name}: from {number(y[0])} to {number(y[-1])}" for name, _, y in lines if len(y)
    )
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img"'
        f' aria-label="{escape(f"{labels[1]}. {told}")}">{"".join(parts)}</svg>'
    )


def _axes(bottom: float, top: float, labels: tuple[str, str], point) -> list[str]:
    parts = []
    for level in (bottom, (bottom + top) / 2, top):
        x0, y0 = point(0.0, level).split(",")
        x1, _ = point(1.0, level).split(",")
        parts.append(f'<line class="grid" x1="{x0}" x2="{x1}" y1="{y0}" y2="{y0}"/>')
        parts.append(
            f'<text class="tick" x="{float(x0) - 4:.1f}" y="{float(y0) + 4:.1f}" text-anchor="end">'
            f"{number(level)}</text>"
        )
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        px, py = point(share, bottom).split(",")
        parts.append(
            f'<text class="tick" x="{px}" y="{float(py) + 16:.1f}" text-anchor="{anchor}">'
            f"{round(share * 100)} %</text>"
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text class="tick" x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle">'
        f"{escape(labels[0])}</text>"
    )
    return parts
