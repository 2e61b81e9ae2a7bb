"""PxAP, IoU with parts, and distractors on maps whose numbers are known."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Case, Class, Heatmap, Model, Truth, create
from sightline.errors import NotExplainable, ShapeError

SIZE = (20, 20)


def mask(rows: slice, cols: slice) -> np.ndarray:
    found = np.zeros(SIZE, dtype=bool)
    found[rows, cols] = True
    return found


OBJECT = mask(slice(5, 10), slice(0, 10))  # 50 of 400 pixels


def case(heat: Tensor, **truth: object) -> Case:
    model = Model(nn.Sequential(nn.Flatten(), nn.Linear(1200, 2)), size=SIZE)
    images = torch.rand(len(heat), 3, *SIZE)
    return Case(model, images, Class(0), Heatmap(heat), truth=Truth(**truth))


def as_heat(*masks: np.ndarray) -> Tensor:
    return torch.stack([torch.from_numpy(m).float() for m in masks])


def area(heat: Tensor, **truth: object) -> float:
    return create("metric", "pxap")(case(heat, **truth)).item()


def test_a_perfect_map_gets_one_and_what_knows_nothing_the_share_of_the_object() -> None:
    perfect = as_heat(OBJECT)
    assert_close(area(perfect, masks=[OBJECT]), 1.0)
    for heat in (torch.zeros(1, *SIZE), torch.ones(1, *SIZE), 1 - perfect):
        assert_close(area(heat, masks=[OBJECT]), 50 / 400)


def test_the_area_is_that_of_loops_over_thresholds() -> None:
    heat = torch.rand((1, *SIZE), generator=torch.Generator().manual_seed(0)) + as_heat(OBJECT) / 3
    values = ((heat - heat.min()) / (heat.max() - heat.min()))[0].double()
    total, before = 0.0, 0.0
    for step in range(1000, -1, -1):
        above = (values >= step / 1000 - 1e-12).numpy()
        if not above.any():
            continue
        recall = (above & OBJECT).sum() / 50
        total += (above & OBJECT).sum() / above.sum() * (recall - before)
        before = recall
    assert_close(area(heat, masks=[OBJECT]), float(total), atol=1e-5, rtol=0)


def test_a_collection_pools_its_pixels() -> None:
    small = mask(slice(0, 2), slice(0, 2))
    heat = torch.cat([as_heat(OBJECT), 1 - as_heat(small), torch.rand(1, *SIZE)])
    whole = case(heat, masks=[OBJECT, small, None])
    metric = create("metric", "pxap")
    values, curves = metric(whole), metric.curves(whole)
    assert_close(values[:2], torch.tensor([1, 0.01]))
    assert values[2].isnan()
    # the value 1 has 50 of 446 right, then all 54 of 800
    expected = 50 / 446 * 50 / 54 + 54 / 800 * 4 / 54
    assert_close(metric.summary(values, curves), expected, atol=1e-6, rtol=0)
    assert_close(metric.summary(values), 0.505)


def test_pixels_to_ignore_are_left_out() -> None:
    around = mask(slice(0, 12), slice(0, 12))
    heat = as_heat(around)
    plain, without = (
        area(heat, masks=[OBJECT], parts=[parts]) for parts in ({}, {"ignore": around})
    )
    assert_close(plain, 50 / 144 * 1.0)
    assert_close(without, 1.0)


def test_masks_of_another_size_and_no_masks_are_refused() -> None:
    with pytest.raises(ShapeError, match="input frame"):
        area(as_heat(OBJECT), masks=[OBJECT[:-1]])
    with pytest.raises(NotExplainable, match="masks"):
        area(as_heat(OBJECT))


def overlap(heat: Tensor, part: str = "", threshold: float | None = None, **truth: object) -> float:
    return create("metric", "part-iou", part=part, threshold=threshold)(case(heat, **truth)).item()


def test_as_many_pixels_as_the_mask_has_are_compared_with_it() -> None:
    heat = as_heat(OBJECT) + 0.5 * as_heat(mask(slice(0, 20), slice(0, 10)))
    assert overlap(heat, masks=[OBJECT]) == 1
    moved = as_heat(mask(slice(5, 10), slice(5, 15)))  # 25 shared of 75
    assert_close(overlap(moved, masks=[OBJECT]), 25 / 75)
    assert_close(overlap(moved, threshold=0.5, masks=[OBJECT]), 25 / 75)


def test_equal_pixels_are_taken_in_equal_shares() -> None:
    flat = overlap(torch.ones(1, *SIZE), masks=[OBJECT])  # an eighth of each: 6.25 of 93.75
    assert_close(flat, 6.25 / 93.75)
    assert_close(overlap(torch.zeros(1, *SIZE), masks=[OBJECT]), flat)
    wide = as_heat(mask(slice(5, 10), slice(0, 20)))  # twice as many: half of each, 25 of 75
    assert_close(overlap(wide, masks=[OBJECT]), 25 / 75)


def test_a_part_by_name_all_parts_together_or_none() -> None:
    parts = {"head": mask(slice(0, 2), slice(0, 2)), "tail": mask(slice(8, 9), slice(0, 9))}
    assert overlap(as_heat(parts["head"]), "head", parts=[parts]) == 1
    assert overlap(as_heat(parts["head"] | parts["tail"]), parts=[parts]) == 1
    assert np.isnan(overlap(as_heat(OBJECT), "beak", parts=[parts]))
    assert np.isnan(overlap(as_heat(OBJECT), parts=[None]))
    with pytest.raises(NotExplainable, match="part 'head'"):
        overlap(as_heat(OBJECT), "head", masks=[OBJECT])


def preferred(heat: Tensor, **truth: object) -> float:
    return create("metric", "distractor")(case(heat, **truth)).item()


def test_the_share_of_the_target_does_not_depend_on_sizes() -> None:
    small = mask(slice(15, 17), slice(15, 17))
    truth = {"masks": [OBJECT], "parts": [{"distractor": small}]}
    assert preferred(as_heat(OBJECT), **truth) == 1 and preferred(as_heat(small), **truth) == 0
    assert preferred(torch.ones(1, *SIZE), **truth) == 0.5
    assert_close(preferred(3 * as_heat(OBJECT) + as_heat(small), **truth), 0.75)
    assert np.isnan(preferred(torch.zeros(1, *SIZE), **truth))
    assert np.isnan(preferred(as_heat(OBJECT), masks=[OBJECT], parts=[{}]))
    with pytest.raises(NotExplainable, match="distractor"):
        preferred(as_heat(OBJECT), masks=[OBJECT])
