"""Part IoU: do the map's highest pixels cover the same place as the part?

Project definition, in the spirit of Bau et al. (network dissection), CVPR 2017, who intersect
thresholded maps with masks: as many pixels are taken as the mask has, so no threshold is chosen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from ...errors import BadField, NotExplainable
from ...metric import Case, Metric
from ...ops.similarity import rounded
from ...registry import register
from ...sample import Truth
from ...shapes import Scores
from ._object import warn_empty


@register("part-iou", paper="arXiv:1704.05796", claims=("prefers-truth",))
@dataclass(frozen=True, kw_only=True)
class PartIoU(Metric):
    """How well do the highest pixels of the map cover the object, or one of its parts?

    Intersection over union, in [0, 1], with as many of the map's pixels as the mask has, or with
    those above `threshold` of its largest value. part: the name of a part; empty is the object's
    mask, or all its parts together. Pixels of equal value are taken in equal shares, so a flat map
    scores as chance does. An image without that part is NaN.

    Do not trust a low number for a large part as a sign of a wrong map: the model may need only
    some of it. `part-importance` measures the effect of each part.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    unit: ClassVar[str] = "intersection over union"
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)

    part: str = ""
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold < 1:
            raise BadField(
                f"threshold is a share of the largest value, in [0, 1); got {self.threshold}."
            )

    def score(self, case: Case) -> Scores:
        truth = case.truth
        if truth is None or (truth.parts is None and (self.part or truth.masks is None)):
            what = f"masks of the part {self.part!r}" if self.part else "masks of objects or parts"
            raise NotExplainable(f"part-iou needs {what}: drawn birds, or a `Truth`.")
        masks = [self._mask(truth, row) for row in range(len(case.images))]
        warn_empty(case, "part-iou", masks)
        return torch.tensor(
            [
                self._overlap(heat, torch.as_tensor(mask, device="cpu"))
                if mask is not None and mask.any()
                else float("nan")
                for heat, mask in zip(rounded(case.heat).cpu(), masks, strict=True)
            ],
            dtype=torch.float32,
            device="cpu",
        )

    def _mask(self, truth: Truth, row: int) -> np.ndarray | None:
        whole = truth.masks[row] if truth.masks else None
        parts: Mapping[str, np.ndarray] = (truth.parts[row] if truth.parts else None) or {}
        if self.part:
            return parts.get(self.part)
        return whole if whole is not None or not parts else np.logical_or.reduce([*parts.values()])

    def _overlap(self, heat: Tensor, mask: Tensor) -> float:
        taken = self._strongest(heat, int(mask.sum()))
        shared = float(taken[mask].sum())
        return shared / (float(taken.sum()) + int(mask.sum()) - shared)

    def _strongest(self, heat: Tensor, pixels: int) -> Tensor:
        """How much of each pixel is taken, in [0, 1]."""
        if self.threshold is not None:
            return ((heat > self.threshold * heat.max()) & (heat > 0)).double()
        least = heat.flatten().sort(descending=True).values[pixels - 1]
        above, level = heat > least, heat == least
        return above.double() + level.double() * (pixels - int(above.sum())) / int(level.sum())
