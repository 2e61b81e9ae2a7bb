"""Necessity: how much of the score is lost when the necessary set is hidden?

Project definition, the counterpart of `sufficiency`: one minus the share of the whole picture's
score that is left without the set.
"""

from dataclasses import dataclass
from typing import ClassVar

from ...explanations.regions import Regions, ordered
from ...registry import register
from ._cells import CellShares, RegionMetric


@register("necessity", paper="none")
@dataclass(frozen=True, kw_only=True)
class Necessity(RegionMetric):
    """Is the set of patches that is claimed to be necessary really necessary? Higher is better.

    In [0, 1]: the share of the whole picture's score that is lost without the necessary set; 0 also
    where the score rises. NaN where no such set was found.

    Do not trust it alone: hiding all patches loses every score, so compare with the baselines, sets
    of the same size. Where several patches are each sufficient for a class, no small necessary set
    exists.
    """

    unit: ClassVar[str] = "share of the score that is lost"

    def of_one(self, seen: CellShares, regions: Regions) -> float:
        needed = regions.necessary[0]
        if needed is None:
            return float("nan")
        return min(max(1 - seen.taken_away([ordered(needed)])[0], 0.0), 1.0)
