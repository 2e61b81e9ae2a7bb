"""Numbers as people read them."""

import pytest

from sightline.views import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.4127, "0.41"),
        (1.0, "1.0"),
        (12.34, "12"),
        (1234.0, "1\u202f234"),
        (-0.0312, "\u22120.031"),
        (0.00012, "1.2\u202f\u00d7\u202f10\u207b\u2074"),
        (float("nan"), "none"),
    ],
)
def test_a_number_has_two_significant_digits(value: float, text: str) -> None:
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("value", "interval", "text"),
    [
        (0.41234, (0.38, 0.445), "0.41 ± 0.03"),
        (0.41234, (0.40, 0.424), "0.412 ± 0.012"),
        (0.9, (0.5, 0.95), "0.90 (0.50 to 0.95)"),
        (0.5, None, "0.50"),
        (0.5, (0.5, 0.5), "0.50"),
    ],
)
def test_the_interval_decides_the_digits(
    value: float, interval: tuple[float, float] | None, text: str
) -> None:
    assert wording.with_interval(value, interval) == text


def test_nothing_looks_certain_that_is_not() -> None:
    assert wording.percent(0.9999) == "over 99\u202f%"
    assert wording.percent(0.0001) == "under 1\u202f%"
    assert wording.percent(1.0) == "100\u202f%"
    assert wording.percent(0.0) == "0\u202f%"


def test_lists_and_counts_read_as_sentences() -> None:
    assert wording.listed(["a"]) == "a"
    assert wording.listed(["a", "b", "c"]) == "a, b and c"
    assert wording.counted(0, "picture") == "no pictures"
    assert wording.counted(1, "picture") == "1 picture"
