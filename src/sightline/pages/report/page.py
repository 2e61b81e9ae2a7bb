"""Lays a report out for its template: sentences, drawings and encoded maps, nothing that touches a
model.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...files.writing import write_bytes
from ...views import colour, encode
from ...views.wording import counted, listed
from .. import shell
from ..record import Method, PageRecord, PictureEntry
from . import agreement, map_card, part_list, picture_row, summary
from .evidence import measure

_STYLES = ("page.css", "small.css", "panel.css", "index.css")
_VERSION = 1
_LIMIT = 4_500_000  # bytes for ten pictures


def build(report: PageRecord) -> str:
    """The page as one HTML text; labels, names and errors in it are escaped."""
    told = context(replace(report, items=tuple(map(measure, report.items))))
    payload = {
        "version": _VERSION,
        "stops": {n: colour.stops(n) for n in ("magnitude", "signed", "signed-dark")},
        "maps": told.pop("maps"),
    }
    return shell.rendered("page.html.j2", told, _STYLES, payload)


def write(report: PageRecord, path: str | os.PathLike[str]) -> Path:
    """Write the page to `path` in one step: a reader never meets half a page, and a failure leaves
    the old one.

    Raises: FileProblem where the folder cannot be made or written, or the disk is full.
    """
    return write_bytes(Path(path), build(report).encode())


def context(report: PageRecord) -> dict[str, Any]:  # Any: what a template reads
    """Everything that `page.html.j2` names, and the maps that its script paints."""
    good = [item for item in report.items if not item.error]
    cards, part = _cards(good), report.part
    for card in cards:
        card["number"] += part.first - 1 if part else 0
    maps = [m.pop("packed") for card in cards for m in card["maps"] if not m["error"]]
    return {
        "title": report.title,
        "lead": _lead(report, good),
        "caution": report.caution,
        "facts": report.facts,
        "notes": report.notes,
        "next_steps": report.next_steps,
        "made": report.made,
        "items": cards,
        "part": part,
        "total": part.total if part else len(cards),
        "failures": failures(report),
        "methods": methods(good),
        "verdicts": summary.verdicts(good),
        "baselines": listed(summary.baselines(good)),
        "summary": summary.table(good) if len(good) > 1 else None,
        "columns": max((len(item.maps) for item in good), default=0) + 1,
        "cropped": any(card["cropped"] for card in cards),
        "parted": any(card["parts"] for card in cards),
        "mapped": bool(maps),
        "has_signed": any(m["signed"] for m in maps),
        "stops": {name: colour.stops(name) for name in ("magnitude", "signed")},
        "maps": maps,
    }


def _cards(good: list[PictureEntry]) -> list[dict[str, Any]]:
    """The rows of the page, in the richest detail at which ten pictures stay under the limit."""
    setting = map_card.CardSetting(
        detail=encode.DETAILS[0], domains=summary.domains(good), tints=part_list.tints(good)
    )
    cards = [picture_row.row(item, k, setting) for k, item in enumerate(good)]
    excess = sum(map(_weight, cards)) / (_LIMIT * max(1.0, len(good) / 10))
    if excess <= 1:
        return cards
    lighter = replace(setting, detail=encode.lighter(excess))
    return [picture_row.row(item, k, lighter) for k, item in enumerate(good)]


def _weight(card: dict[str, Any]) -> int:
    """About how many bytes a row adds to the page."""
    sent = [m for m in card["maps"] if not m["error"]]
    maps = [m["packed"] for m in sent] + [m["packed"]["signed"] or {} for m in sent]
    lines = [path for m in sent for path in m["contours"]]
    texts = [card["picture"], *(m["still"] for m in sent), *(m.get("data", "") for m in maps)]
    texts += [panel["body"] for panel in card["panels"]]
    return sum(map(len, [*texts, *lines])) + 8_000 * len(sent)


def _lead(report: PageRecord, good: list[PictureEntry]) -> str:
    if not report.items:
        return "There is no picture in this report."
    names = list(dict.fromkeys(m.method.title for item in good for m in (*item.maps, *item.panels)))
    who = listed(names) if len(names) <= 4 else f"{len(names)} methods"
    sentences = []
    if good:
        sentences.append(f"{counted(len(good), 'picture')}, explained by {who or 'no method'}.")
    sentences.append(agreement.agreements(item.overlap for item in good))
    judged = [(i.truth, i.predicted[0]) for i in good if i.truth and i.predicted]
    if judged and len(good) > 1:
        right = sum(true == said for true, said in judged)
        sentences.append(f"The prediction is right on {right} of {len(judged)}.")
    maps = [m for item in good for m in item.maps]
    if maps and not any(m.metrics for m in maps):
        sentences.append("No metric was run: nothing here says how far to trust the maps.")
    return " ".join(filter(None, sentences))


def failures(report: PageRecord) -> list[dict[str, str]]:
    """What could not be explained: methods that fit no picture first."""
    rows = [{"name": "Every picture", "method": m, "error": why} for m, why in report.refused]
    rows += [{"name": i.name, "method": "", "error": i.error} for i in report.items if i.error]
    for item in report.items:
        rows += [
            {"name": item.name, "method": m.method.title, "error": m.error}
            for m in (*item.maps, *item.panels)
            if m.error and not item.error
        ]
    return rows


def methods(good: list[PictureEntry]) -> list[Method]:
    """The methods of all pictures, each once."""
    every = [m.method for item in good for m in (*item.maps, *item.panels)]
    return list({method.name: method for method in every}.values())
