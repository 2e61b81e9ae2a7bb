"""Every kind of target on a tiny network of its kind, explained, and given what does not fit it."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import (
    Axis,
    Binary,
    Box,
    Class,
    Contrast,
    Model,
    Region,
    Similarity,
    Target,
    Token,
    Top,
    Unit,
    create,
)
from sightline.errors import BadTarget, NotExplainable, ShapeError, UnknownName
from sightline.targets.given import PerImage, to_target

pytestmark = pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive")
SIZE = (12, 16)
LABELS = ["tabby, cat", "Dog", "bird"]


class Net(nn.Module):
    """Convolution, average, and as many outputs as wanted, reshaped to `shape`."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.head = nn.Linear(8, int(np.prod(shape)))
        self.shape = shape

    def forward(self, images: Tensor) -> Tensor:
        return self.head(torch.relu(self.maps(images)).mean((2, 3))).unflatten(1, self.shape)


def made(*shape: int, **fields: Any) -> tuple[Model, Tensor, Tensor]:
    """A model, two pictures, and what the network says about them."""
    net, images = Net(*shape), torch.rand(2, 3, *SIZE)
    return Model(net, size=SIZE, **fields), images, net(images).detach()


def value(model: Model, images: Tensor, target: Any) -> Tensor:
    """The score by the short form; the same through both kinds of explainer."""
    aimed = model.aim(images, target)
    scores = model.scores(images, aimed)
    for name in ("gradient", "occlusion"):
        heat = create("explainer", name)(model, images, target)
        wanted = model.scores(images, aimed.with_habit(name == "occlusion"))
        assert_close(torch.tensor(heat.provenance["score"]), wanted)
        assert torch.isfinite(heat.values).all()
    alone = model.scores(images[1:], aimed.take([1]))
    assert_close(alone[0], scores[1])
    assert_close(model.scores(images, -aimed), -scores)
    return scores


def test_a_class_is_an_index_a_label_a_list_or_an_array() -> None:
    model, images, logits = made(3, labels=LABELS)
    for target in (1, "Dog", "dog", Class(1), Class("Dog"), np.int64(1), torch.tensor(1)):
        assert_close(value(model, images, target), logits[:, 1])
    assert_close(value(model, images, "CAT"), logits[:, 0])
    for target in ([2, 0], ["bird", "tabby"], torch.tensor([2, 0]), np.array([2, 0])):
        assert_close(value(model, images, target), torch.stack([logits[0, 2], logits[1, 0]]))


def test_probabilities_are_softmax_or_of_a_multilabel_model_sigmoid() -> None:
    model, images, logits = made(3)
    assert_close(value(model, images, Class(1, probability=True)), logits.softmax(1)[:, 1])
    model, images, logits = made(3, multilabel=True)
    assert_close(value(model, images, Class(1, probability=True)), logits.sigmoid()[:, 1])
    assert "probability=True" in repr(Class(1, probability=True))


def test_the_top_is_fixed_on_the_clean_pictures() -> None:
    model, images, logits = made(3)
    assert_close(value(model, images, None), logits.amax(1))
    assert_close(value(model, images, Top(1)), logits.sort(1).values[:, 1])
    aimed = model.aim(images, Top())
    assert isinstance(aimed, Class) and aimed.indices(2) == logits.argmax(1).tolist()
    other = torch.rand_like(images)
    assert_close(
        model.scores(other, aimed, rows=torch.arange(2)),
        model.outputs(other).gather(1, logits.argmax(1)[:, None])[:, 0],
    )


def test_the_word_top_is_the_top_class_and_a_label_of_that_name_is_a_class() -> None:
    assert [repr(to_target(word)) for word in ("top", " Top ", "topsail")] == [
        "Top(0)",
        "Top(0)",
        "Class('topsail')",
    ]
    several = to_target(["top", 1])
    assert isinstance(several, PerImage)
    assert [repr(each) for each in several.targets] == ["Top(0)", "Class(1)"]
    assert isinstance(to_target(Class("top")), Class)


def test_a_contrast_is_a_difference() -> None:
    model, images, logits = made(3, labels=LABELS)
    assert_close(value(model, images, Contrast("dog", 2)), logits[:, 1] - logits[:, 2])
    chances = logits.softmax(1)
    target = Contrast(0, 2, probability=True)
    assert_close(value(model, images, target), chances[:, 0] - chances[:, 2])


def test_yes_or_no_of_one_logit_or_two() -> None:
    model, images, logits = made(1)
    assert_close(value(model, images, Binary()), logits[:, 0])
    assert_close(value(model, images, Binary(False)), -logits[:, 0])
    chance = value(model, images, Binary(probability=True))
    assert_close(chance, logits[:, 0].sigmoid())
    model, images, logits = made(2)
    chance = value(model, images, Binary(probability=True))
    assert_close(chance, logits.softmax(1)[:, 1])
    model, images, _ = made(3)
    with pytest.raises(BadTarget, match="one or two outputs; the model has 3"):
        model.aim(images, Binary())


def test_an_axis_of_a_regression_has_no_probability() -> None:
    model, images, values = made(4)
    assert_close(value(model, images, Axis(3)), values[:, 3])
    assert_close(value(model, images, Axis(-1, probability=True)), values[:, 3])
    with pytest.raises(BadTarget, match="axis 4 does not exist"):
        model.aim(images, Axis(4))


def test_similarity_to_an_embedding_one_each_or_pictures() -> None:
    model, images, vectors = made(6)
    to, each = torch.randn(6), torch.randn(2, 6)
    assert_close(value(model, images, Similarity(to)), F.cosine_similarity(vectors, to[None]))
    assert_close(value(model, images, Similarity(each)), F.cosine_similarity(vectors, each))
    pictures = torch.rand(2, 3, *SIZE)
    wanted = F.cosine_similarity(vectors, model.outputs(pictures))
    assert_close(value(model, images, Similarity(pictures)), wanted)
    with pytest.raises(BadTarget, match="an embedding of 5 for an output of 6"):
        model.aim(images, Similarity(torch.randn(5)))
    with pytest.raises(ShapeError, match="3 embeddings for 2 images"):
        model.aim(images, Similarity(torch.randn(3, 6)))


def test_words_are_log_probabilities_at_their_positions() -> None:
    model, images, words = made(3, 11)
    logs = words.log_softmax(2)
    expected = logs[:, 0, 4] + logs[:, 1, 9]
    assert_close(value(model, images, Token((4, 9))), expected)
    assert_close(value(model, images, Token((4, 9), position=1)), logs[:, 1, 9])
    assert_close(value(model, images, Token((4, 9), probability=True)), expected.exp())
    for target, reason in ((Token((1, 2, 3, 4)), "at least 4 positions"), (2, "(batch, class)")):
        with pytest.raises(BadTarget) as caught:
            model.aim(images, target)
        assert reason in str(caught.value)


class Segmenter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 3, 3, stride=2, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.maps(images)  # (batch, class, 6, 8)


def test_a_region_is_the_mean_of_its_class_inside_a_mask() -> None:
    net, images = Segmenter(), torch.rand(2, 3, *SIZE)
    model = Model(net, size=SIZE, labels=LABELS)
    mask = np.zeros(SIZE, dtype=bool)
    mask[4:8, 2:10] = True
    expected = net(images)[:, 1, 2:4, 1:5].mean((1, 2)).detach()
    assert_close(value(model, images, Region(mask, "dog")), expected)
    chances = net(images).softmax(1)[:, 1, 2:4, 1:5].mean((1, 2)).detach()
    assert_close(value(model, images, Region(mask, 1, probability=True)), chances)
    with pytest.raises(ShapeError, match="at least one pixel"):
        model.aim(images, Region(np.zeros(SIZE), 1))
    for label in (3, -1):
        with pytest.raises(BadTarget, match="class, row, col"):
            model.aim(images, Region(mask, label))


def test_a_unit_is_a_filter_s_mean_or_one_place() -> None:
    model, images, _ = made(3)
    maps = model.module.maps(images).detach()
    assert_close(value(model, images, Unit("maps", 5)), maps[:, 5].mean((1, 2)))
    assert_close(value(model, images, Unit("maps", 5, at=(2, 3))), maps[:, 5, 2, 3])
    with pytest.raises(BadTarget, match="filter 8 does not exist"):
        model.aim(images, Unit("maps", 8))
    with pytest.raises(UnknownName, match="did you mean 'maps'"):
        model.aim(images, Unit("map", 1))


class Detector(nn.Module):
    """Two boxes, whose scores and places depend on the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Conv2d(3, 2, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.score(images).mean((2, 3)).sigmoid()


def detections(scores: Tensor) -> list[dict[str, Tensor]]:
    boxes = torch.tensor([[1.0, 2, 7, 8], [8.0, 2, 14, 10]])
    found = []
    for one in scores:
        moved = boxes + one[:, None] * torch.tensor([0.0, 0, 1, 1])
        found.append({"boxes": moved, "scores": one, "labels": torch.tensor([1, 1])})
    return found


def test_a_box_becomes_the_detection_that_it_matches_best() -> None:
    net, images = Detector(), torch.rand(2, 3, *SIZE)
    model = Model(net, size=SIZE, labels=LABELS, output=detections)
    target = Box((8.0, 2.0, 14.0, 10.0), "dog")
    assert_close(value(model, images, target), net(images)[:, 1].detach())
    for wrong, reason in (
        (Box((0.0, 0.0, 1.0, 1.0), 1), "no detection of 1 that overlaps"),
        (Box((8.0, 2.0, 14.0, 10.0), 2), "no detection of 2"),
        (1, "model returned list"),
    ):
        with pytest.raises(BadTarget, match=reason):
            model.aim(images, wrong)
    plain, images, _ = made(3)
    with pytest.raises(BadTarget, match="Box needs a detector"):
        plain.aim(images, Box((8.0, 2.0, 14.0, 10.0), 1))


def test_each_image_may_have_a_target_of_its_own_kind() -> None:
    model, images, logits = made(3)
    found = value(model, images, [Class(2), Contrast(0, 1)])
    assert_close(found, torch.stack([logits[0, 2], logits[1, 0] - logits[1, 1]]))
    with pytest.raises(ShapeError, match="3 targets for 2 images"):
        model.aim(images, [Class(2), Top(), -Class(1)])


def test_gradients_of_equal_looking_targets_are_not_mixed_up() -> None:
    model, images, _ = made(6)
    one, two = torch.randn(6), torch.randn(6)
    explain = create("explainer", "gradient")
    with model.shared(images):
        pairs = [
            (explain(model, images, Similarity(to)), explain(model, images, [Similarity(to)] * 2))
            for to in (one, two)
        ]
    for alone, each in pairs:
        assert_close(alone.native, each.native)
    assert not torch.allclose(pairs[0][0].native, pairs[1][0].native)


@pytest.mark.parametrize(
    ("target", "error", "reason"),
    [
        (3, BadTarget, r"class 3 does not exist: the model has 3 \(0 to 2\)"),
        (-1, BadTarget, "class -1 does not exist"),
        ("cow", UnknownName, "no class is labelled 'cow'"),
        ([0, 1, 2], ShapeError, "3 classes for 2 images"),
        (True, BadTarget, "is not a target"),
        (0.5, BadTarget, "is not a target"),
        (object(), BadTarget, "is not a target"),
        (Top(3), BadTarget, r"Top\(3\) of 3 classes"),
        ([], BadTarget, "is not a target"),
        (Class(1.5), BadTarget, "is a whole number or a label; got 1.5"),
        (Class(None), BadTarget, "got None"),
        (Contrast(0, 0.5), BadTarget, "got 0.5"),
        (Axis("x"), BadTarget, "the axis of a target is a whole number"),
        (Unit("maps", 1, at=(9, 0)), BadTarget, r"place \(9, 0\) does not exist: 'maps' is"),
        (Contrast(0, 3), BadTarget, "class 3 does not exist"),
    ],
)
def test_what_does_not_fit_is_refused(target: Any, error: type, reason: str) -> None:
    model, images, _ = made(3, labels=LABELS)
    with pytest.raises(error, match=reason):
        model.aim(images, target)


def test_the_top_class_may_be_asked_for_by_that_word() -> None:
    model, images, logits = made(3, labels=LABELS)
    best = logits.argmax(1).tolist()
    for target in ("top", " Top", ["top", "top"], [None, "top"]):
        assert model.aim(images, target).indices(2) == best
    assert model.aim(images, ["top", "dog"]).indices(2) == [best[0], 1]


def test_classes_and_embeddings_come_as_lists_and_arrays_too() -> None:
    model, images, logits = made(3, labels=LABELS)
    for which in ([2, "dog"], np.array([2, 1]), torch.tensor([2, 1])):
        target = Class(which)
        assert model.aim(images, target).indices(2) == [2, 1]
    wanted = F.cosine_similarity(logits, torch.tensor([[1.0, 0.5, 0.25]]))
    for to in (np.array([1, 0.5, 0.25]), [1, 0.5, 0.25]):
        assert_close(model.scores(images, Similarity(to)), wanted)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (Token((11,)), "word 11 does not exist: the model has 11"),
        (Token((-1,)), "word -1 does not exist"),
        (Token((0.5,)), "got 0.5"),
        (Token((1, 2), position=2), "position 2 of 2 words does not exist"),
    ],
)
def test_words_that_do_not_exist_are_refused(target: Token, reason: str) -> None:
    model, images, words = made(3, 11)
    with pytest.raises(BadTarget, match=reason):
        model.aim(images, target)
    expected = words.log_softmax(2)[:, 0, 4]
    for ids in (4, [4], np.array([4]), torch.tensor([4])):
        assert_close(model.scores(images, Token(ids)), expected)


def test_a_class_of_a_model_with_one_output_is_sent_to_binary() -> None:
    model, images, _ = made(1)
    for target in (0, None):
        with pytest.raises(BadTarget, match=r"use Binary\(\)"):
            model.aim(images, target)


def test_labels_of_a_model_without_labels_are_refused() -> None:
    model, images, _ = made(3)
    with pytest.raises(UnknownName, match="has no labels"):
        model.aim(images, "dog")


def test_two_minuses_are_a_plus_and_the_sign_is_told() -> None:
    against = -Class(3)
    assert repr(against) == "-Class(3)" and repr(-against) == "Class(3)"
    assert isinstance(-Top(), Target) and repr(-Similarity(torch.zeros(4))) == "-Similarity(4)"


def test_scores_that_are_not_numbers_are_refused() -> None:
    model = Model(Net(3), size=SIZE, output=lambda y: y * float("nan"))
    with pytest.raises(NotExplainable, match="NaN or infinite scores"):
        create("explainer", "gradient")(model, torch.rand(1, 3, *SIZE), 1)
