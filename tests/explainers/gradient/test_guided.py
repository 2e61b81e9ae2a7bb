"""Guided backpropagation: its rule by hand, every way to write a ReLU, and what it does not see."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Class, Model, create
from sightline.errors import NotExplainable
from sightline.worlds.miniatures import MINIATURES

RELUS: dict[str, Callable[[Tensor], Tensor]] = {
    "module": nn.ReLU(),
    "in place": nn.ReLU(inplace=True),
    "functional": F.relu,
    "method": lambda x: x.relu_(),
}


class Signal(nn.Module):
    """Channel means, one activation, weights (3, -4, 5)."""

    def __init__(self, relu: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.relu = relu
        self.weight = nn.Parameter(torch.tensor([3.0, -4.0, 5.0]))

    def forward(self, images: Tensor) -> Tensor:
        value = (self.relu(images.mean((2, 3)) * 1) * self.weight).sum(1)
        return torch.stack([value, -value], 1)


@pytest.mark.parametrize("how", list(RELUS))
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gradient", [0.0, -4, 5]),
        ("deconvnet", [3.0, 0, 5]),
        ("guided-backprop", [0.0, 0, 5]),
    ],
)
def test_the_rules_differ_in_what_they_let_pass(how: str, name: str, expected: list[float]) -> None:
    images = torch.tensor([-1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    heat = create("explainer", name)(Model(Signal(RELUS[how]), size=(1, 1)), images, 0)
    assert heat.channels.flatten().tolist() == expected
    assert heat.values.item() == 5
    assert heat.native.item() == sum(expected)


class Layers(nn.Module):
    """Two linear layers and one in-place ReLU used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3 * 4 * 5, 20), nn.Linear(20, 12)
        self.head, self.relu = nn.Linear(12, 3), nn.ReLU(inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.relu(self.second(self.relu(self.first(images.flatten(1))))))


def test_it_is_the_backward_pass_by_hand() -> None:
    net, images = Layers(), torch.rand(4, 3, 4, 5)
    classes = [0, 2, 1, 2]
    heat = create("explainer", "guided-backprop")(Model(net, size=(4, 5)), images, classes)
    net = net.double()
    for i, index in enumerate(classes):
        low = net.first(images[i].double().flatten())
        high = net.second(low.relu())
        signal = net.head.weight[index].clamp(min=0) * (high > 0) @ net.second.weight
        signal = signal.clamp(min=0) * (low > 0) @ net.first.weight
        assert_close(heat.channels[i].flatten(), signal.detach().float(), atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize("batch", [None, 1, 3])
def test_pictures_with_classes_of_their_own_do_not_mix(batch: int | None) -> None:
    mini = MINIATURES["pooled-cnn"]
    model, images = Model(mini(), size=mini.size), torch.rand(4, 3, *mini.size)
    model.batch = batch
    explain = create("explainer", "guided-backprop")
    heat = explain(model, images, [4, 0, 3, 1])
    assert heat.provenance["evaluations"] == {"forward": 4 + 4, "backward": 4}
    for i, index in enumerate([4, 0, 3, 1]):
        alone = explain(model, images[i : i + 1], index)
        assert_close(alone.channels[0], heat.channels[i], atol=1e-8, rtol=1e-4)


class Smooth(nn.Module):
    """No ReLU anywhere."""

    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.act, self.conv = act, nn.Conv2d(3, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.act(self.conv(images)).mean((2, 3))


@pytest.mark.parametrize("name", ["guided-backprop", "deconvnet", "guided-grad-cam"])
@pytest.mark.parametrize("act", [F.gelu, F.silu, torch.tanh, F.leaky_relu, nn.Identity()])
def test_a_network_without_relu_is_refused_and_never_gets_the_plain_gradient(
    name: str, act: Any
) -> None:
    model, images = Model(Smooth(act), size=(6, 6)), torch.rand(1, 3, 6, 6)
    with pytest.raises(NotExplainable, match="has no ReLU"):
        create("explainer", name)(model, images, 1)


def everything(net: nn.Module) -> list[Any]:
    found: list[Any] = [(n, t.tolist()) for n, t in net.state_dict().items()]
    for name, part in net.named_modules():
        hooks = (part._forward_hooks, part._forward_pre_hooks, part._backward_hooks)
        found.append((name, id(part), part.training, [len(h) for h in hooks]))
        found.append(getattr(part, "inplace", None))
    return found


@pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive")
@pytest.mark.parametrize("name", ["guided-backprop", "deconvnet", "guided-grad-cam"])
def test_the_network_keeps_its_relus_modes_statistics_and_hooks(name: str) -> None:
    mini = MINIATURES["pooled-cnn"]
    net, images = mini().train(), torch.rand(3, 3, *mini.size)
    before = everything(net)
    create("explainer", name)(Model(net, size=mini.size), images, [0, 3, 4])
    assert everything(net) == before
    assert not images.requires_grad and images.grad is None


def deep() -> nn.Sequential:
    """Six convolutions, as drawn; a head of three classes."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for i in range(6):
        layers += [nn.Conv2d(3 if i == 0 else 16, 16, 3, padding=1), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if i in (1, 3) else []
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 36, 3))


def agreement(name: str, images: Tensor) -> float:
    """Mean cosine of the maps of a network and of the same with another head and top layer."""
    net, other = deep(), deep()
    torch.manual_seed(1)
    other[-1].reset_parameters()
    other[-4].reset_parameters()
    explain, (one, two) = create("explainer", name), (Model(n, size=(24, 24)) for n in (net, other))
    found = [explain(m, images, Class(1)).channels.flatten(1) for m in (one, two)]
    return float(torch.cosine_similarity(*found).mean())


def test_it_barely_depends_on_the_top_layers_as_its_page_says() -> None:
    images = torch.rand(4, 3, 24, 24)
    assert agreement("gradient", images) < 0.3
    assert agreement("guided-backprop", images) > 0.8
