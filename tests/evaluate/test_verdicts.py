"""What a table says of few pictures, of equal methods and of methods with fewer pictures."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import sightline as sl
from sightline.evaluate.table import Table
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
