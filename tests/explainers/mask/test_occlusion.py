"""Occlusion: exact on a linear model, its definition as loops, and what it cannot see."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Class, Model, create
from sightline.errors import BadField, NotExplainable
from sightline.worlds import analytic
from sightline.worlds.miniatures import MINIATURES


def test_a_window_of_one_pixel_gives_each_pixel_of_a_linear_model_its_own_product() -> None:
    known = analytic.linear()
    explain = create("explainer", "occlusion", window=1, stride=1)
    heat = explain(known.model, known.images, Class(1, probability=False))
    assert_close(heat.native, known.expected)
    assert_close(heat.values, known.expected)


def loops(net: nn.Module, image: Tensor, window: int, stride: int) -> Tensor:
    """Mean drop of the probability of class 1 over the windows that cover each pixel."""
    rows, cols = image.shape[1:]
    net, image = net.double(), image.double()
    starts = [sorted({*range(0, n - window + 1, stride), n - window}) for n in (rows, cols)]
    total, count = torch.zeros(rows, cols), torch.zeros(rows, cols)
    with torch.no_grad():
        clean = net(image[None]).softmax(1)[0, 1]
        for top in starts[0]:
            for left in starts[1]:
                hidden = image.clone()
                hidden[:, top : top + window, left : left + window] = 0
                drop = clean - net(hidden[None]).softmax(1)[0, 1]
                for r in range(top, top + window):
                    for c in range(left, left + window):
                        total[r, c] += drop
                        count[r, c] += 1
    net.float()
    return total / count


def test_it_is_the_mean_drop_of_the_windows_that_cover_a_pixel() -> None:
    mini = MINIATURES["attention-pooled"]  # 24 x 32: the last window is shifted back inside
    net, images = mini(), torch.rand(2, 3, *mini.size)
    explain = create("explainer", "occlusion", window=7, stride=5)
    heat = explain(Model(net, size=mini.size), images, 1)
    for i in range(2):
        assert_close(heat.native[i], loops(net, images[i], 7, 5), atol=1e-6, rtol=1e-3)


def test_windows_scale_with_the_picture() -> None:
    mini = MINIATURES["pooled-cnn"]
    model, images = Model(mini(), size=mini.size), torch.rand(1, 3, *mini.size)
    small = create("explainer", "occlusion")(model, images, 1)
    named = create("explainer", "occlusion", window=5, stride=2)(model, images, 1)
    assert torch.equal(small.values, named.values)  # a seventh of 32 pixels


def test_hiding_one_of_two_equal_causes_changes_nothing() -> None:
    known = analytic.two_paths(target=0)
    explain = create("explainer", "occlusion", window=1, stride=1)
    with pytest.raises(NotExplainable, match="zeros"):
        explain(known.model, known.images, Class(0, probability=False))
    both = analytic.two_paths(target=1)
    heat = explain(both.model, both.images, Class(1, probability=False))
    assert heat.values[0, 1, 1] == 1 and heat.values[0, -2, -2] == 1 and heat.values.sum() == 2


def test_it_finds_a_planted_patch() -> None:
    known = analytic.planted_patch(batch=3)
    heat = create("explainer", "occlusion", window=3, stride=1)(*known)
    for i in range(3):
        peak = int(heat.values[i].flatten().argmax())
        assert known.expected[i].flatten()[peak] == 1


def test_the_fill_matters_and_gaps_are_refused() -> None:
    known = analytic.linear()
    explain = create("explainer", "occlusion", window=1, stride=1, fill="white")
    heat = explain(known.model, known.images, Class(1, probability=False))
    weight = known.model.module.weight[1].detach()
    assert_close(heat.native, (weight * (known.images - 1)).sum(1))
    with pytest.raises(BadField, match="gaps"):
        create("explainer", "occlusion", window=3, stride=4)
    with pytest.raises(BadField, match="at least 1"):
        create("explainer", "occlusion", window=0)
