"""The page of a run over a collection: the verdict, then the table, then why to believe it."""

import math
from datetime import datetime
from typing import Any

import numpy as np
from markupsafe import Markup

from ... import registry
from ...evaluation.comparison import Difference, Level, Scores
from ...evaluation.table import BLOB, Table
from ...stats.intervals import FEWEST
from ...views import curve
from ...views.wording import counted, number, percent, seconds, with_interval
from .. import shell
from . import plots, stability, worst_pictures
from .verdict import groups, headline, sentences

_STYLES = ("page.css", "small.css", "table.css")
_LISTED = 60
_AREA = "area under the curve"  # the unit of metrics whose curve runs over the share of pixels

Context = dict[str, Any]  # Any: what a template reads


@registry.drawn(Table, "html")
def page(table: Table) -> str:
    """The report as one HTML text; labels, names and errors in it are escaped."""
    payload: Context = {"version": 1, "stops": {}, "maps": []}
    return shell.rendered("table.html.j2", context(table), _STYLES, payload)


def context(table: Table) -> Context:
    """Everything that `table.html.j2` names."""
    measured = bool(table.pictures)
    return {
        "title": headline(table),
        "lead": table.verdict,
        "facts": _facts(table),
        "count": len(table.pictures),
        "heads": [_head(s) for s in table.scores],
        "rows": _rows(table) if measured else [],
        "blob": BLOB,
        "gains": list(sentences(table)) if measured and len(table.methods) > 1 else [],
        "groups": groups(table) if measured else [],
        "fewest": FEWEST,
        "winning": _winning(table),
        "paretos": _paretos(table),
        "curves": _curves(table),
        "stability": stability.panel(table),
        "worst": worst_pictures.gallery(table) if measured else None,
        "failures": table.gathered[:_LISTED],
        "unlisted": max(0, len(table.gathered) - _LISTED),
        "failed": len(table.errors),
        "methods": [
            _about("explainer", c.explainer, c.label) for c in table.plan.columns if not c.blind
        ],
        "metrics": [_about("metric", j.metric, j.label) for j in table.plan.judges],
        "notes": table.notes,
        "made": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
    }


def _facts(table: Table) -> list[tuple[str, str]]:
    told = table.plan.to_toml()
    return [
        ("model", table.plan.model.display_name),
        ("weights", told["model"]["weights"]),
        ("data", table.data),
        ("pictures", str(len(table.pictures))),
        ("target", told["target"]),
        ("precision", told["model"]["precision"]),
        ("batch", str(told["batch"])),
        ("versions", ", ".join(f"{n} {v}" for n, v in told["versions"].items())),
    ]


def _head(scores: Scores) -> Context:
    about = _about("metric", scores.metric, scores.label)
    return {**about, "direction": scores.metric.direction, "unit": scores.metric.unit}


def _about(kind: str, method: Any, label: str) -> Context:
    """What a file says of its method; nothing for one that is not registered."""
    if not method.registered_name:
        return {"label": label, "question": "", "caution": "", "paper": ""}
    known = registry.entry(kind, method.registered_name)
    return {
        "label": label,
        "question": known.question,
        "caution": known.caution,
        "paper": known.paper,
    }


def _rows(table: Table) -> list[Context]:
    """The methods, best first, those that are not ranked, then the baselines."""
    best = table.ranking.methods if table.ranking else ()
    order = [*best, *(name for name in table.methods if name not in best)]
    domains = [_domain(s) for s in table.scores]
    return [_row(table, name, domains) for name in [*order, *table.nulls]]


def _row(table: Table, name: str, domains: list[tuple[float, float]]) -> Context:
    blind = name in table.nulls
    passes, took = table.spent.get(name, (None, None))
    against = {d.metric: d for d in table.against if d.one == name}
    return {
        "name": name,
        "blind": blind,
        "cells": [
            _cell(s, name, domain, _gained(against[s.label]) if s.label in against else "", table)
            for s, domain in zip(table.scores, domains, strict=True)
        ],
        "asked": [not table.unread(name, s.label) for s in table.scores],
        "passes": "" if passes is None else number(passes),
        "passes_value": passes or 0,
        "seconds": "" if took is None else seconds(took),
        "seconds_value": took or 0,
    }


def _cell(
    scores: Scores, name: str, domain: tuple[float, float], gained: str, table: Table
) -> Context | None:
    level = scores.level(name)
    if not level.count or not math.isfinite(level.value):
        return None
    nulls = {} if name in table.nulls else _levels(scores, table.nulls)
    missing = len(table.pictures) - level.count
    return {
        "value": level.value,
        "text": with_interval(level.value, level.interval),
        "strip": Markup(curve.strip(level.value, level.interval, nulls, domain)),
        "gained": gained,
        "missing": f"{counted(missing, 'picture')} could not be scored" if missing else "",
    }


def _gained(found: Difference) -> str:
    """`significantly better than the blob by 0.10 (0.06 to 0.14)`, as far as the numbers allow."""
    if found.interval == (0, 0):
        return "equal to the blob on every picture"
    if found.interval is None:
        side = "better" if found.value >= 0 else "worse"
        return f"{side} than the blob by {number(abs(found.value))}; too few pictures for a test"
    ends = f"({number(found.interval[0])} to {number(found.interval[1])})"
    if found.word in ("better", "worse"):
        return f"significantly {found.word} than the blob: {number(found.value)} {ends}"
    return f"not significantly different from the blob: {number(found.value)} {ends}"


def _levels(scores: Scores, names: list[str]) -> dict[str, float]:
    found = {name: scores.level(name).value for name in names}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _domain(scores: Scores) -> tuple[float, float]:
    """What the strips of a metric span: all means and intervals, and zero."""
    ends = [0.0]
    for column in scores.columns:
        level = scores.level(column)
        ends += [e for e in (level.value, *(level.interval or ())) if math.isfinite(e)]
    return min(ends), max(ends)


def _winning(table: Table) -> Context | None:
    """Who beats whom, over all metrics that judge a map."""
    if table.ranking is None:
        return None
    names = table.ranking.methods
    cells = plots.matrix(table.win_shares)
    return {
        "names": names,
        "rows": [
            {"name": n, "cells": c, "share": _share(s)}
            for n, c, s in zip(names, cells, table.ranking.shares, strict=True)
        ],
        "metrics": [s.label for s in table.quality],
    }


def _share(level: Level) -> str:
    if level.interval is None:
        return percent(level.value)
    return f"{percent(level.value)} ({percent(level.interval[0])} to {percent(level.interval[1])})"


def _paretos(table: Table) -> list[Markup]:
    """Quality over cost, one plot a metric, where there are two methods to compare."""
    drawn = []
    for scores in table.quality:
        points = []
        for name in table.methods:
            level = scores.level(name)
            if name in table.spent and math.isfinite(level.value):
                points.append(
                    plots.CostPoint(
                        name=name,
                        cost=table.spent[name][0],
                        value=level.value,
                        interval=level.interval,
                    )
                )
        if len(points) > 1:
            nulls = list(_levels(scores, table.nulls).values())
            drawn.append(Markup(plots.pareto(points, nulls, scores.label, scores.sign)))
    return drawn


def _curves(table: Table) -> list[Context]:
    """The mean curve of each method over the band of the nulls, for metrics that are areas."""
    found = []
    for scores in table.scores:
        if scores.curves is None or scores.metric.unit != _AREA:
            continue
        means = scores.mean_curves()
        shown = [n for n in table.methods if n in means][: curve.KINDS]
        blind = [means[n] for n in table.nulls if n in means]
        if not shown:
            continue
        x = np.linspace(0, 1, scores.curves.shape[2]).tolist()
        band = (x, np.min(blind, 0).tolist(), np.max(blind, 0).tolist()) if blind else None
        lines = [(n, x, means[n].tolist()) for n in shown]
        found.append(
            {
                "metric": scores.label,
                "svg": Markup(curve.curves(lines, band, ("pixels changed", "score"))),
                "lines": [{"name": n, "kind": k % curve.KINDS + 1} for k, n in enumerate(shown)],
                "left_out": max(0, sum(n in means for n in table.methods) - curve.KINDS),
            }
        )
    return found
