"""The libraries people use, run as their documentation shows, for `speed.py` to compare with."""

import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from typing import Any

import torch

SIZE, BATCH, CLASS = 224, 16, 7
Work = Callable[[], object]


class GradCamLibrary:
    """pytorch-grad-cam."""

    name = "pytorch-grad-cam"

    def __init__(self, net: torch.nn.Module) -> None:
        import pytorch_grad_cam
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        self.net, self.layers = net, [net.get_submodule("layer4")[-1]]  # type: ignore[index]
        self.kinds = {
            "grad-cam": pytorch_grad_cam.GradCAM,
            "hires-cam": pytorch_grad_cam.HiResCAM,
            "grad-cam++": pytorch_grad_cam.GradCAMPlusPlus,
            "xgrad-cam": pytorch_grad_cam.XGradCAM,
            "layer-cam": pytorch_grad_cam.LayerCAM,
            "eigen-cam": pytorch_grad_cam.EigenCAM,
            "score-cam": pytorch_grad_cam.ScoreCAM,
            "ablation-cam": pytorch_grad_cam.AblationCAM,
        }
        self.cams: dict[str, Any] = {}  # made when asked: each hooks the network
        self.target = ClassifierOutputTarget(CLASS)

    def __call__(self, method: str, x: torch.Tensor) -> Work | None:
        if method not in self.kinds:
            return None
        if method not in self.cams:
            self.cams[method] = self.kinds[method](self.net, self.layers)
            self.cams[method].batch_size = BATCH
        cam, targets = self.cams[method], [self.target] * len(x)

        def work() -> object:
            with redirect_stderr(StringIO()):  # a progress bar
                return cam(x, targets)

        return work


class Captum:
    """captum; its Grad-CAM stops at the layer; its map is stretched to the picture as ours is."""

    name = "captum"

    def __init__(self, net: torch.nn.Module) -> None:
        from captum import attr

        self.attr, self.net = attr, net

    def __call__(self, method: str, x: torch.Tensor) -> Work | None:
        attr, net = self.attr, self.net
        if method == "grad-cam":
            cam = attr.LayerGradCam(net, net.get_submodule("layer4"))
            stretch = attr.LayerAttribution.interpolate
            return lambda: stretch(
                cam.attribute(x, target=CLASS, relu_attributions=True), (SIZE, SIZE), "bilinear"
            )
        if method == "gradient":
            return lambda: attr.Saliency(net).attribute(x, target=CLASS)
        plain = {"input-x-gradient": attr.InputXGradient, "deconvnet": attr.Deconvolution}
        plain |= {"guided-backprop": attr.GuidedBackprop}
        if method in plain:
            return lambda: plain[method](net).attribute(x, target=CLASS)
        if method == "guided-grad-cam":
            guided = attr.GuidedGradCam(net, net.get_submodule("layer4"))
            return lambda: guided.attribute(x, target=CLASS, interpolate_mode="bilinear")
        if method == "integrated-gradients":
            integrated = attr.IntegratedGradients(net)
            return lambda: integrated.attribute(
                x, target=CLASS, n_steps=20, internal_batch_size=BATCH
            )
        if method == "smooth-grad":
            noisy = attr.NoiseTunnel(attr.Saliency(net))
            options = {"nt_samples": 50, "nt_samples_batch_size": BATCH, "stdevs": 0.15}
            return lambda: noisy.attribute(x, target=CLASS, abs=False, **options)
        if method == "occlusion":
            windows = {"sliding_window_shapes": (3, 32, 32), "strides": (3, 16, 16)}
            hidden = attr.Occlusion(net)
            return lambda: hidden.attribute(
                x, target=CLASS, perturbations_per_eval=BATCH, **windows
            )
        return None


class TorchCam:
    """torchcam, one picture at a time."""

    name = "torchcam"

    def __init__(self, net: torch.nn.Module) -> None:
        import torchcam.methods

        self.net, self.methods = net, torchcam.methods

    def __call__(self, method: str, x: torch.Tensor) -> Work | None:
        known = {"grad-cam": ("GradCAM", {}), "score-cam": ("ScoreCAM", {"batch_size": BATCH})}
        if method not in known or len(x) > 1:
            return None
        kind, options = known[method]

        def work() -> object:
            with getattr(self.methods, kind)(self.net, "layer4", **options) as cam:
                return cam(CLASS, self.net(x.clone().requires_grad_()))

        return work


def peers(net: torch.nn.Module) -> dict[str, GradCamLibrary | Captum | TorchCam]:
    found = {}
    for kind in (GradCamLibrary, Captum, TorchCam):
        try:
            found[kind.name] = kind(net)
        except ImportError:
            print(f"{kind.name} is not installed; its rows will say so", file=sys.stderr)
    return found
