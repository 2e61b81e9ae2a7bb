"""Attention rollout: multiply the attention of all layers, with the residual path as half of each.

Paper: Abnar and Zuidema, ACL 2020, section 3: A' = 0.5 A + 0.5 I, rollout = A'_L ... A'_1, heads
averaged. Deviations: networks that average their tokens have no class token to read from, so there
the mean over all places is shown.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ...errors import BadField, NotExplainable
from ...explainer import Explainer
from ...explanation import Heatmap
from ...model import Model
from ...ops.resize import resize
from ...ops.rules import RecordAttention
from ...ops.tracing.layouts import Layout, to_maps
from ...registry import register
from ...shapes import Images
from ...target import Target

AT_ONCE = 4  # images; twelve layers of twelve heads of 197 x 197 weights are 22 MB for each


@register(
    "rollout",
    paper="arXiv:2005.00928",
    claims=("weight-sensitive", "scale-invariant", "non-negative"),
)
@dataclass(frozen=True, kw_only=True)
class Rollout(Explainer):
    """From which places does information flow to the output, as far as attention weights tell?

    values: shares of attention at the class token, at least 0; native: the same on the grid of
    tokens. residual: the share of each layer that stays in place. heads: how the heads of a layer
    become one.

    Do not trust it as an explanation of a class: it does not look at the target at all, so every
    class gets the same map, and what the values and the layers between attentions do is ignored.
    """

    needs: ClassVar[tuple[str, ...]] = ("attention",)

    residual: float = 0.5
    heads: Literal["mean", "max", "min"] = "mean"

    def __post_init__(self) -> None:
        if self.heads not in ("mean", "max", "min") or not 0 <= self.residual < 1:
            raise BadField(
                f"heads is 'mean', 'max' or 'min' and residual in [0, 1); got {self.heads!r},"
                f" {self.residual}."
            )

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        rows = torch.arange(len(images), device="cpu")
        found = [self._rolled(model, images, part) for part in rows.split(AT_ONCE)]
        native = torch.cat(found)
        return Heatmap(resize(native[:, None], images.shape[-2:])[:, 0], native=native)

    def _rolled(self, model: Model, images: Tensor, rows: Tensor) -> Tensor:
        """The rollout of some images on the grid of tokens, (batch, row, col)."""
        record = RecordAttention()
        model.trace(images[rows[0] : rows[-1] + 1], rules=(record,), rows=rows)
        tokens = _one_size(record.weights, len(rows), model)
        rows_cols = images.shape[-2], images.shape[-1]
        layout = _layout(model, tokens, rows_cols)
        eye = torch.eye(tokens, device=record.weights[0][1].device, dtype=torch.float32)
        flow = eye.expand(len(rows), -1, -1)
        for _, weights in record.weights:
            mixed = (1 - self.residual) * self._joined(weights.float()) + self.residual * eye
            flow = mixed / mixed.sum(2, keepdim=True) @ flow
        return to_maps(self._read(model, flow, layout), layout)[:, 0]

    def _joined(self, weights: Tensor) -> Tensor:
        """Weights (batch, head, token, token) with one head."""
        return {"mean": weights.mean(1), "max": weights.amax(1), "min": weights.amin(1)}[self.heads]

    def _read(self, model: Model, flow: Tensor, layout: Layout) -> Tensor:
        """What the output receives from each token, (batch, token, 1)."""
        places = slice(layout.prefix, None)
        if layout.prefix and layout.prefix_at == "back":
            places = slice(0, -layout.prefix)
        if layout.prefix and not model.anatomy.head.startswith("pooled"):
            reader = 0 if layout.prefix_at == "front" else flow.shape[1] - layout.prefix
            return flow[:, reader, :, None]
        return flow[:, places].mean(1)[:, :, None]


def _one_size(weights: list[tuple[str, Tensor]], images: int, model: Model) -> int:
    """The number of tokens that all layers share. Raises: NotExplainable where they do not attend
    everywhere.
    """
    if not weights:
        raise NotExplainable(
            f"rollout saw no attention while {model.name} ran, so there is nothing to multiply;"
            " use a CAM."
        )
    tokens = weights[0][1].shape[-1]
    for layer, found in weights:
        if found.ndim != 4 or len(found) != images:
            raise NotExplainable(
                f"{layer!r} of {model.name} attends inside windows ({tuple(found.shape)} for"
                f" {images} pictures); rollout"
                " needs every token to see every other. Use a CAM."
            )
        if found.shape[2:] != (tokens, tokens):
            raise NotExplainable(
                f"{layer!r} of {model.name} attends from {found.shape[2]} to {found.shape[3]}"
                " tokens where the first"
                f" layer has {tokens}; rollout needs the same tokens in all layers. Use a CAM."
            )
    return tokens


def _layout(model: Model, tokens: int, size: tuple[int, int]) -> Layout:
    """The layout of a layer with so many tokens. Raises: NotExplainable where none is laid out in
    space.
    """
    for layout in model.study(size).layouts.values():
        grid = layout.grid
        if layout.style == "tokens" and grid and grid[0] * grid[1] + layout.prefix == tokens:
            return layout
    raise NotExplainable(
        f"{model.name} attends over {tokens} tokens, and no layer of it shows where they lie in"
        " the picture."
    )
