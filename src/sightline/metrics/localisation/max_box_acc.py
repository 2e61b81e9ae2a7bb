"""MaxBoxAcc: at its best threshold, does a box around the map's high part fit the object's box?

Paper: Choe et al., CVPR 2020, sections 3.2 and 4; v1 takes the largest part and IoU 0.5, v2 the
best of all parts and the mean over IoU 0.3, 0.5 and 0.7. Over a collection the share of pictures
whose box fits is maximised over one threshold for all (`summary`). Deviations: connected pixels
instead of contours (the largest has most pixels; no boxes around holes), in the model's frame, with
true boxes cut to what the model saw; shares in [0, 1] instead of percent. The published code takes
the corner of a box as inside it, so that a perfect 10 x 10 box is 11 x 11: only with `compat`.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from ...errors import BadField
from ...metric import Case, Metric
from ...ops.boxes import overlap
from ...registry import register
from ...shapes import Curves, Scores
from ._components import LEVELS, boxes_above, eight_bit
from ._object import boxes_in_model

DELTAS = {"v1": (0.5,), "v2": (0.3, 0.5, 0.7)}


@register("max-box-acc", paper="arXiv:2001.07437", claims=("prefers-truth",))
@dataclass(frozen=True, kw_only=True)
class MaxBoxAcc(Metric):
    """Does a box around the high part of the map fit the object, at the best threshold?

    In [0, 1]: of one picture the share of IoU levels that some threshold reaches, so each picture
    has its own best one; a collection has one threshold for each level, as published. version: `v1`
    or `v2`. threshold: a share of the map's range chosen on other pictures instead of the best one
    (`best_threshold`). `curves` are the best IoU at each of 255 thresholds. Each connected part of
    a mask is an object with its own box (a drawn bird is one). An image without a box, or whose
    box the model did not see, is NaN.

    Do not trust it as a score of thresholded maps in use: the best threshold is chosen on the very
    pictures that are scored. Give `threshold` for that. A centred blob scores high on photographs
    of single objects.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    unit: ClassVar[str] = "share of pictures"
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)

    version: Literal["v1", "v2"] = "v2"
    threshold: float | None = None
    compat: bool = False

    def __post_init__(self) -> None:
        if self.version not in DELTAS:
            raise BadField(f"version is 'v1' or 'v2'; got {self.version!r}.")
        if self.threshold is not None and not 0 <= self.threshold < 1:
            raise BadField(
                f"threshold is a share of the map's range, in [0, 1); got {self.threshold}."
            )

    def read(self, curves: Curves) -> Scores:
        reached = torch.stack([self._fits(curves, d).amax(1).double() for d in self.deltas])
        return torch.where(curves.isnan().any(1), torch.nan, reached.mean(0))

    def curves(self, case: Case) -> Curves:
        """The best IoU with a true box at each threshold, (batch, 255), or (batch, 1) at a fixed
        one."""
        true = boxes_in_model(case, "max-box-acc")
        found = [self._overlaps(heat, boxes) for heat, boxes in zip(case.heat, true, strict=True)]
        return torch.stack(found).float()

    def summary(self, values: Scores, curves: Curves | None = None) -> float:
        """The published number: the mean over IoU levels of the largest share of pictures that one
        threshold reaches."""
        if curves is None:
            return Metric.summary(self, values)
        known = curves[~curves.isnan().any(1)]
        if not len(known):
            return float("nan")
        best = [self._fits(known, d).double().mean(0).max() for d in self.deltas]
        return float(torch.stack(best).mean())

    def best_threshold(self, curves: Curves) -> float:
        """The threshold with the largest mean share over the IoU levels, for `threshold` on other
        pictures."""
        known = curves[~curves.isnan().any(1)]
        shares = torch.stack([self._fits(known, d).double().mean(0) for d in self.deltas])
        return int(shares.mean(0).argmax()) / LEVELS

    @property
    def deltas(self) -> tuple[float, ...]:
        """The IoU levels of the version."""
        return DELTAS[self.version]

    @staticmethod
    def _fits(curves: Tensor, delta: float) -> Tensor:
        return curves >= delta - 1e-6  # curves are float32, and a third is not

    def _overlaps(self, heat: Tensor, true: Tensor | None) -> Tensor:
        steps = LEVELS if self.threshold is None else 1
        size = torch.tensor([heat.shape[1], heat.shape[0]] * 2, dtype=torch.float64, device="cpu")
        if true is None:
            return torch.full((steps,), torch.nan, dtype=torch.float32, device="cpu")
        levels = eight_bit(heat)
        if self.threshold is not None:
            return self._best(levels, int(self.threshold * LEVELS), true, size)[None]
        found = torch.zeros(LEVELS, dtype=torch.float64, device="cpu")
        start = 0  # a mask changes only where the map has a value
        for value in np.unique(levels).tolist():
            if start < min(value, LEVELS):
                found[start:value] = self._best(levels, start, true, size)
            start = max(start, value)
        return found

    def _best(self, levels: np.ndarray, level: int, true: Tensor, size: Tensor) -> Tensor:
        boxes = boxes_above(levels, level, self.version == "v1")
        if self.compat:  # inclusive corners: a box has one pixel more, and ends at the last
            boxes = torch.cat([boxes[:, :2], boxes[:, 2:].minimum(size[2:] - 1) + 1], 1)
        return torch.stack([overlap(box, boxes).max() for box in true]).max()
