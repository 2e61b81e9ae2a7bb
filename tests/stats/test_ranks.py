"""Ties, orders, wins and draws against slow oracles, all by one rule for equal numbers."""

import ast
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import sightline.stats
from sightline.stats import ties, wins
from sightline.stats.ranks import agreement, concordance, covered, ranks
from sightline.stats.resampling import drawn_means, draws, percentiles, pseudo_values

ROOM = Path(next(iter(sightline.stats.__path__)))


def _tau_b(one: np.ndarray, other: np.ndarray) -> float:
    """Kendall's tau-b by its definition, numbers within 1e-5 of each other being ties."""
    agreeing, untied = 0.0, np.zeros(2)
    for i, j in combinations(range(len(one)), 2):
        gaps = [(v[i] - v[j], 1e-5 * max(abs(v[i]), abs(v[j]))) for v in (one, other)]
        a, b = (0 if abs(gap) <= least else np.sign(gap) for gap, least in gaps)
        agreeing += a * b
        untied += np.abs([a, b])
    return agreeing / np.sqrt(untied.prod()) if untied.all() else float("nan")


@pytest.mark.parametrize("seed", range(5))
def test_agreement_is_tau_b_with_rounding_as_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = rng.integers(0, 6, 12) + 1 + 1e-7 * rng.normal(size=12)  # many ties but for rounding
    other = one + rng.normal(size=12)
    assert agreement(one, other) == pytest.approx(_tau_b(one, other))
    assert agreement(one, one) == pytest.approx(1) and agreement(one, -one) == pytest.approx(-1)


def test_agreement_leaves_out_what_has_no_number_and_knows_no_order_of_ties() -> None:
    assert agreement(np.array([1.0, 2, np.nan, 3]), np.array([1.0, 2, 9, 3])) == pytest.approx(1)
    assert np.isnan(agreement(np.ones(4), np.arange(4.0)))
    assert np.isnan(agreement(np.full(3, np.nan), np.arange(3.0)))


def test_concordance_of_the_same_order_is_one_ties_included() -> None:
    base = np.array([[1.0, 1 + 1e-7, 2, 3]])
    assert concordance(base, base).tolist() == [1.0]
    reverse = np.array([[3.0, 3 + 1e-7, 2, 1]])
    assert concordance(base, reverse)[0] == pytest.approx((1 - 5) / 6)  # the tie stays one
    assert concordance(base, np.ones((1, 4)))[0] == pytest.approx(1 / 6)


def test_equal_numbers_share_the_better_rank() -> None:
    assert ranks([0.2, 0.9, 0.9, 0.1]) == [3, 1, 1, 4]


def test_rows_of_few_pictures_stand_apart_and_common_ones_do_not_shrink_away() -> None:
    there = np.ones((4, 20), dtype=bool)
    there[0, :2] = there[1, 2:4] = there[2, 4:6] = False  # 18 each, which have 14 in common
    there[3, 8:] = False
    rows, common = covered(there)
    assert rows == [1, 2] and common.sum() == 16
    assert covered(np.zeros((2, 3), dtype=bool))[0] == []


def test_wins_are_counted_pair_by_pair() -> None:
    rng = np.random.default_rng(0)
    tables = [rng.integers(0, 3, (4, 6)).astype(float) for _ in range(2)]
    tables[0][1, 2] = np.nan
    expected = np.zeros((4, 6))
    for row, picture in np.ndindex(4, 6):
        each = [
            1.0 if t[row, picture] > t[k, picture] else 0.5 * (t[row, picture] == t[k, picture])
            for t in tables
            for k in range(4)
            if k != row and np.isfinite(t[[row, k], picture]).all()
        ]
        expected[row, picture] = np.mean(each)
    assert wins.shares(tables) == pytest.approx(expected)
    pairs = wins.pairs(tables[1])
    assert np.isnan(np.diag(pairs)).all()
    assert pairs + pairs.T == pytest.approx(np.where(np.eye(4) == 1, np.nan, 1.0), nan_ok=True)
    assert wins.firsts(np.stack([np.ones(9), np.zeros(9)])).tolist() == [1, 0]


def test_rounding_neither_wins_nor_separates() -> None:
    table = np.array([[1.0, 2, 3], [1 + 1e-7, 2 - 1e-7, 3], [1.1, 2, np.nan], [np.nan] * 3])
    assert ties.equal_groups([table]) == [(0, 1), (2,), (3,)]
    assert wins.pairs(table)[0, 1] == 0.5 and wins.pairs(table)[2, 0] == 0.75
    assert ties.differences(table[0], table[1]).tolist() == [0, 0, 0]


def test_draws_are_seeded_take_as_many_pictures_and_their_means_start_with_the_whole() -> None:
    parts = np.concatenate(list(draws(7)))
    assert parts.shape == (2000, 7) and (parts.sum(1) == 7).all()
    np.testing.assert_array_equal(parts, np.concatenate(list(draws(7))))
    values = np.random.default_rng(0).random((3, 7))
    means = drawn_means(values, 5)
    assert means == pytest.approx(np.vstack([values.mean(1), parts[:5] @ values.T / 7]))
    assert percentiles(means[:, 0], 7) is None
    low, high = percentiles(drawn_means(values, 2000)[:, 0], 8) or (1, 0)
    assert low < values[0].mean() < high


def test_pseudo_values_of_a_mean_are_the_numbers() -> None:
    values = np.random.default_rng(0).random(12)
    whole, parts = pseudo_values(12, lambda rows: float(values[rows].mean()))
    assert whole == pytest.approx(values.mean()) and parts == pytest.approx(values)
    whole, few = pseudo_values(5, lambda rows: float(values[rows].max()))
    assert few.tolist() == [whole] * 5


def test_statistics_know_arrays_alone() -> None:
    for path in ROOM.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level < 2 and node.module != "torch", path.name
