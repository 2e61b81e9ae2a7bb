"""Overlays and outlines: nothing found means nothing drawn, and the lines hold what they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sightline.views import paint

PICTURE = np.full((8, 12, 3), 120, dtype=np.uint8)


def blob(rows: int = 40, cols: int = 60) -> np.ndarray:
    y, x = np.mgrid[0:rows, 0:cols]
    return np.exp(-((y - 15) ** 2 + (x - 25) ** 2) / 60).astype(np.float32)


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_a_map_without_differences_leaves_the_picture_as_it_is(value: float) -> None:
    flat = np.full((4, 6), value, dtype=np.float32)
    assert (paint.overlay(PICTURE, flat) == PICTURE).all()


def test_the_strongest_place_changes_most() -> None:
    values = np.zeros((8, 12), dtype=np.float32)
    values[2, 3], values[5, 6] = 1.0, 0.2
    change = np.abs(paint.overlay(PICTURE, values).astype(int) - 120).sum(-1)
    assert change[2, 3] > change[5, 6] > 0 == change[0, 0]


def test_bytes_and_shares_and_grey_give_the_same_overlay() -> None:
    values = blob(8, 12)
    grey = PICTURE[..., 0]
    expected = paint.overlay(PICTURE, values)
    assert (paint.overlay(PICTURE / 255.0, values) == expected).all()
    assert (paint.overlay(grey, values) == expected).all()


def test_a_normalised_picture_is_stretched_to_what_can_be_seen() -> None:
    plain = np.random.default_rng(0).random((6, 5, 3)).astype(np.float32)
    plain[0, 0], plain[5, 4] = 0, 1
    wanted = paint.as_bytes(plain)
    for other in (plain, (plain - 0.45) / 0.2, plain + 3e-4):  # rounding is no reason to stretch
        assert np.abs(paint.visible_pixels(other).astype(int) - wanted).max() <= 1
    assert (
        paint.visible_pixels(plain[..., :2]).shape
        == paint.visible_pixels(np.full((6, 5, 1), 7.0)).shape
        == (6, 5, 3)
    )
    assert (paint.visible_pixels(wanted) == wanted).all()


def test_pixels_that_the_model_did_not_see_are_dimmed_not_coloured() -> None:
    values = np.ones((8, 12), dtype=np.float32)
    values[:, 0] = np.nan
    values[3, 3] = 2.0
    drawn = paint.overlay(PICTURE, values)
    assert (drawn[:, 0] != 120).all()
    assert (drawn[0, 5] == 120).all()


def test_each_scale_says_what_it_promises() -> None:
    maps = [np.array([[0.0, 1.0]], dtype=np.float32), np.array([[0.5, 4.0]], dtype=np.float32)]
    assert paint.limits(maps) == [(0.0, 1.0), (0.5, 4.0)]
    assert paint.limits(maps, "shared") == [(0.0, 4.0)] * 2
    assert paint.limits(maps, "symmetric") == [(-1.0, 1.0), (-4.0, 4.0)]
    assert paint.limits(maps, (0.0, 2.0)) == [(0.0, 2.0)] * 2


def test_a_map_with_both_signs_gets_zero_in_the_middle() -> None:
    assert paint.limits([np.array([[-3.0, 1.0]], dtype=np.float32)]) == [(-3.0, 3.0)]


def test_the_areas_inside_the_levels_hold_a_quarter_half_and_three_quarters() -> None:
    values = blob()
    levels = paint.mass_levels(values)
    held = [values[values >= level].sum() / values.sum() for level in levels]
    assert held == pytest.approx([0.25, 0.5, 0.75], abs=0.02)


def test_a_floor_that_every_place_has_is_no_evidence() -> None:
    assert paint.area_of_mass(blob() + np.float32(5)) == pytest.approx(
        paint.area_of_mass(blob()), rel=0.05
    )


def test_an_empty_map_has_no_levels_no_outlines_and_no_area() -> None:
    empty = -blob()
    assert paint.mass_levels(empty) == [] == paint.outlines(empty)
    assert paint.area_of_mass(empty) == 0.0


def test_the_outline_of_a_mask_runs_along_its_border() -> None:
    mask = np.zeros((10, 20), dtype=np.float32)
    mask[2:6, 4:16] = 1
    (line,) = paint.trace_level(mask, 0.5)
    x, y = line.T
    assert (x.min(), x.max()) == pytest.approx((0.2, 0.8), abs=0.03)
    assert (y.min(), y.max()) == pytest.approx((0.2, 0.6), abs=0.05)


def test_a_mask_that_touches_the_border_still_has_a_closed_outline() -> None:
    (line,) = paint.trace_level(np.ones((4, 4), dtype=np.float32), 0.5)
    assert (line[0] == line[-1]).all()
    assert paint.svg_path([line], (100, 100)).startswith("M")


FINITE = st.floats(-1e6, 1e6, width=32)


@given(arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=FINITE))
def test_any_finite_map_can_be_drawn(values: np.ndarray) -> None:
    assert paint.overlay(PICTURE, values).shape == PICTURE.shape
    assert all(len(line) for lines in paint.outlines(values) for line in lines)
