"""HiResCAM: exact shares where the head is affine, and not what Grad-CAM says."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Class, Model, create, explain, load
from sightline.errors import NotExplainable
from sightline.worlds import analytic, aviary
from sightline.worlds.miniatures import MINIATURES


class FlattenLinear(nn.Module):
    """One filter of 4 x 4 places, flattened into one linear layer."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 1, 1)
        self.head = nn.Linear(16, 1)
        with torch.no_grad():
            self.maps.weight.copy_(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1))
            self.maps.bias.zero_()
            self.head.weight.copy_(weight.flatten()[None])

    def forward(self, images: Tensor) -> Tensor:
        score = self.head(self.maps(images).flatten(1))
        return torch.cat([score, -score], 1)


def test_a_place_with_the_opposite_sign_keeps_it_where_grad_cam_averages_it_away() -> None:
    weight, images = torch.zeros(4, 4), torch.zeros(1, 3, 4, 4)
    weight[0, 0], weight[3, 3] = 5, -1
    images[0, 0, 0, 0] = images[0, 0, 3, 3] = 1
    model = Model(FlattenLinear(weight), size=(4, 4))
    exact = create("explainer", "hires-cam", layer="maps")(model, images, 0)
    mean = create("explainer", "grad-cam", layer="maps")(model, images, 0)
    assert_close(exact.native[0], weight)
    assert_close(exact.values[0], weight)  # not clipped
    assert_close(mean.native[0, 0, 0], torch.tensor(0.25))
    assert_close(mean.native[0, 3, 3], torch.tensor(0.25))


def test_it_sums_to_the_logit_without_its_bias_and_each_place_is_its_own_share() -> None:
    weight, images = torch.randn(4, 4), torch.rand(3, 3, 4, 4)
    model = Model(FlattenLinear(weight), size=(4, 4))
    native = create("explainer", "hires-cam", layer="maps")(model, images, 0).native
    score = model.scores(images, Class(0))
    assert_close(native.sum((1, 2)), score - model.module.head.bias.item())
    for row, col in ((0, 0), (1, 3), (3, 2)):
        without = model.trace(
            images, edit={"maps": lambda m, r=row, c=col: _hidden(m, r, c)}
        ).output[:, 0]
        assert_close(score - without.detach(), native[:, row, col])


def _hidden(maps: Tensor, row: int, col: int) -> Tensor:
    maps[:, :, row, col] = 0
    return maps


def test_on_a_pooled_head_it_equals_grad_cam() -> None:
    model, images, target = analytic.pooled_head()
    exact = create("explainer", "hires-cam")(model, images, target)
    assert_close(exact.native, create("explainer", "grad-cam")(model, images, target).native)


@pytest.mark.parametrize("kind", ["token-net", "channels-last"])
def test_it_is_gradient_times_activation_in_every_layout(kind: str) -> None:
    mini = MINIATURES[kind]
    net, images = mini(), torch.rand(2, 3, *mini.size)
    kept: list[Tensor] = []
    # behind the last block each token is normalised, and only rounding errors would be compared
    layer = "blocks.0" if kind == "token-net" else mini.layer
    handle = net.get_submodule(layer).register_forward_hook(lambda m, i, o: kept.append(o))
    score = net(images)[:, 3].sum()
    handle.remove()
    product = (torch.autograd.grad(score, kept[0])[0] * kept[0]).sum(-1).detach()
    expected = product[:, 4:].unflatten(1, (4, 6)) if kind == "token-net" else product
    heat = create("explainer", "hires-cam", layer=layer)(Model(net, size=mini.size), images, 3)
    assert_close(heat.native, expected)


def test_where_each_place_is_normalised_behind_it_only_rounding_would_be_left() -> None:
    bird = aviary.bundle(1)[0].image
    model = load("sightline:default-vit")
    with pytest.raises(NotExplainable, match=r"only rounding errors.*or layer='blocks.3'"):
        explain(model, bird, "hires-cam")
    earlier = create("explainer", "hires-cam", layer="blocks.3")
    found, exact = explain(model, bird, earlier), deepcopy(model)
    exact.module.double()
    assert_close(found.native, explain(exact, bird, earlier).native, rtol=1e-2, atol=1e-7)
