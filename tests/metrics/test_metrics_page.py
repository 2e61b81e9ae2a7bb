"""The page that shows the sanity of the metrics: complete, small, and still true."""

import importlib.util
import re
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import golden
from sightline import available

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "metrics.md"


@cache
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("metrics_page", DOCS / "metrics.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows() -> dict[str, str]:
    """The line of each metric."""
    lines = PAGE.read_text("utf-8").splitlines()
    return {found[1]: one for one in lines if (found := re.match(r"\| `([^`]+)` \|", one))}


def test_every_metric_stands_on_the_page_once() -> None:
    named = re.findall(r"^\| `([^`]+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert sorted(named) == available("metric"), golden.stale("docs/metrics.md")
    assert {*generator().RANGES} <= {*named}


def test_the_pictures_are_there_and_small() -> None:
    named = re.findall(r"!\[[^]]+\]\(([^)]+)\)", PAGE.read_text("utf-8"))
    assert len(named) == 2
    assert sum((DOCS / name).stat().st_size for name in named) < 300_000


def measured(line: str) -> list[float | str]:
    """The cells of a line after its range, numbers as such."""
    cells = [cell.strip() for cell in line.split("|")[5:-1]]
    return [float(cell) if re.fullmatch(r"-?\d+\.\d+", cell) else cell for cell in cells]


def same(found: str, told: str) -> None:
    for mine, theirs in zip(measured(found), measured(told), strict=True):
        assert mine == (pytest.approx(theirs, abs=0.01) if isinstance(theirs, float) else theirs)


@pytest.mark.parametrize("name", ["pointing", "energy-pointing", "pxap"])
def test_a_row_of_maps_is_what_is_measured_now(name: str) -> None:
    page = generator()
    same(page.Sanity(page.tests("test_sanity.py"), name).row(), rows()[name])


def test_the_rows_of_sets_are_what_is_measured_now() -> None:
    for line in generator().sets().splitlines()[2:]:
        same(line, rows()[line.split("`")[1]])


def test_rows_of_other_checks_are_what_is_measured_now() -> None:
    page = generator()
    for name in ("complexity", "additive-exactness", "coherency", "average-drop"):
        (_, well), (_, badly) = page.CHECKS[name](name)
        told = [cell for cell in measured(rows()[name]) if isinstance(cell, float)]
        assert told == [pytest.approx(well, abs=0.01), pytest.approx(badly, abs=0.01)]
