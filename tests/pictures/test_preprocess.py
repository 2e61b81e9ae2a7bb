"""The network sees what torchvision and timm would show it, and maps come back to their place."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from sightline.errors import BadField, BadImage, NotExplainable, ShapeError
from sightline.pictures.preprocess import Frame, Opaque, Preprocess
from sightline.pictures.reading import Picture

SIDES = st.integers(1, 300)
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def picture(rows: int, cols: int, seed: int = 0) -> Picture:
    array = np.random.default_rng(seed).integers(0, 256, (rows, cols, 3), dtype=np.uint8)
    return Picture(array, "noise")


@settings(deadline=None, max_examples=30)
@given(
    SIDES,
    SIDES,
    st.integers(8, 120),
    st.integers(8, 120),
    st.sampled_from(["bilinear", "bicubic", "nearest"]),
)
def test_resize_and_crop_are_those_of_torchvision_bit_for_bit(rows, cols, side, kept, way):
    assume(max(rows, cols) / min(rows, cols) < 40)
    theirs = transforms.Compose(
        [
            transforms.Resize(side, InterpolationMode(way)),
            transforms.CenterCrop(kept),
            transforms.ToTensor(),
        ]
    )
    ours = Preprocess(size=(kept, kept), resize=side, interpolation=way)
    image = picture(rows, cols)
    assert torch.equal(ours.prepare(image), theirs(image.pil()))


@settings(deadline=None, max_examples=30)
@given(
    SIDES,
    SIDES,
    st.tuples(st.integers(8, 90), st.integers(8, 90)),
    st.sampled_from([0.8, 0.875, 0.95, 1.0]),
    st.sampled_from([None, "squash", "border"]),
    st.sampled_from(["bilinear", "bicubic"]),
)
def test_resize_and_crop_are_those_of_timm_bit_for_bit(rows, cols, size, part, mode, way):
    assume(max(rows, cols) / min(rows, cols) < 8)
    options = {"crop_pct": part, "crop_mode": mode, "interpolation": way, "mean": (0.5, 0.4, 0.3)}
    theirs = create_transform((3, *size), is_training=False, std=(1.0, 1.0, 1.0), **options)
    fields = {
        None: {"crop": part},
        "squash": {"resize": tuple(math.floor(s / part) for s in size), "fit": "stretch"},
        "border": {
            "resize": tuple(math.floor(s / part) for s in size),
            "fit": "contain",
            "fill": (0.5, 0.4, 0.3),
        },
    }[mode]
    ours = Preprocess(size=size, interpolation=way, **fields)
    image = picture(rows, cols)
    expected = theirs(image.pil()) + torch.tensor([0.5, 0.4, 0.3])[:, None, None]
    torch.testing.assert_close(ours.prepare(image), expected, rtol=0, atol=1e-6)


def test_an_unknown_transform_runs_but_has_no_way_back():
    opaque = Opaque(lambda image: torch.ones(3, image.height, image.width))
    assert opaque.prepare(picture(5, 7)).shape == (3, 5, 7)
    with pytest.raises(NotExplainable, match="geometry"):
        opaque.frame((5, 7))
    assert "unknown" in opaque.describe() and opaque.to_json()


def test_an_unknown_transform_that_fails_or_gives_no_image_is_an_error():
    with pytest.raises(BadField, match="ZeroDivisionError"):
        Opaque(lambda image: 1 / 0).prepare(picture(5, 7))
    for made in (torch.ones(5, 7), torch.ones(3, 5, 7, dtype=torch.uint8), "tensor", None):
        with pytest.raises(ShapeError, match="float tensor"):
            Opaque(lambda image, made=made: made).prepare(picture(5, 7))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"size": 224}, {"size": (224, 224), "resize": 224, "fit": "cover"}),
        ({"size": 224, "crop": 0.875}, {"size": (224, 224), "resize": 256, "crop": "center"}),
        ({"size": 256, "crop": 224}, {"size": (224, 224), "resize": 256, "crop": "center"}),
        ({"size": 224, "crop": 224, "resize": 256}, {"size": (224, 224), "resize": 256}),
        ({"size": 224, "crop": None}, {"fit": "stretch", "resize": (224, 224)}),
        ({"size": (90, 60), "crop": 0.9}, {"resize": (100, 66), "fit": "cover"}),
        ({"size": 64, "resize": (80, 80)}, {"fit": "stretch", "resize": (80, 80)}),
        ({"size": None, "crop": None}, {"fit": "keep", "resize": None}),
        ({"size": 9, "channels": 1, "mean": (0.1, 0.2, 0.3)}, {"mean": (pytest.approx(0.2),)}),
    ],
)
def test_short_forms_stand_for_whole_ones(fields, expected):
    made = Preprocess(**fields)
    assert {name: getattr(made, name) for name in expected} == expected
    assert Preprocess(**made.to_json()) == made
    assert made.describe().count("\n") == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"size": 0},
        {"size": [3, 4, 5]},
        {"size": 9, "mean": (1, 2), "std": (1, 2, 3)},
        {"size": 9, "std": 0},
        {"size": 9, "mean": math.nan},
        {"size": 9, "crop": "left"},
        {"size": 9, "crop": -1},
        {"size": None, "crop": 0.9},
        {"size": None, "crop": "center"},
        {"size": 9, "crop": None, "resize": 12},
        {"size": 9, "interpolation": "cubic"},
        {"size": 9, "channels": 0},
    ],
)
def test_fields_that_make_no_sense_are_refused(fields):
    with pytest.raises(BadField, match=r"expected|needs|pictures have"):
        Preprocess(**fields)


PREPARATIONS = st.sampled_from(
    [
        Preprocess(size=56, resize=64),
        Preprocess(size=56),
        Preprocess(size=(40, 72), crop=0.9),
        Preprocess(size=(72, 40), crop=None),
        Preprocess(size=48, resize=(60, 90)),
        Preprocess(size=56, resize=64, fit="contain"),
        Preprocess(size=56, fit="keep"),
        Preprocess(size=None, crop=None),
    ]
)


@settings(deadline=None, max_examples=30)
@given(PREPARATIONS, SIDES, SIDES, st.floats(0, 1), st.floats(0, 1))
def test_points_and_boxes_go_there_and_back(prepare, rows, cols, down, right):
    frame = prepare.frame((rows, cols))
    point = np.array([[down * rows, right * cols]])
    np.testing.assert_allclose(
        frame.points_to_original(frame.points_to_model(point)), point, atol=1e-6
    )
    box = (0.0, 1.0, right * cols + 1, down * rows + 2)
    assert frame.box_to_original(frame.box_to_model(box)) == pytest.approx(box, abs=1e-6)
    assert frame.box_to_original((0, 0, *frame.size[::-1])) == pytest.approx(frame.box, abs=1e-6)
    assert Frame.from_json(frame.to_json()) == frame


@settings(deadline=None, max_examples=40)
@given(PREPARATIONS, st.integers(12, 300), st.integers(12, 300), st.integers(0, 10**6))
def test_a_mark_on_the_picture_is_found_again_on_the_map_within_half_a_pixel(
    prepare, rows, cols, seed
):
    """A smooth bump is drawn, prepared as the network would see it, and put back."""
    y, x = np.random.default_rng(seed).uniform((0.3, 0.3), (0.7, 0.7)) * (rows, cols)
    spread = 0.08 * min(rows, cols)
    frame = prepare.frame((rows, cols))
    inside = frame.points_to_model(
        np.array([[y - 4 * spread, x - 4 * spread], [y + 4 * spread, x + 4 * spread]])
    )
    assume(inside.min() > 1 and (inside[1] < np.array(frame.size) - 2).all())
    assume(np.ptp(inside, axis=0).min() > 10)  # the input must be able to show it
    rr, cc = np.mgrid[:rows, :cols]
    bump = np.exp(-((rr - y) ** 2 + (cc - x) ** 2) / 2 / spread**2)
    drawn = Picture(np.repeat(np.rint(255 * bump).astype(np.uint8)[..., None], 3, 2), "bump")
    back = np.nan_to_num(frame.to_original(prepare.prepare(drawn)[0]))
    found = [(back * axis).sum() / back.sum() for axis in (rr, cc)]
    assert abs(found[0] - y) < 0.5 and abs(found[1] - x) < 0.5


@settings(deadline=None, max_examples=30)
@given(PREPARATIONS, SIDES, SIDES)
def test_what_was_not_seen_is_nan_and_the_rest_is_finite(prepare, rows, cols):
    frame = prepare.frame((rows, cols))
    whole = frame.to_original(torch.ones(frame.size))
    assert whole.shape == (rows, cols) and whole.dtype == np.float32
    seen = np.isfinite(whole)
    np.testing.assert_allclose(whole[seen], 1, rtol=1e-5)
    x0, y0, x1, y1 = frame.box
    if x1 - x0 > 1 and y1 - y0 > 1:
        centres = [np.arange(n) + 0.5 for n in (rows, cols)]
        expected = np.outer((y0 - 1e-6 <= centres[0]) & (centres[0] <= y1 + 1e-6),
                            (x0 - 1e-6 <= centres[1]) & (centres[1] <= x1 + 1e-6))  # fmt: skip
        np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize(
    "size", [(341, 256), (256, 341), (200, 2000), (2000, 200), (60, 45), (1, 1), (1, 30), (3000, 7)]
)
@pytest.mark.parametrize("place", [(0, 0), (30, 111), (112, 112), (223, 5)])
def test_a_delta_lands_where_its_pixel_looked(size, place):
    frame = Preprocess(size=224, crop=0.875).frame(size)
    delta = torch.zeros(224, 224)
    delta[place] = 1
    back = np.nan_to_num(frame.to_original(delta))
    assert back.max() > 0
    x0, y0, x1, y1 = frame.box_to_original((place[1], place[0], place[1] + 1, place[0] + 1))
    row, col = np.unravel_index(back.argmax(), back.shape)
    assert y0 - 1 - (y1 - y0) <= row + 0.5 <= y1 + 1 + (y1 - y0)  # the nearest pixel that is seen
    assert x0 - 1 - (x1 - x0) <= col + 0.5 <= x1 + 1 + (x1 - x0)


def test_enlarging_is_bilinear_between_pixel_centres():
    frame = Preprocess(size=(1, 2), crop=None).frame((1, 8))
    back = frame.to_original(np.array([[0.0, 1.0]], np.float32))
    np.testing.assert_allclose(back[0], [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1], atol=1e-6)


def test_a_coarse_map_covers_the_whole_input():
    frame = Preprocess(size=224, resize=256).frame((480, 640))
    back = frame.to_original(torch.ones(7, 7))
    assert np.isfinite(back).mean() == pytest.approx((224 / 256) ** 2 * 480 / 640, abs=0.01)
    assert np.isnan(back[0]).all() and np.isnan(back[:, 0]).all()


def test_a_padded_picture_gets_all_of_its_pixels_back():
    prepare = Preprocess(size=64, fit="keep")
    image = picture(20, 33)
    frame = prepare.frame(image.size)
    back = frame.to_original(prepare.prepare(image)[0])
    np.testing.assert_allclose(back, image.array[..., 0] / 255, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 30000), (30000, 3)])
def test_a_very_long_picture_does_not_fill_the_memory(size):
    array = np.zeros((*size, 3), np.uint8)
    array[size[0] // 3 :, size[1] // 3 :] = 255
    made = Preprocess(size=224, resize=256).prepare(Picture(array, "long"))
    assert made.shape == (3, 224, 224) and made.min() >= 0 and made.max() <= 1
    with pytest.raises(BadImage, match="antialias"):
        Preprocess(size=224, antialias=False).prepare(Picture(array, "long"))


def test_the_window_of_a_long_picture_is_that_of_the_whole_one(monkeypatch):
    prepare, image = Preprocess(size=224, resize=256), picture(40, 400)
    whole = prepare.prepare(image)
    monkeypatch.setattr("sightline.pictures.preprocess.WHOLE", 1)
    torch.testing.assert_close(prepare.prepare(image), whole, rtol=0, atol=1.01 / 255)


def test_preparing_leaves_the_picture_alone():
    image = picture(30, 40)
    before = image.array.copy()
    Preprocess(size=16).prepare(image).zero_()
    Preprocess(size=None, crop=None).prepare(image).zero_()
    np.testing.assert_array_equal(image.array, before)
    assert Image.fromarray(before).size == (40, 30)
