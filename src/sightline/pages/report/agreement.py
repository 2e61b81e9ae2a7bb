"""What the maps of one picture say together, as one sentence each: where they peak, whether they
agree. The numbers come from `evidence`.
"""

from collections.abc import Iterable, Sequence

from ...views.wording import listed, percent
from ..record import MapEvidence, PictureEntry
from .evidence import TENTH

_PARTLY = 0.25
_AGREE = 0.5  # of the top 10 % of pixels shared: five times what chance gives

Named = tuple[str, MapEvidence]


def located(item: PictureEntry) -> str:
    """Where the maps of a measured picture peak or whether they agree, in one or two sentences.

    With parts the peak is named by the smallest part that holds it; without, several maps are
    compared by their top 10 % of pixels, and a single one is described by its spread.
    """
    known = [(m.method.title, m.evidence) for m in item.maps if m.evidence is not None]
    full = [(name, evidence) for name, evidence in known if evidence.half > 0]
    empty = [n for n, _ in known if n not in {name for name, _ in full}]
    sentences = []
    if full and item.parts:
        sentences.append(_peaks(full))
    elif item.overlap is not None:
        sentences.append(_agreement([name for name, _ in full], item.overlap))
    elif full:
        name, evidence = full[0]
        half = percent(evidence.half)
        sentences.append(f"Half of what {name} marks lies in {half} of the picture.")
    if empty:
        verb = "finds" if len(empty) == 1 else "find"
        sentences.append(f"{listed(empty)} {verb} no positive evidence.")
    return " ".join(sentences)


def agreements(overlaps: Iterable[float | None]) -> str:
    """On how many pictures, of those with several maps, the maps agree; nothing where under two
    have several. overlaps: of each picture's maps.
    """
    means = [overlap for overlap in overlaps if overlap is not None]
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


def _peaks(maps: Sequence[Named]) -> str:
    where: dict[str | None, list[str]] = {}
    for name, evidence in maps:
        where.setdefault(evidence.peak, []).append(name)
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


def _agreement(names: list[str], mean: float) -> str:
    who = listed(names) if len(names) < 4 else f"The {len(names)} methods"
    told = f"{who} {_word(mean)}: their top {percent(TENTH)} of pixels overlap by {percent(mean)}"
    return f"{told} ({percent(TENTH)} by chance)."
