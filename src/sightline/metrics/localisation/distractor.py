"""Distractor: of two objects in the picture, does the map mark the one that was asked for?

Paper: the idea is the grid pointing game of Böhle, Fritz and Schiele, CVPR 2021 (from memory), with
one other object in a natural place. Project definition: the mean positive value on the target's
object over the sum of that and the mean on the other object.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch

from ...errors import NotExplainable
from ...metric import Case, Metric
from ...registry import register
from ...shapes import Scores
from ._object import warn_empty


@register("distractor", paper="arXiv:2104.00032", claims=("prefers-truth",))
@dataclass(frozen=True, kw_only=True)
class Distractor(Metric):
    """Does the map prefer the target's object to an object of another class beside it?

    In [0, 1]: the mean positive value on the target's object, as a share of the sum of both
    objects' means, so that size does not count; 0.5 is no preference. In the `Truth`, the mask is
    the target's object, and the other object is a part with the name in `other`. A map with nothing
    on either, and a picture without one of them, is NaN.

    Do not trust a high number by itself: a map that follows contrast also prefers one of the two.
    Explain the other class on the same picture and check that the map changes sides.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    unit: ClassVar[str] = "share on the target"
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)

    other: str = "distractor"

    def score(self, case: Case) -> Scores:
        truth = case.truth
        if truth is None or truth.masks is None or truth.parts is None:
            raise NotExplainable(
                "distractor needs the mask of the target's object, and the other object as the part"
                f" {self.other!r}; give the case a `Truth` with both."
            )
        others = [(parts or {}).get(self.other) for parts in truth.parts]
        for masks in (truth.masks, others):
            warn_empty(case, "distractor", masks)
        found = []
        for row, heat in enumerate(case.heat.clamp(min=0).double().cpu().numpy()):
            mine, theirs = truth.masks[row], others[row]
            if mine is None or theirs is None or not np.any(mine) or not np.any(theirs):
                found.append(float("nan"))
                continue
            here = heat[mine].mean()
            there = heat[theirs].mean()
            found.append(float(here / (here + there)) if here + there > 0 else float("nan"))
        return torch.tensor(found, dtype=torch.float32, device="cpu")
