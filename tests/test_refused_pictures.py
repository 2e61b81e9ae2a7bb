"""A picture that a method can say nothing about costs the others nothing, whatever the method."""

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import sightline as sl
from sightline import Model, available, create
from sightline.errors import NotExplainable, SightlineWarning
from sightline.explanation import Explanation, Heatmap
from sightline.explanations.words import Words
from sightline.registry import entry, view
from tiny import tiny

pytestmark = pytest.mark.usefixtures("learned_parts")

EXPLAINERS = available("explainer")
MAPPED = [name for name in EXPLAINERS if issubclass(entry("explainer", name).cls.gives, Heatmap)]


class Dark(nn.Module):
    """A network without biases: a black picture excites nothing in it."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.first = nn.Conv2d(3, 6, 3, padding=1, bias=False)
            self.second = nn.Conv2d(6, 8, 3, padding=1, stride=2, bias=False)
            self.relu, self.last = nn.ReLU(), nn.ReLU()
            self.head = nn.Linear(8, 5, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.last(self.second(self.relu(self.first(x)))).mean((2, 3)))


@cache
def network() -> tuple[Model, Tensor]:
    """The network and three pictures, the second one black."""
    images = torch.rand((3, 3, 24, 32), generator=torch.Generator().manual_seed(1))
    images[1] = 0
    return Model(Dark(), size=(24, 32)), images


def quietly(name: str, images: Tensor) -> tuple[Explanation | None, str]:
    """What a method says, or why it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return tiny(name)(network()[0], images, [2, 1, 3][: len(images)]), ""
        except NotExplainable as error:
            return None, str(error)


@pytest.mark.parametrize("name", EXPLAINERS)
def test_a_dead_picture_costs_the_others_nothing_and_is_refused_as_alone(name: str) -> None:
    _, images = network()
    found, why = quietly(name, images)
    if found is None:  # the method cannot treat this network at all
        assert quietly(name, images[[0]]) == (None, why)
        return
    assert len(found) == 3 and len(found.refused) == 3
    for row in range(3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target = [2, 1, 3][row]
            try:
                alone = tiny(name)(network()[0], images[[row]], target)
            except NotExplainable as error:
                assert found.refused[row] == str(error)
                continue
        assert found.refused[row] is None
        if name in MAPPED:
            scale = alone.native.abs().max()
            assert_close(found.native[row] / scale, alone.native[0] / scale, atol=1e-5, rtol=1e-4)
    dead = [row for row in range(3) if found.refused[row] is not None]
    if name in MAPPED:
        assert dead in ([], [1]) and found.values[dead].isnan().all()
        assert torch.isfinite(found.values[[0, 2]]).all()
        assert found.empty[dead].all()
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))


@pytest.mark.parametrize("name", ["grad-cam", "rise", "gradient", "igos", "eigen-cam"])
def test_the_black_picture_is_named_in_one_warning(name: str) -> None:
    model, images = network()
    with pytest.warns(SightlineWarning) as caught:
        found = create("explainer", name)(model, images, 1)
    told = [str(w.message) for w in caught if "has no result" in str(w.message)]
    assert len(told) == 1 and "for 1 of 3 pictures. images[1]: " in told[0]
    assert found.refused[0] is None and found.refused[1] and found.refused[2] is None
    assert found.provenance["target_index"] == [1, 1, 1]
    assert found.provenance["score"][1] is not None


@pytest.mark.filterwarnings("ignore:.*has no result for")
def test_a_marked_picture_is_taken_joined_saved_and_put_back(tmp_path: Path) -> None:
    net, _ = network()
    model = Model(net.module, preprocess=sl.Preprocess(size=(24, 32)))
    pictures = [np.random.default_rng(0).random((40, 60, 3)), np.zeros((40, 60, 3))]
    heat = create("explainer", "grad-cam")(model, pictures, 2)
    back = heat.on_original()
    assert back[0].shape == back[1].shape == (40, 60)
    assert np.isnan(back[1]).all() and not np.isnan(back[0]).all()
    heat.save(tmp_path / "kept")
    again = Explanation.load(tmp_path / "kept")
    assert again.refused == heat.refused and again.values[1].isnan().all()
    alone, dead = heat.take([0]), heat.take([1])
    assert dead.lost and not alone.lost and dead.refused == heat.refused[1:]
    turned = Heatmap.join([dead, alone])
    assert turned.refused == heat.refused[::-1]
    assert_close(turned.native, heat.native.flip(0), equal_nan=True)


@pytest.mark.filterwarnings("ignore:.*has no result for")
def test_what_is_drawn_of_a_marked_picture_is_no_map_and_says_why() -> None:
    model, images = network()
    heat = create("explainer", "grad-cam")(model, images, 2)
    drawn = heat.overlay(1)
    assert drawn.shape == (24, 32, 3)
    assert "No result: grad-cam on Dark gives a map of zeros" in heat._repr_html_()
    words = [text.get_text() for text in heat.figure().texts]
    assert sum(word.startswith("No result: grad-cam") for word in words) == 1
    assert sum(bool(ax.get_xlabel()) for ax in heat.figure().axes) == 2  # a bar for each map
    picture, nan = np.zeros((200, 200, 3)), np.full((200, 200), np.nan, np.float32)
    large = view(Heatmap, "overlay")(picture, nan, note="No map: it is black.")
    plain = view(Heatmap, "overlay")(picture, nan)
    assert len(np.unique(plain)) == 1 and len(np.unique(large)) > 2  # the reason is written on it


@pytest.mark.filterwarnings("ignore:.*has no result for")
def test_a_method_that_refuses_every_picture_does_not_cost_the_others_theirs() -> None:
    model, images = network()
    flat = torch.full_like(images[:2], 0.5)  # hiding it behind its own blur shows nothing
    cam, igos, sag = sl.explain(model, flat, method=["grad-cam", "igos", "sag"], target=1)
    assert cam.refused == [None, None] and cam.values.isfinite().all()
    assert igos.lost and igos.values.shape == cam.values.shape and igos.values.isnan().all()
    assert sag.lost and "equals its own fill" in sag.refused[0] and sag.outcome == ["refused"] * 2
    with pytest.warns(SightlineWarning, match="igos has no result for 2 of 2 pictures"):
        sl.explain(model, flat, method=["grad-cam", "igos"], target=1)
    with pytest.raises(NotExplainable, match="equals its own fill"):
        sl.explain(model, flat, method=["sag", "igos"], target=1)
    with pytest.raises(NotExplainable, match="equals its own fill"):
        sl.explain(model, flat, method="igos", target=1)
    assert "equals its own fill" in view(type(sag), "text")(sag, 0)
    for form in ("panel", "svg"):
        assert "equals its own fill" in str(view(type(sag), form)(sag, 0))
    assert view(type(sag), "png")(sag, 1).startswith(b"\x89PNG")
    assert sag.figure() is not None


@pytest.mark.filterwarnings("ignore:.*has no result for")
def test_whole_batches_without_a_result_keep_the_axes_of_the_others() -> None:
    model, images = network()
    many = torch.cat([torch.zeros(16, 3, 24, 32), images])
    heat = sl.explain(model, many, method="grad-cam", target=1)
    cam, grad = sl.explain(model, many, method=["grad-cam", "gradient"], target=1)
    living = [16, 18]
    assert [i for i, reason in enumerate(heat.refused) if reason is None] == living
    assert heat.native is not None and heat.native[living].isfinite().all()
    assert cam.refused == heat.refused and grad.channels[:16].isnan().all()
    assert_close(cam.native, heat.native, equal_nan=True)
    with pytest.warns(SightlineWarning, match=r"for 17 of 19 pictures. images\[0\], .*13 more: "):
        sl.explain(model, many, method="grad-cam", target=1)


@pytest.mark.filterwarnings("ignore:.*has no result for")
def test_a_group_keeps_the_methods_that_have_living_pictures() -> None:
    model, images = network()
    found = {h.provenance["method"]: h for h in sl.explain(model, images, method="all-cam")}
    assert found["grad-cam"].refused[1] and found["layer-cam"].refused[0] is None


def test_a_target_that_one_picture_lacks_is_that_picture_s_own_refusal() -> None:
    def found(maps: Tensor) -> list[dict[str, Tensor]]:
        box = torch.tensor([[4.0, 4.0, 20.0, 20.0]])
        return [
            {
                "boxes": box if m.sum() > 0 else box[:0],
                "scores": m.mean()[None] if m.sum() > 0 else box[:0, 0],
                "labels": torch.ones(len(box) if m.sum() > 0 else 0, dtype=torch.long),
            }
            for m in maps
        ]

    model = Model(nn.Conv2d(3, 1, 3, bias=False, padding=1), size=(24, 32), output=found)
    with torch.no_grad():
        model.module.weight.fill_(0.1)
    _, images = network()
    with pytest.warns(SightlineWarning, match=r"images\[1\]: "):
        heat = create("explainer", "occlusion")(model, images, sl.Box((4.0, 4.0, 20.0, 20.0), 1))
    assert heat.refused[0] is None and heat.refused[2] is None
    assert "detect" in heat.refused[1] or "box" in heat.refused[1]


def test_a_saturated_probability_names_the_logit_as_remedy() -> None:
    net = Dark()
    with torch.no_grad():
        net.head.weight *= 1e6
    images = network()[1][[0, 2]]
    top = sl.Top(probability=True)
    with pytest.raises(NotExplainable, match=r"exactly 0 or 1 here.*`probability=False`"):
        sl.explain(net, images, method="grad-cam", target=top)
    heat = sl.explain(net, images, method="grad-cam", target=sl.Top(probability=False))
    assert heat.refused == [None, None] and heat.provenance["saturated"] == [False, False]


def test_words_of_nothing_say_so() -> None:
    nothing = Words.nothing(2, (8, 8))
    assert len(nothing) == 2 and nothing.sentences[0].startswith("Not explained")
    assert "no result" in view(Words, "text")(nothing, 1).lower()
