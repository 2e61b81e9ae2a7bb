"""What a table says of few pictures, of equal methods and of methods with fewer pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor

import sightline as sl
from sightline.evaluation.table import Table
from sightline.worlds import analytic


@pytest.fixture
def pictures() -> list[Tensor]:
    return list(torch.rand(9, 3, 6, 7, generator=torch.Generator().manual_seed(1)))


def _table(pictures: list[Tensor], methods: list, out: Path) -> Table:
    metrics = [sl.create("metric", "deletion", steps=4)]
    model = analytic.linear().model
    return sl.evaluate(model, pictures, methods, metrics, out, stability=False)


def test_under_eight_pictures_values_are_shown_and_no_verdict(
    pictures: list[Tensor], tmp_path: Path
) -> None:
    table = _table(pictures[:7], ["gradient", "input-x-gradient"], tmp_path)
    assert all(row["low"] is None and row["value"] is not None for row in table.summary)
    assert {d.word for d in table.against} == {"too few pictures"}
    page = table.html()
    for text in (table.verdict, page.split("How to read this page")[0]):
        assert "significantly" not in text and "too few pictures" in text
    assert "the method to choose" not in page and "Under 8 pictures" in page


def test_equal_methods_are_named_once_and_share_their_wins(
    pictures: list[Tensor], tmp_path: Path
) -> None:
    twins = [sl.create("explainer", "smooth-grad", samples=n, spread=0.0) for n in (2, 3)]
    table = _table(pictures, [*twins, "input-x-gradient"], tmp_path)
    assert table.ranking is not None
    names = ("smooth-grad (samples=2)", "smooth-grad (samples=3)")
    assert table.ranking.groups == (names,)
    sentence = f"so counted once: {' = '.join(names)}."
    assert sentence in table.verdict and sentence in table.html()
    shares = dict(zip(table.ranking.methods, table.ranking.shares, strict=True))
    assert shares[names[0]] == shares[names[1]]


def test_wins_of_two_methods_add_up_and_a_metric_agrees_with_itself(
    pictures: list[Tensor], tmp_path: Path
) -> None:
    metrics = [sl.create("metric", name, steps=4) for name in ("deletion", "insertion")]
    methods = ["gradient", "input-x-gradient", "occlusion"]
    model = analytic.linear().model
    table = sl.evaluate(model, pictures, methods, metrics, tmp_path, stability=False)
    wins = table.win_shares
    assert wins.shape == (3, 3) and np.isnan(wins.diagonal()).all()
    off = ~np.eye(3, dtype=bool)
    assert_allclose((wins + wins.T)[off], 1.0)
    first = np.nanmean(wins[0])
    assert_allclose(first, table.ranking.shares[0].value, atol=1e-9)
    taus = table.metric_agreement
    assert_allclose(taus, taus.T)
    assert (taus.diagonal() == 1).all()
    curves = table.scores[0].mean_curves()
    assert set(curves) == {*table.methods, *table.nulls} and curves["gradient"].shape == (5,)
