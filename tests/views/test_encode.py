"""What a page carries: maps come back to within half a step, pictures stay small."""

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.views import encode

SIDES = st.tuples(st.integers(112, 120), st.integers(1, 130))


@given(SIDES, st.integers(0, 2**32 - 1), st.floats(-50, 50), st.floats(0, 100))
def test_a_map_comes_back_to_within_half_a_step(
    sides: tuple[int, int], seed: int, low: float, span: float
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.uniform(low, low + span, sides).astype(np.float32)
    sent = encode.heat(values)
    step = (sent["high"] - sent["low"]) / 255
    assert np.abs(encode.heat_back(sent) - values).max() <= step / 2 + 1e-4


def test_a_constant_map_comes_back_exactly() -> None:
    values = np.full((112, 112), 0.3, dtype=np.float32)
    assert (encode.heat_back(encode.heat(values)) == values).all()


def test_a_large_map_is_averaged_down_and_a_coarse_one_enlarged() -> None:
    large = encode.fit(np.ones((900, 300), dtype=np.float32), 224)
    coarse = encode.fit(np.ones((7, 5), dtype=np.float32), 224)
    assert large.shape == (224, 75)
    assert coarse.shape == (112, 80)


def test_a_smooth_map_packs_far_better_than_its_pixels() -> None:
    y, x = np.mgrid[0:224, 0:224] / 224
    smooth = np.exp(-((y - 0.4) ** 2 + (x - 0.6) ** 2) / 0.02).astype(np.float32)
    assert len(encode.heat(smooth)["data"]) < 224 * 224 / 3


@pytest.mark.parametrize(("side", "form"), [(128, "png"), (900, "jpeg")])
def test_small_drawings_lose_nothing_and_photographs_are_jpeg(side: int, form: str) -> None:
    address = encode.picture(np.zeros((side, side, 3), dtype=np.uint8), long_side=720)
    head, data = address.split(",")
    assert head == f"data:image/{form};base64"
    assert len(base64.b64decode(data)) > 100
