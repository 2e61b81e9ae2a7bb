"""Networks and functions that write into their pictures, are scripted, cut the graph, return
nonsense.
"""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Model, create
from sightline.errors import BadModel, NotExplainable
from sightline.worlds.miniatures import MINIATURES

pytestmark = pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive")
CNN = MINIATURES["pooled-cnn"]


class Writing(nn.Module):
    """Normalises the very tensor that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.net = CNN()

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images.sub_(0.5).mul_(2))


def test_a_network_may_write_into_its_pictures() -> None:
    net, images = Writing(), torch.rand(2, 3, *CNN.size)
    before = images.clone()
    for name in ("gradient", "grad-cam", "occlusion", "integrated-gradients"):
        explain = create("explainer", name)
        found = explain(net, images, 1)
        assert torch.equal(images, before)
        plain = Model(net.net, size=CNN.size, forward=lambda net, x: net((x - 0.5) * 2))
        assert_close(found.native, explain(plain, images, 1).native, rtol=1e-3, atol=1e-5)


class Cut(nn.Module):
    """Gives its scores without the graph that made them."""

    def __init__(self) -> None:
        super().__init__()
        self.net = CNN()

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images).detach()


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_scripted_networks_are_explained_where_no_layer_is_read() -> None:
    net, images = CNN().eval(), torch.rand(1, 3, *CNN.size)
    for scripted in (torch.jit.script(net), torch.jit.trace(net, images)):
        for name in ("occlusion", "rise"):
            explain = create("explainer", name)
            wanted = explain(net, images, 1).native
            assert_close(explain(scripted, images, 1).native, wanted, rtol=1e-3, atol=1e-6)
        with pytest.raises(NotExplainable, match="scripted module"):
            create("explainer", "gradient")(scripted, images, 1)


def test_scores_without_a_graph_are_refused_by_gradients() -> None:
    images = torch.rand(1, 3, *CNN.size)
    for name in ("gradient", "integrated-gradients", "guided-backprop"):
        with pytest.raises(NotExplainable, match="no gradient flows back"):
            create("explainer", name)(Cut(), images, 1)
    assert create("explainer", "rise")(Cut(), images, 1).native is not None


def test_a_black_box_that_returns_no_scores_is_refused() -> None:
    images = torch.rand(2, 3, 32, 32)
    for wrong in (lambda x: x[:1, 0, 0], lambda x: "cat", lambda x: None, lambda x: 0.5):
        with pytest.raises(BadModel, match="for 2 images; expected a tensor or an array"):
            Model.from_function(wrong, size=32).outputs(images)


def test_a_black_box_gets_pictures_of_its_own_between_0_and_1() -> None:
    net, seen = CNN(), []

    def function(x: Tensor) -> Tensor:
        seen.append(torch.stack(torch.aminmax(x)))
        return net(x.mul_(0.5)).detach()

    images = torch.rand(1, 3, 32, 32)
    explain = create("explainer", "rise", masks=64)
    found = explain(Model.from_function(function, size=32), images, 1)
    plain = Model.from_function(lambda x: net(0.5 * x).detach(), size=32)
    assert_close(found.native, explain(plain, images, 1).native)
    low, high = torch.stack(seen).T
    assert low.min() >= 0 and high.max() <= 1
