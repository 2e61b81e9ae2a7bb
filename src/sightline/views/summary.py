"""Sums the numbers of all pictures up: one row per method, one column per metric, each with its
null level.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import curve
from .wording import listed, number, seconds, with_interval

if TYPE_CHECKING:
    from ..report import Item, MapEntry, MetricEntry, PanelEntry

Domains = Mapping[str, tuple[float, float]]


def domains(items: Sequence["Item"]) -> Domains:
    """For each metric the range that its strips show, the same on the whole page; zero is always in
    it.
    """
    seen: dict[str, list[float]] = {}
    entries = [entry for item in items for entry in (*item.maps, *item.panels)]
    for metric in (m for entry in entries for m in entry.metrics):
        values = [0.0, metric.value, *metric.nulls.values(), *(metric.interval or ())]
        seen.setdefault(metric.name, []).extend(v for v in values if math.isfinite(v))
    return {name: (min(values), max(values)) for name, values in seen.items()}


def beats(metric: "MetricEntry") -> bool | None:
    """Whether the number is better than every null; None where there is no null to compare with."""
    if not metric.nulls or not math.isfinite(metric.value):
        return None
    levels = metric.nulls.values()
    return (
        metric.value > max(levels) if metric.direction == "higher" else metric.value < min(levels)
    )


def verdict(metrics: Sequence["MetricEntry"]) -> str:
    """One sentence: on which metrics the map is better than every null, and what does as well
    elsewhere; nothing without metrics.
    """
    judged = [(m, beats(m)) for m in metrics if beats(m) is not None]
    if not judged:
        return ""
    better = [m.name for m, won in judged if won]
    equals: dict[str, list[str]] = {}
    for metric, won in judged:
        if not won:
            equals.setdefault(_article(_rival(metric)), []).append(metric.name)
    doubtful = listed(
        [f"{rival} does at least as well on {listed(on)}" for rival, on in equals.items()]
    )
    if not better:
        return f"No better than a map that knows nothing: {doubtful}."
    sentence = f"Better than maps that know nothing on {listed(better)}"
    return f"{sentence}; {doubtful}." if doubtful else f"{sentence}."


def table(items: Sequence["Item"]) -> dict[str, Any] | None:  # Any: what a template reads
    """Means over all pictures with 95 % intervals, or None where nothing was measured."""
    names = list(dict.fromkeys(m.name for i in items for e in i.maps for m in e.metrics))
    by_method: dict[str, list[MapEntry | PanelEntry]] = {}
    for entry in (e for item in items for e in (*item.maps, *item.panels) if not e.error):
        by_method.setdefault(entry.method.title, []).append(entry)
    if not by_method:
        return None
    ranges = domains(items)
    every = [m for i in items for e in i.maps for m in e.metrics]
    return {
        "metrics": [_head(name, [m for m in every if m.name == name]) for name in names],
        "rows": [_row(title, entries, names, ranges) for title, entries in by_method.items()],
        "count": len(items),
    }


def mean_interval(values: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    """The mean and its 95 % interval (Student's t); no interval under three values."""
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if array.size < 3:
        return mean, None
    from scipy.special import stdtrit

    reach = float(stdtrit(array.size - 1, 0.975) * array.std(ddof=1) / math.sqrt(array.size))
    return mean, (mean - reach, mean + reach)


def _row(
    title: str, entries: Sequence["MapEntry | PanelEntry"], names: Sequence[str], ranges: Domains
) -> dict[str, Any]:
    cells = []
    for name in names:
        found = [m for e in entries for m in e.metrics if m.name == name and math.isfinite(m.value)]
        cells.append(_cell(found, ranges[name]) if found else None)
    spent = [e.seconds for e in entries if e.seconds is not None]
    passes = [sum(e.passes) for e in entries]
    return {
        "title": title,
        "cells": cells,
        "passes": round(sum(passes) / len(passes)),
        "seconds": sum(spent) / len(spent) if spent else -1.0,
        "seconds_text": seconds(sum(spent) / len(spent)) if spent else "",
    }


def _cell(found: Sequence["MetricEntry"], span: tuple[float, float]) -> dict[str, Any]:
    mean, interval = mean_interval([m.value for m in found])
    return {
        "value": mean,
        "text": with_interval(mean, interval),
        "strip": curve.strip(mean, interval, _mean_nulls(found), span),
        "won": sum(beats(m) is True for m in found),
        "of": sum(beats(m) is not None for m in found),
    }


def _head(name: str, found: Sequence["MetricEntry"]) -> dict[str, str]:
    return {
        "name": name,
        "question": found[0].question,
        "direction": found[0].direction,
        "nulls": null_words(_mean_nulls(found)),
    }


def _mean_nulls(found: Sequence["MetricEntry"]) -> dict[str, float]:
    names = list(dict.fromkeys(name for m in found for name in m.nulls))
    return {n: float(np.mean([m.nulls[n] for m in found if n in m.nulls])) for n in names}


def null_words(nulls: Mapping[str, float]) -> str:
    """`random 0.31 · centred blob 0.24`: what maps without knowledge get."""
    return " · ".join(
        f"{name} {number(level)}".replace(" ", "\N{NO-BREAK SPACE}")
        for name, level in nulls.items()
    )


def _rival(metric: "MetricEntry") -> str:
    best = max if metric.direction == "higher" else min
    return best(metric.nulls, key=lambda name: metric.nulls[name])


def _article(name: str) -> str:
    name = "random map" if name == "random" else name
    return f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"
