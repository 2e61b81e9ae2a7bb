"""Maps over the user's photograph: where they lie, what is dimmed, and what stands on the plate."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sightline as sl
from sightline import registry
from sightline.errors import BadField, UnknownName
from sightline.views import paint
from sightline.views.overlay import captions, plate
from sightline.views.overlay.photograph import Photograph, painted, photograph
from sightline.views.overlay.style import Style
from sightline.views.scale import ramp


class _Mean(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


def _explained(size: tuple[int, int], **preprocess: Any) -> sl.Heatmap:
    """A gradient of a picture of (rows, cols), cut to the middle 32 x 32 of a short side of 40."""
    rng = np.random.default_rng(0)
    array = rng.integers(60, 200, (*size, 3), dtype=np.uint8)
    known = sl.Preprocess(size=32, resize=40, crop="center", **preprocess)
    return sl.explain(sl.Model(_Mean(), known), array, "input-x-gradient", 0)


def _opened(heat: sl.Heatmap, **options: Any) -> np.ndarray:
    data = registry.view(sl.Heatmap, "png")(heat, 0, ".png", **options)
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((500, 400), (500, 400)),
        ((3200, 1000), (1600, 500)),
        ((1000, 4000), (400, 1600)),
        ((200, 100), (400, 200)),
        ((40, 40), (360, 360)),
        ((1, 1), (360, 360)),
    ],
)
def test_a_picture_is_shown_in_full_at_its_own_size(
    size: tuple[int, int], shown: tuple[int, int]
) -> None:
    assert _opened(_explained(size), caption=False, scale=False).shape[:2] == shown


def test_the_map_lies_where_the_model_saw_it_and_the_rest_is_dimmed() -> None:
    heat = _explained((400, 800))  # the short side of 400 becomes 40: the crop is 320 x 320
    photo = photograph(heat, 0)
    assert photo.seen == (240, 40, 560, 360)
    drawn = _opened(heat, caption=False, scale=False)
    outside = np.ones((400, 800), bool)
    outside[38:362, 238:562] = False  # the crop and the line around it
    plain = heat.pictures[0].array
    assert (drawn[outside] == paint.dimmed(plain)[outside]).all()
    assert drawn[outside].mean() < 0.6 * plain[outside].mean()
    laid = photo.laid(heat.numpy()[0])
    assert np.isnan(laid[outside]).all() and np.isfinite(laid[40:360, 240:560]).all()


def test_a_spot_of_the_map_is_the_brightest_place_of_the_photograph() -> None:
    heat = _explained((400, 800))
    values = torch.zeros(1, 32, 32)
    values[0, 8, 24] = 1.0  # a quarter down, three quarters across the crop
    moved = sl.Heatmap(values, images=heat.images, pictures=heat.pictures, frames=heat.frames)
    laid = photograph(moved, 0).laid(moved.numpy()[0])
    row, col = np.unravel_index(np.nanargmax(laid), laid.shape)
    assert abs(row - (40 + 8.5 * 10)) <= 5 and abs(col - (240 + 24.5 * 10)) <= 5


def test_where_the_geometry_is_unknown_the_models_own_frame_is_shown(tmp_path) -> None:
    heat = sl.explain(_Mean(), torch.rand(1, 3, 400, 420), "gradient", 0)
    assert photograph(heat, 0).seen is None
    assert _opened(heat, caption=False, scale=False).shape == (400, 420, 3)
    known = _explained((400, 800))
    loaded = sl.Heatmap.load(known.save(tmp_path / "kept"))
    assert _opened(loaded, caption=False, scale=False).shape == (384, 384, 3)


def test_small_pictures_keep_their_squares_and_larger_ones_are_smoothed() -> None:
    array = np.zeros((32, 32, 3), np.uint8)
    array[::2] = 200
    heat = sl.Heatmap(
        torch.zeros(1, 32, 32), images=torch.tensor(array / 255.0).permute(2, 0, 1)[None].float()
    )
    assert set(np.unique(photograph(heat, 0).pixels)) == {0, 200}


def _heat(values: np.ndarray, **told: Any) -> sl.Heatmap:
    facts = {
        "method": "grad-cam",
        "layer": "block.2",
        "target_label": ["wren"],
        "probability": [0.93],
    }
    native = told.pop("native", None)
    return sl.Heatmap(
        torch.tensor(values, dtype=torch.float32)[None],
        native=None if native is None else torch.tensor(native, dtype=torch.float32)[None],
        images=torch.full((1, 3, *values.shape), 0.5),
        provenance={**facts, **told},
    )


BLOB = np.exp(-((np.mgrid[:40, :50][0] - 12) ** 2 + (np.mgrid[:40, :50][1] - 30) ** 2) / 60.0)


def test_the_caption_names_class_probability_method_and_layer() -> None:
    told = captions.caption(_heat(BLOB), 0)
    assert told.title.replace("\u202f", " ") == "wren (93 %)"
    assert (told.detail, told.note) == ("grad-cam, layer block.2", "")
    assert captions.caption(_heat(BLOB, target="-Class(3)"), 0).title.startswith("against wren")
    assert captions.caption(_heat(BLOB, target_label=["3"]), 0).title.startswith("class 3")
    assert captions.caption(_heat(BLOB, target_label=[None]), 0).title == ""


def test_a_map_without_anything_positive_says_so_and_shows_its_signed_form() -> None:
    empty = _heat(0 * BLOB, native=-BLOB[::8, ::8])
    note = captions.caption(empty, 0).note
    assert note == "Nothing is positive for wren. Blue is evidence against it."
    drawn = _opened(empty, caption=False, scale=False)
    spot, corner = drawn[12 * 8, 30 * 8].astype(int), drawn[-1, 0].astype(int)
    assert spot[2] > spot[0] + 30 and np.abs(corner - 128).max() <= 12
    bare = _heat(0 * BLOB)
    assert captions.caption(bare, 0).note == "Nothing is positive for wren."
    assert (_opened(bare, caption=False, scale=False) == 128).all()  # no blue rectangle
    assert "same value everywhere (0.70)" in captions.caption(_heat(0 * BLOB + 0.7), 0).note


def test_a_refused_picture_is_dimmed_and_says_why_below() -> None:
    gone = _heat(np.full_like(BLOB, np.nan), refused=["no evidence. Try another target."])
    assert captions.caption(gone, 0).note == "No result: no evidence. Try another target."
    bare = _opened(gone, caption=False)
    assert bare.shape[0] == 400 - 80 and len(np.unique(bare)) == 1 and bare[0, 0, 0] < 90
    assert _opened(gone).shape[0] > bare.shape[0]


def test_plate_and_scale_stand_below_the_picture_and_can_be_left_out() -> None:
    heat = _heat(BLOB)
    bare = _opened(heat, caption=False, scale=False)
    for options in ({}, {"caption": False}, {"scale": False}):
        drawn = _opened(heat, **options)
        assert drawn.shape[0] > bare.shape[0] and (drawn[: len(bare)] == bare).all()
    heights = [len(_opened(heat, **o)) for o in ({}, {"caption": False}, {"scale": False})]
    assert heights[0] > max(heights[1:])


def test_the_type_grows_with_the_picture() -> None:
    told, own = captions.Caption("wren", "grad-cam"), ramp(BLOB.astype(np.float32))
    added = [
        len(plate.plated(np.zeros((side, side, 3), np.uint8), told, own, Style())) - side
        for side in (360, 800, 1600)
    ]
    assert added[2] > added[1]
    words = [plate.wrapped(f"{'long ' * 400}", plate._font(20), room, 3) for room in (300, 900)]
    assert all(len(lines) == 3 and lines[-1].endswith("…") for lines in words)


def test_no_line_of_a_long_label_is_wider_than_its_room() -> None:
    font = plate._font(14, bold=True)
    lines = plate.wrapped("silicovolcanoconiosis" * 6 + " and more", font, 200, 9)
    assert all(font.getlength(line) <= 200 for line in lines)
    assert "".join(lines).replace(" ", "").startswith("silicovolcanoconiosis" * 6)


def test_style_changes_colours_opacity_and_lines() -> None:
    heat = _heat(BLOB)
    plain = _opened(heat, caption=False, scale=False).astype(int)
    for style in (
        dict(colormap="viridis"),
        dict(opacity=0.3),
        dict(contours=True),
        Style(opacity=1.0),
    ):
        other = _opened(heat, caption=False, scale=False, style=style).astype(int)
        assert np.abs(other - plain).max() > 20
    clear = _opened(heat, caption=False, scale=False, style=dict(opacity=0))
    assert (clear == 128).all()


@pytest.mark.parametrize("name", ["jet", "rainbow", "nope", 3])
def test_a_colour_map_that_misleads_or_is_not_there_is_refused(name: Any) -> None:
    with pytest.raises(BadField, match="inferno, viridis, cividis or grey"):
        Style.of({"colormap": name})


def test_what_a_style_or_a_picture_does_not_take_is_named(tmp_path) -> None:
    heat = _heat(BLOB)
    with pytest.raises(UnknownName, match="no 'colourmap'; did you mean 'colormap'"):
        heat.save(tmp_path / "x.png", style=dict(colourmap="grey"))
    with pytest.raises(UnknownName, match="no option 'captions'; did you mean 'caption'"):
        heat.save(tmp_path / "x.png", captions=False)
    with pytest.raises(UnknownName, match="no option 'colour'"):
        heat.figure(colour=3)
    with pytest.raises(BadField, match="only pictures"):
        heat.save(tmp_path / "x.json", caption=False)
    for bad in ({"opacity": 2}, {"opacity": True}, {"contours": 1}, {"colormap": None}):
        with pytest.raises(BadField):
            Style.of(bad)
    with pytest.raises(BadField, match="a style is a dict"):
        Style.of("viridis")  # type: ignore[arg-type]
    with pytest.raises(BadField, match="scale='shred'; did you mean 'shared'"):
        heat.save(tmp_path / "x.png", scale="shred")
    for ends in ((1, 0), (0, "a"), (0, 1, 2), (0, float("nan")), 3):
        with pytest.raises(BadField, match="the lower one first"):
            heat.save(tmp_path / "x.png", scale=ends)
    heat.save(tmp_path / "x.png", scale=[0, np.float32(2)])


def test_page_file_and_figure_have_one_rule() -> None:
    values = (BLOB - 0.2 * BLOB[::-1]).astype(np.float32)
    for map_ in (values, BLOB.astype(np.float32)):
        own = ramp(map_)
        photo = Photograph(np.full((40, 50, 3), 128, np.uint8))
        assert (painted(photo, map_, own, Style()) == paint.overlay(photo.pixels, map_)).all()


def test_a_colour_is_the_share_of_the_evidence_below() -> None:
    values = np.array([[0.0, 1.0, 2.0, 1.0, 4.0]], np.float32)
    assert ramp(values).places(values)[0] == pytest.approx([0, 0.25, 0.5, 0.25, 1])
    raised = values + 3  # a floor that every place has is no evidence
    assert ramp(raised).places(raised)[0] == pytest.approx([0, 0.25, 0.5, 0.25, 1])
    signed = np.array([[-4.0, 0.0, 1.0, 3.0]], np.float32)
    assert ramp(signed).places(signed)[0] == pytest.approx([-1, 0, 0.125, 0.5])
    assert np.isnan(ramp(values).places(np.array([[np.nan]], np.float32))).all()


def test_raw_scales_are_linear_and_say_their_ends() -> None:
    values = np.array([[0.0, 1.0, 4.0]], np.float32)
    assert ramp(values, "per-image").places(values)[0] == pytest.approx([0, 0.25, 1])
    assert ramp(values, (0.0, 2.0)).places(values)[0] == pytest.approx([0, 0.5, 1])
    assert ramp(values, "symmetric").signed
    assert ramp(values, "per-image").ends == ("0", "2.0", "4.0")
    assert ramp(values).ends[0] == "0" and ramp(values).ends[2].startswith("100")
