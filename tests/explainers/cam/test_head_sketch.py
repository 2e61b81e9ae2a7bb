"""A small picture tells first whether a head is linear; where it misleads, maps stay right."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Class, Model, create

pytestmark = pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive")
SIDE, TARGET = 16, 1


class Net(nn.Module):
    """Seven positive filters, the average and one linear layer; `behind` may do otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(3, 7, 3, padding=1), nn.Softplus())
        self.head, self.other = nn.Linear(7, 3), nn.Linear(7, 3)
        draw = torch.Generator().manual_seed(3)
        for weight in self.parameters():
            weight.data.normal_(generator=draw)

    def behind(self, maps: Tensor, images: Tensor) -> Tensor:
        return self.head(maps.mean((2, 3)))

    def forward(self, images: Tensor) -> Tensor:
        return self.behind(self.maps(images), images)


class Gated(Net):
    """How much the maps count depends on the picture, and on its size."""

    def behind(self, maps: Tensor, images: Tensor) -> Tensor:
        return self.head(maps.mean((2, 3)) * images.sum((1, 2, 3))[:, None].tanh().add(1.5))


class Summed(Net):
    """The picture adds to the scores by another way."""

    def behind(self, maps: Tensor, images: Tensor) -> Tensor:
        return self.head(maps.mean((2, 3))) + images.sum((1, 2, 3))[:, None]


class Sized(Net):
    """Small pictures have a linear head of their own, larger ones one with ReLUs."""

    def behind(self, maps: Tensor, images: Tensor) -> Tensor:
        pooled = maps.mean((2, 3))
        if images.shape[-1] < SIDE:
            return self.other(pooled)
        return self.head(torch.relu(pooled - pooled.detach().mean(1, keepdim=True)))


class Picky(Net):
    """Small pictures are refused."""

    def behind(self, maps: Tensor, images: Tensor) -> Tensor:
        assert images.shape[-1] == SIDE, "another size"
        return self.head(maps.mean((2, 3)))


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand((2, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(6))


def by_loops(net: Net, images: Tensor) -> Tensor:
    """Ablation-CAM's native map, each filter silenced in turn."""
    found = []
    for image in images.split(1):
        maps = net.maps(image)
        score = net.behind(maps, image)[0, TARGET]
        falls = []
        for k in range(7):
            without = maps.clone()
            without[:, k] = 0
            falls.append(score - net.behind(without, image)[0, TARGET])
        fall = torch.stack(falls)
        found.append(torch.einsum("k,kij->ij", fall / fall.abs().sum(), maps[0]))
    return torch.stack(found)


@pytest.mark.filterwarnings(
    "ignore:.*carries only a part of the score"
)  # of Gated and Summed, rightly
@pytest.mark.parametrize("make", [Net, Gated, Summed, Sized, Picky])
@torch.no_grad()
def test_maps_are_right_whatever_a_small_picture_says(
    make: Callable[[], Net], images: Tensor
) -> None:
    net = make().eval()
    model, method = Model(net, size=(SIDE, SIDE)), create("explainer", "ablation-cam", layer="maps")
    for part in (images[:1], images[1:], images):  # the first picture is the one that is looked at
        found = method(model, part, Class(TARGET)).native
        assert_close(found, by_loops(net, part), rtol=1e-3, atol=1e-4)


def test_the_check_of_a_linear_head_takes_no_whole_pass(images: Tensor) -> None:
    net = Net().eval()
    model, method = Model(net, size=(SIDE, SIDE)), create("explainer", "ablation-cam", layer="maps")
    sizes: list[int] = []
    net.maps[0].register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[-1]))
    create("explainer", "grad-cam", layer="maps")(model, images[:1], TARGET)  # now it is studied
    sizes.clear()
    method(model, images[:1], TARGET)
    assert sizes == [SIDE, SIDE // 4]
    method(model, images[1:], TARGET)
    assert sizes == [SIDE, SIDE // 4, SIDE]
