"""The saliency metric: rectangles and probabilities by hand, and the best of several thresholds."""

from math import isnan, log

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Axis, Case, Class, Heatmap, Model, create
from sightline.errors import BadField, NotExplainable
from sightline.metrics.localisation.saliency import smallest_sufficient, tightest

SIZE = (16, 20)


class Bright(nn.Module):
    """Logits 0 and ten times the mean brightness less a half."""

    def forward(self, images: Tensor) -> Tensor:
        bright = 10 * (images.mean((1, 2, 3)) - 0.5)
        return torch.stack([torch.zeros_like(bright), bright], 1)


def case(heat: Tensor, target: object = None) -> Case:
    """Black pictures, white in rows 4 to 11 and columns 5 to 14: a quarter."""
    images = torch.zeros(len(heat), 3, *SIZE)
    images[:, :, 4:12, 5:15] = 1
    aimed = target or Class(1)
    return Case(Model(Bright(), size=SIZE), images, aimed, Heatmap(heat))


def said(brightness: float) -> float:
    return float(torch.tensor(10 * (brightness - 0.5)).sigmoid())


def drawn(*pixels: tuple[int, int]) -> Tensor:
    heat = torch.zeros(1, *SIZE)
    for row, col in pixels:
        heat[0, row, col] = 1
    return heat


def score(heat: Tensor, *thresholds: float) -> float:
    fields = {"thresholds": thresholds} if thresholds else {}
    return create("metric", "saliency-metric", **fields)(case(heat)).item()


def test_the_rectangle_of_two_pixels_holds_both_and_no_more() -> None:
    assert tightest(drawn((4, 14), (11, 5))[0] > 0) == (4, 5, 12, 15)
    assert tightest(torch.zeros(*SIZE) > 0) is None


def test_two_pixels_at_opposite_corners_of_the_white_part_give_a_quarter_and_white() -> None:
    expected = log(0.25) - log(said(1.0))
    assert_close(score(drawn((4, 14), (11, 5)), 1.0), expected, atol=1e-5, rtol=1e-5)


def test_a_rectangle_that_is_half_white() -> None:
    heat = drawn((4, 5), (11, 9), (4, 0))  # rows 4 to 11, columns 0 to 9: 5 of 10 are white
    found = create("metric", "saliency-metric", thresholds=(1.0,))(case(heat)).item()
    crop = torch.zeros(1, 1, 8, 10)
    crop[..., 5:] = 1
    seen = float(nn.functional.interpolate(crop, size=SIZE, mode="bilinear").mean())
    assert_close(found, log(80 / 320) - log(said(seen)), atol=1e-5, rtol=1e-5)


def test_the_whole_picture_gets_minus_log_p() -> None:
    assert_close(score(torch.ones(1, *SIZE)), -log(said(0.25)), atol=1e-5, rtol=1e-5)


def test_a_map_in_which_nothing_stands_out_has_no_number() -> None:
    assert isnan(score(torch.zeros(1, *SIZE))) and isnan(score(-torch.ones(1, *SIZE)))


def test_areas_below_a_twentieth_count_as_one() -> None:
    small = smallest_sufficient(torch.tensor([0.01, 0.05]), torch.tensor([1.0, 1.0]))
    assert_close(small, torch.tensor([-2.9957, -2.9957]), atol=1e-4, rtol=0)
    assert_close(score(drawn((6, 8)), 1.0), log(0.05) - log(said(1.0)), atol=1e-5, rtol=1e-5)


def test_no_probability_gives_a_large_number_and_not_infinity() -> None:
    found = smallest_sufficient(torch.tensor([1.0]), torch.tensor([0.0]))
    assert_close(found, torch.tensor([12 * log(10)]))


def test_a_classifier_that_does_not_look_is_scored_by_the_area_alone() -> None:
    class Blind(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.sum((1, 2, 3))[:, None] * torch.zeros(1, 4)

    whole = case(drawn((4, 14), (11, 5)), Class(3))
    blind = Case(Model(Blind(), size=SIZE), whole.images, Class(3), whole.explanation)
    found = create("metric", "saliency-metric")(blind)
    assert_close(found, torch.tensor([log(0.25) + log(4)]))


def test_the_best_threshold_counts_and_one_above_all_is_nan() -> None:
    heat = torch.zeros(1, *SIZE)
    heat[0, 0, 0] = 0.3  # a weak stray pixel: mean 0.0259, three of them are 0.078
    heat[0, 4:12, 5:15] = 0.1
    apart = [score(heat, t) for t in (0.5, 3.0, 5.0)]
    assert_close(apart[1], log(12 * 15 / 320) - log(said_crop(12, 15)), atol=1e-4, rtol=1e-4)
    assert_close(score(heat, 0.5, 3.0, 5.0), min(apart))
    assert torch.isnan(torch.tensor(score(heat, 50.0)))


def said_crop(rows: int, cols: int) -> float:
    crop = torch.zeros(1, 1, rows, cols)
    crop[..., 4:, 5:] = 1
    return said(float(nn.functional.interpolate(crop, size=SIZE, mode="bilinear").mean()))


def test_scale_does_not_matter() -> None:
    heat = torch.rand(3, *SIZE)
    metric = create("metric", "saliency-metric")
    assert_close(metric(case(heat)), metric(case(heat * 1e9)))


def test_targets_without_a_probability_and_bad_thresholds_are_refused() -> None:
    with pytest.raises(NotExplainable, match="needs a target with a probability"):
        create("metric", "saliency-metric")(case(torch.ones(1, *SIZE), Axis(1)))
    for thresholds in ((), (0.0,), (1.0, -2.0)):
        with pytest.raises(BadField, match="multiples"):
            create("metric", "saliency-metric", thresholds=thresholds)
