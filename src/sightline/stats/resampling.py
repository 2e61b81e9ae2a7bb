"""Pictures drawn again, and pictures left out: how a number depends on its pictures."""

from collections.abc import Callable, Iterator

import numpy as np

from .intervals import FEWEST

DRAWS = 2000
_MANY = 5000  # pictures
_GROUPS = 200  # of pictures that are left out together
_TABLE = 2**20  # numbers of one part of a table of draws


def draws(pictures: int) -> Iterator[np.ndarray]:
    """How often each draw takes each picture, (draw, picture), in parts that fit into memory;
    seeded."""
    rng = np.random.default_rng(0)
    left = DRAWS if pictures <= _MANY else DRAWS // 4
    step = max(1, _TABLE // max(pictures, 1))
    while left > 0:
        rows = rng.integers(0, max(pictures, 1), (min(step, left), pictures))
        yield np.stack([np.bincount(row, minlength=pictures) for row in rows]).astype(np.float64)
        left -= step


def drawn_means(values: np.ndarray, count: int) -> np.ndarray:
    """The means of the rows of `values` (row, picture) over all pictures, then over each of `count`
    draws of them, (1 + draw, row)."""
    found, left = [values.sum(1)[None]], count
    for part in draws(values.shape[1]):  # all draws at once may not fit into memory
        found.append(part[:left] @ values.T)
        left -= len(found[-1])
        if left <= 0:
            break
    return np.concatenate(found) / max(values.shape[1], 1)


def percentiles(spread: np.ndarray, count: int) -> tuple[float, float] | None:
    """What holds 95 % of the draws from `count` pictures; None for too few pictures."""
    if count < FEWEST or not np.isfinite(spread).any():
        return None
    low, high = np.nanpercentile(spread, (2.5, 97.5))
    return float(low), float(high)


def pseudo_values(count: int, summed: Callable[[np.ndarray], float]) -> tuple[float, np.ndarray]:
    """A number over `count` pictures, and its jackknife pseudo-values, whose mean it is: what the
    number owes to each picture, or each group of many. summed: the number of the pictures of these
    indices."""
    every = np.arange(count)
    whole, groups = summed(every), min(count, _GROUPS)
    if groups < FEWEST:
        return whole, np.full(groups, whole)
    group = every % groups
    without = np.array([summed(every[group != g]) for g in range(groups)])
    parts = groups * whole - (groups - 1) * without
    return whole, parts - parts.mean() + whole
