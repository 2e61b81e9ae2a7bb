"""Grad-CAM against networks whose answer is known, and against its equation written as loops."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, einsum, nn
from torch.testing import assert_close

from sightline import Model, Target, Token, Top, create
from sightline.errors import NotExplainable, SightlineWarning, UnknownName
from sightline.network.trace import Trace
from sightline.ops.resize import resize
from sightline.worlds import analytic
from sightline.worlds.miniatures import MINIATURES

CNN = MINIATURES["pooled-cnn"]


def test_on_a_pooled_head_it_is_cam_over_area() -> None:  # weights and images are positive
    model, images, target = analytic.pooled_head(batch=2, row=5, col=5, target=1)
    expected = einsum("k,bkhw->bhw", model.module.weight[1], images) / 25
    assert_close(create("explainer", "grad-cam")(model, images, target).values, expected.detach())


def by_loops(net: nn.Module, layer: nn.Module, image: Tensor, index: int) -> Tensor:
    """Equations 1 and 2 for one image, in float64, on a plain hook."""
    net, kept = net.double(), []
    handle = layer.register_forward_hook(lambda m, i, o: kept.append(o.clone()) or kept[-1])
    score = net(image[None].double())[0, index]
    handle.remove()
    maps, (grads,) = kept[-1][0], torch.autograd.grad(score, kept[-1])
    native = torch.zeros(maps.shape[1:], dtype=torch.float64)
    for k in range(len(maps)):
        alpha = sum(grads[0, k].flatten().tolist()) / grads[0, k].numel()
        for r in range(maps.shape[1]):
            for c in range(maps.shape[2]):
                native[r, c] += alpha * maps[k, r, c].item()
    net.float()
    return native.float()


@pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive")
@pytest.mark.parametrize("index", [0, 2, 4])
def test_it_is_the_paper_s_equation_on_a_network_with_a_re_used_in_place_relu(index: int) -> None:
    net, images = CNN(), torch.rand(2, 3, *CNN.size)
    heat = create("explainer", "grad-cam")(Model(net, size=CNN.size), images, index)
    for i in range(2):
        native = by_loops(net, net.relu, images[i], index)
        assert_close(heat.native[i], native)
        assert_close(heat.values[i], resize(native.relu()[None, None], CNN.size)[0, 0])


def test_evidence_against_is_the_negated_map_bit_for_bit() -> None:
    model, images = Model(CNN(), size=CNN.size), torch.rand(3, 3, *CNN.size)
    explain = create("explainer", "grad-cam")
    heat, against = explain(model, images, Top()), explain(model, images, -Top())
    assert torch.equal(against.native, -heat.native)


class Captioner(nn.Module):
    """Two positions of a linear decoder over pooled maps, (batch, 2, word)."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.words = nn.Linear(6, 14)

    def forward(self, images: Tensor) -> Tensor:
        return self.words(self.maps(images).mean((2, 3))).unflatten(1, (2, 7))


@dataclass(frozen=True, eq=False, repr=False)
class Said(Target):
    """The plain score of one word at one position: a target that a user may write."""

    position: int
    word: int

    def measure(self, trace: Trace) -> Tensor:
        return trace.output[:, self.position, self.word]


@dataclass(frozen=True, eq=False, repr=False)
class Both(Target):
    """The sum of the scores of two words."""

    def measure(self, trace: Trace) -> Tensor:
        return trace.output[:, 0, 4] + trace.output[:, 1, 2]


def test_the_map_of_a_sentence_is_the_sum_of_the_maps_of_its_words() -> None:
    model, images = Model(Captioner(), size=(16, 20)), torch.rand(2, 3, 16, 20)
    explain = create("explainer", "grad-cam", layer="maps")
    parts = [explain(model, images, Said(p, w)).native for p, w in ((0, 4), (1, 2))]
    assert_close(explain(model, images, Both()).native, parts[0] + parts[1])
    assert explain(model, images, Token((4, 2))).values.shape == (2, 16, 20)


def test_a_map_that_is_all_negative_is_empty_with_a_warning() -> None:
    model, images, _ = analytic.pooled_head()
    with pytest.warns(SightlineWarning, match="no evidence for the target is positive in 2 of 2"):
        heat = create("explainer", "grad-cam")(model, images, -Top())
    assert heat.values.eq(0).all() and heat.empty.all() and heat.native.lt(0).all()


def test_layers_are_named_as_in_the_module_and_wrong_names_get_help() -> None:
    model, images = Model(CNN(), size=CNN.size), torch.rand(1, 3, *CNN.size)
    assert create("explainer", "grad-cam", layer="relu:0")(model, images).native.shape == (
        1,
        16,
        16,
    )
    assert create("explainer", "grad-cam", layer="relu")(model, images).native.shape == (1, 8, 8)
    with pytest.raises(UnknownName, match="did you mean 'second'"):
        create("explainer", "grad-cam", layer="secnd")(model, images)
    with pytest.raises(NotExplainable, match="has no spatial layout"):
        create("explainer", "grad-cam", layer="head")(model, images)


def test_one_call_costs_one_forward_and_one_backward_per_image() -> None:
    model, images = Model(CNN(), size=CNN.size), torch.rand(4, 3, *CNN.size)
    heat = create("explainer", "grad-cam")(model, images)
    assert heat.provenance["evaluations"] == {"forward": 4, "backward": 4}
