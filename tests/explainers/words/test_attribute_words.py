"""Attribute words on heads whose maps are known: what is seen, where, and what is said of it."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sameness import assert_same, told
from sightline import Class, Model, create
from sightline.errors import BadField
from sightline.nets.attributes import Heads

NAMES = ("red crest", "green belly", "blue tail")


class Coloured(nn.Module):
    """Maps are the picture's colours; attribute k is colour k, and class 0 is red and not blue."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = Heads(3, 2, 3, NAMES)
        with torch.no_grad():
            self.heads.attributes.weight.copy_(100 * torch.eye(3))
            self.heads.attributes.bias.fill_(-1.0)
            self.heads.classes.weight.copy_(torch.tensor([[60.0, 0, -30], [0, 60.0, 0]]))
            self.heads.classes.bias.zero_()
            self.heads.usual.copy_(torch.tensor([[0.9, -0.9], [-0.9, 0.9], [0.1, -0.1]]))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return self.heads(images)


def painted(*places: tuple[int, slice, slice]) -> Tensor:
    image = torch.zeros(1, 3, 20, 20)
    for colour, rows, cols in places:
        image[:, colour, rows, cols] = 1.0
    return image


RED, BLUE = (0, slice(2, 7), slice(3, 8)), (2, slice(12, 16), slice(11, 15))
MODEL = Model(Coloured(), size=(20, 20), labels=["robin", "parrot"])
EXPLAIN = create("explainer", "attribute-words", fill=0.0)
LOGIT = Class(0, probability=False)


def test_seen_attributes_have_their_exact_drop_place_and_probability() -> None:
    found = EXPLAIN(MODEL, painted(RED, BLUE), LOGIT)
    facts = {fact["word"]: fact for fact in found.facts[0]}
    assert set(facts) == {"red crest", "blue tail"}  # green is not seen
    assert facts["red crest"]["evidence"] == pytest.approx(60 * 25 / 400, rel=1e-5)
    assert facts["blue tail"]["evidence"] == pytest.approx(-30 * 16 / 400, rel=1e-5)
    assert facts["red crest"]["box"] == [3, 2, 8, 7] and facts["blue tail"]["box"] == [
        11,
        12,
        15,
        16,
    ]
    share = 1 / (1 + np.exp(-(100 * 25 / 400 - 1)))
    assert facts["red crest"]["probability"] == pytest.approx(share, rel=1e-5)
    assert facts["red crest"]["contribution"] == pytest.approx(0.9 * share, rel=1e-5)
    assert facts["red crest"]["outcome"] == "for" and facts["blue tail"]["outcome"] == "against"


def test_the_sentence_says_what_carried_what_spoke_against_and_what_the_runner_up_lacks() -> None:
    text = EXPLAIN(MODEL, painted(RED, BLUE), LOGIT).sentences[0]
    assert text == (
        "Prediction: robin, because of: red crest (3.75). Evidence against it: blue tail"
        " (\N{MINUS SIGN}1.20)."
        " Without the red crest the prediction would be parrot. The second choice, parrot, lacks:"
        " green belly."
    )


def test_alone_is_as_in_a_batch() -> None:
    images = torch.cat([painted(RED), painted(BLUE, RED), painted((1, slice(0, 4), slice(0, 9)))])
    found = EXPLAIN(MODEL, images, LOGIT)
    for row in range(3):
        assert_same(told(EXPLAIN(MODEL, images[row : row + 1], LOGIT)), told(found.take([row])))


def test_only_so_many_words_are_measured_and_those_that_describe_the_class_come_first() -> None:
    one = create("explainer", "attribute-words", words=1, fill=0.0)
    assert [f["word"] for f in one(MODEL, painted(RED, BLUE), LOGIT).facts[0]] == ["red crest"]


def test_a_wide_map_is_cut_higher_until_there_is_room_to_compare() -> None:
    image = painted(RED)
    image[:, 0] = image[:, 0].clamp(min=0.45)  # everything reaches 20 and 40 % of the maximum
    fact = EXPLAIN(MODEL, image, LOGIT).facts[0][0]
    assert fact["cut"] == pytest.approx(0.5) and fact["box"] == [3, 2, 8, 7]


def test_fields_outside_their_range_are_refused() -> None:
    for field, value in (("cut", 1.0), ("seen", 0.0), ("words", 0), ("largest", 2.0)):
        with pytest.raises(BadField):
            create("explainer", "attribute-words", **{field: value})
