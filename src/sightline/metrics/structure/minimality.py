"""Minimality: can a patch be left out of a sufficient set?

Paper: Shitole et al., NeurIPS 2021, the definition of a minimal sufficient explanation: sufficient,
and no longer sufficient without any one of its patches. Deviations: the share of needed patches
instead of a yes or no; the fill and the edges of patches are those of this metric, not of the
method.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...explanations.regions import Cells, Regions, ordered
from ...registry import register
from ._cells import CellShares, RegionMetric


@register("minimality", paper="arXiv:2011.06733")
@dataclass(frozen=True, kw_only=True)
class Minimality(RegionMetric):
    """Does a sufficient set contain only patches that it needs? Higher is better.

    In [0, 1]: the share of a set's patches without which it is no longer sufficient, as the mean
    over the claimed minimal sets; 0 for a set that was never sufficient, so that an arbitrary set
    cannot pass. The explanation defines sufficient in its `thresholds`. NaN where no set was
    claimed.

    Do not trust small differences: a patch without which a set only just misses the threshold
    counts as much as one that carries the whole score. Sets found with another fill may not be
    sufficient with this one, and then get 0; `sufficiency` shows by how much.
    """

    unit: ClassVar[str] = "share of needed patches"

    def of_one(self, seen: CellShares, regions: Regions) -> float:
        level = regions.thresholds[0]
        found = [_needed(seen, ordered(cells), level) for cells in regions.minimal[0]]
        return float(np.mean(found)) if found else float("nan")


def _needed(seen: CellShares, cells: Cells, level: float) -> float:
    if seen.shown_alone([cells])[0] < level:
        return 0.0
    without = seen.shown_alone([tuple(c for c in cells if c != each) for each in cells])
    return float(np.mean([share < level for share in without])) if without else 1.0
