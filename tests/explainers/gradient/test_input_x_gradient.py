"""Input times gradient: exact products of a linear model, in the numbers of normalised pictures."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from sightline import Fill, Model, Preprocess, create
from sightline.errors import BadField
from sightline.worlds import analytic
from sightline.worlds.miniatures import MINIATURES

CNN = MINIATURES["pooled-cnn"]


def test_of_a_linear_model_each_pixel_gets_its_own_product() -> None:
    known = analytic.linear()
    heat = create("explainer", "input-x-gradient")(known.model, known.images, known.target)
    weight = known.model.module.weight[1].detach()
    assert_close(heat.channels, weight * known.images)
    assert_close(heat.native, known.expected)
    assert_close(heat.values, known.expected)
    assert heat.provenance["evaluations"] == {"forward": 2, "backward": 2}


def test_it_is_the_normalised_picture_times_the_gradient_with_respect_to_it() -> None:
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.4])
    net, images = CNN(), torch.rand(2, 3, *CNN.size)
    how = Preprocess(size=CNN.size, mean=tuple(mean.tolist()), std=tuple(std.tolist()))
    heat = create("explainer", "input-x-gradient")(Model(net, how), images, 1)
    normal = ((images - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)).requires_grad_()
    (grads,) = torch.autograd.grad(net(normal)[:, 1].sum(), normal)
    assert_close(heat.channels, (normal * grads).detach(), atol=1e-7, rtol=1e-3)


def test_the_baseline_is_a_named_fill() -> None:
    known = analytic.linear()
    white = create("explainer", "input-x-gradient", baseline=1.0)
    heat = white(known.model, known.images, known.target)
    filled = Fill(1.0).like(known.images, known.model)
    weight = known.model.module.weight[1].detach()
    assert_close(heat.channels, weight * (known.images - filled))
    with pytest.raises(BadField):
        create("explainer", "input-x-gradient", baseline="pink")


def test_without_biases_it_sums_to_the_score_and_is_integrated_gradients() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, bias=False),
        nn.ReLU(), nn.Flatten(), nn.Linear(8 * 2 * 3, 3, bias=False),
    )  # fmt: skip
    model, images = Model(net, size=(10, 12)), torch.rand(2, 3, 10, 12)
    heat = create("explainer", "input-x-gradient")(model, images, 2)
    assert_close(heat.native.sum((1, 2)), net(images)[:, 2].detach(), atol=1e-6, rtol=1e-4)
    path = create("explainer", "integrated-gradients", steps=3)(model, images, 2)
    assert_close(heat.channels, path.channels, atol=1e-7, rtol=1e-3)


def test_at_a_saturated_place_it_sees_nothing_where_the_path_does() -> None:
    known = analytic.two_paths(target=1)  # AND: the gradient is 1 at both
    heat = create("explainer", "input-x-gradient")(known.model, known.images, known.target)
    assert_close(heat.native, 2 * known.expected)
    known = analytic.two_paths(target=0)  # OR: shut, so its gradient is 0 at both
    with pytest.raises(Exception, match="map of zeros"):
        create("explainer", "input-x-gradient")(known.model, known.images, known.target)
