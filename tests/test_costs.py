"""What each method spends on one picture, so that speed cannot rot: images forward, images
backward, and copies run behind a layer only.

Fewer is better; a change of these numbers is a change of the method. They stand in a golden file.
"""

import pytest

import golden
from sightline import Class, available
from sightline.errors import NotExplainable

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive"),
    pytest.mark.filterwarnings("ignore:.*no step lowered the objective"),
    pytest.mark.filterwarnings("ignore:.*maps with negative values"),
    pytest.mark.usefixtures("learned_parts"),
]
PASSES = golden.read(golden.PASSES)
FILTERS, LIVE, PLACES = 16, 12, 64  # of the last layer of the small network; LIVE: not all zero

# what arithmetic says: behind pooling and one linear layer, and behind a softmax
LOGIT = {
    "abs-cam": (1 + LIVE, 1, 0),
    "score-cam": (1 + 1 + LIVE, 0, 0),
    "sess": (1 + 122, 122, 0),
    "smooth-grad": (1 + 50, 50, 0),
    "smooth-map": (1 + 50, 50, 0),
}
PROBABILITY = {
    "ablation-cam": (2, 0, LIVE),
    "fd-cam": (2, 1, 2 * FILTERS),
    "recipro-cam": (2, 0, PLACES + 1),
    "shap-cam": (2, 0, 64 * (PLACES + 1)),
}


def same(found: tuple[int, ...], wanted: golden.Counts) -> bool:
    """Whether the counts agree wherever one is written."""
    return all(w is None or f == w for f, w in zip(found, wanted, strict=True))


@pytest.mark.parametrize("name", available("explainer"))
def test_a_method_spends_what_is_written(name: str) -> None:
    wanted = PASSES["logit"].get(name)
    try:
        found = golden.spent(name, Class(1))
    except NotExplainable:
        assert wanted is None, golden.stale(name)
        return
    assert wanted is not None and same(found, wanted), golden.stale(f"{name} spent {found}")
    assert found == LOGIT.get(name, found)


@pytest.mark.parametrize("name", PASSES["probability"])
def test_behind_a_head_that_bends_only_copies_of_it_are_run(name: str) -> None:
    found = golden.spent(name, Class(1, probability=True))
    wanted = PASSES["probability"][name]
    assert same(found, wanted), golden.stale(f"{name} spent {found}")
    assert found == PROBABILITY.get(name, found)


def test_arithmetic_is_about_methods_that_are_there() -> None:
    assert LOGIT.keys() <= PASSES["logit"].keys()
    assert PROBABILITY.keys() <= PASSES["probability"].keys()
