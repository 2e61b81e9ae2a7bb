"""Integrated gradients: completeness, its equation as loops, and the way cut where it matters."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Fill, Model, create
from sightline.errors import BadField
from sightline.explainers.contract.requirements import shared
from sightline.worlds import analytic
from sightline.worlds.miniatures import MINIATURES

CNN = MINIATURES["pooled-cnn"]


class Squares(nn.Module):
    """s = sum of c x^2: midpoints are exact for any number of nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 3, 4, 5))

    def forward(self, images: Tensor) -> Tensor:
        return torch.einsum("bcij,kcij->bk", images**2, self.weight)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_of_squares_it_is_exact_with_any_number_of_nodes(steps: int) -> None:
    net, images = Squares(), torch.rand(2, 3, 4, 5)
    heat = create("explainer", "integrated-gradients", steps=steps)(
        Model(net, size=(4, 5)), images, 1
    )
    assert_close(heat.channels, net.weight[1].detach() * images**2)
    assert_close(heat.attributed, heat.expected)
    assert heat.completeness.max() < 1e-5 and heat.steps.tolist() == [steps, steps]


def test_or_gives_each_of_two_equal_causes_half() -> None:
    for target in (0, 1):
        known = analytic.two_paths(target=target)
        explain = create("explainer", "integrated-gradients")
        assert_close(explain(known.model, known.images, known.target).native, known.expected)


def test_of_a_linear_model_each_pixel_gets_its_own_product() -> None:
    known = analytic.linear()
    heat = create("explainer", "integrated-gradients")(known.model, known.images, known.target)
    assert_close(heat.native, known.expected)
    assert_close(heat.values, known.expected)  # signed: the paper does not clip


def test_it_is_the_paper_s_sum_over_midpoints() -> None:
    net, images = CNN(), torch.rand(2, 3, *CNN.size)
    heat = create("explainer", "integrated-gradients", steps=11, baseline=0.5)(
        Model(net, size=CNN.size), images, 3
    )
    net, empty = net.double(), torch.full_like(images, 0.5, dtype=torch.float64)
    expected = torch.zeros_like(empty)
    for k in range(11):
        way = images.double() - empty
        between = (empty + (k + 0.5) / 11 * way).requires_grad_()
        expected += way * torch.autograd.grad(net(between)[:, 3].sum(), between)[0] / 11
    assert_close(heat.channels, expected.float(), atol=1e-8, rtol=1e-3)


class Cliff(nn.Module):
    """The score rises at one place of the way from black, and hardly before or after it."""

    def forward(self, images: Tensor) -> Tensor:
        bright = images.mean((1, 2, 3))
        height = torch.sigmoid(200 * (bright - 0.13)) + 0.1 * images[:, 0].mean((1, 2))
        return torch.stack([height, -height], 1)


@pytest.mark.parametrize("seed", range(4))
def test_the_way_is_looked_at_where_the_score_rises(seed: int) -> None:
    torch.manual_seed(seed)
    model, images = Model(Cliff(), size=(6, 6)), torch.rand(2, 3, 6, 6)
    asked: tuple[dict[str, Any], ...] = (
        {"tolerance": 1e-9, "limit": 22},
        {"steps": 22},
        {"steps": 3000},
    )
    adaptive, equal, fine = (
        create("explainer", "integrated-gradients", **fields)(model, images, 0).channels
        for fields in asked
    )
    assert (adaptive - fine).norm() < (equal - fine).norm() / 3


def test_each_image_takes_the_gradients_that_it_needs() -> None:
    model, images = Model(CNN(), size=CNN.size), torch.rand(3, 3, *CNN.size)
    heat = create("explainer", "integrated-gradients", tolerance=1e-9, limit=29)(model, images, 1)
    assert heat.steps.tolist() == [29] * 3
    # the clean picture and each gradient, which brings its score with it
    assert heat.provenance["evaluations"] == {"forward": 3 * (1 + 29), "backward": 3 * 29}
    loose = create("explainer", "integrated-gradients", tolerance=10.0)(model, images, 1)
    assert loose.steps.tolist() == [10] * 3
    known = analytic.linear()
    straight = create("explainer", "integrated-gradients")(known.model, known.images, known.target)
    assert straight.steps.tolist() == [10] * len(known.images)


def test_completeness_is_told_for_each_image() -> None:
    model, images = Model(CNN(), size=CNN.size), torch.rand(3, 3, *CNN.size)
    heat = create("explainer", "integrated-gradients")(model, images, 1)
    target = model.aim(images, 1)
    gap = model.scores(images, target) - model.scores(torch.zeros_like(images), target)
    assert_close(heat.expected, gap)
    assert_close(heat.attributed, heat.native.sum((1, 2)))
    assert_close(heat.completeness, (heat.attributed - gap).abs() / gap.abs())
    assert (heat.completeness < 0.02).logical_or(heat.steps == 200).all()


def test_the_baseline_is_a_named_fill() -> None:
    known = analytic.linear()
    white = create("explainer", "integrated-gradients", baseline=1.0)
    heat = white(known.model, known.images, known.target)
    filled = Fill(1.0).like(known.images, known.model)
    weight = known.model.module.weight[1].detach()
    assert_close(heat.channels, weight * (known.images - filled))
    for fields in ({"baseline": "pink"}, {"steps": 0}, {"tolerance": 0.0}, {"limit": 9}):
        with pytest.raises(BadField):
            create("explainer", "integrated-gradients", **fields)


class Powers(nn.Module):
    """s = sum of c x^6: along the way the gradient is a polynomial of degree 5."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 3, 4, 5))

    def forward(self, images: Tensor) -> Tensor:
        return torch.einsum("bcij,kcij->bk", images**6, self.weight)


def test_three_gauss_legendre_nodes_integrate_degree_five_exactly() -> None:
    net, images = Powers(), torch.rand(2, 3, 4, 5)
    model = Model(net, size=(4, 5))
    exact = create("explainer", "integrated-gradients", steps=3, nodes="gauss-legendre")
    heat = exact(model, images, 1)
    assert_close(heat.channels, net.weight[1].detach() * images**6, atol=1e-5, rtol=1e-4)
    assert heat.provenance["evaluations"] == {"forward": 2 + 2 + 6, "backward": 6}
    plain = create("explainer", "integrated-gradients", steps=3)(model, images, 1)
    assert not torch.allclose(plain.channels, heat.channels, rtol=0.01)


def test_gauss_legendre_is_its_weighted_sum() -> None:
    net, images = CNN(), torch.rand(2, 3, *CNN.size)
    explain = create("explainer", "integrated-gradients", steps=7, nodes="gauss-legendre")
    heat = explain(Model(net, size=CNN.size), images, 3)
    net, way = net.double(), images.double()
    expected = torch.zeros_like(way)
    for place, weight in zip(*np.polynomial.legendre.leggauss(7), strict=True):
        between = ((1 + place) / 2 * way).requires_grad_()
        expected += weight / 2 * way * torch.autograd.grad(net(between)[:, 3].sum(), between)[0]
    assert_close(heat.channels, expected.float(), atol=1e-8, rtol=1e-3)


@pytest.mark.parametrize("name", ["integrated-gradients", "smooth-grad", "guided-backprop"])
def test_the_clean_pass_keeps_no_graph_for_passes_of_its_own(name: str) -> None:
    model, images = Model(CNN(), size=CNN.size), torch.rand(2, 3, *CNN.size)
    for method, kept in (
        (create("explainer", name), False),
        (create("explainer", "gradient"), True),
    ):
        with shared(model, images, (method,)):
            assert model.trace(images).output.requires_grad is kept
