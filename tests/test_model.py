"""The model: what it takes, what it refuses, what it shares, what it counts, and whose weights it
uses.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Class, Model, Preprocess, create, explain
from sightline.errors import (
    BadField,
    BadImage,
    BadModel,
    NotExplainable,
    ShapeError,
    UnknownName,
)
from sightline.worlds.miniatures import MINIATURES

pytestmark = pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive")
CNN = MINIATURES["pooled-cnn"]
LABELS = ["tabby, tabby cat", "Labrador", "robin", "Robin Hood", "truck"]


def made(**fields: Any) -> tuple[Model, Tensor]:
    return Model(CNN(), size=CNN.size, **fields), torch.rand(3, 3, *CNN.size)


def photograph(rows: int = 40, cols: int = 60) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (rows, cols, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


# what it takes


def test_a_model_without_preprocessing_takes_tensors_as_they_are_and_nothing_else() -> None:
    model, images = made()
    assert model.prepare(images) is images
    assert model.prepare(images * 9 - 4).min() < 0  # normalised values need not lie in [0, 1]
    with pytest.raises(BadImage, match="takes tensors only"):
        model.prepare(photograph())
    assert model.pictures(images) is None and model.frames(images) is None


def test_a_model_with_preprocessing_takes_paths_pictures_and_arrays(tmp_path: Path) -> None:
    model = Model(CNN(), Preprocess(size=(32, 32), crop="center", resize=32))
    picture = photograph()
    picture.save(tmp_path / "it.png")
    array = np.asarray(picture)
    found = [
        model.prepare(source)
        for source in (picture, array, tmp_path / "it.png", str(tmp_path / "it.png"), [picture])
    ]
    assert all(torch.equal(f, found[0]) for f in found) and found[0].shape == (1, 3, 32, 32)
    both = model.prepare([picture, array])
    assert [p.size for p in model.pictures(both)] == [(40, 60), (40, 60)]
    assert model.frames(both)[0].original == (40, 60)
    heat = create("explainer", "grad-cam")(model, [picture], 1)
    (whole,) = heat.on_original()
    assert (
        whole.shape == (40, 60) and np.isnan(whole[:, 0]).all() and not np.isnan(whole[:, 30]).any()
    )


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        (lambda x: x[0], ShapeError, r"images\[None\]"),
        (lambda x: (x * 255).byte(), ShapeError, r"images.float\(\) / 255"),
        (lambda x: x[:0], ShapeError, "empty"),
        (lambda x: x * float("inf"), BadImage, "NaN or infinite"),
        (lambda x: x * 255, BadImage, "natural units"),
        (lambda x: [], ShapeError, "no images were given"),
        (lambda x: ["nowhere.jpg"], BadImage, "nowhere.jpg"),
    ],
)
def test_wrong_images_are_refused_with_a_remedy(
    change: Callable[[Tensor], Any], error: type, reason: str
) -> None:
    model = Model(CNN(), Preprocess(size=(32, 32), crop=None))
    with pytest.raises(error, match=reason):
        model.prepare(change(torch.rand(2, 3, 32, 32)))


def test_tensors_in_a_list_are_one_batch() -> None:
    model, images = made()
    assert torch.equal(model.prepare(list(images)), images)
    assert torch.equal(model.prepare(list(images.split(1))), images)
    with pytest.raises(ShapeError, match="sizes"):
        model.prepare([images[0], images[1, :, 1:]])
    pictures = [np.zeros((8, 9, 3), np.uint8), np.zeros((9, 8, 3), np.uint8)]
    with pytest.raises(ShapeError, match="expected one"):
        Model(CNN(), Preprocess(None, crop=None)).prepare(pictures)
    assert Model(CNN(), Preprocess(None, crop=None)).prepare(pictures[:1]).shape == (1, 3, 8, 9)


def test_a_transform_that_we_do_not_know_may_normalise() -> None:
    def transform(picture: Any) -> Tensor:
        pixels = np.asarray(picture.resize(CNN.size[::-1]), np.float32)
        return torch.from_numpy(pixels).permute(2, 0, 1) / 32 - 4

    model, picture = Model(CNN(), transform), np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    heat = explain(model, picture, "gradient", 1)
    assert torch.equal(heat.native, create("explainer", "gradient")(model, picture, 1).native)
    with pytest.raises(NotExplainable, match="geometry"):
        heat.on_original()


def test_labels_are_found_exactly_then_in_any_case_then_between_commas() -> None:
    model, _ = made(labels=LABELS)
    assert [model.index(w) for w in ("robin", "Robin Hood", "labrador", "tabby cat")] == [
        2,
        3,
        1,
        0,
    ]
    assert model.label(4) == "truck" and made()[0].label(4) == "4"
    with pytest.raises(UnknownName, match="did you mean 'truck'"):
        model.index("truk")
    with pytest.raises(UnknownName, match=r"labelled 'zzz'\. Give one of the 5 labels \('"):
        model.index("zzz")


def test_labels_come_as_a_list_or_a_mapping_and_one_for_each_class() -> None:
    model, images = made(labels={i: LABELS[4 - i] for i in reversed(range(5))})
    assert model.labels == LABELS[::-1] and made(labels=range(5))[0].index("3") == 3
    for wrong in ("cat,dog", {1: "cat"}):
        with pytest.raises(BadField, match="labels"):
            made(labels=wrong)
    with pytest.raises(UnknownName, match=r"classes 1 \(crane\), 3 \(crane\); give one of them"):
        made(labels=["a", "crane", "b", "crane", "c"])[0].index("crane")
    model, images = made(labels=LABELS[:4])
    for asked in (
        model.outputs,
        model.probabilities,
        lambda x: create("explainer", "rise")(model, x),
    ):
        with pytest.raises(BadModel, match="5 outputs and the model 4 labels"):
            asked(images)


def test_only_modules_are_wrapped_and_wrappers_are_taken_off() -> None:
    net = CNN()
    assert Model(nn.DataParallel(net)).module is net
    with pytest.raises(BadModel, match="precision"):
        Model(net, precision="half")
    assert Model.of(net) is Model.of(net) and Model.of(Model.of(net)) is Model.of(net)


def test_a_bare_module_is_explained_as_its_model() -> None:
    net, images = CNN(), torch.rand(2, 3, *CNN.size)
    explain = create("explainer", "grad-cam")
    bare = explain(net, images, 1)
    assert torch.equal(bare.values, explain(Model(net, size=CNN.size), images, 1).values)


class Wrapped(nn.Module):
    def __init__(self, how: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.net, self.how = CNN(), how

    def forward(self, images: Tensor) -> Any:
        return self.how(self.net(images))


@pytest.mark.parametrize(
    "how",
    [
        lambda y: y,
        lambda y: {"logits": y, "loss": y.sum()},
        lambda y: SimpleNamespace(logits=y),
    ],
)
def test_the_scores_are_found_in_what_networks_return(how: Callable[[Tensor], Any]) -> None:
    model, images = Model(Wrapped(how), size=CNN.size), torch.rand(2, 3, *CNN.size)
    assert_close(model.outputs(images), model.module.net(images).detach())
    assert create("explainer", "grad-cam")(model, images, 1).values.shape == (2, 32, 32)


@pytest.mark.parametrize("how", [lambda y: "scores", lambda y: (y, y[:, :2]), lambda y: {"a": y}])
def test_an_output_that_is_not_clear_is_refused_until_the_user_says_where_it_is(
    how: Callable[[Tensor], Any],
) -> None:
    with pytest.raises(BadModel, match="output="):
        Model(Wrapped(how), size=CNN.size).outputs(torch.rand(1, 3, *CNN.size))


def test_output_says_where_the_scores_are() -> None:
    deep = Wrapped(lambda y: SimpleNamespace(heads=SimpleNamespace(first=y)))
    model = Model(deep, size=CNN.size, output=lambda y: y.heads.first)
    assert model.outputs(torch.rand(1, 3, *CNN.size)).shape == (1, 5)


def test_a_black_box_has_scores_and_nothing_inside() -> None:
    net, images = CNN(), torch.rand(2, 3, 32, 32)
    model = Model.from_function(lambda x: net(x).detach().numpy(), size=32, labels=LABELS)
    assert_close(model.outputs(images), net(images).detach())
    assert not model.differentiable and model.scores(images, "truck").shape == (2,)
    for ask in (lambda: model.gradients(images, 1), lambda: model.spatial, lambda: model.anatomy):
        with pytest.raises(NotExplainable, match="black box"):
            ask()


# what it shares and counts


def test_three_methods_on_one_picture_cost_one_forward_and_two_backwards() -> None:
    model, images = made()
    one = images[:1]
    names = ("grad-cam", "hires-cam", "gradient")
    apart = {n: create("explainer", n)(model, one, 1) for n in names}
    model.evaluations.update(forward=0, backward=0)
    with model.shared(one, ("input", model.spatial)):
        together = {n: create("explainer", n)(model, one, 1) for n in names}
    assert model.evaluations["forward"] == 1 and model.evaluations["backward"] <= 2
    for name in names:
        assert_close(together[name].native, apart[name].native)
    again = create("explainer", "gradient")(model, one, 1)
    assert again.provenance["evaluations"] == {"forward": 1, "backward": 1}


def test_a_method_is_told_only_what_it_caused_itself() -> None:
    model, images = made()
    with model.shared(images, ("input", model.spatial)):
        first = create("explainer", "grad-cam")(model, images, 1).provenance["evaluations"]
        second = create("explainer", "hires-cam")(model, images, 1).provenance["evaluations"]
        other = create("explainer", "hires-cam")(model, images, 2).provenance["evaluations"]
    assert first == {"forward": 3, "backward": 3} and second == {"forward": 0, "backward": 0}
    assert other == {"forward": 0, "backward": 3}


def test_sharing_is_of_these_very_images_and_ends_with_its_block() -> None:
    model, images = made()
    with model.shared(images):
        model.trace(images, read=["input"])
        model.trace(images.clone(), read=["input"])
        model.scores(images, Class(1))
    assert model.evaluations["forward"] == 6
    with pytest.raises(RuntimeError, match="mine"), model.shared(images):
        raise RuntimeError("mine")
    model.trace(images, read=["input"])
    assert model.evaluations["forward"] == 9


def test_outputs_and_scores_run_in_chunks_and_are_counted() -> None:
    model, images = made()
    many = images.repeat(7, 1, 1, 1)
    seen: list[int] = []
    handle = model.module.register_forward_hook(lambda m, i, o: seen.append(len(o)))
    model.batch = 8
    logits = model.outputs(many)
    handle.remove()
    assert max(seen) <= 8 and model.evaluations["forward"] == 21
    assert_close(logits, model.module(many).detach(), atol=1e-6, rtol=1e-4)
    assert_close(model.probabilities(many).sum(1), torch.ones(21))
    rows = torch.arange(21) % 3
    classes = model.aim(images, [0, 1, 2])
    assert_close(model.scores(many, classes, rows=rows), logits.gather(1, rows[:, None])[:, 0])


class Asked(nn.Module):
    """Answers a question about a picture: both are needed."""

    def __init__(self) -> None:
        super().__init__()
        self.net = CNN()

    def forward(self, images: Tensor, question: Tensor) -> Tensor:
        return self.net(images) * question


@pytest.mark.parametrize("name", ["grad-cam", "gradient", "occlusion", "score-cam"])
def test_side_inputs_follow_their_image_through_every_copy(name: str) -> None:
    images, question = torch.rand(3, 3, *CNN.size), torch.rand(3, 5) + 0.5
    model = Model(Asked(), size=CNN.size)
    with_it = model.given(question=question)
    together = create("explainer", name)(with_it, images, 1).native
    for i in range(3):
        alone = create("explainer", name)(with_it.take([i]), images[i : i + 1], 1).native
        assert_close(alone[0], together[i])
    other = create("explainer", name)(model.given(question=question.flip(0)), images, 1).native
    assert not torch.allclose(other, together)


# whose weights


def test_new_weights_are_used_and_told_at_once() -> None:
    model, images = made()
    explain = create("explainer", "grad-cam")
    before, digest = explain(model, images, 1).native, model.digest
    with torch.no_grad():
        model.module.head.weight.mul_(2)
    assert_close(explain(model, images, 1).native, 2 * before)
    model.module.head.weight.data /= 2  # does not move the version counter
    assert_close(explain(model, images, 1).native, before)
    assert model.digest == digest and model.module.head.weight.grad is None


def test_a_network_with_batch_norm_is_the_same_folded() -> None:
    model, images = made()
    with torch.no_grad():
        for value in (model.module.norm.running_mean, model.module.norm.bias):
            value += torch.rand_like(value)
        model.module.norm.running_var *= 3
    assert_close(model.outputs(images), model.module(images).detach(), atol=1e-5, rtol=1e-4)
    trace = model.trace(images, read=["norm", "third"])
    net = model.module
    third = net.third(net.relu(net.second(net.relu(net.first(images)))))
    assert_close(trace.maps["third"], third, atol=1e-5, rtol=1e-4)
    assert_close(trace.maps["norm"], net.norm(third), atol=1e-5, rtol=1e-4)


def test_two_threads_may_ask_one_model() -> None:
    model, images = made()
    names, found = ("grad-cam", "gradient", "score-cam", "occlusion"), {}

    def ask(name: str) -> None:
        found[name] = create("explainer", name)(model, images, 1).native

    wanted = {n: create("explainer", n)(model, images, 1).native for n in names}
    threads = [threading.Thread(target=ask, args=(n,)) for n in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == set(names)
    for name in names:
        assert_close(found[name], wanted[name])


def test_a_network_in_training_mode_is_explained_in_evaluation_mode() -> None:
    model, images = made()
    wanted = create("explainer", "gradient")(model, images, 1).native
    model.module.train()
    statistics = model.module.norm.running_mean.clone()
    assert_close(create("explainer", "gradient")(model, images, 1).native, wanted)
    assert model.module.training and torch.equal(model.module.norm.running_mean, statistics)


def test_a_model_is_one_line_where_it_is_printed() -> None:
    seen = Preprocess(size=(32, 30), crop=None)
    model = Model(CNN(), seen, labels=["owl", "wren"], name="birds", precision="fast")
    assert repr(model) == "<Model birds: 32 x 30 px, 2 labels, fast>"
    trace = Model(CNN()).trace(torch.rand(2, 3, 32, 32), read=("input",))
    assert repr(trace) == "<Trace: 2 rows, read: input>"
    assert repr(Model(CNN())) == "<Model PooledCNN: any size, 0 labels, exact>"
