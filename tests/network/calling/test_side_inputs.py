"""Side inputs are one for each picture or one for all, and nothing else."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Axis, Model, Similarity, create, explain
from sightline.errors import ShapeError


class Asked(nn.Module):
    """The score of class k is the picture's mean times the question's number, plus k."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor, question: Tensor) -> Tensor:
        value = self.one * images.mean((1, 2, 3)) * question
        return torch.stack([value, value + 1], 1)


def scores(images: Tensor, question: Tensor) -> Tensor:
    return images.mean((1, 2, 3)) * question


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_questions_of_another_number_are_refused_everywhere(count: int) -> None:
    images, model = torch.rand(4, 3, 8, 8), Model(Asked()).given(question=torch.rand(count))
    for ask in (
        lambda: model.outputs(images),
        lambda: model.trace(images),
        lambda: model.scores(images, 0),
        lambda: model.gradients(images, 0),
        lambda: explain(model, images, "gradient", 0),
        lambda: explain(model, images, "occlusion", 0),
        lambda: explain(model, images, ["gradient", "occlusion"], 0),
    ):
        with pytest.raises(ShapeError, match=f"'question' has {count} entries for 4 images"):
            ask()


@pytest.mark.parametrize("count", [17, 18, 32, 34])
def test_a_long_batch_is_checked_as_a_whole(count: int) -> None:
    images, model = torch.rand(33, 3, 8, 8), Model(Asked()).given(question=torch.rand(count))
    for method in ("gradient", ["gradient", "input-x-gradient"]):
        with pytest.raises(ShapeError, match=f"{count} entries for 33 images"):
            explain(model, images, method, 0)


@pytest.mark.parametrize("count", [4, 19])
def test_one_for_each_and_one_for_all_follow_their_pictures(count: int) -> None:
    images, questions = torch.rand(count, 3, 8, 8), torch.rand(count) + 0.5
    for given in (questions, questions[:1]):
        model = Model(Asked()).given(question=given)
        assert_close(model.outputs(images)[:, 0], scores(images, given))
        for method, fields in (("gradient", {}), ("occlusion", {"window": 4, "stride": 4})):
            found = create("explainer", method, **fields)(model, images, Axis(0))
            assert len(found.values) == count
        found = explain(model, images, "gradient", 0)
        assert_close(torch.tensor(found.provenance["score"]), scores(images, given))
        most = found.native.flatten(1).abs().amax(1)
        expected = given.expand(count) / given[0] * most[0]  # the gradient is the question's number
        assert_close(most, expected, rtol=1e-4, atol=1e-7)
    taken = Model(Asked()).given(question=questions[:1]).take([3])
    assert_close(taken.outputs(images[3:4])[:, 0], scores(images[3:4], questions[:1]))


@pytest.mark.parametrize("wrong", [torch.tensor(3.0), "what is it?", 3, torch.zeros(0)])
def test_what_has_no_batch_axis_is_refused(wrong) -> None:
    with pytest.raises(ShapeError, match="'question' is a tensor with one entry per image"):
        Model(Asked()).given(question=wrong)


def test_each_image_s_own_target_meets_its_own_question() -> None:
    images, questions = torch.rand(3, 3, 8, 8), torch.rand(3) + 0.5
    model = Model(Asked()).given(question=questions)
    like = [Similarity(images[i : i + 1]) for i in range(3)]
    assert_close(model.scores(images, like), torch.ones(3))
