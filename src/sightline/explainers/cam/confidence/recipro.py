"""Recipro-CAM: the score when one place of the layer is all that is left.

Papers: Byun and Lee, 2022 (CNNs), and ViT-ReciproCAM, 2023 (tokens; the class token stays whole).
raw_p = s(maps seen through a mask at place p). Deviations: the score of an empty layer is taken
off, which shifts all places alike and gives 0 a meaning; the score is the target's logit unless the
target says `probability=True` (the CNN code always takes a softmax, the ViT code never).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ....errors import BadField
from ....explainer import Explainer
from ....explanation import Heatmap
from ....model import Model
from ....registry import register
from ....shapes import Images
from ....target import Target
from .._head import Head
from .._weighted import LayerView, resized_heatmap

KERNELS = ("point", "gauss-copy", "gauss-local")


@register(
    "recipro-cam",
    paper="arXiv:2209.14074 arXiv:2310.02588",
    claims=("class-sensitive", "weight-sensitive", "scale-invariant", "exact-on-pooled-head"),
)
@dataclass(frozen=True, kw_only=True)
class ReciproCAM(Explainer):
    """How well does the model recognise the target from one place of the layer alone?

    values and native: signed, the rise of the score over an empty layer. kernel: what stays,
    `point` one place; `gauss-local` its 3 x 3 neighbourhood, each place with its own features,
    weighted 1 2 1; `gauss-copy` the same with the centre's features at all nine places, as in the
    authors' CNN code. None is `point` on maps and `gauss-local` on tokens. layer: None for the last
    spatial layer; on tokens the prefix tokens always stay.

    Do not trust it at layers far from the output: maps with only one place left are unlike anything
    in the network's training. Evidence that needs two places together is not found at all.
    """

    needs: ClassVar[tuple[str, ...]] = ("gradients", "layer")
    joins: ClassVar[bool] = True

    layer: str | None = None
    kernel: Literal["point", "gauss-copy", "gauss-local"] | None = None

    def __post_init__(self) -> None:
        if self.kernel not in (None, *KERNELS):
            raise BadField(f"kernel is None or one of {', '.join(KERNELS)}; got {self.kernel!r}.")

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        view = LayerView(model, images, target, self.layer_of(model))
        rows, cols = view.maps.shape[2:]
        kernel = self.kernel or ("gauss-local" if view.tokens else "point")
        masks = _masks(rows, cols, wide=kernel != "point").to(view.maps.device)
        head = Head(view)

        def alone(maps: Tensor, part: slice) -> Tensor:
            places = torch.arange(part.start, part.stop, device=maps.device)
            own = maps[0].flatten(1).T[places.clamp(max=rows * cols - 1)]
            return own[:, :, None, None] * masks[part].to(maps)

        found = []
        for row in range(len(images)):
            if kernel == "gauss-copy":
                moved = head.run(row, len(masks), alone)
            else:
                moved = head.masked(row, len(masks), lambda part: masks[part])
            found.append((moved[:-1] - moved[-1]).view(rows, cols))
        return resized_heatmap(torch.stack(found), images, keep_sign=True)


def _masks(rows: int, cols: int, wide: bool) -> Tensor:
    """One mask for each place and an empty one, (place + 1, 1, row, col)."""
    down, right = torch.arange(rows, device="cpu").float(), torch.arange(cols, device="cpu").float()
    reach = 2.0 if wide else 1.0  # weights 1 and, beside, 1/2, or 1 alone
    tall = (1 - (down[:, None] - down).abs() / reach).clamp(min=0)
    broad = (1 - (right[:, None] - right).abs() / reach).clamp(min=0)
    masks = torch.einsum("pr,qc->pqrc", tall, broad).reshape(rows * cols, 1, rows, cols)
    return torch.cat(
        [
            masks / 4 if wide else masks,
            torch.zeros(1, 1, rows, cols, dtype=torch.float32, device="cpu"),
        ]
    )
