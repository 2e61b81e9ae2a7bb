"""What is kept of a finished cell: a map's scores and costs, and the same as it lies in the ledger.

The layout on the disk is read by later versions; a change of its meaning raises `plan.SCHEMA`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

JSON = Mapping[str, Any]  # Any: whatever JSON holds


@dataclass(frozen=True, kw_only=True, eq=False)
class Score:
    """What a metric says of one map: its number, or the reason why there is none.

    value: None where the metric is undefined. nulls: what the metric gives baselines of its own,
    None where it reads maps. curve: the numbers that `value` was read from. strange: whether it
    lacks the truth of a label that is not explained.
    """

    value: float | None = None
    error: str = ""
    nulls: Mapping[str, float | None] | None = None
    curve: Sequence[float | None] | None = None
    strange: bool = False

    def to_json(self) -> dict[str, Any]:
        """The score as the ledger holds it."""
        found: dict[str, Any] = {"value": self.value, "error": self.error}
        more = {"nulls": self.nulls, "curve": self.curve, "strange": self.strange or None}
        return found | {name: value for name, value in more.items() if value is not None}

    @classmethod
    def from_json(cls, stored: JSON) -> "Score":
        """The score that `to_json` wrote."""
        return cls(**_known(cls, stored))


@dataclass(frozen=True, kw_only=True, eq=False)
class Measurement:
    """A finished cell: what a method, or a baseline, gave for one picture.

    cell: its key. error: why there is no map. target, prediction: what is explained and what the
    model says, a class by its number, anything else in words. passes: images sent forward and
    backward for the map, None where there is none. seconds: for the map. scores: by the metric's
    key. map: made small, for a page.
    """

    cell: str = ""
    error: str = ""
    target: int | str = ""
    prediction: int | str = ""
    notes: Sequence[str] = ()
    passes: tuple[int, int] | None = None
    seconds: float = 0.0
    scores: Mapping[str, Score] = field(default_factory=dict)
    map: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The measurement as the ledger holds it."""
        scores = {key: score.to_json() for key, score in self.scores.items()}
        if self.passes is None:
            return {"cell": self.cell, "error": self.error, "metrics": scores}
        found = {
            "cell": self.cell,
            "error": self.error,
            "target": self.target,
            "prediction": self.prediction,
            "notes": list(self.notes),
            "passes": list(self.passes),
            "seconds": self.seconds,
            "metrics": scores,
        }
        return found if self.map is None else {**found, "map": self.map}

    @classmethod
    def from_json(cls, stored: JSON) -> "Measurement":
        """The measurement that `to_json` wrote."""
        known = _known(cls, stored)
        if "passes" in known:
            forward, backward = known["passes"]
            known["passes"] = forward, backward
        scores = {key: Score.from_json(each) for key, each in stored.get("metrics", {}).items()}
        return cls(**known, scores=scores)


def _known(kind: type, stored: JSON) -> dict[str, Any]:
    """What is stored of the fields that this version has."""
    names = _names(kind)
    return {name: value for name, value in stored.items() if name in names}


@cache
def _names(kind: type) -> frozenset[str]:
    return frozenset(each.name for each in fields(kind))


def finite(value: float) -> float | None:
    """The number; None for one that JSON does not know."""
    return value if math.isfinite(value) else None
