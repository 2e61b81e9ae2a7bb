"""Draws an attack: picture before, after and what changed; below, each explainer's map of the same.

Nothing is computed here but the differences that are shown.
"""

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from ..attacks.outcome import AttackOutcome, Compared
from . import colour, paint
from .wording import number, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, ROW = 7.6, 2.75  # inches


def picture(outcome: AttackOutcome, i: int, labels: tuple[str, str]) -> bytes:
    """The figure of picture `i` as the bytes of a PNG file; labels: what it was and became."""
    stream = BytesIO()
    figure(outcome, i, labels).savefig(stream, format="png", dpi=130)
    return stream.getvalue()


def figure(outcome: AttackOutcome, i: int, labels: tuple[str, str]) -> "Figure":
    """A matplotlib figure: one line of pictures, and one of maps for each explainer."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    pair = [x[i].cpu().permute(1, 2, 0).numpy() for x in (outcome.images, outcome.fooled)]
    count = 1 + len(outcome.maps)
    rows, cols = pair[0].shape[:2]
    height = ROW * min(rows / cols, 1.6) * count + 0.2
    drawn = Figure(figsize=(WIDTH, height), facecolor=colour.LIGHT["paper"], layout="constrained")
    FigureCanvasAgg(drawn)
    axes = drawn.subplots(count, 3, squeeze=False)
    sure = percent(outcome.sure_before[i].item()), percent(outcome.sure_after[i].item())
    _show(axes[0][0], paint.as_bytes(pair[0]), f"before: {labels[0]} {sure[0]}")
    _show(axes[0][1], paint.as_bytes(pair[1]), f"after: {labels[1]} {sure[1]}")
    change, gain = pair[1] - pair[0], 0.5 / max(float(outcome.largest[i]), 1e-9)
    _show(axes[0][2], paint.as_bytes(0.5 + gain * change), f"change, times {number(gain)}")
    for line, compared in zip(axes[1:], outcome.maps, strict=True):
        _maps(list(line), compared, i, pair)
    return drawn


def _maps(line: "list[Axes]", compared: Compared, i: int, pair: list[np.ndarray]) -> None:
    maps = [heat.values[i].cpu().numpy() for heat in (compared.benign, compared.attacked)]
    _show(line[0], paint.overlay(pair[0], maps[0]), f"{compared.method}, before")
    _show(line[1], paint.overlay(pair[1], maps[1]), f"{compared.method}, after")
    gone = _unit(maps[1]) - _unit(maps[0])
    alike = compared.rank[i].item()
    told = f"rank correlation {number(alike)}" if alike == alike else "a map is flat"
    grey = np.full_like(pair[0], 0.92)
    _show(line[2], paint.overlay(grey, gone, (-1.0, 1.0), opacity=1.0), f"difference; {told}")


def _unit(values: colour.Values) -> colour.Values:
    span = float(values.max() - values.min())
    return (values - values.min()) / (span if span > 0 else 1.0)


def _show(ax: "Axes", pixels: colour.Pixels, title: str) -> None:
    ax.imshow(pixels, interpolation="nearest")
    ax.set_title(title, fontsize=7.5, color=colour.LIGHT["ink"], loc="left")
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_color(colour.LIGHT["line"])
