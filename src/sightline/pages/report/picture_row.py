"""One picture of a report, as the template wants it: what it is called, how it is framed, its
classes and parts.
"""

from typing import Any

import numpy as np
from markupsafe import Markup

from ...views import colour, curve, encode, paint
from ...views.wording import percent
from ..record import Curve, PictureEntry
from . import agreement, map_card, part_list


def row(item: PictureEntry, index: int, setting: map_card.CardSetting) -> dict[str, Any]:
    """The context of one picture: what it is called, how it is framed, its parts and the cards of
    its maps.
    """
    whole = base(item)
    frame = _frame(item, (whole.shape[0], whole.shape[1]))
    fitted = encode.fit_picture(whole, setting.detail.picture)
    shape = _map_shape(item)
    window = _window(item, fitted, frame)
    maps = [map_card.card(item, m, (index, k), window, setting) for k, m in enumerate(item.maps)]
    panels = [map_card.panel(item, p, (index, k), setting) for k, p in enumerate(item.panels)]
    for card, shares in zip(maps, part_list.shares(item), strict=True):
        card["shares"] = [] if card.get("empty") else shares
    return {
        "id": f"picture-{index + 1}",
        "number": index + 1,
        "name": item.name,
        "file": item.name,
        "called": called(item),
        "where": item.headline or agreement.located(item),
        "label": item.predicted[0] if item.predicted else item.target,
        "picture": encode.picture(fitted, long_side=setting.detail.picture),
        "aspect": round(fitted.shape[1] / fitted.shape[0], 4),
        "frame": frame,
        "frame_aspect": round(shape[1] / shape[0], 4),
        "cropped": frame != (0.0, 0.0, 1.0, 1.0),
        "outline_box": map_card.outline_box(shape),
        "top": [_class(item, label, p) for label, p in item.top[:5]],
        "parts": part_list.outlined(item, shape, setting.tints),
        "plots": _plots(item),
        "notes": [f"{note[0].upper()}{note[1:]}." for note in item.notes],
        "maps": maps,
        "panels": panels,
    }


def base(item: PictureEntry) -> colour.Pixels:
    """The picture where its geometry is known, otherwise what the model was given."""
    for source in (item.picture if item.box else None, item.shown, item.picture):
        if source is not None:
            return paint.as_bytes(source)
    shape = _map_shape(item)
    return np.full((*shape, 3), 128, dtype=np.uint8)


def _frame(item: PictureEntry, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """x, y, width, height of the model's frame as shares of the shown picture."""
    if item.picture is None or item.box is None:
        return 0.0, 0.0, 1.0, 1.0
    rows, cols = size
    x0, y0, x1, y1 = item.box
    shares = (x0 / cols, y0 / rows, (x1 - x0) / cols, (y1 - y0) / rows)
    rounded = tuple(round(float(s), 5) for s in shares)
    whole = all(abs(a - b) < 0.004 for a, b in zip(rounded, (0, 0, 1, 1), strict=True))
    return (0.0, 0.0, 1.0, 1.0) if whole else (rounded[0], rounded[1], rounded[2], rounded[3])


def _map_shape(item: PictureEntry) -> tuple[int, int]:
    for entry in item.maps:
        if entry.values is not None:
            return entry.values.shape[0], entry.values.shape[1]
    source = item.shown if item.shown is not None else item.picture
    return (source.shape[0], source.shape[1]) if source is not None else (1, 1)


def _window(item: PictureEntry, base: colour.Pixels, frame: tuple[float, ...]) -> colour.Pixels:
    """The model's frame as pixels, for drawings that need no script."""
    if item.shown is not None:
        return paint.as_bytes(item.shown)
    rows, cols = base.shape[:2]
    x, y, width, height = frame
    top, left = max(0, round(y * rows)), max(0, round(x * cols))
    return base[
        top : max(top + 1, round((y + height) * rows)),
        left : max(left + 1, round((x + width) * cols)),
    ]


def _class(item: PictureEntry, label: str, probability: float) -> dict[str, Any]:
    return {
        "label": label,
        "share": round(float(probability) * 100, 2),
        "text": percent(float(probability)),
        "target": label == item.target,
        "true": label == item.truth,
    }


def _plots(item: PictureEntry) -> list[dict[str, Any]]:
    """For each metric with curves one drawing with the curves of all methods."""
    found: dict[str, list[tuple[str, Curve]]] = {}
    for entry in item.maps:
        for metric in entry.metrics:
            if metric.curve is not None:
                found.setdefault(metric.name, []).append((entry.method.title, metric.curve))
    return [_plot(name, named) for name, named in found.items()]


def _plot(name: str, named: list[tuple[str, Curve]]) -> dict[str, Any]:
    first = named[0][1]
    band = (first.x, first.low, first.high) if first.low and first.high else None
    lines = [(title, line.x, line.y) for title, line in named]
    drawn = curve.curves(lines, band, (first.x_label, first.y_label))
    return {
        "name": name,
        "svg": drawn,
        "y_label": first.y_label,
        "banded": band is not None,
        "lines": [(k % curve.KINDS + 1, title) for k, (title, _) in enumerate(named)],
    }


def called(item: PictureEntry) -> Markup:
    """What the model says of the picture; then what is true, and what was explained, where that is
    something else."""
    emphasised = Markup("{} <em>{}</em>{}")

    def told(word: str, label: str, probability: float | None = None) -> Markup:
        share = "" if probability is None else f" ({percent(probability)})"
        return emphasised.format(word, label, share)

    said = []
    if item.predicted:
        wrong = item.truth and item.truth != item.predicted[0]
        true = told("; it is", item.truth) if wrong else Markup("")
        said.append(told("Prediction:", *item.predicted) + true)
    if item.asked or not said:
        said.append(told("Explained:", item.target or "the target", item.probability))
    return Markup(" ").join(each + Markup(".") for each in said)
