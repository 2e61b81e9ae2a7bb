"""When two explanations say the same, whatever their kind."""

from typing import Any

import pytest

from sightline.explanation import Explanation


def told(found: Explanation) -> dict[str, Any]:
    """What an explanation says, without how much it cost."""
    return {k: v for k, v in found.to_json().items() if k != "provenance"}


def assert_same(one: Any, other: Any) -> None:
    """Equal up to the last digits of its numbers, whatever kind of plain data it is."""
    if isinstance(one, dict):
        assert set(one) == set(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for each, twin in zip(one, other, strict=True):
            assert_same(each, twin)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-5)
    else:
        assert one == other
