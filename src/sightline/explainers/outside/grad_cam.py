"""pytorch-grad-cam's maps, as that library gives them: stretched to [0, 1] in each picture.

What is settled here: the layer is the model's last spatial one, and a layer of tokens is shown to
the library as maps (its `reshape_transform`) in the layout that was measured. Its progress bars go
nowhere.
"""

import inspect
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from typing import ClassVar

import torch

from ...network.tracing.layouts import to_maps
from ...registry import register_family
from ...shapes import AnyTensor
from ._adapter_input import AdapterInput
from ._peer import Peer, layer_module, layout

_OTHERWISE = ("BaseCAM", "RefineCAM", "SESS")


@register_family("grad-cam")
@dataclass(frozen=True, kw_only=True)
class GradCamLibrary(Peer):
    """What does this method of pytorch-grad-cam show?

    options go to its constructor, or to the call (`aug_smooth`, `eigen_smooth`).

    Do not trust the size of its values: each map is stretched to [0, 1], so a weak one looks like a
    strong one, and where nothing supports the class the map is zero.
    """

    package: ClassVar[str] = "grad-cam"
    usual: ClassVar[tuple[str, ...]] = ("GradCAM", "ScoreCAM")

    def names(self) -> list[str]:
        import pytorch_grad_cam
        from pytorch_grad_cam.base_cam import BaseCAM

        return sorted(
            name
            for name, kind in vars(pytorch_grad_cam).items()
            if inspect.isclass(kind) and issubclass(kind, BaseCAM) and name not in _OTHERWISE
        )

    def layered(self, method: str) -> bool:
        return True

    def map(self, given: AdapterInput) -> AnyTensor:
        import pytorch_grad_cam
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        kind, options, style = getattr(pytorch_grad_cam, self.method), self.chosen, layout(given)
        called = {k: options.pop(k) for k in ("aug_smooth", "eigen_smooth") if k in options}
        if style.style != "nchw":
            options["reshape_transform"] = lambda raw: to_maps(raw, style)  # type: ignore[assignment]
        pictures = given.images.requires_grad_()
        with redirect_stderr(StringIO()):
            cam = kind(given.module, [layer_module(given)], **options)
            try:
                found = cam(pictures, [ClassifierOutputTarget(given.index)], **called)
            finally:
                cam.activations_and_grads.release()
        return torch.from_numpy(found)
