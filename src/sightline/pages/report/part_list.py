"""Parts whose true place is known: their outlines on the picture, and how much of each map lies in
them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...views import colour, paint
from ...views.wording import percent
from ..record import ELSEWHERE, PartShare, PictureEntry
from . import map_card
from .evidence import visible_parts

Tints = Mapping[str, tuple[str, str]]

_NEUTRAL = ("#ffffff", "")
_ROWS = 6  # parts told apart on a card; the rest is summed up


def tints(items: Sequence[PictureEntry]) -> Tints:
    """A colour and a dash for the parts that hold most evidence on the page, at most eight; the
    rest is white.
    """
    totals: dict[str, float] = {}
    for item in items:
        for entry in item.maps:
            for share in entry.evidence.shares if entry.evidence else ():
                if share.name != ELSEWHERE:
                    totals[share.name] = totals.get(share.name, 0.0) + share.evidence
    foremost = sorted(totals, key=lambda name: -totals[name])[: len(colour.CATEGORIES)]
    ordered = [name for name in totals if name in foremost]
    return dict(zip(ordered, colour.CATEGORIES, strict=False))


def outlined(item: PictureEntry, shape: tuple[int, int], tinted: Tints) -> list[dict[str, Any]]:
    """The outline of each part that is seen, in the coordinates of the picture's maps."""
    rows = []
    for name, mask in visible_parts(item).items():
        tint, dash = tinted.get(name, _NEUTRAL)
        lines = paint.trace_level(mask.astype(np.float32), 0.5)
        path = paint.svg_path(lines, map_card.outline_box(shape))
        rows.append({"name": name, "colour": tint, "dash": dash, "path": path})
    return rows


def shares(item: PictureEntry) -> list[list[dict[str, Any]]]:
    """For each map of a picture the share in its foremost parts, the same parts on every card, and
    elsewhere.
    """
    found = [list(entry.evidence.shares) if entry.evidence else [] for entry in item.maps]
    most: dict[str, float] = {}
    for share in (s for row in found for s in row if s.name != ELSEWHERE):
        most[share.name] = max(most.get(share.name, 0.0), share.evidence)
    kept = set(most)
    if len(kept) > _ROWS + 1:
        kept = set(sorted(most, key=lambda name: -most[name])[:_ROWS])
    rows = [_gathered(row, kept) for row in found]
    longest = max((share.evidence for row in rows for share in row), default=0.0) or 1.0
    return [[_bar(share, longest) for share in row] for row in rows]


def _gathered(row: list[PartShare], kept: set[str]) -> list[PartShare]:
    apart = [s for s in row if s.name in kept]
    rest = [s for s in row if s.name not in kept and s.name != ELSEWHERE]
    if rest:
        apart.append(
            PartShare(
                name="other parts",
                evidence=sum(s.evidence for s in rest),
                area=sum(s.area for s in rest),
            )
        )
    return apart + [s for s in row if s.name == ELSEWHERE]


def _bar(share: PartShare, longest: float) -> dict[str, Any]:
    return {
        "name": share.name,
        "text": percent(share.evidence).replace("under ", "<").replace("over ", ">"),
        "area": percent(share.area),
        "width": round(100 * min(1.0, share.evidence / longest), 1),
        "mark": round(100 * min(1.0, share.area / longest), 1),
    }
