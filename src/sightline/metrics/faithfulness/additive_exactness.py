"""Additive exactness: does each value of the map equal the change of the score when its place is
hidden?

Paper: Draelos and Carin (HiResCAM), 2020, whose guarantee this tests: after a layer from which the
score is affine, hiding place (i, j) changes the score by exactly minus the map's value there.
Equation (project definition): mean |raw - fall| / mean |fall|, fall the score minus the score with
all filters of the layer 0 at that place.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from ...errors import NotExplainable
from ...explanation import Heatmap
from ...metric import Case, Metric
from ...model import BATCH, Model
from ...network.trace import Edit, Fan
from ...network.tracing.prefix_replay import JOINT
from ...ops.noise import generator
from ...registry import register
from ...shapes import Flags, Scores
from ...target import Target

LINEAR = 1e-4
LEAST = 1e-12


@register("additive-exactness", paper="arXiv:2011.08891")
@dataclass(frozen=True, kw_only=True)
class AdditiveExactness(Metric):
    """How far is each value of the map from the change of the score when its place is hidden? 0 is
    exact.

    In units of the mean effect of a place; a map of zeros gets 1. The raw map is read where
    the layer has its places: `native` where it fits, else means of the map's values. layer: None is
    the one that the method reads, or the model's last spatial one. Scores are logits unless the
    target says otherwise. NaN where no place has an effect. It costs one pass through the part
    after the layer for each place.

    Do not trust it as a guarantee where the head is not affine: it hides one place at a time, so
    evidence that appears twice counts as 0. Zero must also mean "off" in that layer. `guaranteed`
    says whether the guarantee holds at all.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "lower"
    unit: ClassVar[str] = "relative error"
    scale_free: ClassVar[bool] = False

    layer: str | None = None

    def score(self, case: Case) -> Scores:
        found = []
        for row, (raw, fall) in enumerate(self._places(case)):
            error, size = (raw - fall).abs().mean(), fall.abs().mean()
            scale = case.model.scores(*_alone(case, row)).double().abs().clamp(min=LEAST).cpu()
            found.append(torch.where(size > 1e-7 * scale[0], error / size, torch.nan))
        return torch.stack(found)

    def guaranteed(self, case: Case) -> Flags:
        """Whether the score is affine after the layer, (batch,) bool: on three random mixtures of
        the maps, to 1e-4 of how far they move the score. Only then may a map be called exact."""
        layer, found = self._layer(case), []
        for row in range(len(case.images)):
            scores = _behind(case, row, layer, [_mixed(share) for share in (0.0, 1.0, 0.3)])
            start, end, between = scores.double().tolist()
            straight = 0.7 * start + 0.3 * end
            allowed = LINEAR * max(abs(end - start), abs(start), abs(end)) + LEAST
            found.append(abs(between - straight) <= allowed)
        return torch.tensor(found, dtype=torch.bool, device="cpu")

    def gap(self, case: Case) -> Scores:
        """How far the sum of the map is from what hiding the whole layer does, in parts of that,
        (batch,)."""
        layer, found = self._layer(case), []
        for row, (raw, _) in enumerate(self._raw(case, layer)):
            whole, empty = _behind(case, row, layer, [_unchanged, torch.zeros_like]).double()
            due = whole - empty
            found.append((raw.sum() - due).abs() / due.abs().clamp(min=LEAST))
        return torch.stack(found)

    def _layer(self, case: Case) -> str:
        if self.layer is not None:
            return self.layer
        parts = case.explainer.whole if case.explainer else ()
        read = [part.layer_of(case.model) for part in parts if "layer" in part.needs]
        return read[0] if read else case.model.spatial

    def _raw(self, case: Case, layer: str) -> list[tuple[Tensor, tuple[int, int]]]:
        """The map of each picture on the layer's grid, float64, and that grid."""
        with torch.no_grad():
            first = layer.split(JOINT)[0]
            grid = case.model.trace(case.images[:1], read=[first]).maps[first].shape[-2:]
        size = (int(grid[0]), int(grid[1]))
        shown, kept = case.heat, case.explanation
        if isinstance(kept, Heatmap) and kept.native is not None:
            shown = kept.native if tuple(kept.native.shape[-2:]) == size else shown
        pooled = functional.adaptive_avg_pool2d(shown.double()[:, None], size)[:, 0].cpu()
        return [(raw, size) for raw in pooled]

    def _places(self, case: Case) -> list[tuple[Tensor, Tensor]]:
        """Of each picture: the raw map and how far the score falls with each place hidden."""
        layer, found = self._layer(case), []
        for row, (raw, (rows, cols)) in enumerate(self._raw(case, layer)):
            edits = [_unchanged, *(_without(i // cols, i % cols) for i in range(rows * cols))]
            scores = _behind(case, row, layer, edits).double().cpu()
            found.append((raw, (scores[0] - scores[1:]).view(rows, cols)))
        return found


def _alone(case: Case, row: int) -> tuple[Tensor, Target]:
    """One picture, and its target as logits by default."""
    return case.images[row : row + 1], case.target.take([row]).with_habit(False)


def _behind(case: Case, row: int, layer: str, edits: list[Edit]) -> Tensor:
    """The score of one picture with its layer's maps changed in each of these ways."""
    model, (image, target) = case.model.take([row]), _alone(case, row)

    def make(maps: Tensor, part: slice) -> Tensor:
        return torch.cat([edit(maps.clone()) for edit in edits[part]])

    if layer != "input" and JOINT not in layer:
        try:
            return target.score(model.trace(image, edit={layer: Fan(len(edits), make)}))
        except NotExplainable:  # copies mix behind this layer: every copy is a picture of its own
            pass
    return _separate_scores(model, image, target, layer, edits)


def _separate_scores(
    model: Model, image: Tensor, target: Target, layer: str, edits: list[Edit]
) -> Tensor:
    found = []
    for start in range(0, len(edits), model.batch or BATCH):
        part = edits[start : start + (model.batch or BATCH)]
        rows = torch.zeros(len(part), dtype=torch.long, device="cpu")

        def change(maps: Tensor, part: list[Edit] = part) -> Tensor:
            return torch.cat([edit(maps[i : i + 1]) for i, edit in enumerate(part)])

        copies = image.expand(len(part), -1, -1, -1)
        if layer == "input":
            trace = model.trace(change(copies.clone()), rows=rows)
        else:
            edit = dict.fromkeys(layer.split(JOINT), change)
            trace = model.trace(copies.clone(), edit=edit, rows=rows)
        found.append(target.score(trace))
    return torch.cat(found)


def _unchanged(maps: Tensor) -> Tensor:
    return maps


def _without(row: int, col: int) -> Edit:
    def edit(maps: Tensor) -> Tensor:
        maps[..., row, col] = 0
        return maps

    return edit


def _mixed(share: float) -> Edit:
    """Maps between two random ones, in the range of the picture's own."""

    def edit(maps: Tensor) -> Tensor:
        low, high = maps.amin().clamp(max=0), maps.amax().clamp(min=LEAST)
        first, second = (
            low
            + torch.rand(
                maps.shape, generator=generator(0, which), dtype=torch.float32, device="cpu"
            ).to(maps)
            * (high - low)
            for which in ("first maps", "second maps")
        )
        return (1 - share) * first + share * second

    return edit
