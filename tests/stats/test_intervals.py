"""Do intervals hold what they say, and how often is a difference seen where there is none?"""

from collections.abc import Callable

import numpy as np
import pytest

from sightline import create
from sightline.evaluation.comparison import Difference, Scores, corrected, ranking
from sightline.stats.intervals import mean_interval, mean_intervals, p_values, significant

RUNS = 4000
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]

DISTRIBUTIONS: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, size: rng.normal(size=size), 0.0),
    "uniform": (lambda rng, size: rng.uniform(size=size), 0.5),
    "heavy tails": (lambda rng, size: rng.laplace(size=size), 0.0),
    "exponential": (lambda rng, size: rng.exponential(size=size), 1.0),
    "chi-square": (lambda rng, size: rng.chisquare(3, size=size), 3.0),
    "lognormal": (lambda rng, size: rng.lognormal(0, 0.5, size=size), float(np.exp(0.125))),
    "low share": (lambda rng, size: rng.beta(2, 8, size=size), 0.2),
    "high share": (lambda rng, size: rng.beta(5, 1, size=size), 5 / 6),
    "share at both ends": (lambda rng, size: rng.beta(0.5, 0.5, size=size), 0.5),
    "share near zero": (lambda rng, size: rng.beta(0.5, 2, size=size), 0.2),
    "half zeros": (lambda rng, size: rng.uniform(size=size) * (rng.uniform(size=size) < 0.5), 0.25),
    "hits": (lambda rng, size: 1.0 * (rng.uniform(size=size) < 0.5), 0.5),
}


@pytest.mark.parametrize("pictures", [8, 12, 24])
@pytest.mark.parametrize("kind", DISTRIBUTIONS)
def test_intervals_cover_the_truth(kind: str, pictures: int) -> None:
    draw, truth = DISTRIBUTIONS[kind]
    values = draw(np.random.default_rng(pictures), (RUNS, pictures))
    low, high = mean_intervals(values).T
    assert ((low <= truth) & (truth <= high)).mean() >= 0.93


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 0.9])
def test_rare_hits_are_covered_where_the_bounds_are_known(share: float) -> None:
    rng = np.random.default_rng(0)
    hits = 1.0 * (rng.uniform(size=(1500, 8)) < share)
    ends = [mean_interval(row, (0.0, 1.0)) for row in hits]
    assert np.mean([low - 1e-9 <= share <= high + 1e-9 for low, high in ends]) >= 0.93  # type: ignore[misc]
    assert min(low for low, _ in ends) >= 0  # type: ignore[misc]
    assert mean_interval(np.ones(8), (0.0, 1.0)) == pytest.approx((1 - 0.3694, 1), abs=1e-3)
    assert mean_interval(np.full(8, 0.07), (0.0, 1.0)) == pytest.approx((0.07, 0.07))


def test_under_eight_pictures_there_is_no_interval() -> None:
    assert mean_interval(np.arange(7.0)) is None
    assert mean_interval(np.arange(8.0)) is not None
    assert np.isnan(p_values(np.arange(7.0)[None])).all()


def test_the_test_agrees_with_the_interval() -> None:
    rng = np.random.default_rng(3)
    values = rng.exponential(size=(2000, 10)) - 0.6
    low, high = mean_intervals(values).T
    np.testing.assert_array_equal((low > 0) | (high < 0), p_values(values) < 0.05)


def test_equal_numbers_are_no_difference_and_constant_ones_are_counted() -> None:
    assert p_values(np.zeros((1, 10)))[0] == 1
    assert p_values(np.full((1, 10), 0.3))[0] == pytest.approx(2**-9)


def test_the_correction_is_that_of_benjamini_and_hochberg() -> None:
    p = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, np.nan]
    assert significant(p).tolist() == [True, True] + 7 * [False]
    assert not significant([np.nan]).any() and not significant([]).any()
    # one that fails its own level passes with a later one that holds
    assert significant([0.03, 0.04]).tolist() == [True, True]


def _scores(values: np.ndarray) -> Scores:
    columns = [f"m{k}" for k in range(len(values))]
    return Scores(
        label="insertion", metric=create("metric", "insertion"), columns=columns, values=values
    )


@pytest.mark.parametrize("pictures", [8, 24])
def test_verdicts_without_a_difference_are_rare(pictures: int) -> None:
    """All methods draw from one skewed distribution with a level for each picture."""
    rng = np.random.default_rng(pictures)
    against, lead, runs = 0, 0, 150
    for _ in range(runs):
        values = rng.beta(2, 5, (8, pictures)) + rng.normal(size=pictures)
        scores = _scores(values)
        found = corrected([scores.difference(f"m{k}", "m0") for k in range(1, 8)])
        against += any(d.word in ("better", "worse") for d in found)
        order = ranking([scores], scores.columns)
        assert order is not None
        lead += order.lead.word == "better"
    assert against / runs <= 0.08 and lead / runs <= 0.05  # 0.05, and what 150 runs make of it


def test_a_true_difference_is_seen() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.1, (4, 12)) + np.array([0.5, 0.2, 0.2, 0.2])[:, None]
    order = ranking([_scores(values)], ["m0", "m1", "m2", "m3"])
    assert order is not None and order.methods[0] == "m0" and order.lead.word == "better"
    few = ranking([_scores(values[:, :7])], ["m0", "m1", "m2", "m3"])
    assert few is not None and few.lead.word == "too few pictures"
    assert all(share.interval is None for share in few.shares)


def test_numbers_that_differ_by_rounding_are_equal_everywhere() -> None:
    values = np.random.default_rng(0).random((3, 12))
    values[1] = values[0] * (1 + 1e-7)
    scores = _scores(values)
    found = scores.difference("m1", "m0")
    assert found.value == 0 and found.interval == (0, 0)
    assert isinstance(found, Difference) and found.word == "not significantly different"
    order = ranking([scores], scores.columns)
    assert order is not None
    assert order.groups == (("m0", "m1"),)
    # counted once: against the third alone, and so equal
    shares = dict(zip(order.methods, order.shares, strict=True))
    assert shares["m0"] == shares["m1"]
    assert shares["m0"].value + shares["m2"].value == pytest.approx(1)


def test_methods_with_fewer_pictures_stand_apart() -> None:
    values = np.random.default_rng(0).random((3, 24))
    values[2, 8:] = np.nan
    values[1, 0] = np.nan  # one failure does not exclude: the common pictures count
    order = ranking([_scores(values)], ["m0", "m1", "m2"])
    assert order is not None
    assert set(order.methods) == {"m0", "m1"} and order.apart == (("m2", 8),)
    assert {share.count for share in order.shares} == {23}
