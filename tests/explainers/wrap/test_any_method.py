"""Wrappers around any method that the model allows: black boxes, targets and side inputs of each
picture, wrappers in wrappers.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Model, create
from sightline.errors import BadField, NotExplainable, UnknownName
from sightline.explainer import Explainer
from sightline.explainers.contract.requirements import reading
from sightline.registry import from_json, to_json
from sightline.worlds.miniatures import MINIATURES

pytestmark = pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive")
CNN = MINIATURES["pooled-cnn"]
CHEAP: dict[str, dict[str, Any]] = {
    "sess": {"scales": 2},
    "smooth-map": {"samples": 2},
    "flip-average": {},
}
BASES: dict[str, dict[str, Any]] = {
    "rise": {"masks": 32},
    "occlusion": {},
    "hires-cam": {"layer": "second"},
    "score-cam": {},
    "integrated-gradients": {"steps": 3},
}
WRAPPERS = list(CHEAP)


def wrapped(name: str, base: str) -> Explainer:
    return create(
        "explainer", name, explainer=create("explainer", base, **BASES[base]), **CHEAP[name]
    )


def loud() -> nn.Module:
    net = CNN()
    with torch.no_grad():
        net.head.weight *= 8
    return net


@pytest.mark.parametrize("base", list(BASES))
@pytest.mark.parametrize("name", WRAPPERS)
def test_each_picture_has_the_answer_that_it_has_alone(name: str, base: str) -> None:
    model, images = Model(loud(), size=CNN.size), torch.rand(3, 3, *CNN.size)
    explain = wrapped(name, base)
    together = explain(model, images, [0, 3, 4])
    scale = together.native.abs().max()
    for i, index in enumerate([0, 3, 4]):
        alone = explain(model, images[i : i + 1], index)
        assert_close(alone.values[0], together.values[i], atol=1e-5, rtol=1e-3)
        assert_close(alone.native[0] / scale, together.native[i] / scale, atol=1e-5, rtol=1e-3)
    assert from_json("explainer", to_json(explain)) == explain
    assert together.provenance["layer"] == {"hires-cam": "second", "score-cam": "relu:2"}.get(base)


class Clamped(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images.clamp(0, 1))


@pytest.mark.parametrize("base", ["rise", "occlusion"])
@pytest.mark.parametrize("name", WRAPPERS)
def test_a_black_box_is_explained_through_a_method_that_needs_no_gradients(
    name: str, base: str
) -> None:
    net, images = loud(), torch.rand(2, 3, *CNN.size)
    box = Model.from_function(lambda x: net(x).detach().numpy(), size=CNN.size)
    found = wrapped(name, base)(box, images, [1, 2])
    clamped = Clamped(net)  # noisy pictures too: a black box is given [0, 1]
    open_ = wrapped(name, base)(Model(clamped, size=CNN.size), images, [1, 2])
    assert_close(found.native, open_.native, atol=1e-5, rtol=1e-3)
    assert found.provenance["evaluations"]["backward"] == 0


@pytest.mark.parametrize("name", WRAPPERS)
def test_what_the_method_needs_is_asked_before_any_work(name: str) -> None:
    seen: list[int] = []

    def box(images: Tensor) -> Tensor:
        seen.append(len(images))
        return images.mean((2, 3))

    model, images = Model.from_function(box, size=(8, 8)), torch.rand(1, 3, 8, 8)
    with pytest.raises(NotExplainable, match="grad-cam needs gradients and layer"):
        create("explainer", name)(model, images, 1)
    with pytest.raises(NotExplainable, match="rollout reads attention"):
        create("explainer", name, explainer="rollout")(Model(loud()), torch.rand(1, 3, 32, 32), 1)
    with pytest.raises(UnknownName, match="no layer named 'nowhere'"):
        lost = create("explainer", "grad-cam", layer="nowhere")
        create("explainer", name, explainer=lost)(Model(loud()), torch.rand(1, 3, 32, 32), 1)
    assert seen == []
    with pytest.raises(UnknownName, match="did you mean"):
        create("explainer", name, explainer="grad-cma")


@pytest.mark.parametrize("name", WRAPPERS)
def test_scores_are_probabilities_where_the_method_s_habit_says_so(name: str) -> None:
    model, images = Model(loud(), size=CNN.size), torch.rand(1, 3, *CNN.size)
    for base, probable in (("occlusion", True), ("hires-cam", False)):
        explain = wrapped(name, base)
        assert explain.habit is probable
        told = explain(model, images, 1).provenance
        assert (told["score"] == pytest.approx(told["probability"])) is probable


class Asked(nn.Module):
    """Scores that depend on a question: which of three filters counts."""

    def __init__(self) -> None:
        super().__init__()
        self.net = CNN()

    def forward(self, images: Tensor, question: Tensor) -> Tensor:
        return self.net(images) * (1 + question)


@pytest.mark.parametrize("base", ["hires-cam", "occlusion"])
@pytest.mark.parametrize("name", WRAPPERS)
def test_side_inputs_follow_their_pictures(name: str, base: str) -> None:
    fields = {"layer": "net.second"} if base == "hires-cam" else {}
    part = create("explainer", base, **fields)
    explain = create("explainer", name, explainer=part, **CHEAP[name])
    images, questions = torch.rand(3, 3, *CNN.size), 3 * torch.rand(3, 5)
    plain = Model(
        Asked(), size=CNN.size, forward=lambda net, x, question=None: net(x, question)
    ).given(question=questions[:1])
    together = plain.given(question=questions)
    heat = explain(together, images, [0, 3, 4])
    for i, index in enumerate([0, 3, 4]):
        alone = explain(plain.given(question=questions[i : i + 1]), images[i : i + 1], index)
        scale = alone.native.abs().max()
        assert_close(heat.native[i] / scale, alone.native[0] / scale, atol=1e-4, rtol=1e-3)


def test_a_wrapper_may_hold_a_wrapper() -> None:
    model, images = Model(loud(), size=CNN.size), torch.rand(2, 3, *CNN.size)
    inner = create("explainer", "smooth-map", samples=2, explainer="gradient")
    outer = create("explainer", "flip-average", explainer=inner)
    heat = outer(model, images, [1, 2])
    pair = [inner(model, x, [1, 2]).native for x in (images, images.flip(3))]
    assert_close(heat.native, (pair[0] + pair[1].flip(2)) / 2, atol=1e-6, rtol=1e-4)
    assert [e.registered_name for e in outer.whole] == ["flip-average", "smooth-map", "gradient"]
    assert reading(model, [outer]) == (("input",), True)
    assert outer.fast().explainer.explainer.registered_name == "gradient"


def test_one_clean_pass_serves_all_that_is_held() -> None:
    model = Model(loud(), size=CNN.size)
    cam, plain, mask = (create("explainer", n) for n in ("grad-cam", "gradient", "rise"))
    assert reading(model, [cam, mask]) == (("relu:2",), True)
    assert reading(model, [cam, plain]) == (("input", "relu:2"), True)
    assert reading(model, [mask]) == ((), False)
    held = create("explainer", "flip-average", explainer=cam)
    assert reading(model, [mask, held]) == (("relu:2",), True)


class Words(Explainer):
    """No heatmap."""

    def explain(self, model: Model, images: Tensor, target: Any) -> Any:
        return None


def test_a_method_without_heatmaps_cannot_be_held() -> None:
    from sightline.explainers.wrap._inner_method import inner_heatmap

    model, images = Model(loud(), size=CNN.size), torch.rand(1, 3, *CNN.size)
    with pytest.raises(BadField, match="gives no heatmap"):
        inner_heatmap(Words(), model, images, model.aim(images, 1))
