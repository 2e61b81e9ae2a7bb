"""Ablation-CAM: weigh each filter by how far the score falls when the filter is silenced.

Paper: Desai and Ramaswamy, WACV 2020, eq. 2: alpha_k = (s - s without filter k) / s. Deviations:
the falls are divided by the sum of their sizes, not by s: a constant added to a logit is not
evidence, but it changes s and with it the size of the map (before one linear layer without a bias,
where all filters support the class, the two are the same). `over="score"` divides by |s|, so that a
negative score does not invert the map. A silenced filter is 0, as in the paper (the most used code
writes a value far below all others where a layer's smallest value is not exactly 0). Before pooling
and one linear layer the drops are computed without running the network again; elsewhere one copy of
the part after the layer runs for each filter.
"""

from dataclasses import dataclass
from typing import Literal

import torch

from ....errors import BadField
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
    """How much does the score drop without each filter, and where is that filter active?

    Filters whose maps are constant zero get exactly 0. over: what each drop is divided by: `falls`,
    the sum of all drops in size, so that the sizes of the weights sum to 1 and a constant in the
    score does not matter; or `score`, as in the paper.

    Do not trust it where filters are redundant: silencing one of two that detect the same thing
    changes little, and both look unimportant.
    """

    over: Literal["falls", "score"] = "falls"

    def __post_init__(self) -> None:
        if self.over not in ("falls", "score"):
            raise BadField(f"over is 'falls' or 'score'; got {self.over!r}.")

    def weigh(self, view: LayerView) -> Weights:
        found = torch.zeros(view.maps.shape[:2], device=view.maps.device, dtype=torch.float32)
        head = Head(view)
        for row, maps in enumerate(view.maps):
            live = maps.flatten(1).any(1).nonzero()[:, 0]
            if len(live):
                keep = torch.ones(
                    (len(live), len(maps), 1, 1), dtype=torch.bool, device=live.device
                )
                keep[torch.arange(len(live), device="cpu"), live] = False
                rise = head.masked(row, len(live), lambda part, keep=keep: keep[part])
                whole = rise.abs().sum() if self.over == "falls" else view.scores[row].abs()
                found[row, live] = -rise / whole.clamp(min=LEAST)
        return found[:, :, None, None]
