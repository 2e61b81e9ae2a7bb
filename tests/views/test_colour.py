"""Colours: limits, opacity, and that weak never looks stronger than strong."""

import numpy as np
import pytest

from sightline.views import colour


def luminance(pixels: np.ndarray) -> np.ndarray:
    linear = (pixels[..., :3] / 255.0) ** 2.2
    return linear @ np.array([0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("name", ["magnitude", "similarity"])
def test_a_sequential_map_only_gets_lighter(name: str) -> None:
    assert (np.diff(luminance(colour.table(name))) >= -1e-3).all()


def test_the_magnitude_map_is_inferno_to_within_a_step_of_eight_bits() -> None:
    from matplotlib import colormaps

    inferno = colormaps["inferno"](np.linspace(0, 1, 256))[:, :3] * 255
    assert np.abs(colour.table("magnitude").astype(float) - inferno).max() < 4


def test_opacity_follows_magnitude_and_starts_at_nothing() -> None:
    values = np.linspace(0, 2, 9, dtype=np.float32)[None]
    alpha = colour.magnitude(values, 0.0, 2.0)[0, :, 3]
    assert alpha[0] == 0 and alpha[-1] == 255
    assert (np.diff(alpha.astype(int)) > 0).all()


def test_values_outside_the_limits_take_the_colour_of_the_limit() -> None:
    values = np.array([[-5.0, 9.0]], dtype=np.float32)
    assert (
        colour.magnitude(values, 0.0, 1.0) == colour.magnitude(values.clip(0, 1), 0.0, 1.0)
    ).all()


def test_signed_is_clear_at_zero_red_for_and_blue_against() -> None:
    low, zero, high = colour.signed(np.array([[-1.0, 0.0, 1.0]], dtype=np.float32), 1.0)[0]
    assert zero[3] == 0
    assert low[3] == high[3] == 255
    assert low[2] > low[0] and high[0] > high[2]


def test_both_signs_have_the_same_weight() -> None:
    values = np.linspace(-1, 1, 21, dtype=np.float32)[None]
    alpha = colour.signed(values, 1.0)[0, :, 3]
    assert (alpha == alpha[::-1]).all()


def test_nothing_to_tell_apart_is_clear_and_nan_is_too() -> None:
    flat = np.full((2, 2), 3.0, dtype=np.float32)
    assert (colour.magnitude(flat, 3.0, 3.0)[..., 3] == 0).all()
    hole = np.array([[np.nan, 1.0]], dtype=np.float32)
    assert colour.magnitude(hole, 0.0, 1.0)[0, 0, 3] == 0
    assert colour.signed(hole, 1.0)[0, 0, 3] == 0
    assert colour.similarity(hole, 0.0, 1.0)[0, :, 3].tolist() == [0, 255]


def test_the_categories_are_at_most_eight_and_each_is_told_by_two_signs() -> None:
    assert len(colour.CATEGORIES) <= 8
    assert len({tint for tint, _ in colour.CATEGORIES}) == len(colour.CATEGORIES)
    assert len({dash for _, dash in colour.CATEGORIES}) == len(colour.CATEGORIES)


def test_text_can_be_read_on_the_page_in_both_themes() -> None:
    for tokens in (colour.LIGHT, colour.DARK):
        page = luminance(np.array(colour._rgb(tokens["paper"])))
        for name in ("ink", "ink-2", "accent", "warn"):
            text = luminance(np.array(colour._rgb(tokens[name])))
            bright, dim = max(page, text), min(page, text)
            assert (bright + 0.05) / (dim + 0.05) > 4.5, name


def test_matplotlib_gets_the_same_colours() -> None:
    drawn = colour.matplotlib_map("magnitude")(np.linspace(0, 1, 256))[:, :3] * 255
    assert np.abs(drawn - colour.table("magnitude")).max() < 1


def contrast(a: str, b: str) -> float:
    light, dark = sorted((_relative(a), _relative(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _relative(colour_name: str) -> float:
    shares = [int(colour_name[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("tokens", [colour.LIGHT, colour.DARK], ids=["light", "dark"])
def test_text_and_controls_stand_out_from_page_and_card(tokens: dict[str, str]) -> None:
    for ground in (tokens["paper"], tokens["card"]):
        for name in ("ink", "ink-2", "ink-3", "accent", "for", "against", "warn"):
            assert contrast(tokens[name], ground) >= 4.5, name
        assert contrast(tokens["edge"], ground) >= 3, "edge"
