"""zennit's relevance, as zennit gives it: a composite of rules, or one of its attributors.

What is settled here: the relevance that is sent back is the score of the class at its place and
zero elsewhere; canonisers are zennit's for torchvision's ResNet and VGG, and the merging of batch
norms into the layer before for all others; `EpsilonGammaBox` gets the box of black and white.
Colours are summed.
"""

import inspect
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...registry import register_family
from ...shapes import AnyTensor
from ._adapter_input import AdapterInput
from ._peer import Peer


@register_family("zennit")
@dataclass(frozen=True, kw_only=True)
class Zennit(Peer):
    """What does this composite or attributor of zennit show?

    options go to its constructor.

    Do not trust a composite of relevance on an architecture without a canoniser in zennit: its map
    is then meaningless and sums to any number. Compare the sum of the map with the score.
    """

    package: ClassVar[str] = "zennit"
    usual: ClassVar[tuple[str, ...]] = ("EpsilonPlus", "EpsilonPlusFlat")

    def names(self) -> list[str]:
        from zennit import attribution
        from zennit.composites import COMPOSITES

        return sorted(
            [
                *(kind.__name__ for kind in COMPOSITES.values()),
                *(
                    name
                    for name, kind in vars(attribution).items()
                    if inspect.isclass(kind)
                    and issubclass(kind, attribution.Attributor)
                    and kind is not attribution.Attributor
                ),
            ]
        )

    def layered(self, method: str) -> bool:
        return False

    def map(self, given: AdapterInput) -> AnyTensor:
        from zennit import attribution, composites

        options: dict[str, Any] = dict(self.chosen)
        if kind := getattr(attribution, self.method, None):
            asked = kind(given.module, **options)
        else:
            kind = getattr(composites, self.method)
            accepted = inspect.signature(kind.__init__).parameters
            if "low" in accepted:
                options = {**_box(given), **options}
            composite = kind(**options, canonizers=[_canoniser(given.module)])
            asked = attribution.Gradient(given.module, composite)
        pictures = given.images.requires_grad_()
        with asked as attributor:
            found: Any = attributor(pictures, _of_class(given.index))  # output and relevance
        return found[1]


def _of_class(index: int) -> Any:
    """What zennit sends back: the class's own score."""

    def chosen(output: Tensor) -> Tensor:
        return output * nn.functional.one_hot(
            torch.full((len(output),), index, device=output.device), output.shape[1]
        ).to(output)

    return chosen


def _canoniser(module: nn.Module) -> Any:
    from torchvision.models import VGG, ResNet
    from zennit.canonizers import SequentialMergeBatchNorm
    from zennit.torchvision import ResNetCanonizer, VGGCanonizer

    network = getattr(module, "network", module)
    if isinstance(network, ResNet):
        return ResNetCanonizer()
    return VGGCanonizer() if isinstance(network, VGG) else SequentialMergeBatchNorm()


def _box(given: AdapterInput) -> dict[str, Tensor]:
    """Black and white as the network expects them."""
    mean, std = given.model.mean.to(given.images), given.model.std.to(given.images)
    one = torch.ones_like(given.images)
    return {"low": (0 * one - mean) / std, "high": (one - mean) / std}
