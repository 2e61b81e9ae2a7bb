"""Deconvnet: unpooling by switches, the paper's own chain of operations, and its units."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Model, create
from sightline.errors import BadField, NotExplainable, UnknownName
from sightline.targets.structured import Unit


class Pooled(nn.Module):
    """Half the sum of squares of a pooled picture: what comes back to the pool is the pool."""

    def forward(self, images: Tensor) -> Tensor:
        pooled = F.max_pool2d(torch.relu(images), 2)
        return 0.5 * (pooled**2).sum((1, 2, 3))[:, None].expand(-1, 2)


def test_the_backward_of_a_pool_puts_maxima_back_at_their_switches() -> None:
    images = torch.rand(2, 3, 6, 8)
    heat = create("explainer", "deconvnet")(Model(Pooled(), size=(6, 8)), images, 1)
    pooled, switches = F.max_pool2d(images, 2, return_indices=True)
    assert_close(heat.channels, F.max_unpool2d(pooled, switches, 2))


class Convs(nn.Module):
    """Two convolutions with a pool between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 7, 3)
        self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(7, 4)

    def features(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        low = F.max_pool2d(self.relu(self.first(images)), 2, return_indices=True)
        return (*low, self.relu(self.second(low[0])))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images)[2].mean((2, 3)))


def strongest(net: Convs, image: Tensor, filter: int) -> tuple[Tensor, tuple[int, int]]:
    """Section 2.1 of the paper for one picture, in float64: unpool, rectify, filter back."""
    low, switches, high = net.features(image[None].double())
    place = divmod(int(high[0, filter].argmax()), high.shape[3])
    signal = torch.zeros_like(high)
    signal[0, filter, place[0], place[1]] = high[0, filter].max()
    down = F.conv_transpose2d(signal.relu(), net.second.weight)
    down = F.max_unpool2d(down, switches, 2, output_size=(low.shape[2] * 2, low.shape[3] * 2))
    return F.conv_transpose2d(down.relu(), net.first.weight)[0], place


@pytest.mark.parametrize("filter", [0, 3])
def test_a_unit_is_projected_as_the_paper_does_it(filter: int) -> None:
    torch.manual_seed(2)
    net, images = Convs(), torch.rand(3, 3, 14, 18)
    model = Model(net, size=(14, 18))
    heat = create("explainer", "deconvnet", layer="relu:1", filter=filter)(model, images, 0)
    net = net.double()
    for i in range(3):
        expected, place = strongest(net, images[i], filter)
        scale = expected.abs().max()
        assert_close(
            heat.channels[i] / scale, expected.detach().float() / scale, atol=1e-5, rtol=1e-4
        )
        assert heat.place[i].tolist() == list(place)
        assert int(heat.filter[i]) == filter
    assert heat.provenance["evaluations"] == {"forward": 6, "backward": 3}


def test_a_projected_unit_is_its_target_at_its_own_strength() -> None:
    torch.manual_seed(2)
    model, images = Model(Convs(), size=(14, 18)), torch.rand(1, 3, 14, 18)
    heat = create("explainer", "deconvnet", layer="relu:1", filter=3)(model, images, 0)
    at = tuple(heat.place[0].tolist())
    unit = create("explainer", "deconvnet")(model, images, Unit("relu:1", 3, at=at))
    assert_close(heat.channels, unit.channels * heat.activation)
    assert_close(torch.tensor(unit.provenance["score"]), heat.activation)


def test_without_a_filter_the_strongest_unit_of_the_layer_is_taken() -> None:
    torch.manual_seed(2)
    net, images = Convs(), torch.rand(2, 3, 14, 18)
    model = Model(net, size=(14, 18))
    heat = create("explainer", "deconvnet", layer="relu:1")(model, images, 0)
    maps = net.features(images)[2].detach()
    assert_close(heat.activation, maps.amax((1, 2, 3)))
    assert heat.filter.tolist() == maps.amax((2, 3)).argmax(1).tolist()
    for i in range(2):
        one = create("explainer", "deconvnet", layer="relu:1", filter=int(heat.filter[i]))
        assert_close(one(model, images[i : i + 1], 0).channels[0], heat.channels[i])
    last = create("explainer", "deconvnet", filter=int(heat.filter[0]))(model, images[:1], 0)
    assert model.spatial.startswith("relu")  # a filter alone is one of the last spatial layer
    assert_close(last.channels[0], heat.channels[0])


def test_units_that_do_not_exist_or_do_not_fire_are_refused() -> None:
    net, images = Convs(), torch.rand(2, 3, 14, 18)
    with torch.no_grad():
        net.second.bias[5] = -100
    model = Model(net, size=(14, 18))
    with pytest.raises(NotExplainable, match="filter 5 of 'relu:1' is silent in this picture"):
        create("explainer", "deconvnet", layer="relu:1", filter=5)(model, images, 0)
    with pytest.raises(BadField, match="filter 7 does not exist"):
        create("explainer", "deconvnet", layer="relu:1", filter=7)(model, images, 0)
    with pytest.raises(UnknownName, match="no layer named 'rely'"):
        create("explainer", "deconvnet", layer="rely")(model, images, 0)
