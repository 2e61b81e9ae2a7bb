"""Orders of rows: ranks that ties share, how far two orders agree, and which rows can be ranked
together."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .ties import equal, pair_signs

COVERED = 0.9  # of the pictures of the best covered row: with fewer a row stands apart


def ranks(values: Sequence[float]) -> list[int]:
    """The rank of each number, the largest one first; equal numbers share the better rank."""
    from scipy.stats import rankdata  # here, because it loads slowly

    return rankdata(-np.asarray(values, dtype=np.float64), method="min").astype(int).tolist()


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Kendall's tau-b between two orders (row,), numbers that are equal but for rounding being
    ties; NaN where one of them is all ties."""
    from scipy.stats import kendalltau  # here, because it loads slowly

    there = np.isfinite(one) & np.isfinite(other)
    if there.sum() < 2:
        return float("nan")
    found: Any = kendalltau(_steps(one[there]), _steps(other[there]))  # scipy's types say less
    return float(found.statistic)


def _steps(values: np.ndarray) -> np.ndarray:
    """The numbers as whole steps: a new one where a number is not equal to the one below it."""
    order = np.argsort(values, kind="stable")
    rising = values[order]
    steps = np.empty(len(values), dtype=int)
    steps[order] = np.cumsum(np.append(0, ~equal(rising[1:], rising[:-1])))[: len(values)]
    return steps


def concordance(base: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How far orders (draw, row) agree with those of `base` (draw, row): the mean over all pairs of
    rows of 1 where both say the same, -1 the reverse, and 0 where one is a tie, (draw,)."""
    held, against = pair_signs(base), pair_signs(others)
    alike = np.where((held == 0) & (against == 0), 1, held * against)
    upper = np.triu_indices(others.shape[-1], 1)
    return alike[..., upper[0], upper[1]].mean(-1)


def covered(there: np.ndarray) -> tuple[list[int], np.ndarray]:
    """The rows that can be ranked together, and the pictures that all of these have (picture,)
    bool. there: (row, picture) bool, whether a row has a picture."""
    counts = there.sum(1)
    most = int(counts.max(initial=0))
    rows = [k for k, count in enumerate(counts) if most and count >= COVERED * most]
    while True:
        common = np.all(there[rows], 0) if rows else np.zeros(0, dtype=bool)
        if len(rows) < 2 or common.sum() >= (2 * COVERED - 1) * most:
            return rows, common
        rows.remove(min(rows, key=lambda k: counts[k]))
