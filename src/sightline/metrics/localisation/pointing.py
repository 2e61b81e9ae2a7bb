"""Pointing game: does the map's highest point lie on the object?

Paper: Zhang et al., ECCV 2016 / IJCV 2018, section 4.2: a hit within 15 pixels of any annotated
instance. Deviations: one number per image, and their plain mean for a collection (the paper
averages hits per class first: `class_mean`); of several equal maxima the share that hits counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from ...errors import BadField
from ...metric import Case, Metric
from ...registry import register
from ...shapes import Scores
from ._object import objects

EQUAL = 1e-6  # of the map's range: maxima that differ by less are one


@register("pointing", paper="arXiv:1608.00507", claims=("prefers-truth",))
@dataclass(frozen=True, kw_only=True)
class Pointing(Metric):
    """Is the highest point of the map on the object? 1 is a hit, 0 a miss; several maxima give the
    share that hits.

    tolerance: distance in pixels of the original picture that still counts as a hit; 15 as
    published. Report 0 beside it. With boxes and known frames the map is laid over the photograph;
    otherwise, and for masks, the model's frame is used. A flat map points nowhere, so it misses
    (0), although a random point would hit as often as the object is large. An image without any
    annotation, or of whose object the model saw nothing, is NaN.

    Do not trust it as proof that the object was used: it reads one point, and a blob in the middle
    of the picture hits most photographs. Compare with that baseline.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    unit: ClassVar[str] = "share of hits"
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)

    tolerance: float = 15.0

    def __post_init__(self) -> None:
        if not self.tolerance >= 0:
            raise BadField(f"tolerance is a distance in pixels, at least 0; got {self.tolerance}.")

    def score(self, case: Case) -> Scores:
        return torch.tensor(
            [
                float("nan") if o is None else _share(o.heat, o.inside, self.tolerance * o.scale)
                for o in objects(case, "pointing")
            ],
            dtype=torch.float32,
            device="cpu",
        )


def _share(heat: np.ndarray, inside: np.ndarray, tolerance: float) -> float:
    """The share of maxima of `heat` (NaN: not seen) within `tolerance` of the object."""
    high, low = np.nanmax(heat), np.nanmin(heat)
    if not high > low:
        return 0.0
    maxima = np.nan_to_num(heat, nan=-np.inf) >= high - EQUAL * (high - low)
    away = np.asarray(distance_transform_edt(~inside))
    return float((away[maxima] <= tolerance).mean())


def class_mean(values: Scores, labels: Sequence[int]) -> float:
    """The paper's aggregate: hits averaged within each class first, then over classes. Pictures
    that could not be scored are left out; NaN where all are."""
    classes = torch.tensor(list(labels), device="cpu")
    defined = ~values.isnan()
    found = [
        values[defined & (classes == c)].double().mean() for c in classes[defined].unique().tolist()
    ]
    return float(torch.stack(found).mean()) if found else float("nan")
