"""Attention rollout: multiply the attention of all layers, with the residual path as half of each.

Paper: Abnar and Zuidema, ACL 2020, section 3: A' = 0.5 A + 0.5 I, rollout = A'_L ... A'_1, heads
averaged. Deviations: what is shown are the rows that the head reads, which is measured: a class
token, the mean of several (distillation), the mean over places of networks that average their
tokens or take the largest of each filter, or, where attention pools the tokens at the end, the rows
weighed by it.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ...errors import BadField, NotExplainable
from ...explainer import Explainer
from ...explanation import Heatmap
from ...model import Model
from ...network.tracing.layouts import Layout, to_maps
from ...ops.resize import resize
from ...ops.rules import RecordAttention
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
    """From which places does information flow to the output, according to the attention weights?

    values: shares of attention at the tokens that the head reads, at least 0; native: the same on
    the grid of tokens. residual: the share of each layer that stays in place. heads: how the heads
    of a layer become one.

    Do not trust it as an explanation of a class: it ignores the target, so every class gets the
    same map. It also ignores the attention values and the layers between attentions.
    """

    needs: ClassVar[tuple[str, ...]] = ("attention",)
    well_known: ClassVar[bool] = True

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
        weights, pool = _squares(_attentions(record.weights, model), len(rows), model)
        tokens = weights[0].shape[-1]
        layout = _layout(model, tokens, (images.shape[-2], images.shape[-1]))
        eye = torch.eye(tokens, device=weights[0].device, dtype=torch.float32)
        flow = eye.expand(len(rows), -1, -1)
        for found in weights:
            mixed = (1 - self.residual) * self._joined(found.float()) + self.residual * eye
            flow = mixed / mixed.sum(2, keepdim=True) @ flow
        if pool is not None:
            read = (self._joined(pool.float()) @ flow).mean(1)
        else:
            read = _read(model, flow, layout)
        return to_maps(read[:, :, None], layout)[:, 0]

    def _joined(self, weights: Tensor) -> Tensor:
        """Weights (batch, head, token, token) with one head."""
        return {"mean": weights.mean(1), "max": weights.amax(1), "min": weights.amin(1)}[self.heads]


def _read(model: Model, flow: Tensor, layout: Layout) -> Tensor:
    """What the output receives from each token, (batch, token). Raises: NotExplainable where it is
    not known which tokens the head reads."""
    known, prefix = model.anatomy, layout.prefix
    if known.weighs or len(known.readers) != prefix + 1:
        why = (
            "weighs its tokens by a softmax that" if known.weighs else "reads tokens in a way that"
        )
        raise NotExplainable(f"the head of {model.name} {why} rollout cannot follow; use a CAM.")
    first = 0 if layout.prefix_at == "front" else flow.shape[1] - prefix
    places = slice(prefix, None) if layout.prefix_at == "front" else slice(0, first)
    *shares, rest = known.readers
    found = rest * flow[:, places].mean(1)
    for i, share in enumerate(shares):
        found = found + share * flow[:, first + i]
    return found


def _attentions(recorded: list[tuple[str, Tensor]], model: Model) -> list[tuple[str, Tensor]]:
    """The recorded weights of attentions, in order. Raises: NotExplainable where they are not all
    those that the network has, each once, or where several streams attend side by side.
    """
    known = model.anatomy
    if known.joint or known.partial:
        streams = f" ({', '.join(known.joint)})" if known.joint else ""
        raise NotExplainable(
            f"{model.name} has several streams or exits{streams}, and rollout multiplies one after"
            " the other; use a CAM."
        )
    inner = {n for n, part in model.module.named_modules() if isinstance(part, nn.Softmax)}
    names = set(known.attention)
    found = [(n, w) for n, w in recorded if n in names | inner]
    if not found:
        raise NotExplainable(
            f"rollout found no attention weights while {model.name} ran, so there is nothing to"
            " multiply; use a CAM."
        )
    if len(found) != known.attentions:
        missing = sorted(names - {n for n, _ in found}) if not inner else []
        which = f", not those of {', '.join(map(repr, missing[:3]))}" if missing else ""
        raise NotExplainable(
            f"rollout could read {len(found)} of {known.attentions} attentions of"
            f" {model.name}{which}; it needs them all. Use a CAM."
        )
    return found


def _squares(
    weights: list[tuple[str, Tensor]], images: int, model: Model
) -> tuple[list[Tensor], Tensor | None]:
    """The weights of each layer (batch, head, token, token), and of a pooling at the end (batch,
    head, query, token) or None. Raises: NotExplainable where the layers do not attend everywhere.
    """
    found = [(layer, _with_heads(w, images)) for layer, w in weights]
    layer, last = found[-1]
    pool = last if last.ndim == 4 and last.shape[2] < last.shape[3] and len(found) > 1 else None
    tokens = found[0][1].shape[-1]
    for layer, each in found:
        if each.ndim != 4 or len(each) != images:
            raise NotExplainable(
                f"{layer!r} of {model.name} attends inside windows ({tuple(each.shape)} for"
                f" {images} pictures); rollout needs every token to see every other. Use a CAM."
            )
        queries = each.shape[2] if each is pool else tokens
        if each.shape[2:] != (queries, tokens):
            raise NotExplainable(
                f"{layer!r} of {model.name} attends from {each.shape[2]} to {each.shape[3]} tokens;"
                " rollout needs the same tokens on both sides in all layers. Use a CAM."
            )
    return [each for _, each in found if each is not pool], pool


def _with_heads(weights: Tensor, images: int) -> Tensor:
    """Weights of three axes as (batch, head, query, token): heads may be folded into the batch."""
    folded = weights.ndim == 3 and images and len(weights) % images == 0
    return weights.unflatten(0, (images, -1)) if folded else weights


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
