"""What the maps of one picture say together, as one sentence each: where they peak, whether they
agree.

The peak is the place of the largest value; the *strongest tenth* of a map is the tenth of the
picture with its largest values. Both are robust to how far a method spreads its values, which is
not what is asked here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool

from ...views import paint
from ...views.colour import Values
from ...views.wording import listed, percent

Parts = Mapping[str, Bool[np.ndarray, "_row _col"]]
ELSEWHERE = "elsewhere"
_TENTH = 0.1
_PARTLY = 0.25
_AGREE = 0.5  # of the top 10 % of pixels shared: five times what chance gives


@dataclass(frozen=True, kw_only=True)
class PartShare:
    """How much of a map's mass lies in a part, and how much of the picture the part is."""

    name: str
    evidence: float
    area: float


def located(names: Sequence[str], maps: Sequence[Values], parts: Parts | None) -> str:
    """Where the maps of a picture peak or whether they agree, in one or two sentences.

    With parts the peak is named by the smallest part that holds it; without, several maps are
    compared by their top 10 % of pixels, and a single one is described by its spread.
    """
    if not maps:
        return ""
    full = [(n, v) for n, v in zip(names, maps, strict=True) if paint.mass(v).sum() > 0]
    empty = [n for n in names if n not in {name for name, _ in full}]
    sentences = []
    if full and parts:
        sentences.append(_peaks(full, parts))
    elif len(full) > 1:
        sentences.append(_agreement(full))
    elif full:
        half = percent(paint.area_of_mass(full[0][1]))
        sentences.append(f"Half of what {full[0][0]} marks lies in {half} of the picture.")
    if empty:
        verb = "finds" if len(empty) == 1 else "find"
        sentences.append(f"{listed(empty)} {verb} no positive evidence.")
    return " ".join(sentences)


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
    count = max(1, round(a.size * _TENTH))
    first = np.argpartition(-np.nan_to_num(a, nan=-np.inf), count - 1, axis=None)[:count]
    second = np.argpartition(-np.nan_to_num(b, nan=-np.inf), count - 1, axis=None)[:count]
    return len(np.intersect1d(first, second)) / count


def agreements(rows: Iterable[Sequence[Values | None]]) -> str:
    """On how many pictures, of those with several maps, the maps agree; nothing where none has
    several.
    """
    means = []
    for row in rows:
        maps = [v for v in row if v is not None and paint.mass(v).sum() > 0]
        if len(maps) > 1:
            means.append(_mean_overlap(maps))
    if len(means) < 2:
        return ""
    fully = sum(_word(m) == "agree" for m in means)
    partly = sum(_word(m) == "agree in part" for m in means)
    told = f"The methods agree on {fully} of {len(means)}"
    return f"{told}, in part on {partly}." if partly else f"{told}."


def _word(overlapping: float) -> str:
    if overlapping >= _AGREE:
        return "agree"
    return "agree in part" if overlapping >= _PARTLY else "disagree"


def _mean_overlap(maps: Sequence[Values]) -> float:
    shared = [overlap(a, b) for a, b in combinations(maps, 2)]
    return sum(shared) / len(shared)


def _peaks(maps: list[tuple[str, Values]], parts: Parts) -> str:
    where: dict[str | None, list[str]] = {}
    for name, values in maps:
        where.setdefault(peak_part(values, parts), []).append(name)
    clauses = []
    for part, names in where.items():
        place = f"on the {part}" if part else "outside every marked part"
        clauses.append(f"{_together(names)} {place}")
    return f"{'; '.join(clauses)}."


def _together(names: list[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} peaks"
    if len(names) == 2:
        return f"{listed(names)} both peak"
    return f"{listed(names)} all peak" if len(names) < 5 else f"All {len(names)} methods peak"


def _agreement(maps: list[tuple[str, Values]]) -> str:
    mean = _mean_overlap([values for _, values in maps])
    names = [name for name, _ in maps]
    who = listed(names) if len(names) < 4 else f"The {len(names)} methods"
    told = f"{who} {_word(mean)}: their top {percent(_TENTH)} of pixels overlap by {percent(mean)}"
    return f"{told} ({percent(_TENTH)} by chance)."
