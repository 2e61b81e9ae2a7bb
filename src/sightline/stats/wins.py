"""How often rows win: a row wins against another one on a picture by one metric, and a tie is half
a win. Tables are (row, picture), larger is better, NaN where nothing was measured."""

from collections.abc import Sequence

import numpy as np

from .resampling import draws
from .ties import ahead


def shares(tables: Sequence[np.ndarray]) -> np.ndarray:
    """The share of its comparisons that each row wins on each picture, over all tables, (row,
    picture). NaN where it met no other."""
    won, met = np.zeros(tables[0].shape), np.zeros(tables[0].shape)
    for table in tables:
        for i, row in enumerate(table):
            wins = ahead(row[None], table)
            wins[i] = np.nan
            won[i] += np.nansum(wins, 0)
            met[i] += np.isfinite(wins).sum(0)
    with np.errstate(invalid="ignore"):
        return np.round(won / met, 12)  # equal shares must not differ by the order of a sum


def pairs(table: np.ndarray) -> np.ndarray:
    """The share of pictures on which the row beats the column, (row, row); NaN where they have no
    picture in common, and of a row against itself."""
    found = np.full((len(table), len(table)), np.nan)
    for i, row in enumerate(table):
        wins = ahead(row[None], table)
        met = np.asarray(np.isfinite(wins).any(1))
        met[i] = False
        found[i, met] = np.nanmean(wins[met], 1) if met.any() else np.nan
    return found


def firsts(shares: np.ndarray) -> np.ndarray:
    """How often each row of `shares` (row, picture) comes first when pictures are drawn again,
    (row,)."""
    there = np.isfinite(shares)
    held, won, count = np.where(there, shares, 0.0), np.zeros(len(shares)), 0
    for part in draws(shares.shape[1]):
        with np.errstate(invalid="ignore"):
            spread = (part @ held.T) / (part @ there.T)
        best = np.nan_to_num(spread, nan=-1).argmax(1)
        won += np.bincount(best, minlength=len(won))
        count += len(part)
    return won / count
