"""torchcam's maps, as that library gives them: at the layer's resolution and, by its default,
stretched to [0, 1] in each picture.

What is settled here: the layer is the model's last spatial one, a layer of tokens is shown as maps
(its `reshape_transform`) in the layout that was measured, and the map is enlarged bilinearly.
"""

import inspect
from dataclasses import dataclass
from typing import Any, ClassVar

from ...network.tracing.layouts import to_maps
from ...registry import register_family
from ...shapes import AnyTensor
from ._adapter_input import AdapterInput
from ._peer import Peer, first, layer_module, layout

_OTHERWISE = ("FinerCAM", "LeGrad", "RefineCAM", "CAM")


@register_family("torchcam")
@dataclass(frozen=True, kw_only=True)
class TorchCam(Peer):
    """What does this method of torchcam show?

    options go to its constructor, or to the call (`normalized`).

    Do not trust the size of its values: each map is stretched to [0, 1], so a weak one looks like a
    strong one.
    """

    package: ClassVar[str] = "torchcam"
    usual: ClassVar[tuple[str, ...]] = ("GradCAM", "ScoreCAM")

    def names(self) -> list[str]:
        from torchcam import methods

        found = {name for name, kind in vars(methods).items() if inspect.isclass(kind)}
        return sorted(found - {*_OTHERWISE})

    def layered(self, method: str) -> bool:
        return True

    def map(self, given: AdapterInput) -> AnyTensor:
        from torchcam import methods

        options: dict[str, Any] = dict(self.chosen)
        called = {k: options.pop(k) for k in ("normalized",) if k in options}
        style = layout(given)
        if style.style != "nchw":
            options["reshape_transform"] = lambda raw: to_maps(raw, style)
        with getattr(methods, self.method)(given.module, layer_module(given), **options) as cam:
            scores = given.module(given.images.requires_grad_())
            return first(cam(given.index, scores, **called))
