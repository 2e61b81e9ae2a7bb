"""captum's attributions, as captum gives them.

What is settled here: the pictures are normalised and the baseline is captum's own, zero, the mean
colour. Colours are summed, as everywhere in this library. `Occlusion` hides squares of a seventh of
the picture in half steps; methods that take a `feature_mask` get a grid of 14 x 14 patches, because
one pixel at a time takes days; `GradientShap` and `DeepLiftShap` get zeros as baselines. A layer's
attribution is clipped where captum offers it (`relu_attributions`), as Grad-CAM's paper does.
"""

import inspect
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ...registry import register_family
from ...shapes import AnyTensor
from ._adapter_input import AdapterInput
from ._peer import Peer, first, layer_module, reads_rows_and_columns

_ABSTRACT = ("Attribution", "GradientAttribution", "PerturbationAttribution", "LayerAttribution")
_OTHERWISE = ("NoiseTunnel", "LayerActivation", "LimeBase", "DataLoaderAttribution")
_PATCHES = 14


@register_family("captum")
@dataclass(frozen=True, kw_only=True)
class Captum(Peer):
    """What does this attribution of captum show?

    options go to its constructor or to `attribute`, wherever captum has them.

    Do not trust it where captum is silently wrong: functional activations under DeepLift and guided
    backpropagation, residual sums under LRP.
    """

    package: ClassVar[str] = "captum"
    usual: ClassVar[tuple[str, ...]] = (
        "Saliency",
        "IntegratedGradients",
        "LayerGradCam",
        "Occlusion",
    )

    def names(self) -> list[str]:
        from captum import attr

        return sorted(
            name
            for name, kind in vars(attr).items()
            if inspect.isclass(kind)
            and issubclass(kind, attr.Attribution)
            and name not in (*_ABSTRACT, *_OTHERWISE)
            and not name.startswith(("Neuron", "LLM", "RemoteLLM"))
        )

    def layered(self, method: str) -> bool:
        return "layer" in _parameters(self._kind(method).__init__)

    def _kind(self, method: str) -> Any:
        from captum import attr

        return getattr(attr, method)

    def map(self, given: AdapterInput) -> AnyTensor:
        kind, options = self._kind(self.method), self.chosen
        made = {k: options.pop(k) for k in _parameters(kind.__init__) if k in options}
        layers = []
        if "layer" in self.needs:
            reads_rows_and_columns(given, self)
            layers = [layer_module(given)]
        asked = kind(given.module, *layers, **made)
        wanted = {**_usual(_parameters(asked.attribute), given), **options}
        if self.method == "DeepLiftShap":
            wanted.setdefault("baselines", torch.zeros_like(given.images).repeat(2, 1, 1, 1))
        pictures = given.images.requires_grad_()
        return first(asked.attribute(pictures, target=given.index, **wanted))


def _parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def _usual(accepted: list[str], given: AdapterInput) -> dict[str, Any]:
    """What captum leaves to its users and cannot do without."""
    channels, rows, cols = given.images.shape[1:]
    made: dict[str, Any] = {}
    if "sliding_window_shapes" in accepted:
        window = max(1, rows // 7), max(1, cols // 7)
        made["sliding_window_shapes"] = (channels, *window)
        made["strides"] = (channels, *(max(1, side // 2) for side in window))
    if "feature_mask" in accepted:
        down, right = (torch.arange(n, device="cpu") * min(_PATCHES, n) // n for n in (rows, cols))
        patches = down[:, None] * min(_PATCHES, cols) + right[None]
        made["feature_mask"] = patches[None, None].to(given.images.device)
    if "n_samples" in accepted and "baselines" in accepted and "stdevs" in accepted:
        made["baselines"] = torch.zeros_like(given.images)
    if "relu_attributions" in accepted:
        made["relu_attributions"] = True
    return made
