"""The family of class activation maps: a layer's filters, each scaled by a weight, summed."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, final

from torch import Tensor

from ...explainer import Explainer
from ...explanation import Heatmap
from ...model import Model
from ...ops.resize import resize
from ...shapes import Heat, Images, Maps, Weights
from ...target import Target
from ...trace import Trace


@dataclass(frozen=True, eq=False)
class LayerView:
    """What a CAM may look at: one layer's maps for these images and, when asked, the target's
    gradient there.
    """

    model: Model
    images: Tensor
    target: Target
    layer: str

    @cached_property
    def trace(self) -> Trace:
        """The clean pass; methods that run on the same pass share it, gradients included."""
        return self.model.trace(self.images, read=(self.layer, *self.target.reads))

    @cached_property
    def maps(self) -> Maps:
        return self.trace.maps[self.layer].detach().float()

    @cached_property
    def grads(self) -> Maps:
        """Gradient of the target with respect to `maps`, computed on first use."""
        return self.trace.gradient(self.target, self.layer).detach().float()

    @cached_property
    def scores(self) -> Tensor:
        """The target's value on the clean images, (batch,)."""
        return self.target.score(self.trace).detach().float()

    @property
    def tokens(self) -> bool:
        return self.trace.layout(self.layer).style == "tokens"


def drawn(raw: Heat, images: Tensor, keep_sign: bool = False, **details: Tensor) -> Heatmap:
    """The heatmap of a map at the layer's resolution: clipped at zero and resized."""
    shown = raw if keep_sign else raw.relu()
    return Heatmap(resize(shown[:, None], images.shape[-2:])[:, 0], native=raw, details=details)


@dataclass(frozen=True, kw_only=True)
class WeightedCAM(Explainer):
    """Sum of a layer's filters, each scaled by `weigh`, clipped at zero unless `keep_sign`, resized
    to the image.

    layer: name of a layer that the model can show as (batch, filter, row, col); None means the
    model's last spatial one. `native` is the sum before clipping and resizing.
    """

    needs: ClassVar[tuple[str, ...]] = ("gradients", "layer")

    layer: str | None = None
    keep_sign: bool = False  # HiResCAM and CAM set True: their sums are claims

    @final
    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        view = LayerView(model, images, target, self.layer_of(model))
        return drawn((self.weigh(view) * view.maps).sum(1), images, self.keep_sign)

    @abstractmethod
    def weigh(self, view: LayerView) -> Weights:
        """What each filter, or each place of each filter, counts for."""
