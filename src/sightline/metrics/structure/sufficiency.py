"""Sufficiency: how much of the score is left when only a claimed set of patches is shown?

Paper: Shitole et al., NeurIPS 2021, the definition of a sufficient set (here without its threshold,
which makes a share of a yes or no). Deviations: the fill and the edges of patches are those of this
metric, not of the method; several sets of a picture count alike.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...explanations.regions import Regions, ordered
from ...registry import register
from ._cells import CellShares, RegionMetric


@register("sufficiency", paper="arXiv:2011.06733")
@dataclass(frozen=True, kw_only=True)
class Sufficiency(RegionMetric):
    """Is a set of patches that is claimed to be sufficient really sufficient? Higher is better.

    In [0, 1]: the share of the whole picture's score that remains when only the set is shown, at
    most 1, as the mean over the claimed minimal sets. NaN where none was claimed.

    Do not trust it alone: the set of all patches keeps everything, so read `minimality` beside it.
    A fill that leaves the class recognisable makes every set sufficient; compare with the
    baselines, sets of the same sizes.
    """

    unit: ClassVar[str] = "share of the score that is kept"

    def of_one(self, seen: CellShares, regions: Regions) -> float:
        kept = seen.shown_alone([ordered(cells) for cells in regions.minimal[0]])
        return float(np.clip(kept, 0, 1).mean()) if kept else float("nan")
