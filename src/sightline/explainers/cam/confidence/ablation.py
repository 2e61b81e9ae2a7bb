"""Ablation-CAM: weigh each filter by how far the score falls when the filter is silenced.

Paper: Desai and Ramaswamy, WACV 2020, eq. 2: alpha_k = (s - s without filter k) / s. Deviations:
the fall is divided by |s|, so that a negative score does not turn the map over; a silenced filter
is 0, as in the paper (the most used code writes a value far below all others where a layer's
smallest value is not exactly 0). Behind pooling and one linear layer the falls are arithmetic and
nothing is run again; elsewhere one copy of the part behind the layer runs for each filter.
"""

from dataclasses import dataclass

import torch

from ....registry import register
from ....shapes import Weights
from .._head import Head
from .._weighted import LayerView, WeightedCAM

LEAST = 1e-6


@register(
    "ablation-cam",
    paper="doi:10.1109/WACV45572.2020.9093360",
    claims=("class-sensitive", "weight-sensitive", "scale-invariant", "non-negative"),
)
@dataclass(frozen=True, kw_only=True)
class AblationCAM(WeightedCAM):
    """How far does the score fall without each filter, and where is that filter active?

    Filters whose maps are constant zero get exactly 0.

    Do not trust it where filters stand in for each other: silencing one of two that say the same
    changes little, and both look unimportant.
    """

    def weigh(self, view: LayerView) -> Weights:
        found = torch.zeros(view.maps.shape[:2], device=view.maps.device)
        head = Head(view)
        for row, maps in enumerate(view.maps):
            live = maps.flatten(1).any(1).nonzero()[:, 0]
            if len(live):
                keep = torch.ones(
                    (len(live), len(maps), 1, 1), dtype=torch.bool, device=live.device
                )
                keep[torch.arange(len(live)), live] = False
                rise = head.masked(row, len(live), lambda part, keep=keep: keep[part])
                found[row, live] = -rise / view.scores[row].abs().clamp(min=LEAST)
        return found[:, :, None, None]
