"""Energy-based pointing game: which share of the map's energy lies on the object?

Paper: Wang et al. (Score-CAM), CVPR-W 2020, section 4.2: the sum inside the box over the whole sum.
Deviations: the map's positive part is summed as the method gave it, without stretching it from 0 to
1 first, because that would add a constant to the map and change the number; several boxes count as
their union.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch

from ...metric import Case, Metric
from ...registry import register
from ...shapes import Scores
from ._object import objects


@register("energy-pointing", paper="arXiv:1910.01279", claims=("prefers-truth",))
@dataclass(frozen=True, kw_only=True)
class EnergyPointing(Metric):
    """What share of the map's positive values lies on the object? In [0, 1].

    With boxes and known frames the map is laid over the photograph; otherwise, and for masks, the
    model's frame is used. A map without positive values, and an image without annotation or whose
    object the model did not see, is NaN. `chance` is the number of a uniform map: report it beside
    the number.

    Do not trust it where the object fills the picture: there every map scores high. The paper kept
    pictures whose box covers less than half (from memory).
    """

    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    unit: ClassVar[str] = "share of energy"
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)

    def score(self, case: Case) -> Scores:
        found = []
        for shown in objects(case, "energy-pointing"):
            if shown is None:
                found.append(float("nan"))
                continue
            energy = np.nan_to_num(shown.heat.astype(np.float64), nan=0.0).clip(min=0)
            whole = energy.sum()
            found.append(float(energy[shown.inside].sum() / whole) if whole > 0 else float("nan"))
        return torch.tensor(found, dtype=torch.float32, device="cpu")

    def chance(self, case: Case) -> Scores:
        """The object's share of what the model saw, (batch,): the level of a map without
        preference."""
        found = []
        for shown in objects(case, "energy-pointing"):
            seen = None if shown is None else ~np.isnan(shown.heat)
            found.append(
                float("nan") if shown is None or seen is None else float(shown.inside[seen].mean())
            )
        return torch.tensor(found, dtype=torch.float32, device="cpu")
