"""Saliency metric: is the smallest rectangle around the map enough for the model, enlarged?

Paper: Dabkowski and Gal, NIPS 2017, section 5.2: s(a, p) = log(max(a, 0.05)) - log(p), a the area
share of the tightest rectangle around the mask, p the probability of the class on that crop,
enlarged to the input. Deviations: the paper chooses a method's threshold on held-out pictures; here
the best of a few multiples of each map's mean is taken (project definition), which flatters every
map alike, so give one threshold where numbers are to be compared with others'. p below 1e-12 counts
as 1e-12.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...errors import BadField, NotExplainable
from ...metric import Case, Metric
from ...ops.resize import resize
from ...registry import register
from ...shapes import Scores

LEAST_AREA = 0.05
LEAST_PROBABILITY = 1e-12
Corners = tuple[int, int, int, int]


@register("saliency-metric", paper="arXiv:1705.07857", claims=("prefers-truth",))
@dataclass(frozen=True, kw_only=True)
class SaliencyMetric(Metric):
    """Does the model still recognise the class in the rectangle around the marked area, enlarged?

    In nats, from about -3 up; the whole picture gets -log p. thresholds: what is salient, in
    multiples of the mean of the map's positive part (of the map above its least value where nothing
    is positive); the lowest number of all thresholds counts. A map above none of them is NaN, such
    as one of zeros. Crops do not keep their aspect.

    Do not trust it for maps with one high pixel far away: the rectangle grows to include it. Crops
    below a twentieth of the picture gain nothing more, so it does not reward a precise outline. It
    also shows the model enlarged objects, which may be unlike its training pictures.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "lower"
    unit: ClassVar[str] = "nats"

    thresholds: tuple[float, ...] = (0.5, 1.0, 2.0, 3.0, 5.0)

    def __post_init__(self) -> None:
        if not self.thresholds or not all(t > 0 for t in self.thresholds):
            raise BadField(
                f"thresholds are positive multiples of the map's mean; got {self.thresholds}."
            )

    def score(self, case: Case) -> Scores:
        images, crops, areas, rows = case.images, [], [], []
        for row, heat in enumerate(case.heat):
            for top, left, bottom, right in self._boxes(heat):
                crop = images[row : row + 1, :, top:bottom, left:right]
                crops.append(resize(crop, images.shape[-2:]))
                areas.append((bottom - top) * (right - left) / heat.numel())
                rows.append(row)
        found = torch.full((len(images),), float("nan"), dtype=torch.float64, device="cpu")
        if not rows:
            return found
        seen = case.target.with_probability(True)
        shares = (
            case.model.scores(torch.cat(crops), seen, rows=torch.tensor(rows, device="cpu"))
            .double()
            .cpu()
        )
        if shares.min() < 0 or shares.max() > 1 + 1e-6:
            raise NotExplainable(
                f"saliency-metric needs a target with a probability; got {seen!r}."
            )
        scores = smallest_sufficient(torch.tensor(areas, dtype=torch.float64, device="cpu"), shares)
        for row in set(rows):
            mine = torch.tensor(rows, device="cpu") == row
            found[row] = scores[mine].min()
        return found

    def _boxes(self, heat: Tensor) -> list[Corners]:
        """The different rectangles (row, col, row end, col end) of the thresholds."""
        heat = heat.double()
        shown = heat.clamp(min=0) if heat.max() > 0 else heat - heat.min()
        if not shown.max() > 0:  # nothing stands out, so nothing is salient
            return []
        boxes = [tightest(shown >= t * shown.mean()) for t in self.thresholds]
        return list(dict.fromkeys(box for box in boxes if box is not None))


def tightest(mask: Bool[Tensor, "row col"]) -> Corners | None:
    """The smallest rectangle that holds all of `mask` (row, col), ends outside; None if empty."""
    if not mask.any():
        return None
    rows, cols = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    return int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1


def smallest_sufficient(
    areas: Float[Tensor, "*shape"], probabilities: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """log(max(a, 0.05)) - log(p), elementwise."""
    return areas.clamp(min=LEAST_AREA).log() - probabilities.clamp(min=LEAST_PROBABILITY).log()
