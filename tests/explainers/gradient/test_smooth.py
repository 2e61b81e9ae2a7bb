"""SmoothGrad: the plain mean of gradients at noisy pictures, with noise of the stated size."""

import pytest
import torch
from torch.testing import assert_close

from sightline import Model, create
from sightline.errors import BadField
from sightline.ops.noise import generator
from sightline.worlds import analytic
from sightline.worlds.miniatures import MINIATURES


def test_of_a_linear_model_it_is_the_gradient() -> None:
    known = analytic.linear()
    heat = create("explainer", "smooth-grad")(known.model, known.images, known.target)
    plain = create("explainer", "gradient")(known.model, known.images, known.target)
    assert_close(heat.channels, plain.channels)
    assert_close(heat.values, plain.values)


def test_it_is_the_mean_over_noisy_copies_one_at_a_time() -> None:
    mini = MINIATURES["pooled-cnn"]
    net, images = mini(), torch.rand(2, 3, *mini.size)
    source = generator(3, "smooth-grad")
    noise = [torch.randn(images.shape[1:], generator=source) for _ in range(7)]
    expected = torch.zeros_like(images, dtype=torch.float64)
    net = net.double()
    for i, image in enumerate(images):
        deviation = 0.2 * (image.max() - image.min())
        for drawn in noise:
            noisy = (image + deviation * drawn)[None].double().requires_grad_()
            expected[i] += torch.autograd.grad(net(noisy)[0, 2], noisy)[0][0] / len(noise)
    net.float()
    explain = create("explainer", "smooth-grad", samples=7, spread=0.2, seed=3)
    heat = explain(Model(net, size=mini.size), images, 2)
    assert_close(heat.channels, expected.float(), atol=1e-7, rtol=1e-3)
    assert heat.provenance["evaluations"] == {"forward": 2 + 14, "backward": 14}


def test_without_spread_it_is_the_gradient() -> None:
    known = analytic.dead_pixel()
    still = create("explainer", "smooth-grad", spread=0.0, samples=2)
    plain = create("explainer", "gradient")(known.model, known.images, known.target)
    assert_close(still(known.model, known.images, known.target).channels, plain.channels)


def test_it_sees_past_a_flat_spot() -> None:
    known = analytic.two_paths(target=0)  # the gradient of OR is 0 where both are 1
    heat = create("explainer", "smooth-grad", spread=1.0)(known.model, known.images, known.target)
    assert heat.values[0, 1, 1] > 0 and heat.values[0, -2, -2] > 0
    assert heat.values.gt(0).sum() == 2


def test_bad_fields_are_refused() -> None:
    for fields in ({"samples": 0}, {"spread": -0.1}):
        with pytest.raises(BadField, match="samples >= 1"):
            create("explainer", "smooth-grad", **fields)
