"""The one rule for ties: numbers that differ by what another batch size can make are equal."""

from collections.abc import Sequence

import numpy as np

EQUAL = 1e-5  # in parts of the larger number: what another batch size can make


def equal(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether numbers are the same but for rounding; False where one is NaN."""
    return np.abs(a - b) <= EQUAL * np.maximum(np.abs(a), np.abs(b))


def differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`a - b`, 0 where they are equal, NaN where one is NaN."""
    return np.where(equal(a, b), 0.0, a - b)


def ahead(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 where `a` is larger, 0 where `b` is, a half where they are equal, NaN where one is not
    finite."""
    gap = a - b
    return np.where(np.isfinite(gap), 0.5 + 0.5 * np.sign(differences(a, b)), np.nan)


def pair_signs(values: np.ndarray) -> np.ndarray:
    """1 where the row's number is larger than the column's, -1 where it is less, 0 where they are
    equal: (..., row, row) of `values` (..., row)."""
    a, b = values[..., :, None], values[..., None, :]
    return np.where(equal(a, b), 0.0, np.sign(a - b))


def equal_groups(tables: Sequence[np.ndarray]) -> list[tuple[int, ...]]:
    """The rows in groups: those that are equal in all tables (row, picture), or NaN in the same
    places, stand together. A row of which nothing was measured stands alone."""
    groups: list[list[int]] = []
    for row in range(len(tables[0])):
        known = any(np.isfinite(table[row]).any() for table in tables)
        for group in groups if known else ():
            if all(_alike(table[row], table[group[0]]) for table in tables):
                group.append(row)
                break
        else:
            groups.append([row])
    return [tuple(group) for group in groups]


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((equal(a, b) | (np.isnan(a) & np.isnan(b))).all())
