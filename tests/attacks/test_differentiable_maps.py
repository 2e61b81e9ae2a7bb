"""Maps that attacks follow: equal to the explainers' own, and with the right way back."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from attacks.shapes_net import pictures, trained
from sightline import Model, available, create, load
from sightline.attacks._differentiable_maps import (
    SHARPNESS,
    DifferentiableMap,
    SmoothRectifier,
    differentiable_map,
    differentiable_methods,
)
from sightline.attacks._unrolled import STEPS, Unrolled
from sightline.errors import NotExplainable
from sightline.network.trace import Trace
from sightline.ops.similarity import pearson, stretched
from sightline.worlds.miniatures import MINIATURES


def _chart(
    model: Model, name: str, images: Tensor, index: int
) -> tuple[Tensor, DifferentiableMap, Trace]:
    mapping = differentiable_map(create("explainer", name), model)
    trace = mapping.trace(model, images)
    return mapping.map(model, trace, index), mapping, trace


@pytest.mark.parametrize("name", ["cam", "grad-cam", "hires-cam"])
def test_a_followed_cam_is_the_explainers(name: str) -> None:
    images = pictures(1, 2)[0]
    with trained().unharmed():
        found = _chart(trained(), name, images, 2)[0]
    heat = create("explainer", name)(trained(), images, 2)
    wanted = heat.native if name != "grad-cam" else heat.native.relu()
    assert_close(stretched(found.detach()), stretched(wanted))


@pytest.mark.parametrize(
    ("kind", "cam"),
    [("token-net", "grad-cam"), ("channels-last", "hires-cam"), ("pooled-cnn", "hires-cam")],
)
def test_cams_of_other_layouts_are_followed_too(kind: str, cam: str) -> None:
    mini = MINIATURES[kind]
    model = Model(mini(), size=mini.size)
    images = torch.rand((1, 3, *mini.size), generator=torch.Generator().manual_seed(1))
    with model.unharmed():
        found, _, trace = _chart(model, cam, images, 1)
        (back,) = torch.autograd.grad(found.square().sum(), trace.raw["input"])
    native = create("explainer", cam)(model, images, 1).native
    assert_close(found.detach(), native.relu() if cam == "grad-cam" else native)
    assert back.abs().sum() > 0


def test_the_followed_gradient_is_the_explainers_up_to_its_smooth_rectifiers() -> None:
    images = pictures(1, 2)[0]
    with trained().unharmed():
        found, _, trace = _chart(trained(), "gradient", images, 2)
        (back,) = torch.autograd.grad(found.sum(), trace.raw["input"])
    heat = create("explainer", "gradient")(trained(), images, 2)
    assert pearson(found.detach(), heat.values).item() > 0.8
    assert torch.isfinite(back).all() and back.abs().sum() > 0


def test_a_followed_mask_network_is_the_explainers() -> None:
    model = load("sightline:default")
    images = torch.rand((1, 3, 128, 128), generator=torch.Generator().manual_seed(1))
    explainer = create("explainer", "realtime-saliency")
    with model.unharmed():
        mapping = differentiable_map(explainer, model)
        trace = mapping.trace(model, images)
        found = mapping.map(model, trace, 3)
        (back,) = torch.autograd.grad(found.sum(), trace.raw["input"])
    assert_close(found.detach(), explainer(model, images, 3).native)
    assert back.abs().sum() > 0


class Rectified(nn.Module):
    def __init__(self, rectify: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.rectify, self.head = rectify, nn.Linear(12, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.rectify(images).flatten(1))


def test_the_smooth_rectifier_keeps_values_and_has_the_slope_of_a_sigmoid() -> None:
    for rectify in (functional.relu, functional.relu6):
        model = Model(Rectified(rectify))
        images = torch.linspace(-1, 7, 12).view(1, 3, 2, 2)
        trace = model.trace(images, read=("input",), rules=(SmoothRectifier(),))
        plain = model.trace(images, read=("input",))
        assert_close(trace.output, plain.output)
        (slope,) = torch.autograd.grad(trace.output[:, 0].sum(), trace.raw["input"])
        shape = torch.sigmoid(SHARPNESS * images)
        if rectify is functional.relu6:
            shape = shape - torch.sigmoid(SHARPNESS * (images - 6))
        weight = model.module.head.weight[0].detach().view(1, 3, 2, 2)
        assert_close(slope, shape * weight)


def test_an_unrolled_mask_has_the_derivative_that_finite_differences_show() -> None:
    class Smooth(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 3)
            self.head = nn.Linear(6, 3)

        def forward(self, images: Tensor) -> Tensor:
            return self.head(functional.softplus(self.conv(images)).mean((2, 3)))

    torch.manual_seed(2)
    model = Model(Smooth().double())
    images = torch.rand(1, 3, 6, 6, dtype=torch.float64)
    towards = torch.randn(1, 3, 6, 6, dtype=torch.float64)
    explainer: Any = create("explainer", "iterative-saliency", cells=3)
    start = 0.2 + 0.6 * torch.rand(1, 3, 3, dtype=torch.float64)

    def mask(image: Tensor) -> Tensor:
        return Unrolled(explainer, start).advance(model, image, 0)

    with model.unharmed():
        leaf = images.clone().requires_grad_()
        (back,) = torch.autograd.grad(mask(leaf).square().sum(), leaf)
        step = 1e-5
        up, down = (mask(images + s * towards).square().sum().item() for s in (step, -step))
    assert STEPS > 1
    assert back.abs().sum() > 0
    assert_close((back * towards).sum().item(), (up - down) / (2 * step), rtol=2e-3, atol=1e-9)


def test_an_attack_on_the_optimised_mask_runs_and_keeps_its_budget() -> None:
    explainer = create("explainer", "iterative-saliency", steps=10, cells=4)
    made = create("attack", "adv-edge", first=4, second=3)
    images = pictures(1, 2)[0]
    fooled = made(trained(), images, None, explainer)
    assert 0 < (fooled - images).abs().max() <= 0.031 + 1e-6
    assert torch.equal(made(trained(), images, None, explainer), fooled)


def test_all_other_explainers_are_refused_with_the_names_that_are_not() -> None:
    known = ["cam", "grad-cam", "gradient", "hires-cam", "iterative-saliency", "realtime-saliency"]
    assert differentiable_methods() == known
    for name in set(available("explainer")) - {*known}:
        try:
            explainer = create("explainer", name)
        except TypeError:
            continue  # a field without a default
        with pytest.raises(NotExplainable, match="iterative-saliency"):
            differentiable_map(explainer, trained())
