"""Our maps against those of the libraries that people used before, on the same network."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close
from torchvision.models import resnet18

from sightline import Class, Model, create
from sightline.ops.resize import resize

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive"),
    pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients"),
]
LAYER, TARGETS = "layer4", [5, 9]


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    found = resnet18().eval().double()  # no ReLU flips by rounding
    for part in found.modules():  # statistics as after training, not those of the first day
        if isinstance(part, nn.BatchNorm2d):
            part.running_var.uniform_(0.5, 2.0)
            part.running_mean.normal_(0, 0.1)
    return found.requires_grad_(False)


@pytest.fixture(scope="module")
def images() -> Tensor:
    drawn = torch.randn((2, 3, 96, 128), generator=torch.Generator().manual_seed(1))
    return drawn.double()


def close(found: Tensor, expected: Tensor) -> None:
    expected = expected.float()
    scale = expected.abs().amax()
    assert_close(found / scale, expected / scale, atol=1e-4, rtol=0)


def ours(name: str, net: nn.Module, images: Tensor, **fields: object) -> Tensor:
    return create("explainer", name, **fields)(Model(net), images, TARGETS).native


@pytest.fixture(scope="module")
def captum() -> object:
    return pytest.importorskip("captum.attr")


def test_grad_cam_is_captum_s(captum: object, net: nn.Module, images: Tensor) -> None:
    peer = captum.LayerGradCam(net, net.layer4)
    expected = peer.attribute(images, target=TARGETS)[:, 0].detach()
    close(ours("grad-cam", net, images, layer=LAYER), expected)


def test_hires_cam_is_captum_s_gradient_times_activation(
    captum: object, net: nn.Module, images: Tensor
) -> None:
    peer = captum.LayerGradientXActivation(net, net.layer4)
    expected = peer.attribute(images, target=TARGETS).sum(1).detach()
    close(ours("hires-cam", net, images, layer=LAYER), expected)


def test_the_gradient_is_captum_s(captum: object, net: nn.Module, images: Tensor) -> None:
    expected = captum.Saliency(net).attribute(images, target=TARGETS, abs=False)
    heat = create("explainer", "gradient")(Model(net), images, TARGETS)
    close(heat.channels, expected)


def test_integrated_gradients_are_captum_s_at_the_same_nodes(
    captum: object, net: nn.Module, images: Tensor
) -> None:
    peer = captum.IntegratedGradients(net)
    expected = peer.attribute(images, target=TARGETS, n_steps=8, method="riemann_middle")
    heat = create("explainer", "integrated-gradients", steps=8)(Model(net), images, TARGETS)
    close(heat.channels, expected)


def test_occlusion_is_captum_s(captum: object, net: nn.Module, images: Tensor) -> None:
    peer = captum.Occlusion(net)
    drops = peer.attribute(
        images, target=TARGETS, sliding_window_shapes=(3, 32, 32), strides=(3, 32, 32)
    )
    logits = [Class(t, probability=False) for t in TARGETS]
    explain = create("explainer", "occlusion", window=32, stride=32)
    close(explain(Model(net), images, logits).native, drops[:, 0])


def test_grad_cam_and_hires_cam_are_those_of_pytorch_grad_cam(
    net: nn.Module, images: Tensor
) -> None:
    peers = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    targets = [ClassifierOutputTarget(t) for t in TARGETS]
    for name, peer in (("grad-cam", peers.GradCAM), ("hires-cam", peers.HiResCAM)):
        with peer(model=net.requires_grad_(True), target_layers=[net.layer4]) as cam:
            theirs = torch.from_numpy(cam(input_tensor=images, targets=targets))
        net.requires_grad_(False)
        clipped = ours(name, net, images, layer=LAYER).relu()
        low, high = clipped.flatten(1).amin(1), clipped.flatten(1).amax(1)
        scaled = (clipped - low.view(-1, 1, 1)) / (1e-7 + (high - low).view(-1, 1, 1))
        mine = resize(scaled[:, None], (96, 128))[:, 0]
        for i in range(2):  # they stretch to [0, 1] again after resizing
            a, b = mine[i] - mine[i].min(), theirs[i]
            assert F.cosine_similarity(a.flatten(), b.flatten(), dim=0) > 0.9999
            assert_close(a / a.max(), b, atol=2e-3, rtol=0)
