"""How stable is the order of the methods? By pictures, by settings of a metric, by metric."""

import math
from typing import Any

from ...evaluation.stability import Order
from ...evaluation.table import Table
from ...views.wording import counted, number, percent

Context = dict[str, Any]  # Any: what a template reads

_ASKED = "as asked"


def panel(table: Table) -> Context | None:
    """What the page says of stability, or None where there is no order."""
    if table.ranking is None:
        return None
    firsts = [
        {"name": n, "text": percent(share), "width": round(share * 100, 1)}
        for n, share in zip(table.ranking.methods, table.ranking.first, strict=True)
        if share > 0
    ]
    labels = [s.label for s in table.quality]
    shown = len(labels) > 1 and len(table.methods) > 2
    return {
        "firsts": firsts,
        "labels": labels if shown else [],
        "rows": [
            {"label": label, "cells": [number(t) if math.isfinite(t) else "" for t in row]}
            for label, row in zip(labels, table.metric_agreement, strict=True)
        ],
        "settings": [_settings(table, s.label) for s in table.quality if _known(table, s.label)],
        "varied": any(o.choice in ("fill", "resolution") for o in table.stability),
    }


def _known(table: Table, metric: str) -> list[Order]:
    return [o for o in table.stability if o.metric == metric and o.methods]


def _settings(table: Table, metric: str) -> Context:
    """The place of each method (row) under each setting (column), and how alike the orders are."""
    known = _known(table, metric)
    bases, base = [], known[0]
    for order in known:  # each is held against the last one as asked
        base = order if order.choice == _ASKED else base
        bases.append(base)
    asked = known[0]
    heads = [
        {
            "label": o.setting,
            "note": counted(o.tau.count, "picture"),
            "base": o.choice == _ASKED,
        }
        for o in known
    ]
    rows = [
        {
            "name": name,
            "cells": [
                {"text": str(o.methods.index(name) + 1), "moved": _moved(o, base, name)}
                for o, base in zip(known, bases, strict=True)
            ],
        }
        for name in asked.methods
    ]
    return {
        "metric": metric,
        "heads": heads,
        "rows": rows,
        "taus": ["" if o.choice == _ASKED else _tau(o) for o in known],
    }


def _moved(order: Order, asked: Order, name: str) -> bool:
    return order.methods.index(name) != asked.methods.index(name)


def _tau(order: Order) -> str:
    if order.tau.interval is None:
        return number(order.tau.value)
    low, high = order.tau.interval
    return f"{number(order.tau.value)} ({number(low)} to {number(high)})"
