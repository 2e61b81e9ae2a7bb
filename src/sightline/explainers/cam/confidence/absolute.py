"""Abs-CAM: weigh filters by the mean absolute gradient, then by the score of what they show.

Paper: Zeng et al., 2022; the two stages are the abstract's, the exact scaling in the second is not
confirmed. Stage 1: alpha_k = mean of |G_k|. Stage 2: each filter's share alpha_k A_k becomes a mask
on the picture, the probability of the target through it becomes its weight, and the masks are
summed. Deviations: masks are scaled by the largest value of the whole stack (`norm="stack"`).
Stretching each to [0, 1] by itself, as other code does, cancels alpha_k: what is left is
`score-cam` with normalised masks.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ....errors import BadField
from ....explainer import Explainer
from ....explanation import Heatmap
from ....hiding import HiddenImage
from ....model import Model
from ....ops.resize import resize
from ....ops.similarity import stretched
from ....registry import register
from ....shapes import Images
from ....target import Target
from .._weighted import LayerView, resized_heatmap
from ._map_masks import hidden_view, map_scores

AT_ONCE = 64  # maps resized together


@register(
    "abs-cam",
    paper="arXiv:2207.03648",
    claims=("weight-sensitive", "non-negative"),
)
@dataclass(frozen=True, kw_only=True)
class AbsCAM(Explainer):
    """Which places matter to the target, for or against it, weighted by how well the model
    recognises what they show?

    stage: `initial` is the first stage alone; `per-filter` scores the picture through each filter's
    map (one forward each); `single` scores it through the whole first map, which only rescales that
    map. norm: `stack` or `filter`, the set of masks whose largest value becomes 1. native: the sum
    before clipping, at the layer's resolution.

    Do not trust its first stage to tell classes apart: a filter that supports one class and opposes
    another gets the same weight for both. The second stage uses probabilities, so it changes with
    the scale of the logits.
    """

    needs: ClassVar[tuple[str, ...]] = ("gradients", "layer")
    joins: ClassVar[bool] = True

    layer: str | None = None
    stage: Literal["initial", "per-filter", "single"] = "per-filter"
    norm: Literal["stack", "filter"] = "stack"

    def __post_init__(self) -> None:
        if self.stage not in ("initial", "per-filter", "single"):
            raise BadField(f"stage is 'initial', 'per-filter' or 'single'; got {self.stage!r}.")
        if self.norm not in ("stack", "filter"):
            raise BadField(f"norm is 'stack' or 'filter'; got {self.norm!r}.")

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        view = LayerView(model, images, target, self.layer_of(model))
        shares = view.grads.abs().mean((2, 3), keepdim=True) * view.maps
        if self.stage == "initial":
            return resized_heatmap(shares.sum(1), images)
        hidden = hidden_view(view, target.with_probability(True))
        if self.stage == "single":
            whole = shares.sum(1)
            score = [map_scores(h, m[None], stretched) for h, m in zip(hidden, whole, strict=True)]
            return resized_heatmap(torch.stack(score)[:, :, None] * whole, images)
        native = torch.stack([self._summed(h, m) for h, m in zip(hidden, shares, strict=True)])
        return resized_heatmap(native, images)

    def _summed(self, hidden: HiddenImage, shares: Tensor) -> Tensor:
        """The masks of one picture, each times the probability of the target seen through it."""
        scaled = self._scaled(shares, hidden.image)
        live = scaled.flatten(1).any(1).nonzero()[:, 0]
        if not len(live):
            return scaled.sum(0)
        kept = scaled[live]
        weights = map_scores(hidden, kept, lambda masks: masks.clamp(0, 1))
        return (weights[:, None, None] * kept).sum(0)

    def _scaled(self, shares: Tensor, images: Tensor) -> Tensor:
        """Maps whose forms resized to the images lie in [0, 1]; 0 where that is not possible."""
        ends = [
            resized.flatten(1).aminmax(dim=1)
            for part in shares.split(AT_ONCE)
            for resized in [resize(part[:, None], images.shape[-2:])]
        ]
        low = torch.cat([e.min for e in ends])[:, None, None]
        high = torch.cat([e.max for e in ends])[:, None, None]
        if self.norm == "stack":
            low, high = torch.zeros_like(low), high.amax().expand_as(high)
        spread = high - low
        return torch.where(spread > 0, (shares - low) / torch.where(spread > 0, spread, 1), 0)
