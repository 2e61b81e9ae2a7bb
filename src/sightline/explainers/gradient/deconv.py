"""Deconvnet: send a signal down the network run backwards, with a ReLU on the signal at each ReLU.

Paper: Zeiler and Fergus, ECCV 2014, section 2.1: set all other units of a layer to zero, then
unpool to the places that held the maxima, rectify, and filter with the transposed kernels. That is
the backward pass with R_in = R_out * [R_out > 0], whatever the sign of the unit. Deviations: any
target may be sent down as well (the derivative of its value); batch norms pass their plain
derivative, which the paper's networks did not have.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import BadField, NotExplainable
from ...explainer import Explainer
from ...explanation import Heatmap
from ...model import Model
from ...network.trace import Trace
from ...ops.rules import DeconvReLU
from ...registry import register
from ...shapes import Images
from ...target import Target
from ._relu_rules import gradients_under_rule, target_score


@register("deconvnet", paper="arXiv:1311.2901", claims=("scale-invariant", "non-negative"))
@dataclass(frozen=True, kw_only=True)
class Deconvnet(Explainer):
    """Which pattern of the picture activates this unit, or this target?

    filter, layer: project the strongest activation of that filter (None: of all filters) of that
    layer (None: the model's last spatial one) and of nothing else, at its own strength; the target
    then plays no part. With neither, the target is projected. values: the largest absolute value
    over colours. channels: signed, per unit of natural brightness. native: the signed sum over
    colours, at the resolution of the input. details, for a unit: `filter`, `place` (row, col) on
    the layer's grid and `activation`, one of each per image.

    Do not trust it as evidence for a class: it sends positive signal through inactive units. Apart
    from the switches of max-pooling it hardly depends on the picture or on the top layers. It fails
    the sanity check, as `guided-backprop` does.
    """

    needs: ClassVar[tuple[str, ...]] = ("gradients",)
    own_passes: ClassVar[bool] = True

    layer: str | None = None
    filter: int | None = None

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        rule = DeconvReLU()
        if self.layer is None and self.filter is None:
            signals = gradients_under_rule(model, images, rule, target_score(target), target.reads)
            return _heatmap(signals, {})
        layer, units = self.layer_of(model), []

        def strongest(trace: Trace) -> Tensor:
            value, where = self._strongest(trace.maps[layer].float(), layer)
            units.append((value.detach(), where))
            return value * value.detach()  # the signal that starts is the activation itself

        signals = gradients_under_rule(model, images, rule, strongest, (layer,))
        activation = torch.cat([value for value, _ in units])
        where = torch.cat([place for _, place in units])
        return _heatmap(
            signals, {"filter": where[:, 0], "place": where[:, 1:], "activation": activation}
        )

    def _strongest(self, maps: Tensor, layer: str) -> tuple[Tensor, Tensor]:
        """The largest activation (batch,) and where it lies, (batch, 3): filter, row, col."""
        first, count = 0, maps.shape[1]
        if self.filter is not None:
            if not 0 <= self.filter < count:
                raise BadField(
                    f"filter {self.filter} does not exist: {layer!r} has {count} (0 to"
                    f" {count - 1})."
                )
            first, maps = self.filter, maps[:, self.filter : self.filter + 1]
        value, flat = maps.flatten(1).max(1)
        if (value <= 0).any():
            which = "every filter" if self.filter is None else f"filter {self.filter}"
            raise NotExplainable(
                f"{which} of {layer!r} is silent in this picture, so there is no"
                " activation to project. Take another filter, or a picture that excites it."
            )
        cols = maps.shape[3]
        cells = maps.shape[2] * cols
        where = [first + flat // cells, flat % cells // cols, flat % cols]
        return value, torch.stack(where, 1)


def _heatmap(signals: Tensor, details: dict[str, Tensor]) -> Heatmap:
    return Heatmap(signals.abs().amax(1), native=signals.sum(1), channels=signals, details=details)
