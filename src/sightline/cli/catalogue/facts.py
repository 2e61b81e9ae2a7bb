"""What a registered method says of itself, as plain data: for tables, JSON and pages."""

import dataclasses
import json
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from ... import zoo
from ...errors import NotExplainable
from ...explanation import Explanation
from ...model import Model
from ...pictures.reading import Picture
from ...registry import Entry, to_json
from ...worlds import aviary

SMALL = ("sightline:default", "sightline:default-vit")
COSTS = "costs.json"  # beside this file: what was measured of our own methods


def record(entry: Entry, *, costs: bool = True) -> dict[str, Any]:  # Any: whatever JSON holds
    """Name, kind, group, question, paper, claims, parameters and (for explainers) the passes that
    were measured."""
    made = entry.cls() if _complete(entry.cls) else None
    return {
        "name": entry.name,
        "kind": entry.kind,
        "group": entry.room,
        "question": entry.question,
        "caution": entry.caution,
        "paper": entry.paper,
        "claims": list(entry.claims),
        "recommended": getattr(entry.cls, "recommended", False),
        "direction": getattr(entry.cls, "direction", None),
        "passes": spent(entry.name, made) if costs and made and entry.kind == "explainer" else None,
        "fields": to_json(made)["fields"] if made else {},
    }


def shown(explainer: Any, pictures: Any) -> Explanation | None:  # Any: a registered dataclass
    """What the explainer says of pictures with the first embedded network that it accepts."""
    for name in SMALL:
        try:
            explainer.check(_small(name))
            return explainer(_small(name), pictures)
        except NotExplainable:
            continue
    return None


def bird() -> Picture:
    """The picture that costs are measured on."""
    found = aviary.bundle(1)[0]
    return Picture(np.asarray(found.image), found.species)


def spent(name: str, made: Any) -> dict[str, int] | None:
    """The passes of a method with its defaults: as they were measured when this version was made,
    or measured now for a method of somebody else's."""
    known = costs()
    return known[name] if name in known else measured(made)


@cache
def costs() -> dict[str, dict[str, int] | None]:
    """Name -> passes, None for a method that neither embedded network admits."""
    return json.loads((files("sightline.cli") / COSTS).read_text("utf-8"))


def measured(explainer: Any) -> dict[str, int] | None:
    """The passes for one drawn bird, counted."""
    found = shown(explainer, bird())
    return (
        {**found.provenance["evaluations"], "copies": found.provenance["copies"]} if found else None
    )


def _complete(cls: type) -> bool:
    missing = dataclasses.MISSING
    return all(
        f.default is not missing or f.default_factory is not missing
        for f in dataclasses.fields(cls)
    )


@cache
def _small(name: str) -> Model:
    return zoo.load(name)
