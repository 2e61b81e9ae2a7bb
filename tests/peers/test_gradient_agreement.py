"""Our gradient methods against captum's, on networks whose ReLUs are modules: of functions captum's
rules see nothing.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from torchvision.models import resnet18

from sightline import Model, create
from sightline.targets.structured import Unit

captum = pytest.importorskip("captum.attr")

pytestmark = [
    pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients"),
    pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations"),
    pytest.mark.filterwarnings("ignore:Setting forward, backward hooks"),
]
TARGETS = [5, 2]


class Residual(nn.Module):
    """A block with a skip, batch norms and two ReLUs of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(2))
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(2))

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.norms[1](self.second(self.relus[0](self.norms[0](self.first(maps)))))
        return self.relus[1](inner + maps)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    found = nn.Sequential(
        nn.Conv2d(3, 12, 5, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1), Residual(12),
        nn.Conv2d(12, 20, 3, stride=2), nn.ReLU(), Residual(20), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(80, 8),
    ).eval().double()  # fmt: skip
    for part in found.modules():  # statistics as after training, not those of the first day
        if isinstance(part, nn.BatchNorm2d):
            part.running_var.uniform_(0.5, 2.0)
            part.running_mean.normal_(0, 0.1)
    return found


@pytest.fixture(scope="module")
def images() -> Tensor:
    drawn = torch.randn((2, 3, 48, 64), generator=torch.Generator().manual_seed(1))
    return drawn.double()


def agree(name: str, net: nn.Module, images: Tensor, expected: Tensor, **fields: Any) -> None:
    found = create("explainer", name, **fields)(Model(net), images, TARGETS).channels
    expected = expected.detach().float()
    scale = expected.abs().amax()
    assert_close(found / scale, expected / scale, atol=1e-4, rtol=0)


def test_input_times_gradient_is_captum_s(net: nn.Module, images: Tensor) -> None:
    expected = captum.InputXGradient(net).attribute(images.clone(), target=TARGETS)
    agree("input-x-gradient", net, images, expected)


def test_guided_backpropagation_is_captum_s(net: nn.Module, images: Tensor) -> None:
    expected = captum.GuidedBackprop(net).attribute(images.clone(), target=TARGETS)
    agree("guided-backprop", net, images, expected)


def test_the_deconvnet_is_captum_s(net: nn.Module, images: Tensor) -> None:
    expected = captum.Deconvolution(net).attribute(images.clone(), target=TARGETS)
    agree("deconvnet", net, images, expected)


@pytest.mark.parametrize("name", ["guided-backprop", "deconvnet"])
def test_on_resnet_18_with_its_re_used_relus_both_rules_are_captum_s(
    name: str, images: Tensor
) -> None:
    net = resnet18(num_classes=8).eval().double()
    peer = {"guided-backprop": captum.GuidedBackprop, "deconvnet": captum.Deconvolution}[name]
    expected = peer(net).attribute(images.clone(), target=TARGETS)
    plain = create("explainer", "gradient")(Model(net), images, TARGETS).channels
    assert (plain - expected).abs().max() > 0.1 * expected.abs().max()
    agree(name, net, images, expected)


class Functional(nn.Module):
    """A network without a single ReLU module."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 12, 5, stride=2), nn.Conv2d(12, 8, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.relu(self.first(images))
        return torch.relu(self.second(maps)).mean((2, 3))


def test_functional_relus_obey_the_rule_as_modules_do(images: Tensor) -> None:
    torch.manual_seed(0)
    net = Functional().double()
    twin = nn.Sequential(
        net.first, nn.ReLU(), net.second, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    expected = captum.GuidedBackprop(twin).attribute(images.clone(), target=TARGETS)
    agree("guided-backprop", net, images, expected)
    silent = captum.GuidedBackprop(net).attribute(images.clone(), target=TARGETS)
    assert not torch.allclose(silent, expected)  # the plain gradient, unannounced


def test_the_deconvnet_of_a_unit_is_captum_s_of_the_network_up_to_its_layer(
    net: nn.Module, images: Tensor
) -> None:
    short = nn.Sequential(*list(net)[:6])
    heat = create("explainer", "deconvnet", layer="5", filter=4)(Model(net), images, TARGETS)
    for i in range(2):
        row, col = heat.place[i].tolist()
        peer = captum.Deconvolution(short)
        expected = peer.attribute(images[i : i + 1].clone(), target=(4, row, col))[0].float()
        found = heat.channels[i] / heat.activation[i]
        assert_close(
            found / expected.abs().max(), expected / expected.abs().max(), atol=1e-4, rtol=0
        )
    unit = create("explainer", "deconvnet")(Model(net), images[1:], Unit("5", 4, at=(row, col)))
    assert_close(unit.channels[0], found, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("steps", [8, 13])
def test_integrated_gradients_are_captum_s_at_gauss_legendre_nodes(
    net: nn.Module, images: Tensor, steps: int
) -> None:
    peer = captum.IntegratedGradients(net)
    expected = peer.attribute(images, target=TARGETS, n_steps=steps, method="gausslegendre")
    agree("integrated-gradients", net, images, expected, steps=steps, nodes="gauss-legendre")


def test_guided_grad_cam_is_captum_s(net: nn.Module, images: Tensor) -> None:
    peer = captum.GuidedGradCam(net, net[6])
    expected = peer.attribute(images.clone(), target=TARGETS, interpolate_mode="bilinear")
    cam = create("explainer", "grad-cam", layer="6")
    agree("guided-grad-cam", net, images, expected, cam=cam)
