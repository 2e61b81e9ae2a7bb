"""Shap-CAM: the Shapley value of each place of a layer, by sampling orders of the places.

Paper: Zheng et al., ECCV 2022: places are players, a coalition keeps its places of the maps, its
worth is the score (how the paper assembles the map, its sample count and its figures are from
memory). Each order gives one sample for every place, and each sample's marginals sum to the score
minus that of an empty layer. Deviations: orders come in pairs, each with its reverse, which halves
the variance. Before pooling and one linear layer one order is exact, so no more are drawn.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ....errors import BadField
from ....explainer import Explainer
from ....explanation import Heatmap
from ....model import Model
from ....ops.noise import generator
from ....registry import register
from ....shapes import Images
from ....target import Target
from .._head import Head
from .._weighted import LayerView, resized_heatmap

SURE = 1.96  # standard errors on either side of a 95 % interval


@register(
    "shap-cam",
    paper="arXiv:2208.03608",
    claims=(
        "class-sensitive",
        "weight-sensitive",
        "scale-invariant",
        "exact-on-pooled-head",
        "non-negative",
    ),
)
@dataclass(frozen=True, kw_only=True)
class ShapCAM(Explainer):
    """What is each place's fair share of the score (its Shapley value), over all orders in which
    places could be shown?

    native: the shares, which sum to the score minus that of an empty layer. values: clipped at 0.
    orders: how many orders are drawn, an even number; each costs one pass through the part after
    the layer for every place. baseline: what a hidden place holds, `zero` or the filter's `mean`.
    output: `pixel` shows the shares, `weighted` the shares times the sum of the filters there (from
    memory, not confirmed; no longer a share of anything). details: `standard_error`, `low` and
    `high` (a 95 % interval of the share; both at the layer's resolution) and `orders`.

    Do not trust differences between places that are smaller than the interval. Most of the masked
    maps are unlike anything in the network's training.
    """

    needs: ClassVar[tuple[str, ...]] = ("gradients", "layer")
    joins: ClassVar[bool] = True

    layer: str | None = None
    orders: int = 64
    baseline: Literal["zero", "mean"] = "zero"
    output: Literal["pixel", "weighted"] = "pixel"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.orders < 4 or self.orders % 2:
            raise BadField(f"orders is an even number, at least 4; got {self.orders}.")
        if self.baseline not in ("zero", "mean") or self.output not in ("pixel", "weighted"):
            raise BadField(
                "baseline is 'zero' or 'mean' and output 'pixel' or 'weighted'; got"
                f" {self.baseline!r} and {self.output!r}."
            )

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        view = LayerView(model, images, target, self.layer_of(model))
        head, size = Head(view), view.maps.shape[2:]
        pairs = 1 if head.affine else self.orders // 2
        draw = generator(self.seed, "shap-cam")
        one_way = torch.stack(
            [torch.randperm(size.numel(), generator=draw, device="cpu") for _ in range(pairs)]
        )
        orders = one_way.to(view.maps.device)
        samples = [self._shares(head, row, orders) for row in range(len(images))]
        shares = torch.stack([s.mean(0) for s in samples]).unflatten(1, size)
        error = torch.stack([_standard_error(s) for s in samples]).unflatten(1, size)
        raw = shares * view.maps.sum(1) if self.output == "weighted" else shares
        return resized_heatmap(
            raw,
            images,
            standard_error=error,
            low=shares - SURE * error,
            high=shares + SURE * error,
            orders=torch.full((len(images),), 2 * pairs, device="cpu"),
        )

    def _shares(self, head: Head, row: int, orders: Tensor) -> Tensor:
        """What each place added, (pair, place): the mean of an order and its reverse."""
        size = head.view.maps.shape[2:]
        places = size.numel()
        rank = orders.argsort(1)  # when each place comes
        both = torch.stack([rank, places - 1 - rank], 1).flatten(0, 1)

        def masks(part: slice) -> Tensor:
            step = torch.arange(part.start, part.stop, device=both.device)
            shown = both[step // (places + 1)] < (step % (places + 1))[:, None]
            return shown.view(-1, 1, *size)

        maps = head.view.maps[row : row + 1]
        empty = maps.mean((2, 3), keepdim=True).expand_as(maps) if self.baseline == "mean" else None
        moved = head.masked(row, len(both) * (places + 1), masks, empty)
        added = moved.view(len(both), places + 1).diff(dim=1).gather(1, both)
        return added.view(-1, 2, places).mean(1)


def _standard_error(samples: Tensor) -> Tensor:
    """Of the mean of independent samples (sample, place); 0 for a single one, which is exact."""
    if len(samples) == 1:
        return torch.zeros_like(samples[0])
    return samples.std(0) / len(samples) ** 0.5
