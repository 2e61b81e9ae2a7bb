"""The pointing game: tolerance in pixels of the photograph, ties, several objects, and frames."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from sightline import Case, Class, Heatmap, Model, Preprocess, Truth, create
from sightline.errors import BadField, NotExplainable, NotMeasured, ShapeError

BOX = (20.0, 10.0, 30.0, 25.0)  # columns 20 to 29, rows 10 to 24


def model() -> Model:
    return Model(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 96, 2)), size=(64, 96))


def hits(heat: Tensor, truth: Truth, tolerance: float = 15.0) -> list[float]:
    case = Case(model(), torch.zeros(len(heat), 3, 64, 96), Class(0), Heatmap(heat), truth=truth)
    return create("metric", "pointing", tolerance=tolerance)(case).tolist()


def delta(*points: tuple[int, int]) -> Tensor:
    heat = torch.zeros(1, 64, 96)
    for row, col in points:
        heat[0, row, col] = 1
    return heat


@pytest.mark.parametrize(
    ("point", "tolerance", "hit"),
    [
        ((12, 25), 0.0, 1),
        ((10, 20), 0.0, 1),  # the first pixel
        ((24, 29), 0.0, 1),  # the last: right and lower edges are outside
        ((25, 29), 0.0, 0),
        ((24, 30), 0.0, 0),
        ((12, 29 + 15), 15.0, 1),
        ((12, 29 + 16), 15.0, 0),
        ((24 + 9, 29 + 12), 15.0, 1),  # 15 pixels away, diagonally
        ((24 + 10, 29 + 12), 15.0, 0),
    ],
)
def test_a_point_hits_inside_the_box_and_within_the_tolerance(
    point: tuple[int, int], tolerance: float, hit: float
) -> None:
    assert hits(delta(point), Truth(boxes=[[BOX]]), tolerance) == [hit]


def test_equal_peaks_give_the_share_that_hits() -> None:
    truth = Truth(boxes=[[BOX]])
    assert hits(delta((12, 25), (60, 90)), truth) == [0.5]
    assert hits(delta((12, 25), (13, 26), (14, 27), (60, 90)), truth) == [0.75]


def test_any_instance_counts() -> None:
    truth = Truth(boxes=[[BOX, (80.0, 50.0, 96.0, 64.0)]])
    assert hits(delta((55, 85)), truth, 0.0) == [1] and hits(delta((12, 25)), truth, 0.0) == [1]


def test_a_flat_map_misses_and_an_unknown_image_is_nan_beside_the_others() -> None:
    heat = torch.cat([torch.ones(1, 64, 96), delta((12, 25)), delta((12, 25))])
    found = hits(heat, Truth(boxes=[[BOX], None, [BOX]]))
    assert found[0] == 0 and np.isnan(found[1]) and found[2] == 1
    with pytest.raises(NotExplainable, match="boxes or masks"):
        hits(heat, Truth(labels=[0, 1, 1]))


def test_masks_are_as_good_as_boxes() -> None:
    mask = np.zeros((64, 96), dtype=bool)
    mask[10:25, 20:30] = True
    for point, hit in (((12, 25), 1), ((12, 29 + 15), 1), ((12, 29 + 16), 0)):
        assert hits(delta(point), Truth(masks=[mask])) == [hit]


def photographed(tolerance: float, point: tuple[int, int], box: tuple[float, ...]) -> float:
    """A 400 x 200 photograph (row, col), whose centre square of 200 is shown at 50 x 50."""
    how = Preprocess(size=(50, 50), resize=50, crop="center")
    net = Model(nn.Sequential(nn.Flatten(), nn.Linear(7500, 2)), how)
    picture = Image.fromarray(np.full((400, 200, 3), 128, dtype=np.uint8))
    images = net.prepare([picture])
    heat = torch.zeros(1, 50, 50)
    heat[0, point[0], point[1]] = 1
    shown = Heatmap(heat, images=images, frames=net.frames(images))
    case = Case(net, images, Class(0), shown, truth=Truth(boxes=[[box]]))
    return create("metric", "pointing", tolerance=tolerance)(case).item()


def test_boxes_and_tolerance_are_in_pixels_of_the_photograph() -> None:
    # pixel (10, 20) of the input shows rows 140 to 143 and columns 80 to 83 of the photograph
    assert photographed(0.0, (10, 20), (78.0, 138.0, 86.0, 146.0)) == 1
    with pytest.warns(NotMeasured, match="cropped away"):  # where it would be without the crop
        assert np.isnan(photographed(0.0, (10, 20), (78.0, 38.0, 86.0, 46.0)))
    assert photographed(15.0, (10, 20), (95.0, 138.0, 110.0, 146.0)) == 1
    assert photographed(5.0, (10, 20), (95.0, 138.0, 110.0, 146.0)) == 0


def test_a_negative_tolerance_is_refused() -> None:
    with pytest.raises(BadField, match="tolerance"):
        create("metric", "pointing", tolerance=-1.0)


@pytest.mark.parametrize(
    ("truth", "error", "said"),
    [
        ({"masks": [np.ones((10, 10), bool)]}, ShapeError, "a mask of"),
        ({"masks": [np.ones((64, 96), bool)] * 2}, ShapeError, "2 masks for 1 images"),
        ({"boxes": [[(0.0, 0.0, np.inf, 9.0)]]}, BadField, "four finite numbers"),
        ({"boxes": [[(0.0, 0.0, 9.0)]]}, BadField, "four finite numbers"),
        ({"boxes": [[BOX, (30.0, 10.0, 20.0, 25.0)]]}, BadField, "x0 < x1.*30, 10, 20, 25"),
        ({"boxes": [[(20.0, 25.0, 30.0, 10.0)]]}, BadField, "Exchange its corners"),
        ({"boxes": [[(20.0, 10.0, 20.0, 25.0)]]}, BadField, "x0 < x1"),
    ],
)
@pytest.mark.parametrize("name", ["pointing", "max-box-acc", "part-iou"])
def test_truth_that_does_not_fit_is_refused(
    name: str, truth: dict[str, Any], error: type[Exception], said: str
) -> None:
    images = torch.rand(1, 3, 64, 96)
    case = Case(model(), images, Class(0), Heatmap(torch.rand(1, 64, 96)), truth=Truth(**truth))
    with pytest.raises(error, match=said):
        create("metric", name)(case)
    with pytest.raises(error, match=said):
        create("metric", name).measure(case)


def test_truth_may_be_tensors_and_one_box_alone() -> None:
    mask = torch.zeros(64, 96, dtype=torch.bool)
    mask[10:20, 30:50] = True
    images, heat = torch.rand(1, 3, 64, 96), Heatmap(torch.rand(1, 64, 96))
    found = {}
    for key, truth in {
        "array": Truth(masks=[mask.numpy()], parts=[{"wing": mask.numpy()}]),
        "tensor": Truth(masks=[mask], parts=[{"wing": mask}]),
        "boxes": Truth(boxes=[[(30.0, 10.0, 50.0, 20.0)]]),
        "alone": Truth(boxes=[(30.0, 10.0, 50.0, 20.0)]),
    }.items():
        case = Case(model(), images, Class(0), heat, truth=truth)
        found[key] = create("metric", "energy-pointing")(case).item()
    assert found["array"] == found["tensor"] == pytest.approx(found["boxes"])
    assert found["boxes"] == found["alone"]


@pytest.mark.parametrize("high", [True, 1, 7, 255, 0.25])
def test_a_mask_of_two_values_means_the_same_whatever_they_are(high: Any) -> None:
    inside = np.zeros((64, 96), dtype=type(high))
    inside[10:25, 20:30] = high
    (mask,) = Truth(masks=[inside]).masks or ()
    assert mask.dtype == bool and mask.sum() == 150 and mask[10, 20] and not mask[9, 20]
    parts = Truth(parts=[{"wing": torch.from_numpy(inside)}]).parts or [{}]
    assert np.array_equal(parts[0]["wing"], mask)


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.linspace(0, 1, 12).reshape(3, 4), "12 values from 0 to 1.*mask > 0.5"),
        (np.array([[0, 3, 252, 255]], dtype=np.uint8), "4 values from 0 to 255.*mask > 127"),
        (np.array([[0, 1, 2]]), "3 values from 0 to 2.*mask == 3"),
        (np.array([[1, 2]]), "2 values from 1 to 2"),
        (np.array([[0, -1]]), "2 values from -1 to 0"),
        (np.array([[0.0, np.nan]]), "is True inside"),
    ],
)
def test_masks_without_a_clear_edge_are_refused(mask: np.ndarray, said: str) -> None:
    with pytest.raises(BadField, match=said):
        Truth(masks=[mask])
    with pytest.raises(BadField, match=f"the mask of 'wing'.*{said}"):
        Truth(parts=[{"wing": mask}])
