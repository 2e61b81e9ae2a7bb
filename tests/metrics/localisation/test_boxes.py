"""MaxBoxAcc, ILSVRC error and energy: the numbers of small maps by hand, and the frames."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Axis, Case, Class, Heatmap, Model, Preprocess, Truth, create
from sightline.errors import BadField, NotExplainable, NotMeasured
from sightline.metrics.localisation.pointing import class_mean
from sightline.worlds.aviary import sample

SIZE = (40, 60)
SQUARE = (20.0, 10.0, 30.0, 20.0)  # columns 20 to 29, rows 10 to 19


class Ranked(nn.Module):
    """Logits 5, 4, 3, ... of eight classes whatever the picture."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.arange(5.0, -3.0, -1.0).expand(len(images), 8) + 0 * images.sum()


def case(heat: Tensor, truth: Truth, target: object = 0) -> Case:
    aimed = target if not isinstance(target, int) else Class(target)
    model = Model(Ranked(), size=SIZE)
    return Case(model, torch.rand(len(heat), 3, *SIZE), aimed, Heatmap(heat), truth=truth)


def blocks(*boxes: tuple[int, int, int, int], value: float = 1.0) -> Tensor:
    heat = torch.zeros(1, *SIZE)
    for x0, y0, x1, y1 in boxes:
        heat[0, y0:y1, x0:x1] = value
    return heat


def accuracy(heat: Tensor, *boxes: tuple[float, ...], **fields: object) -> float:
    return create("metric", "max-box-acc", **fields)(case(heat, Truth(boxes=[list(boxes)]))).item()


def test_a_perfect_box_is_perfect_and_one_pixel_larger_each_way_only_in_compat() -> None:
    heat, truth = blocks((20, 10, 30, 20)), Truth(boxes=[[SQUARE]])
    for version in ("v1", "v2"):
        plain = create("metric", "max-box-acc", version=version)
        assert plain.curves(case(heat, truth)).unique().tolist() == [1.0]
        quirk = create("metric", "max-box-acc", version=version, compat=True)
        assert_close(quirk.curves(case(heat, truth)).amax(), torch.tensor(100 / 121))
    edge = blocks((50, 30, 60, 40))
    ends = create("metric", "max-box-acc", compat=True).curves(
        case(edge, Truth(boxes=[[(50.0, 30.0, 60.0, 40.0)]]))
    )
    assert ends.amax() == 1  # clipped to the last pixel, the quirk has no room


@pytest.mark.parametrize(("shift", "reached"), [(0, 1.0), (2, 2 / 3), (4, 1 / 3), (6, 0.0)])
def test_overlaps_by_hand_at_three_levels(shift: int, reached: float) -> None:
    # 10 x 10 boxes shifted by 0, 2, 4, 6 columns: IoU 1, 80/120, 60/140, 40/160
    heat = blocks((20 + shift, 10, 30 + shift, 20))
    assert_close(accuracy(heat, SQUARE), reached)
    assert accuracy(heat, SQUARE, version="v1") == float(shift <= 2)


def test_of_two_far_blobs_the_first_version_sees_one_and_the_second_the_best_of_both() -> None:
    small, large = (5, 5, 10, 10), (40, 20, 55, 35)
    heat = blocks(small, large)
    for box, first in ((small, 0.0), (large, 1.0)):
        true = tuple(map(float, box))
        assert accuracy(heat, true, version="v1") == first
        assert accuracy(heat, true) == 1.0
        assert accuracy(heat, (0.0, 0.0, 2.0, 2.0), true) == 1.0  # any of several objects


def test_the_threshold_is_one_for_the_collection_and_its_own_for_a_picture() -> None:
    low = blocks((0, 0, 60, 40), value=0.5) + blocks((20, 10, 30, 20), value=0.5)
    high = blocks((20, 10, 30, 20), value=0.3) + blocks((0, 0, 3, 3), value=0.2)
    high[0, 12, 22] += 0.7  # the object only below 0.3, the other only above 0.5
    metric = create("metric", "max-box-acc", version="v1")
    both = case(torch.cat([low - 0.4 * blocks((0, 0, 1, 1)), high]), Truth(boxes=[[SQUARE]] * 2))
    values, curves = metric(both), metric.curves(both)
    assert values.tolist() == [1, 1]
    assert metric.summary(values, curves) == 0.5
    assert metric.summary(values[:1], curves[:1]) == 1.0
    chosen = metric.best_threshold(curves[1:])
    fixed = create("metric", "max-box-acc", version="v1", threshold=chosen)
    assert fixed(both).tolist() == [0, 1]


def test_every_threshold_is_looked_at() -> None:
    heat = torch.rand((1, 12, 14), generator=torch.Generator().manual_seed(0))
    whole = Case(
        Model(Ranked(), size=(12, 14)),
        torch.rand(1, 3, 12, 14),
        Class(0),
        Heatmap(heat),
        truth=Truth(boxes=[[(2.0, 3.0, 9.0, 10.0)]]),
    )
    for version in ("v1", "v2"):
        curve = create("metric", "max-box-acc", version=version).curves(whole)[0]
        for level in range(0, 255, 7):
            fixed = create("metric", "max-box-acc", version=version, threshold=(level + 0.5) / 255)
            assert_close(fixed.curves(whole)[0, 0], curve[level])


def test_maps_without_parts_and_pictures_without_boxes() -> None:
    flat = torch.ones(2, *SIZE)
    metric = create("metric", "max-box-acc")
    found = metric(case(flat, Truth(boxes=[[SQUARE], None])))
    assert found[0] == 0 and found[1].isnan()
    with pytest.warns(NotMeasured, match="max-box-acc does not measure picture 0: the object"):
        away = metric(case(flat[:1], Truth(boxes=[[(70.0, 50.0, 90.0, 60.0)]])))
    assert away.isnan().all()  # the object was cropped away
    with pytest.raises(NotExplainable, match="boxes or masks"):
        metric(case(flat, Truth()))
    with pytest.raises(BadField, match="threshold"):
        create("metric", "max-box-acc", threshold=1.0)


def test_a_centred_blob_scores_more_the_larger_the_object_beside_the_middle() -> None:
    rows, cols = (torch.linspace(-1, 1, n) for n in SIZE)
    blob = torch.exp(-(rows[:, None] ** 2 + cols[None] ** 2) / 0.1)[None].clamp(min=0.05)
    sizes = [(18.0, 16.0, 26.0, 22.0), (4.0, 8.0, 40.0, 30.0)]
    ious = [
        create("metric", "max-box-acc").curves(case(blob, Truth(boxes=[[b]]))).amax() for b in sizes
    ]
    assert ious[1] > ious[0]


def error(heat: Tensor, label: int, target: object = 0, **fields: object) -> float:
    truth = Truth(labels=[label], boxes=[[SQUARE]])
    return create("metric", "ilsvrc-localisation", **fields)(case(heat, truth, target)).item()


def test_the_right_label_must_be_among_the_guesses() -> None:
    heat = blocks((20, 10, 30, 20))
    assert error(heat, 2, 2, guesses=1) == 1  # the truth is the third guess
    assert error(heat, 2, 2, guesses=5) == 0
    assert error(heat, 6, 6, guesses=5) == 1
    assert error(heat, 6, 6, guesses=0) == 0  # the label is given
    assert error(heat, 1, 0) == 1  # a right box with the wrong label


def test_the_box_must_overlap_by_more_than_a_half() -> None:
    half = blocks((20, 10, 30, 15))  # 10 x 5 of 10 x 10
    assert error(half, 0) == 1
    assert error(blocks((20, 10, 30, 16)), 0) == 0
    faint = blocks((20, 10, 30, 20)) + 0.19 * blocks((0, 0, 60, 40))
    assert error(faint, 0) == 0 and error(faint, 0, threshold=0.1) == 1
    assert error(-half, 0) == 1  # nothing is positive


def test_targets_without_a_class_name_nothing() -> None:
    assert error(blocks((20, 10, 30, 20)), 0, Axis(0)) == 1
    with pytest.raises(NotExplainable, match="labels"):
        create("metric", "ilsvrc-localisation")(case(blocks(), Truth(boxes=[[SQUARE]])))


def energy(heat: Tensor, truth: Truth) -> Tensor:
    return create("metric", "energy-pointing")(case(heat, truth))


def test_energy_is_the_share_inside_a_wide_box_of_a_picture_that_is_not_square() -> None:
    wide = (10.0, 5.0, 50.0, 15.0)
    truth = Truth(boxes=[[wide]])
    assert_close(energy(torch.ones(1, *SIZE), truth).item(), 400 / 2400)
    assert energy(blocks((10, 5, 50, 15)), truth).item() == 1
    assert energy(blocks((5, 15, 15, 40)), truth).item() == 0  # rows and columns exchanged
    signed = blocks((10, 5, 20, 15)) - 7 * blocks((0, 20, 60, 40)) + blocks((0, 0, 10, 5))
    assert_close(energy(signed, truth).item(), 100 / 150)
    assert energy(torch.zeros(1, *SIZE), truth).isnan().all()
    level = create("metric", "energy-pointing").chance(case(torch.zeros(1, *SIZE), truth))
    assert_close(level.item(), 400 / 2400)


def test_two_boxes_are_one_object_where_they_overlap() -> None:
    truth = Truth(boxes=[[(0.0, 0.0, 20.0, 40.0), (10.0, 0.0, 30.0, 40.0)]])
    assert_close(energy(torch.ones(1, *SIZE), truth).item(), 0.5)


def photograph() -> tuple[Model, Tensor, Truth]:
    """400 x 200 (row, col), its centre square of 200 shown at 50 x 50; the box is in the centre."""
    how = Preprocess(size=(50, 50), resize=50, crop="center")
    model = Model(nn.Sequential(nn.Flatten(), nn.Linear(7500, 2)), how)
    images = model.prepare([Image.fromarray(np.full((400, 200, 3), 128, dtype=np.uint8))])
    return model, images, Truth(labels=[0], boxes=[[(40.0, 140.0, 80.0, 200.0)]])


def test_boxes_are_in_pixels_of_the_photograph() -> None:
    model, images, truth = photograph()
    heat = torch.zeros(1, 50, 50)
    heat[0, 10:25, 10:20] = 1
    shown = Heatmap(heat, images=images, frames=model.frames(images))
    whole = Case(model, images, Class(0), shown, truth=truth)
    assert create("metric", "max-box-acc")(whole).item() == 1
    assert create("metric", "ilsvrc-localisation", guesses=0)(whole).item() == 0
    assert create("metric", "energy-pointing")(whole).item() > 0.95


OF_BOXES = ("pointing", "energy-pointing", "max-box-acc", "ilsvrc-localisation")


def test_a_box_that_the_crop_removed_has_no_number_by_any_metric() -> None:
    model, images, _ = photograph()  # rows 100 to 299 are shown
    shown = Heatmap(torch.rand(1, 50, 50), images=images, frames=model.frames(images))
    for gone in ((40.0, 20.0, 80.0, 100.0), (40.0, 300.0, 80.0, 390.0), (40.0, 99.0, 80.0, 100.0)):
        whole = Case(model, images, Class(0), shown, truth=Truth(labels=[0], boxes=[[gone]]))
        for name in OF_BOXES:
            with pytest.warns(NotMeasured, match=f"{name} does not measure picture 0"):
                assert create("metric", name)(whole).isnan().all()


def test_a_box_over_the_edge_of_the_crop_is_cut_to_it_by_every_metric() -> None:
    model, images, _ = photograph()
    heat = torch.zeros(1, 50, 50)
    heat[0, :10, 10:20] = 1  # rows 100 to 139 and columns 40 to 79 of the photograph
    shown = Heatmap(heat, images=images, frames=model.frames(images))
    over = [(40.0, 20.0, 80.0, 140.0), (0.0, 0.0, 200.0, 90.0)]  # one third seen; not at all
    truth = Truth(labels=[0], boxes=[over])
    whole = Case(model, images, Class(0), shown, truth=truth)
    assert create("metric", "max-box-acc")(whole).item() == 1
    assert create("metric", "ilsvrc-localisation", guesses=0)(whole).item() == 0
    assert create("metric", "pointing", tolerance=0.0)(whole).item() == 1
    assert create("metric", "energy-pointing")(whole).item() > 0.95
    level = create("metric", "energy-pointing").chance(whole)
    assert_close(level.item(), 40 * 40 / 200**2, atol=1e-6, rtol=0)


def test_each_connected_part_of_a_mask_is_an_object_with_its_own_box() -> None:
    mask = np.zeros(SIZE, dtype=bool)
    mask[10:20, 20:30] = mask[30:36, 45:58] = True
    for box in ((20, 10, 30, 20), (45, 30, 58, 36)):
        found = case(blocks(box), Truth(labels=[0], masks=[mask]))
        assert create("metric", "max-box-acc")(found).item() == 1
        assert create("metric", "ilsvrc-localisation")(found).item() == 0
    around = case(blocks((20, 10, 58, 36)), Truth(labels=[0], masks=[mask]))  # around both
    assert create("metric", "max-box-acc")(around).item() == 0
    assert create("metric", "ilsvrc-localisation")(around).item() == 1
    mask[20, 30] = True  # corners touch: still one part, a row and a column larger
    grown = create("metric", "max-box-acc").curves(
        case(blocks((20, 10, 31, 21)), Truth(masks=[mask]))
    )
    assert grown.unique().tolist() == [1.0]


def test_a_drawn_bird_is_one_object_whatever_hides_it() -> None:
    mask = np.zeros(SIZE, dtype=bool)
    mask[10:20, 20:30] = mask[10:20, 32:40] = True  # a branch in front of columns 30 and 31
    truth = Truth(masks=[mask], scenes=[sample(7, 0)])
    found = create("metric", "max-box-acc").curves(case(blocks((20, 10, 40, 20)), truth))
    assert found.unique().tolist() == [1.0]


def test_hits_can_be_averaged_by_class_first() -> None:
    values = torch.tensor([1.0, 1.0, 1.0, 0.0, torch.nan])
    assert class_mean(values, [3, 3, 3, 7, 9]) == 0.5
    assert create("metric", "pointing").summary(values) == 0.75
    assert np.isnan(class_mean(torch.tensor([torch.nan]), [0]))
