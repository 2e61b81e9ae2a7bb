"""Sums the scores of all pictures up: one row per method, one column per metric, each with its
baselines; and says per method on how many pictures it beats them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...stats.intervals import FEWEST, mean_interval
from ...stats.ties import differences
from ...views import curve
from ...views.wording import counted, listed, number, seconds, with_interval
from ..record import MapEntry, MetricEntry, PanelEntry, PictureEntry

Domains = Mapping[str, tuple[float, float]]


def domains(items: Sequence[PictureEntry]) -> Domains:
    """For each metric the range that its strips show, the same on the whole page; zero is always in
    it.
    """
    seen: dict[str, list[float]] = {}
    entries = [entry for item in items for entry in (*item.maps, *item.panels)]
    for metric in (m for entry in entries for m in entry.metrics):
        values = [0.0, metric.value, *metric.nulls.values(), *(metric.interval or ())]
        seen.setdefault(metric.name, []).extend(v for v in values if math.isfinite(v))
    return {name: (min(values), max(values)) for name, values in seen.items()}


def beats(metric: MetricEntry) -> bool | None:
    """Whether the number beats every baseline; None where there is none to compare with."""
    if not metric.nulls or not math.isfinite(metric.value):
        return None
    best = (max if metric.direction == "higher" else min)(metric.nulls.values())
    gap = differences(np.array([metric.value]), np.array([best]))[0]
    return bool(gap > 0 if metric.direction == "higher" else gap < 0)


def verdict(metrics: Sequence[MetricEntry]) -> str:
    """One sentence about one picture: on which metrics the map beats every baseline, and what
    scores as well elsewhere; nothing without metrics.
    """
    judged = [(m, beats(m)) for m in metrics if beats(m) is not None]
    if not judged:
        return ""
    better = [m.name for m, won in judged if won]
    equals: dict[str, list[str]] = {}
    for metric, won in judged:
        if not won:
            equals.setdefault(_article(_rival(metric)), []).append(metric.name)
    doubtful = listed([f"{rival} scores as well on {listed(on)}" for rival, on in equals.items()])
    if not better:
        return f"Does not beat the baselines: {doubtful}."
    sentence = f"Beats the baselines on {listed(better)}"
    return f"{sentence}; {doubtful}." if doubtful else f"{sentence}."


def verdicts(items: Sequence[PictureEntry]) -> dict[str, str]:
    """For each method, by name, one sentence over all pictures: on which metrics it beats every
    baseline, and on how many pictures; nothing without metrics."""
    found: dict[str, list[Sequence[MetricEntry]]] = {}
    for entry in (e for item in items for e in (*item.maps, *item.panels) if not e.error):
        found.setdefault(entry.method.name, []).append(entry.metrics)
    return {name: _over(measured) for name, measured in found.items()}


def _over(measured: Sequence[Sequence[MetricEntry]]) -> str:
    if len(measured) == 1:
        return verdict(measured[0])
    wins: dict[str, list[bool]] = {}
    for metric in (m for metrics in measured for m in metrics):
        if (won := beats(metric)) is not None:
            wins.setdefault(metric.name, []).append(won)
    if not wins:
        return ""
    if not any(map(any, wins.values())):
        most = counted(max(map(len, wins.values())), "picture")
        return f"Does not beat the baselines on {listed([*wins], 'or')} (0 of {most})."
    counts = [
        f"on {name} in {sum(won)} of {counted(len(won), 'picture')}" for name, won in wins.items()
    ]
    return f"Beats the baselines {listed(counts)}."


def failing(item: PictureEntry) -> list[str]:
    """The names of the methods that beat no baseline on any of several metrics, while others do."""
    won: dict[str, list[bool]] = {}
    for entry in (*item.maps, *item.panels):
        won[entry.method.title] = [w for w in map(beats, entry.metrics) if w is not None]
    lost = [name for name, wins in won.items() if len(wins) > 1 and not any(wins)]
    return lost if any(map(any, won.values())) else []


def failure(item: PictureEntry) -> str:
    """Which methods fail on this picture, and on what, as a sentence; nothing where none does."""
    names = failing(item)
    if not names:
        return ""
    judged = [m.name for entry in item.maps for m in entry.metrics if beats(m) is not None]
    metrics = listed(list(dict.fromkeys(judged)), "or")
    one = len(names) == 1
    return (
        f"{listed(names)} {'fails' if one else 'fail'} here: {'it does' if one else 'they do'} not"
        f" beat the baselines on {metrics}."
    )


def baselines(items: Sequence[PictureEntry]) -> list[str]:
    """The names of the maps that the scores are compared with, in the order of the page."""
    entries = (e for item in items for e in (*item.maps, *item.panels))
    return list(dict.fromkeys(n for e in entries for m in e.metrics for n in m.nulls))


def table(items: Sequence[PictureEntry]) -> dict[str, Any] | None:  # Any: what a template reads
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
        "fewest": FEWEST,
    }


def _row(
    title: str, entries: Sequence[MapEntry | PanelEntry], names: Sequence[str], ranges: Domains
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


def _cell(found: Sequence[MetricEntry], span: tuple[float, float]) -> dict[str, Any]:
    values = np.array([m.value for m in found], dtype=np.float64)
    mean, interval = float(values.mean()), mean_interval(values)
    return {
        "value": mean,
        "text": with_interval(mean, interval),
        "strip": curve.strip(mean, interval, _mean_nulls(found), span),
        "won": sum(beats(m) is True for m in found),
        "of": sum(beats(m) is not None for m in found),
    }


def _head(name: str, found: Sequence[MetricEntry]) -> dict[str, str]:
    return {
        "name": name,
        "question": found[0].question,
        "direction": found[0].direction,
        "nulls": null_words(_mean_nulls(found)),
    }


def _mean_nulls(found: Sequence[MetricEntry]) -> dict[str, float]:
    names = list(dict.fromkeys(name for m in found for name in m.nulls))
    return {n: float(np.mean([m.nulls[n] for m in found if n in m.nulls])) for n in names}


def null_words(nulls: Mapping[str, float]) -> str:
    """`random 0.31 · centred blob 0.24`: what the baselines get."""
    return " · ".join(
        f"{name} {number(level)}".replace(" ", "\N{NO-BREAK SPACE}")
        for name, level in nulls.items()
    )


def _rival(metric: MetricEntry) -> str:
    best = max if metric.direction == "higher" else min
    return best(metric.nulls, key=lambda name: metric.nulls[name])


def _article(name: str) -> str:
    name = "random map" if name == "random" else name
    vowel = name[:1] in "aeiou" and not name.startswith("uni")
    return f"{'an' if vowel else 'a'} {name}"
