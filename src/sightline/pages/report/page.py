"""Lays a report out for its template: sentences, drawings and packed maps, nothing that touches a
model.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from ...views import alone, colour, packed
from ...views.wording import counted, listed
from . import finding, map_card, part_list, picture_row, summary

if TYPE_CHECKING:
    from ...report import Item, Report

_STYLES = ("page.css", "small.css")
_SCRIPTS = ("maps.js", "figures.js", "state.js", "page.js")
_VERSION = 1
_LIMIT = 4_500_000  # bytes for ten pictures


def context(report: "Report") -> dict[str, Any]:  # Any: what a template reads
    """Everything that `page.html.j2` names."""
    good = [item for item in report.items if not item.error]
    cards, part = _cards(good), report.part
    for card in cards:
        card["number"] += part.first - 1 if part else 0
    maps = [m.pop("packed") for card in cards for m in card["maps"] if not m["error"]]
    script = "\n".join(asset(name) for name in _SCRIPTS)
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
        "light": declared(colour.LIGHT),
        "dark": declared(colour.DARK),
        "stops": {name: colour.stops(name) for name in ("magnitude", "signed")},
        "css": Markup("\n".join([*map(asset, _STYLES), alone.stylesheet(), asset("index.css")])),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "payload": embedded(
            {
                "version": _VERSION,
                "stops": {n: colour.stops(n) for n in ("magnitude", "signed", "signed-dark")},
                "maps": maps,
            }
        ),
    }


def _cards(good: list["Item"]) -> list[dict[str, Any]]:
    """The rows of the page, in the richest detail at which ten pictures stay under the limit."""
    setting = map_card.Setting(
        detail=packed.DETAILS[0], domains=summary.domains(good), tints=part_list.tints(good)
    )
    cards = [picture_row.row(item, k, setting) for k, item in enumerate(good)]
    excess = sum(map(_weight, cards)) / (_LIMIT * max(1.0, len(good) / 10))
    if excess <= 1:
        return cards
    lighter = replace(setting, detail=packed.lighter(excess))
    return [picture_row.row(item, k, lighter) for k, item in enumerate(good)]


def _weight(card: dict[str, Any]) -> int:
    """About how many bytes a row adds to the page."""
    sent = [m for m in card["maps"] if not m["error"]]
    maps = [m["packed"] for m in sent] + [m["packed"]["signed"] or {} for m in sent]
    lines = [path for m in sent for path in m["contours"]]
    texts = [card["picture"], *(m["still"] for m in sent), *(m.get("data", "") for m in maps)]
    texts += [panel["body"] for panel in card["panels"]]
    return sum(map(len, [*texts, *lines])) + 8_000 * len(sent)


def embedded(data: Mapping[str, Any]) -> Markup:
    """JSON that cannot end its script element, whatever the labels say."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def code(text: str) -> Markup:
    """A sentence with what stands between backticks as code; everything else is escaped."""
    pieces = re.split(r"`([^`]+)`", text)
    marked = [
        Markup("<code>{}</code>").format(piece) if k % 2 else escape(piece)
        for k, piece in enumerate(pieces)
    ]
    return Markup("").join(marked)


def _lead(report: "Report", good: list["Item"]) -> str:
    if not report.items:
        return "There is no picture in this report."
    names = list(dict.fromkeys(m.method.title for item in good for m in (*item.maps, *item.panels)))
    who = listed(names) if len(names) <= 4 else f"{len(names)} methods"
    sentences = []
    if good:
        sentences.append(f"{counted(len(good), 'picture')}, explained by {who or 'no method'}.")
    sentences.append(finding.agreements([[m.values for m in i.maps] for i in good]))
    judged = [(i.truth, i.predicted[0]) for i in good if i.truth and i.predicted]
    if judged and len(good) > 1:
        right = sum(true == said for true, said in judged)
        sentences.append(f"The prediction is right on {right} of {len(judged)}.")
    maps = [m for item in good for m in item.maps]
    if maps and not any(m.metrics for m in maps):
        sentences.append("No metric was run: nothing here says how far to trust the maps.")
    return " ".join(filter(None, sentences))


def failures(report: "Report") -> list[dict[str, str]]:
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


def methods(good: list["Item"]) -> list[Any]:
    """The methods of all pictures, each once."""
    every = [m.method for item in good for m in (*item.maps, *item.panels)]
    return list({method.name: method for method in every}.values())


def declared(values: Mapping[str, str]) -> Markup:
    """Colours as declarations of style properties."""
    return Markup("".join(f"--{name}:{value};" for name, value in values.items()))


def asset(name: str) -> str:
    """The text of a file in `pages/static`."""
    return (files("sightline") / "pages" / "static" / name).read_text(encoding="utf-8")
