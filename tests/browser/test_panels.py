"""A graph of sets in a real browser: what is pointed at is shown large, by mouse and keyboard."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sightline import registry
from sightline.explanations.regions import Regions
from sightline.pages.record import Method, PageRecord, PanelEntry, PictureEntry
from sightline.pages.report.page import write

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
VISIBLE = """[...document.querySelectorAll(".layer")]
    .filter(layer => getComputedStyle(layer).visibility === "visible")
    .map(layer => [...layer.classList].find(name => /^k\\d/.test(name)))"""


def regions() -> Regions:
    cells = [[(0, 0), (0, 1)], [(0, 1)], [(0, 0)]]
    values = (0.95, 0.6, 0.1)
    nodes = [
        {"cells": list(map(list, c)), "confidence": v, "root": k == 0}
        for k, (c, v) in enumerate(zip(cells, values, strict=True))
    ]
    edges = [
        {"from": 0, "to": 1, "removed": [0, 0]},
        {"from": 0, "to": 2, "removed": [0, 1]},
    ]
    return Regions(
        grid=(2, 2),
        minimal=[[cells[0]]],
        confidences=[[0.95]],
        necessary=[[(0, 1)]],
        remaining=[0.1],
        links=[{"nodes": nodes, "edges": edges}],
        outcome=["sufficient"],
        notes=[["A note."]],
        evaluations=[9],
        images=torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(0)),
    )


def page() -> PageRecord:
    body = registry.view(Regions, "panel")(regions(), 0)
    panel = PanelEntry(method=Method(name="sag", title="SAG", doubt="Do not."), body=body)
    picture = (regions().images[0].permute(1, 2, 0) * 255).byte().numpy()
    item = PictureEntry(
        name="bird.png", picture=picture, box=(0.0, 0.0, 48.0, 48.0), panels=(panel,)
    )
    return PageRecord(title="What is enough?", items=(item,))


@pytest.fixture
def visit(open_tab: Callable[..., Any]) -> Callable[..., Any]:
    """Opens a file at a width."""

    def open_file(path: Path, width: int = 1280) -> Any:
        return open_tab(path.as_uri(), viewport={"width": width, "height": 844})

    return open_file


def test_the_set_that_is_focused_or_hovered_is_shown_and_nothing_else(
    visit: Any, tmp_path: Path
) -> None:
    tab = visit(write(page(), tmp_path / "report.html"))
    assert tab.evaluate(VISIBLE) == ["k0"]
    tab.locator(".sag .n0").focus()
    for k in (1, 2, 3, 4):  # the nodes, then the strip
        tab.keyboard.press("Tab")
        assert tab.evaluate(VISIBLE) == [f"k{k}"]
    tab.locator(".sag .n1").hover()
    assert tab.evaluate(VISIBLE) == ["k1"]
    tab.keyboard.press("Shift+Tab")
    tab.mouse.move(1, 1)
    assert tab.evaluate(VISIBLE) == ["k3"]


def test_the_page_needs_no_sideways_scrolling_on_a_telephone(visit: Any, tmp_path: Path) -> None:
    tab = visit(write(page(), tmp_path / "report.html"), width=390)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("suffix", [".svg", ".html"])
def test_a_file_of_its_own_works_by_keyboard(visit: Any, tmp_path: Path, suffix: str) -> None:
    tab = visit(regions().save(tmp_path / f"regions{suffix}"))
    assert tab.evaluate(VISIBLE) == ["k0"]
    tab.locator(".n2").focus()
    assert tab.evaluate(VISIBLE) == ["k2"]
