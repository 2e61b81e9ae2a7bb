"""PxAP: how well does the map separate pixels of the object from the others, at all thresholds?

Paper: Choe et al., CVPR 2020, section 4.3: sum over thresholds of precision times the gain in
recall, pixels of all pictures pooled, thresholds 0, 0.001, ..., 0.999 and 1 of maps from 0 to 1.
Deviations: [0, 1] instead of percent; maps and masks in the model's frame; pixels of a part called
"ignore" outside the object are left out.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from ...errors import NotExplainable, ShapeError
from ...metric import Case, Metric
from ...ops.similarity import stretched
from ...registry import register
from ...shapes import Curves, Scores
from ._object import warn_empty

STEPS = 1000


@register("pxap", paper="arXiv:2001.07437", claims=("prefers-truth",))
@dataclass(frozen=True, kw_only=True)
class PxAP(Metric):
    """How well do the map's values separate the object's pixels from the rest? In [0, 1].

    Of one picture, the area under its own precision and recall; a collection pools all pixels
    first, as published. A map without preference gets the object's share of the pixels. `curves`
    are counts of the object's pixels and of the others, each from the least value to the largest. A
    constant map is zeros. An image without a mask, or with an empty one, is NaN.

    Do not trust it across objects of different size: a constant map scores the object's share of
    the picture. Each map is stretched to [0, 1] by itself, so a collection's number mixes maps with
    different scales.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    unit: ClassVar[str] = "area under precision and recall"
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)

    def read(self, curves: Curves) -> Scores:
        return torch.stack([_area(row[None]) for row in curves])

    def curves(self, case: Case) -> Curves:
        """Pixels of the object, then of the rest, in each bin of the map's values: (batch, 2 x
        1001)."""
        truth = case.truth
        if truth is None or truth.masks is None:
            raise NotExplainable("pxap needs masks of the object: drawn birds, or a `Truth`.")
        warn_empty(case, "pxap", truth.masks)
        found = []
        for i, heat in enumerate(stretched(case.heat.double()).cpu()):
            mask, parts = truth.masks[i], (truth.parts[i] if truth.parts else None) or {}
            if mask is None or not np.any(mask):
                found.append(
                    torch.full((2 * (STEPS + 1),), torch.nan, dtype=torch.float32, device="cpu")
                )
                continue
            inside = _fitting(mask, heat)
            outside = ~inside
            if "ignore" in parts:
                outside &= ~_fitting(parts["ignore"], heat)
            value = (heat * STEPS + 1e-9).long().clamp(0, STEPS)
            counts = [value[which].bincount(minlength=STEPS + 1) for which in (inside, outside)]
            found.append(torch.cat(counts))
        return torch.stack([row.float() for row in found])

    def summary(self, values: Scores, curves: Curves | None = None) -> float:
        """The published number, in [0, 1]: the area for the pixels of all pictures together."""
        return Metric.summary(self, values) if curves is None else float(_area(curves))


def _area(curves: Tensor) -> Tensor:
    """Sum of precision times the gain in recall, of the pixels of some pictures; NaN without."""
    known = curves[~curves.isnan().any(1)].double()
    inside, outside = known.sum(0).view(2, STEPS + 1).flip(1)
    hits, misses = inside.cumsum(0), outside.cumsum(0)
    precision = hits / (hits + misses).clamp(min=1)
    return (
        (precision * inside).sum() / hits[-1]
        if hits[-1] > 0
        else torch.tensor(torch.nan, dtype=torch.float32, device="cpu")
    )


def _fitting(mask: np.ndarray, heat: Tensor) -> Tensor:
    if mask.shape != tuple(heat.shape):
        raise ShapeError(
            f"a mask of {mask.shape} for a map of {tuple(heat.shape)}; masks are in the model's"
            " input frame."
        )
    return torch.as_tensor(np.asarray(mask, dtype=bool), device="cpu")
