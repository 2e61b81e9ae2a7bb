"""The gradient: of a linear model its weights, in natural units, signed per colour."""

import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Model, Preprocess, create
from sightline.worlds import analytic
from sightline.worlds.miniatures import MINIATURES


def test_of_a_linear_model_it_is_the_weights_whatever_the_picture() -> None:
    known = analytic.linear()
    heat = create("explainer", "gradient")(known.model, known.images, known.target)
    weight = known.model.module.weight[1].detach()
    assert_close(heat.channels, weight.expand(2, -1, -1, -1))
    assert_close(heat.native, weight.sum(0).expand(2, -1, -1))
    assert_close(heat.values, weight.abs().amax(0).expand(2, -1, -1))


def test_it_is_autograd_s_own() -> None:
    mini = MINIATURES["token-net"]
    net, images = mini(), torch.rand(2, 3, *mini.size)
    mine = images.clone().requires_grad_()
    (expected,) = torch.autograd.grad(net(mine)[:, 2].sum(), mine)
    heat = create("explainer", "gradient")(Model(net, size=mini.size), images, 2)
    assert_close(heat.channels, expected)


class Inverted(nn.Module):
    """A network trained on normalised pictures, given natural ones."""

    def __init__(self, net: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.net, self.mean, self.std = net, mean, std

    def forward(self, images: Tensor) -> Tensor:
        return self.net((images - self.mean) / self.std)


def test_derivatives_are_per_unit_of_natural_brightness() -> None:
    mini = MINIATURES["pooled-cnn"]
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.4])
    net, images = mini(), torch.rand(2, 3, *mini.size)
    inside = Inverted(net, mean.view(1, 3, 1, 1), std.view(1, 3, 1, 1))
    how = Preprocess(size=mini.size, mean=tuple(mean.tolist()), std=tuple(std.tolist()))
    for name in ("gradient", "smooth-grad", "integrated-gradients"):
        explain = create("explainer", name)
        declared = explain(Model(net, how), images, 1)
        if name == "gradient":  # the others use mean and std themselves
            assert_close(declared.channels, explain(Model(inside), images, 1).channels)
        normalised = (images - how_view(mean)) / how_view(std)
        bare = explain(Model(net, size=mini.size), normalised, 1)
        scale = 1 if name == "integrated-gradients" else how_view(std)
        assert_close(declared.channels * scale, bare.channels, atol=1e-6, rtol=1e-3)


def how_view(values: Tensor) -> Tensor:
    return values.view(1, 3, 1, 1)
