"""Where the evidence of each map of a picture lies, and how far the maps agree: the numbers that a
page shows, measured once before it is drawn.

The peak is the place of the largest value; the *strongest tenth* of a map is the tenth of the
picture with its largest values. Both are robust to how far a method spreads its values, which is
not what is asked here.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from ...views import paint
from ...views.colour import Values
from ..record import ELSEWHERE, MapEvidence, Parts, PartShare, PictureEntry

TENTH = 0.1


def measure(item: PictureEntry) -> PictureEntry:
    """The picture with the evidence of each of its maps, and their overlap; one that was measured
    stays as it is."""
    if all(entry.values is None or entry.evidence for entry in item.maps):
        return item
    parts = visible_parts(item)
    maps = tuple(
        entry if entry.values is None else replace(entry, evidence=_evidence(entry.values, parts))
        for entry in item.maps
    )
    return replace(item, maps=maps, overlap=mean_overlap([entry.values for entry in item.maps]))


def visible_parts(item: PictureEntry) -> Parts:
    """The known parts of which something is seen."""
    return {name: mask for name, mask in (item.parts or {}).items() if mask.any()}


def _evidence(values: Values, parts: Parts) -> MapEvidence:
    half = paint.area_of_mass(values)
    peak = peak_part(values, parts) if half > 0 else None
    return MapEvidence(half=half, peak=peak, shares=tuple(part_shares(values, parts)))


def peak_part(values: Values, parts: Parts) -> str | None:
    """The smallest part that holds the map's largest value, or None where none does."""
    row, col = np.unravel_index(int(np.nanargmax(values)), values.shape)
    holding = []
    for name, mask in parts.items():
        rows, cols = mask.shape
        if mask[row * rows // values.shape[0], col * cols // values.shape[1]]:
            holding.append((int(mask.sum()), name))
    return min(holding)[1] if holding else None


def part_shares(values: Values, parts: Parts) -> list[PartShare]:
    """For each part the share of the map's mass in it, then the share outside all; parts may
    overlap.
    """
    if not parts:
        return []
    heights = paint.mass(values)
    total = heights.sum()
    inside = {n: paint.stretch(m.astype(np.float32), values.shape) > 0.5 for n, m in parts.items()}
    everywhere = {**inside, ELSEWHERE: ~np.any(list(inside.values()), axis=0)}
    return [
        PartShare(
            name=name,
            evidence=float(heights[mask].sum() / total) if total > 0 else 0.0,
            area=float(mask.mean()),
        )
        for name, mask in everywhere.items()
    ]


def overlap(a: Values, b: Values) -> float:
    """The part of one map's strongest tenth that the other's shares; two random maps share a
    tenth.
    """
    if a.shape != b.shape:
        b = paint.stretch(b, a.shape)
    count = max(1, round(a.size * TENTH))
    first = np.argpartition(-np.nan_to_num(a, nan=-np.inf), count - 1, axis=None)[:count]
    second = np.argpartition(-np.nan_to_num(b, nan=-np.inf), count - 1, axis=None)[:count]
    return len(np.intersect1d(first, second)) / count


def mean_overlap(maps: Sequence[Values | None]) -> float | None:
    """The mean overlap of all pairs of the maps that have evidence; None under two."""
    full = [values for values in maps if values is not None and paint.mass(values).sum() > 0]
    if len(full) < 2:
        return None
    shared = [overlap(a, b) for a, b in combinations(full, 2)]
    return sum(shared) / len(shared)
