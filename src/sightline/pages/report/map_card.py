"""One map, or one panel, of a report, as the template wants it: drawings, numbers, captions, and
the bytes that the script paints.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from ...targets.words import AGAINST
from ...views import colour, curve, encode, paint
from ...views.wording import number, percent, seconds, with_interval
from ..record import MapEntry, MetricEntry, PanelEntry, PictureEntry
from . import provenance, summary

_LONG = 40  # characters of a label in a caption; the title attribute has all of it
_FRAME = 2000  # units on the long side of the outlines' coordinate system


@dataclass(frozen=True, kw_only=True)
class CardSetting:
    """What all cards of a page share: sizes, the ranges of the strips, the colours of the parts."""

    detail: encode.Detail
    domains: summary.Domains
    tints: Mapping[str, tuple[str, str]]


def card(
    item: PictureEntry,
    entry: MapEntry,
    place: tuple[int, int],
    window: colour.Pixels,
    setting: CardSetting,
) -> dict[str, Any]:
    """The context of one map. place: which picture, which method. window: the picture in the
    model's frame.
    """
    index, k = place
    side = setting.detail.map
    missing = entry.values is None or not np.isfinite(entry.values).any()
    told: dict[str, Any] = {
        "id": f"picture-{index + 1}-map-{k + 1}",
        "method": entry.method,
        "error": entry.error or ("no map came back" if missing else ""),
        "caption": _caption(item, entry),
        "metrics": [_metric(m, setting.domains) for m in entry.metrics],
        "verdict": entry.verdict,
        "trust": _trust(entry),
        "details": _details(item, entry),
    }
    if missing:
        return told
    values = np.nan_to_num(np.asarray(entry.values, dtype=np.float32))
    signed = _signed(values, entry)
    told["empty"] = not paint.mass(values).sum() > 0
    fallback = signed if told["empty"] and signed is not None else values
    over = paint.overlay(encode.fit_picture(window, side), fallback)
    told["still"] = encode.picture(over, long_side=side, quality=70)
    ramp = paint.ramp(fallback)
    low, middle, high = ramp.ends  # as the script draws it
    told["bar"] = {"low": low, "middle": middle, "high": high, "signed": ramp.signed}
    told["contours"] = [
        paint.svg_path(lines, outline_box(values.shape)) for lines in paint.outlines(values)
    ]
    told["label"] = entry.target or item.target or (item.top[0][0] if item.top else "the target")
    told["signed_map"] = entry.native is not None
    told["packed"] = {**_encoded(values, signed, side), "row": index, "column": k}
    return told


def panel(
    item: PictureEntry, entry: PanelEntry, place: tuple[int, int], setting: CardSetting
) -> dict[str, Any]:
    """The context of one result that is no map: its fragment, and what every card says."""
    index, k = place
    return {
        "id": f"picture-{index + 1}-panel-{k + 1}",
        "method": entry.method,
        "error": entry.error or ("" if entry.body else "nothing came back"),
        "body": Markup(entry.body),  # escaped by the view that made it
        "caption": _caption(item, entry),
        "metrics": [_metric(m, setting.domains) for m in entry.metrics],
        "verdict": entry.verdict,
        "trust": _trust(entry),
        "details": _details(item, entry),
    }


def _signed(values: colour.Values, entry: MapEntry) -> colour.Values | None:
    """The map with its sign: the values themselves where they have one, else the native map."""
    if values.min() < 0:
        return values
    return None if entry.native is None else np.nan_to_num(np.asarray(entry.native, np.float32))


def _encoded(values: colour.Values, signed: colour.Values | None, side: int) -> dict[str, Any]:
    """What the script paints: bytes, and the numbers from which it makes the colour scales."""
    both = None
    if signed is not None:
        both = {
            **({"same": True} if signed is values else encode.heat(signed, long_side=side)),
            "peak": float(np.abs(signed).max()),
        }
    return {
        **encode.heat(values, long_side=side),
        "empty": not paint.mass(values).sum() > 0,
        "floor": paint.floor(values),
        "peak": float(values.max()),
        "signed": both,
    }


def _details(item: PictureEntry, entry: MapEntry | PanelEntry) -> provenance.Rows:
    """How the result was made, as a table; first the method's own map, before it was enlarged."""
    table = provenance.rows(entry.provenance, entry.target or item.target)
    own = getattr(entry, "native", None)
    if own is None or not np.isfinite(own).any():
        return table
    low, high = float(np.nanmin(own)), float(np.nanmax(own))
    return [
        ("Map before enlargement", provenance.size(own.shape)),
        ("Its values", f"{number(low)} to {number(high)}"),
        *table,
    ]


def _for(label: str) -> str:
    """What a map is of: `for tabby`, `evidence against tabby`."""
    return _short(label) if label.startswith(AGAINST) else f"for {_short(label)}"


def _caption(item: PictureEntry, entry: MapEntry | PanelEntry) -> list[dict[str, str]]:
    """The quiet line: (text, what it means) for layer, target, passes and time."""
    forward, backward = entry.passes
    label = entry.target or item.target or (item.top[0][0] if item.top else "")
    probability = (
        "" if item.probability is None or entry.target else f" ({percent(item.probability)})"
    )
    words = [
        (
            f"{_for(label)}{probability}" if label else "",
            f"What is explained here: {label}.",
        ),
        (f"at {entry.layer}" if entry.layer else "", "The layer whose output was read."),
        (
            _passes(forward, backward),
            "Pictures sent forward through the network, and gradients sent back, for this result.",
        ),
        (seconds(entry.seconds) if entry.seconds is not None else "", "Time for this alone."),
    ]
    return [{"text": text, "told": told} for text, told in words if text]


def _short(label: str) -> str:
    return label if len(label) <= _LONG else f"{label[: _LONG - 1].rstrip()}…"


def _passes(forward: int, backward: int) -> str:
    spent = [
        f"{n:,} {way}".replace(",", "\u202f")
        for n, way in ((forward, "forward"), (backward, "backward"))
        if n
    ]
    return ", ".join(spent)


def _metric(metric: MetricEntry, domains: summary.Domains) -> dict[str, Any]:
    return {
        "name": metric.name,
        "question": metric.question,
        "direction": metric.direction,
        "text": with_interval(metric.value, metric.interval),
        "strip": curve.strip(metric.value, metric.interval, metric.nulls, domains[metric.name]),
        "nulls": summary.null_words(metric.nulls),
    }


def _trust(entry: MapEntry | PanelEntry) -> dict[str, Any] | None:
    judged = [won for won in map(summary.beats, entry.metrics) if won is not None]
    return {"won": sum(judged), "of": len(judged)} if judged else None


def outline_box(shape: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the coordinate system in which outlines over a map are drawn."""
    longest = max(shape)
    return round(shape[1] / longest * _FRAME), round(shape[0] / longest * _FRAME)
