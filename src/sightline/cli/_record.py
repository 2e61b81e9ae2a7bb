"""What a registered method says of itself, as plain data: for tables, JSON and pages."""

import dataclasses
from functools import cache
from typing import Any

import numpy as np

from .. import zoo
from ..errors import NotExplainable
from ..explanation import Explanation
from ..images import Picture
from ..model import Model
from ..registry import Entry, to_json
from ..worlds import aviary

SMALL = ("sightline:default", "sightline:default-vit")


def record(entry: Entry, *, costs: bool = True) -> dict[str, Any]:  # Any: whatever JSON holds
    """Name, kind, question, paper, claims, parameters and (for explainers) the measured passes."""
    made = entry.cls() if _complete(entry.cls) else None
    return {
        "name": entry.name,
        "kind": entry.kind,
        "question": entry.question,
        "caution": entry.caution,
        "paper": entry.paper,
        "claims": list(entry.claims),
        "direction": getattr(entry.cls, "direction", None),
        "passes": _passes(made) if costs and made and entry.kind == "explainer" else None,
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


def _passes(explainer: Any) -> dict[str, int] | None:
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
