"""The shape hook: on where signatures are called first, off where calls are repeated."""

import jaxtyping
import pytest
import torch

from shape_checks import TESTS, UNCHECKED, checked
from sightline import Heatmap


def test_a_wrong_shape_is_found_in_a_checked_test(request: pytest.FixtureRequest) -> None:
    assert checked(request.path)
    with pytest.raises(jaxtyping.TypeCheckError, match="batch row col"):
        Heatmap(torch.zeros(2, 2))


def test_what_is_not_checked_exists_and_is_not_a_room_of_the_package() -> None:
    assert not [name for name in UNCHECKED if not (TESTS / name).exists()]
    assert not checked(TESTS / "peers" / "test_agreement.py")
    assert checked(TESTS / "explainers" / "cam" / "test_grad.py")
    package = TESTS.parent / "src" / "sightline"
    assert not [name for name in UNCHECKED if (package / name).exists()]
