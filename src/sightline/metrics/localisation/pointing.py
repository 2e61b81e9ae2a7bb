"""Pointing game: does the map's highest point lie on the object?

Paper: Zhang et al., ECCV 2016 / IJCV 2018, section 4.2: a hit within 15 pixels of any annotated
instance. Deviations: one number per image (the paper averages hits per class first, which is an
aggregation); of several equal maxima the share that hits counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from ...errors import BadField, NotExplainable
from ...metric import Case, Metric, Truth
from ...preprocess import Frame
from ...registry import register

Box = tuple[float, float, float, float]
EQUAL = 1e-6  # of the map's range: maxima that differ by less are one


@register("pointing", paper="arXiv:1608.00507")
@dataclass(frozen=True, kw_only=True)
class Pointing(Metric):
    """Is the highest point of the map on the object? 1 is a hit, 0 a miss; several maxima give the
    share that hits.

    tolerance: distance in pixels of the original picture that still counts; 15 as published, quote
    0 beside it. With boxes and known frames the map is laid over the photograph; otherwise, and for
    masks, the model's frame is used. A flat map points nowhere and misses. An image without any
    annotation is NaN.

    Do not trust it as proof that the object was used: it looks at one point, and a blob in the
    middle of the picture hits most photographs. Compare with that null level.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    unit: ClassVar[str] = "share of hits"

    tolerance: float = 15.0

    def __post_init__(self) -> None:
        if not self.tolerance >= 0:
            raise BadField(f"tolerance is a distance in pixels, at least 0; got {self.tolerance}.")

    def score(self, case: Case) -> Tensor:
        truth = case.truth
        if truth is None or (truth.boxes is None and truth.masks is None):
            raise NotExplainable(
                "pointing needs boxes or masks of the object; give the case a `Truth`."
            )
        heat, frames = case.heat.cpu().numpy(), case.explanation.frames
        found = [
            self._hits(heat[i], frames[i] if frames else None, truth.take([i]))
            for i in range(len(heat))
        ]
        return torch.tensor(found)

    def _hits(self, heat: np.ndarray, frame: Frame | None, truth: Truth) -> float:
        boxes = truth.boxes[0] if truth.boxes is not None else None
        mask = truth.masks[0] if truth.masks is not None else None
        tolerance = self.tolerance
        if boxes is not None:
            heat = frame.to_original(heat) if frame else heat
            inside = _drawn(boxes, heat.shape)
        elif mask is not None:
            inside = np.asarray(mask, dtype=bool)
            tolerance = tolerance * _scale(frame) if frame else tolerance
        else:
            return float("nan")
        return _share(heat, inside, tolerance) if inside.any() else float("nan")


def _share(heat: np.ndarray, inside: np.ndarray, tolerance: float) -> float:
    """The share of maxima of `heat` (NaN: not seen) within `tolerance` of the object."""
    high, low = np.nanmax(heat), np.nanmin(heat)
    if not high > low:
        return 0.0
    maxima = np.nan_to_num(heat, nan=-np.inf) >= high - EQUAL * (high - low)
    away = np.asarray(distance_transform_edt(~inside))
    return float((away[maxima] <= tolerance).mean())


def _drawn(boxes: Sequence[Box], size: tuple[int, ...]) -> np.ndarray:
    """All pixels (row, col) that a box `x0, y0, x1, y1` touches."""
    inside = np.zeros(size, dtype=bool)
    for x0, y0, x1, y1 in boxes:
        top, left = max(int(np.floor(y0)), 0), max(int(np.floor(x0)), 0)
        inside[top : max(int(np.ceil(y1)), 0), left : max(int(np.ceil(x1)), 0)] = True
    return inside


def _scale(frame: Frame) -> float:
    """Pixels of the model's frame per pixel of the original, along the rows."""
    _, y0, _, y1 = frame.box
    return frame.size[0] / (y1 - y0)
