"""The family of class activation maps: a layer's filters, each scaled by a weight, summed."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, final

import torch
from torch import Tensor

from ...errors import NotExplainable
from ...explainer import Explainer
from ...explanation import Heatmap
from ...model import Model
from ...network.trace import Trace
from ...network.tracing.prefix_replay import JOINT
from ...ops.resize import resize
from ...shapes import Heat, Images, Maps, Weights
from ...target import Target


@dataclass(frozen=True, eq=False)
class LayerView:
    """What a CAM may look at: one layer's maps for these images and, when asked, the target's
    gradient there. Layers joined by " + " (the calls of an encoder that runs twice, or two
    encoders) are one layer whose filters are those of all; their maps must be of one size.
    """

    model: Model
    images: Tensor
    target: Target
    layer: str

    @cached_property
    def trace(self) -> Trace:
        """The clean pass; methods that run on the same pass share it, gradients included."""
        return self.model.trace(self.images, read=(*self.layers, *self.target.reads))

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self.layer.split(JOINT))

    @cached_property
    def maps(self) -> Maps:
        return self._joined([self.trace.maps[name].detach().float() for name in self.layers])

    @cached_property
    def grads(self) -> Maps:
        """Gradient of the target with respect to `maps`, computed on first use."""
        try:
            found = [self.trace.gradient(self.target, name) for name in self.layers]
        except NotExplainable:
            raise NotExplainable(self._why_no_gradient()) from None
        return self._joined([grads.detach().float() for grads in found])

    @property
    def differentiable(self) -> bool:
        """Whether the target has a gradient here."""
        try:
            return self.grads is not None
        except NotExplainable:
            return False

    def _why_no_gradient(self) -> str:
        """Whether the target uses these maps at all, tried on the first picture."""
        if "input" in self.layers:
            return f"the target of {self.model.name} has no gradient at the picture. Use rise."
        image, rows, name = (
            self.images[:1],
            torch.zeros(1, dtype=torch.long, device="cpu"),
            self.model.name,
        )
        edit = dict.fromkeys(self.layers, _disturbed)
        with torch.no_grad():
            changed = self.model.trace(image, read=self.target.reads, edit=edit, rows=rows)
            moved = bool((self.target.score(changed) != self.scores[:1]).any())
        if not moved:
            return (
                f"the target does not depend on layer {self.layer!r} of {name}. Choose another"
                " layer, or leave `layer` out for the default."
            )
        return (
            f"no gradient of the target reaches layer {self.layer!r} of {name}: the network cuts"
            " the graph after it (`no_grad`, `detach`, whole numbers). Use eigen-cam,"
            " score-cam, ablation-cam or recipro-cam, which need none, or rise."
        )

    def _joined(self, parts: list[Tensor]) -> Tensor:
        sizes = {tuple(part.shape[2:]) for part in parts}
        if len(sizes) > 1:
            found = " and ".join(f"{rows} x {cols}" for rows, cols in sorted(sizes))
            raise NotExplainable(
                f"the maps of {self.layer!r} have {found} places; layers that are read together"
                " need one size. Name one of them."
            )
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]

    @cached_property
    def scores(self) -> Tensor:
        """The target's value on the clean images, (batch,)."""
        return self.target.score(self.trace).detach().float()

    @property
    def tokens(self) -> bool:
        return self.trace.layout(self.layers[0]).style == "tokens"


def _disturbed(maps: Tensor) -> Tensor:
    return maps.roll(1, 1) + maps.abs().mean() + 1


def resized_heatmap(
    raw: Heat, images: Tensor, keep_sign: bool = False, **details: Tensor
) -> Heatmap:
    """The heatmap of a map at the layer's resolution: clipped at zero and resized."""
    shown = raw if keep_sign else raw.relu()
    return Heatmap(resize(shown[:, None], images.shape[-2:])[:, 0], native=raw, details=details)


@dataclass(frozen=True, kw_only=True)
class WeightedCAM(Explainer):
    """Sum of a layer's filters, each scaled by `weigh`, clipped at zero unless `keep_sign`, resized
    to the image.

    layer: name of a layer that the model can show as (batch, filter, row, col), or several of one
    size joined by " + "; None means the model's last spatial one, or all that carry the evidence
    together. `native` is the sum before clipping and resizing.
    """

    needs: ClassVar[tuple[str, ...]] = ("gradients", "layer")
    joins: ClassVar[bool] = True

    layer: str | None = None
    keep_sign: bool = False  # HiResCAM and CAM set True: their sums are claims

    @final
    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        view = LayerView(model, images, target, self.layer_of(model))
        return resized_heatmap((self.weigh(view) * view.maps).sum(1), images, self.keep_sign)

    @abstractmethod
    def weigh(self, view: LayerView) -> Weights:
        """What each filter, or each place of each filter, counts for."""
