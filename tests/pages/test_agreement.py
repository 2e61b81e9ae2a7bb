"""The sentence over a row of maps says what is there, and no more."""

import numpy as np
import pytest

from sightline.pages.record import MapEntry, Method, Parts, PictureEntry
from sightline.pages.report import agreement, evidence
from sightline.views import paint


def spot(row: int, col: int) -> np.ndarray:
    y, x = np.mgrid[0:20, 0:20]
    return np.exp(-((y - row) ** 2 + (x - col) ** 2) / 8).astype(np.float32)


def box(rows: slice, cols: slice) -> np.ndarray:
    mask = np.zeros((40, 40), dtype=bool)
    mask[rows, cols] = True
    return mask


PARTS = {"head": box(slice(0, 20), slice(0, 20)), "eye": box(slice(8, 14), slice(8, 14))}


def located(maps: dict[str, np.ndarray], parts: Parts | None = None) -> str:
    entries = tuple(MapEntry(method=Method(name=n, title=n), values=v) for n, v in maps.items())
    item = PictureEntry(name="a.jpg", maps=entries, parts=parts)
    return agreement.located(evidence.measure(item))


def test_the_peak_is_named_by_the_smallest_part_that_holds_it() -> None:
    assert evidence.peak_part(spot(5, 5), PARTS) == "eye"
    assert evidence.peak_part(spot(1, 1), PARTS) == "head"
    assert evidence.peak_part(spot(15, 15), PARTS) is None


def test_methods_that_peak_together_are_named_together() -> None:
    told = located({"A": spot(5, 5), "B": spot(5, 6), "C": spot(15, 15)}, PARTS)
    assert told == "A and B both peak on the eye; C peaks outside every marked part."


def test_without_parts_agreement_is_measured() -> None:
    same = located({"A": spot(5, 5), "B": spot(5, 5)})
    apart = located({"A": spot(3, 3), "B": spot(16, 16)})
    assert same.startswith("A and B agree:") and "100" in same
    assert apart.startswith("A and B disagree:")


def test_one_method_is_described_by_its_spread() -> None:
    assert located({"A": spot(5, 5)}).startswith("Half of what A marks lies in")


def test_an_empty_map_is_said_to_find_nothing() -> None:
    empty = np.zeros((20, 20), dtype=np.float32)
    assert located({"A": empty}) == "A finds no positive evidence."
    assert located({"A": empty, "B": np.full_like(empty, np.nan)}, PARTS) == (
        "A and B find no positive evidence."
    )
    assert located({}, PARTS) == ""


def test_random_maps_overlap_by_a_tenth() -> None:
    dice = np.random.default_rng(0)
    a, b = dice.random((2, 200, 200), dtype=np.float32)
    assert evidence.overlap(a, b) == pytest.approx(0.1, abs=0.02)
    assert evidence.overlap(a, a) == 1.0


def test_maps_of_different_size_can_be_compared() -> None:
    small = paint.stretch(spot(5, 5), (10, 10))
    assert evidence.overlap(spot(5, 5), small) > 0.6


def test_shares_of_parts_and_elsewhere_add_up() -> None:
    parts = {"left": box(slice(0, 40), slice(0, 10)), "right": box(slice(0, 40), slice(30, 40))}
    shares = evidence.part_shares(np.ones((20, 20), np.float32) + spot(10, 2), parts)
    assert [s.name for s in shares] == ["left", "right", "elsewhere"]
    assert sum(s.evidence for s in shares) == pytest.approx(1.0)
    assert sum(s.area for s in shares) == pytest.approx(1.0)
    assert shares[0].evidence > 0.8


def test_agreement_is_counted_only_where_there_are_several_maps() -> None:
    rows = [[spot(5, 5), spot(5, 5)], [spot(3, 3), spot(16, 16)], [spot(1, 1)], [None, spot(2, 2)]]
    overlaps = [evidence.mean_overlap(maps) for maps in rows]
    assert overlaps == [1.0, 0.0, None, None]
    assert agreement.agreements(overlaps) == "The methods agree on 1 of 2."
    assert agreement.agreements(overlaps[:1]) == ""
