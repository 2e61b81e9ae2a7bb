"""FD-CAM: weigh filters by what switching their group on and off does, and by their gradient.

Paper: Li et al., ICPR 2022. A filter's group are the filters whose maps are most like its own
(cosine above its quantile `alike`). Its faithful part is the score with the group alone plus the
fall of the score without it; its discriminative part is the mean gradient. Weight: exp(N(e)) N(g) -
0.5, N to [0, 1] over the filters. Deviations: a filter is always in its own group (the authors'
code loses dead and duplicated filters); any number of filters and any network. Whether the paper,
like the code, takes 0.5 off is not confirmed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ....errors import BadField
from ....ops.similarity import DIGITS, stretched
from ....registry import register
from ....shapes import Weights
from .._head import Head
from .._weighted import LayerView, WeightedCAM


@register(
    "fd-cam",
    paper="arXiv:2206.08792",
    claims=("weight-sensitive", "scale-invariant", "non-negative"),
)
@dataclass(frozen=True, kw_only=True)
class FDCAM(WeightedCAM):
    """Which filters does the model need, and which of them support this target rather than another?

    alike: filters above this quantile of similarity are switched together, 0.95 for the 5 % most
    similar. Costs two passes through the part after the layer for each filter.

    Do not trust its sign: the filter with the smallest gradient gets -0.5, whatever switching it
    changes. The weights rank filters; they do not say how much each adds to the score.
    """

    alike: float = 0.95

    def __post_init__(self) -> None:
        if not 0 <= self.alike <= 1:
            raise BadField(f"alike is a quantile between 0 and 1; got {self.alike}.")

    def weigh(self, view: LayerView) -> Weights:
        head = Head(view)
        switched = torch.stack([self._switched(head, row) for row in range(len(view.maps))])
        gradient = stretched(view.grads.mean((2, 3)))
        return (stretched(switched).exp() * gradient - 0.5)[:, :, None, None]

    def _switched(self, head: Head, row: int) -> Tensor:
        """Score with each filter's group alone plus the fall of the score without it, (filter,), up
        to the clean score, which is the same for all."""
        group = _groups(head.view.maps[row].flatten(1), self.alike)
        masks = torch.cat([group, ~group])[:, :, None, None]
        alone, without = head.masked(row, len(masks), lambda part: masks[part]).chunk(2)
        return alone - without


def _groups(maps: Tensor, alike: float) -> Tensor:
    """Which filters are switched with each, bool (filter, filter), from maps (filter, place)."""
    units = torch.nn.functional.normalize(maps, dim=1)  # a dead filter is like none
    likeness = (units @ units.T).round(decimals=DIGITS)  # equal filters stay equal
    above = likeness > _quantile(likeness, alike)
    return above | torch.eye(len(maps), dtype=torch.bool, device=maps.device)


def _quantile(values: Tensor, share: float) -> Tensor:
    """The quantile of each row, (row, 1), between its two neighbours as `torch.quantile` has it."""
    place = share * (values.shape[1] - 1)
    below = int(place)
    largest = values.topk(values.shape[1] - below, dim=1).values  # the lowest of them is the last
    low, high = largest[:, -1], largest[:, max(-2, -largest.shape[1])]
    return torch.lerp(low, high, place - below)[:, None]
