"""Regions as masks: pieces, boxes, regions elsewhere, and their text."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.errors import BadField
from sightline.pictures.areas import (
    above,
    box_mask,
    box_of,
    decode,
    elsewhere,
    encode,
    largest_piece,
)


def disc(side: int = 20) -> np.ndarray:
    rows, cols = np.mgrid[:side, :side]
    return (rows - 6) ** 2 + (cols - 12) ** 2 < 16


def test_the_largest_piece_and_its_box() -> None:
    mask = np.zeros((6, 8), bool)
    mask[0, 0:2] = mask[3:6, 4:7] = True
    assert box_of(mask) == (0, 0, 7, 6)
    assert box_of(largest_piece(mask)) == (4, 3, 7, 6)
    assert box_of(np.zeros((3, 3), bool)) == (0, 0, 0, 0)


def test_a_box_holds_the_pixels_whose_centre_is_in_it() -> None:
    assert box_mask((1.4, 0, 3.6, 2), (4, 5)).sum() == 2 * 3
    assert box_of(box_mask((1, 2, 4, 3), (5, 5))) == (1, 2, 4, 3)


def test_above_a_share_of_the_maximum_and_empty_where_nothing_is_positive() -> None:
    heat = torch.tensor([[0.0, 1.0, 0.1], [0.0, 0.3, 0.0], [0.5, 0.0, 0.0]])
    assert above(heat, 0.2).tolist() == [[False, True, False], [False, True, False], [False] * 3]
    assert not above(-heat, 0.2).any()


def test_regions_elsewhere_have_the_same_area_and_miss_the_mask() -> None:
    mask = disc()
    found = elsewhere(mask, 30, 0, "a test").numpy()
    assert found.shape == (30, 20, 20) and (found.sum((1, 2)) == mask.sum()).all()
    assert not (found & mask).any()
    assert len({one.tobytes() for one in found}) > 25
    again = elsewhere(mask, 30, 0, "a test").numpy()
    assert (again == found).all()
    assert not (elsewhere(mask, 30, 1, "a test").numpy() == found).all()


def test_most_regions_elsewhere_are_in_one_piece() -> None:
    found = elsewhere(disc(), 30, 0, "a test").numpy()
    whole = [largest_piece(one).sum() == one.sum() for one in found]
    assert np.mean(whole) > 0.8


def test_where_there_is_no_room_it_is_said() -> None:
    with pytest.raises(BadField, match="no room"):
        elsewhere(np.ones((4, 4), bool), 5, 0, "a test")


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=6))
def test_a_mask_survives_as_text(rows: list[list[bool]]) -> None:
    mask = np.array(rows, bool)
    assert (decode(encode(mask)) == mask).all()


def test_another_text_is_no_mask() -> None:
    with pytest.raises(BadField, match="no mask as text"):
        decode("3 3 what")
    with pytest.raises(BadField, match="no mask as text"):
        decode("3 3 4")
