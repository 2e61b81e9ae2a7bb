"""The modules of the pages as they lie: a browser imports them and renders below any element."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sightline
from sightline.pages.report.page import build

from .test_report_page import one

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

STATIC = Path(sightline.__file__).parent / "pages" / "static"
ADDRESS = "http://pages.test/"
STYLES = "".join((STATIC / name).read_text("utf-8") for name in ("page.css", "small.css"))
STAGES = "all => all.map(stage => stage.dataset.view ?? '')"


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A page with the markup of a report twice, in elements of its own; `show(file, place)` there
    renders a module below one of them and keeps the clean-up."""
    page = build(one())
    markup = re.search(r"<body[^>]*>(.*?)<script", page, re.S)
    model = re.search(r'<script type="application/json">(.*?)</script>', page, re.S)
    assert markup and model
    context = browser.new_context()
    context.set_default_timeout(120_000)  # a shared machine may be slow
    troubles: list[str] = []

    def answer(route: Any) -> None:
        name = route.request.url.removeprefix(ADDRESS)
        if name.endswith(".js"):
            text = (STATIC / name).read_text("utf-8")
            route.fulfill(body=text, content_type="text/javascript")
        else:
            both = f'<div class="place">{markup[1]}</div>' * 2
            text = f"<!doctype html><title>t</title><style>{STYLES}</style>{both}"
            route.fulfill(body=text, content_type="text/html")

    context.route(f"{ADDRESS}**", answer)
    opened = context.new_page()
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.goto(ADDRESS)
    opened.evaluate(
        """(model) => {
          window.show = async (file, place) => {
            const { render } = await import(`/${file}`);
            window.end = render({ model, el: document.querySelectorAll(".place")[place] });
          };
        }""",
        json.loads(model[1]),
    )
    yield opened
    context.close()
    assert troubles == []


def test_figures_are_painted_below_their_element_alone(tab: Any) -> None:
    first, second = (tab.locator(".place").nth(k) for k in (0, 1))
    tab.evaluate("show('figures.js', 1)")
    second.locator(".map-card.painted >> nth=2").wait_for()
    assert first.locator(".painted").count() == 0
    second.evaluate("el => { el.dataset.view = 'map'; }")
    assert second.locator(".map-card .stage").evaluate_all(STAGES) == ["map"] * 3
    second.locator(".look").first.click()
    assert second.locator(".map-card .stage").evaluate_all(STAGES) == ["picture", "map", "map"]
    assert first.locator(".map-card .stage").evaluate_all(STAGES) == [""] * 3


def test_after_the_clean_up_nothing_answers(tab: Any) -> None:
    second = tab.locator(".place").nth(1)
    tab.evaluate("show('figures.js', 1)")
    second.locator(".map-card.painted >> nth=2").wait_for()
    tab.evaluate("end()")
    second.evaluate("el => { el.dataset.view = 'map'; }")
    second.locator(".look").first.click()
    assert second.locator(".map-card .stage").evaluate_all(STAGES) == ["overlay"] * 3


def test_a_whole_report_lives_in_an_element_and_leaves_its_neighbour_alone(tab: Any) -> None:
    first, second = (tab.locator(".place").nth(k) for k in (0, 1))
    tab.evaluate("show('report.js', 1)")
    second.locator(".map-card.painted >> nth=2").wait_for()
    second.locator("[name=contours]").check()
    assert second.locator(".contours").first.is_visible()
    assert not first.locator(".contours").first.is_visible()
    second.locator(".look").first.focus()
    tab.keyboard.press("3")
    assert second.locator(".map-card .stage").evaluate_all(STAGES) == ["map"] * 3
    second.locator(".theme").click()
    assert second.get_attribute("data-theme") == "light"
    assert tab.evaluate("Object.keys(document.documentElement.dataset).length") == 0
