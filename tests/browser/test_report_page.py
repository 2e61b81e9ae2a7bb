"""The report in a real browser: no script errors, nothing scrolls sideways, every control works."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightline.pages.record import Curve, MapEntry, Method, MetricEntry, PageRecord, PictureEntry
from sightline.pages.report.page import write

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
LONG = (
    "a label that goes on and on " * 6
    + "Donaudampfschifffahrtselektrizitätengesellschaft"
    + "<b>x</b>"
)


@pytest.fixture
def visit(open_tab: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Opens a report at a width and in a theme, and waits until its maps are painted."""

    def open_page(
        content: PageRecord, width: int = 1280, theme: str = "light", script: bool = True
    ) -> Any:
        size = {"width": width, "height": 844}
        tab = open_tab(
            write(content, tmp_path / "report.html").as_uri(),
            viewport=size,
            color_scheme=theme,
            java_script_enabled=script,
        )
        maps = tab.locator(".map-card:has(canvas)").count() if script else 0
        if maps:
            tab.locator(f".map-card.painted >> nth={maps - 1}").wait_for()
        return tab

    return open_page


def spot(row: float, col: float, rows: int = 56, cols: int = 56) -> np.ndarray:
    y, x = np.mgrid[0:rows, 0:cols]
    return np.exp(-((y - row) ** 2 + (x - col) ** 2) / 60).astype(np.float32)


def entry(name: str, values: np.ndarray, native: np.ndarray | None = None) -> MapEntry:
    x = [0.0, 0.5, 1.0]
    line = Curve(x=x, y=[0.9, 0.3, 0.1], low=[0.8, 0.5, 0.1], high=[1.0, 0.7, 0.1])
    numbers = MetricEntry(
        name="deletion",
        value=0.2,
        direction="lower",
        nulls={"random": 0.3, "edge map": 0.25},
        curve=line,
    )
    return MapEntry(
        method=Method(name=name, title=name.title(), doubt="Do not trust it blindly."),
        values=values,
        native=native,
        metrics=(numbers,),
        layer="layer4",
        passes=(1, 1),
        provenance={"seed": 0, "parameters": {"layer": "layer4"}},
    )


def item(k: int = 0, label: str = "wren", size: tuple[int, int] = (80, 120)) -> PictureEntry:
    rows, cols = size
    side = float(min(size))
    left, top = (cols - side) / 2, (rows - side) / 2
    maps = (
        entry("grad-cam", spot(20, 30), native=(spot(20, 30) - 0.2)[::8, ::8].copy()),
        entry("rise", spot(22, 30) + np.float32(0.4)),
        entry("gradient", spot(20, 28) - spot(40, 40)),
    )
    return PictureEntry(
        name=f"picture-{k}.jpg",
        picture=np.random.default_rng(k).integers(0, 255, (*size, 3), dtype=np.uint8),
        box=(left, top, left + side, top + side),
        top=((label, 0.93), ("robin", 0.04)),
        target=label,
        probability=0.93,
        parts={"crest": spot(20, 30) > 0.5, "tail": spot(45, 10) > 0.5},
        maps=maps,
    )


def one(**more: Any) -> PageRecord:
    return PageRecord(
        title="Where it looks", items=(item(**more),), next_steps=("Type `sightline demo`",)
    )


def ten() -> PageRecord:
    return PageRecord(title="Where it looks", items=tuple(item(k) for k in range(10)))


def sideways(tab: Any) -> int:
    return tab.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )


def pixel(tab: Any, card: str, x: float = 0.5, y: float = 0.4) -> list[int]:
    return tab.evaluate(
        """([card, x, y]) => {
          const c = document.querySelector(`${card} canvas`);
          return [...c.getContext("2d").getImageData(c.width * x, c.height * y, 1, 1).data];
        }""",
        [card, x, y],
    )


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(one(), id="one"),
        pytest.param(ten(), id="ten"),
        pytest.param(PageRecord(title="No picture"), id="none"),
        pytest.param(one(label=LONG), id="long label"),
        pytest.param(one(size=(240, 70)), id="portrait"),
        pytest.param(one(size=(60, 260)), id="panorama"),
    ],
)
def test_nothing_but_the_grids_scrolls_sideways(visit: Any, content: PageRecord) -> None:
    tab = visit(content, 390, "dark")
    for width in (390, 768, 1280):
        tab.set_viewport_size({"width": width, "height": 844})
        assert sideways(tab) == 0
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert sideways(tab) == 0


def test_the_three_views_show_picture_overlay_and_map(visit: Any) -> None:
    tab = visit(one())
    stage = tab.locator("#picture-1-map-1 .stage")
    for key, view in (("1", "picture"), ("3", "map"), ("2", "overlay")):
        tab.keyboard.press(key)
        assert stage.get_attribute("data-view") == view
    tab.locator("#picture-1-map-1 .look").click()
    assert stage.get_attribute("data-view") == "map"
    assert tab.locator("#picture-1-map-2 .stage").get_attribute("data-view") == "overlay"


def test_the_strongest_place_is_painted_and_the_weakest_is_clear(visit: Any) -> None:
    tab = visit(one())
    assert pixel(tab, "#picture-1-map-1", 30 / 56, 20 / 56)[3] > 240
    assert pixel(tab, "#picture-1-map-1", 0.02, 0.98)[3] < 10


def test_each_scale_changes_the_numbers_under_the_bar(visit: Any) -> None:
    tab = visit(one())
    ends = tab.locator("#picture-1-map-2 .ends")
    said = {ends.inner_text()}
    for _ in range(2):
        tab.keyboard.press("s")
        tab.wait_for_timeout(300)
        said.add(ends.inner_text() + tab.locator("#picture-1-map-2 .unit").inner_text())
    assert len(said) == 3
    assert "1.4" in ends.inner_text()


def test_evidence_against_is_blue(visit: Any) -> None:
    tab = visit(one())
    for _ in range(2):  # as made, for, for and against
        tab.keyboard.press("e")
    tab.wait_for_timeout(300)
    red, _, blue, _ = pixel(tab, "#picture-1-map-3", 40 / 56, 40 / 56)
    assert blue > red
    red, _, blue, _ = pixel(tab, "#picture-1-map-3", 28 / 56, 20 / 56)
    assert red > blue


def test_opacity_contours_parts_and_frame_follow_their_controls(visit: Any) -> None:
    tab = visit(one())
    tab.locator("#opacity").fill("30")
    assert (
        tab.locator("#picture-1-map-1 .heat").evaluate("e => getComputedStyle(e).opacity") == "0.3"
    )
    for box, shown in (("contours", ".contours"), ("outlines", ".parts")):
        drawing = tab.locator(f"#picture-1-map-1 {shown}")
        assert not drawing.is_visible()
        tab.locator(f"[name={box}]").check()
        assert drawing.is_visible()
    wide = tab.locator("#picture-1-map-1 .stage").bounding_box()
    tab.locator("[name=crop]").check()
    square = tab.locator("#picture-1-map-1 .stage").bounding_box()
    assert wide["width"] / wide["height"] == pytest.approx(1.5, abs=0.05)
    assert square["width"] / square["height"] == pytest.approx(1.0, abs=0.05)


def test_the_cross_reads_all_maps_at_one_place(visit: Any) -> None:
    tab = visit(one())
    tab.locator("#picture-1-map-1 .look").hover()
    said = [tab.locator(f"#picture-1-map-{k} .readout").inner_text() for k in (1, 2, 3)]
    assert all(said) and len(set(said)) == 3


def test_everything_is_reached_by_keyboard_with_a_visible_focus(visit: Any) -> None:
    tab = visit(one())
    seen = set()
    for _ in range(60):
        tab.keyboard.press("Tab")
        kind, outline = tab.evaluate(
            """() => {
              const e = document.activeElement, f = e.nextElementSibling ?? e;
              const lit = (x) => getComputedStyle(x).outlineStyle !== "none";
              return [e.name || e.className || e.tagName, lit(e) || lit(f) || lit(e.parentElement)];
            }"""
        )
        seen.add(kind)
        assert outline or kind == "BODY", kind
    assert {"quiet scripted theme", "quiet scripted help", "opacity", "contours"} <= seen
    assert any("look" in kind for kind in seen)


def test_the_question_mark_opens_the_keys_and_escape_closes_them(visit: Any) -> None:
    tab = visit(one())
    tab.keyboard.press("?")
    assert tab.locator(".keyboard-map").is_visible()
    tab.keyboard.press("Escape")
    assert not tab.locator(".keyboard-map").is_visible()


def test_the_theme_switch_wins_over_the_system(visit: Any) -> None:
    tab = visit(one(), theme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = tab.evaluate(paper)
    tab.locator(".theme").click()
    assert tab.evaluate(paper) != dark
    tab.locator(".theme").click()
    assert tab.evaluate(paper) == dark


def test_what_is_opened_under_one_map_opens_under_its_neighbours(visit: Any) -> None:
    tab = visit(ten())
    tab.locator("#picture-2-map-1 details.making summary").click()
    tab.wait_for_timeout(100)
    opened = tab.locator("#picture-2 details.making").evaluate_all("all => all.map(d => d.open)")
    assert opened == [True, True, True]
    assert tab.locator("#picture-3 details[open]").count() == 0


def test_j_and_k_go_from_picture_to_picture(visit: Any) -> None:
    tab = visit(ten())
    tab.keyboard.press("j")
    tab.keyboard.press("j")
    tab.wait_for_timeout(700)
    assert tab.evaluate("document.activeElement.id") == "picture-2"


def test_the_table_sorts_by_a_column(visit: Any) -> None:
    tab = visit(ten())
    first = "#summary tbody tr:first-child th"
    tab.locator("#summary thead th:first-child .sorter").click()
    assert tab.locator(first).inner_text() == "Grad-Cam"
    tab.locator("#summary thead th:first-child .sorter").click()
    assert tab.locator(first).inner_text() == "Rise"


def test_a_map_can_be_enlarged(visit: Any) -> None:
    tab = visit(one())
    tab.locator("#picture-1-map-1 .enlarge").click()
    assert tab.locator("dialog.large .stage").count() == 2
    assert tab.locator("dialog.large .stage").last.bounding_box()["width"] > 400


def test_without_script_the_maps_are_still_there(visit: Any) -> None:
    tab = visit(one(), script=False)
    assert tab.locator("#picture-1-map-1 .fallback").is_visible()
    assert not tab.locator(".bar-of-controls").is_visible()


def test_text_never_becomes_code(visit: Any) -> None:
    tab = visit(one())
    tab.evaluate("""() => { window.said = []; const ask = document.createElement("a");
      ask.addEventListener("click", () => setTimeout(() => {
        try { new Function("said.push('ran')")(); } catch (error) { said.push(error.name); }
      }));
      ask.click(); }""")
    tab.wait_for_timeout(100)
    assert tab.evaluate("said") == ["EvalError"]


def test_motion_is_off_for_those_who_asked(visit: Any) -> None:
    tab = visit(one())
    tab.emulate_media(reduced_motion="reduce")
    assert tab.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_print_shows_contours_and_no_controls(visit: Any) -> None:
    tab = visit(one(), theme="dark")
    tab.emulate_media(media="print")
    assert tab.locator("#picture-1-map-1 .contours").is_visible()
    assert not tab.locator(".bar-of-controls").is_visible()
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(251, 250, 247)"
    assert len(tab.pdf(prefer_css_page_size=True)) > 10_000


def six() -> PageRecord:
    maps = tuple(
        entry(name, spot(20, 30)) for name in ("a", "bb", "smooth-gradient", "d", "e", "f")
    )
    return PageRecord(title="Six methods", items=(replace(item(), maps=maps),) * 3)


def test_cards_reflow_and_nothing_in_them_is_cut(visit: Any) -> None:
    tab = visit(six())
    tab.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    for width in (1280, 1000):
        tab.set_viewport_size({"width": width, "height": 844})
        row = tab.locator("#picture-1 .row")
        assert row.evaluate("r => r.scrollWidth - r.clientWidth") <= 0
        edges = row.locator(".card").evaluate_all("all => all.map(c => c.getBoundingClientRect())")
        assert len({round(edge["top"]) for edge in edges}) > 1
        assert all(0 <= edge["left"] and edge["right"] <= width for edge in edges)
        cut = "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).length"
        assert row.locator("h3, .share span, th, td").evaluate_all(cut) == 0
        words = row.locator(".share > span:first-child").evaluate_all(
            "all => all.map(e => e.getClientRects().length > 1 || e.offsetHeight > 24)"
        )
        assert words and not any(words)


@pytest.mark.parametrize("content", [ten(), six(), one(label=LONG)], ids=["ten", "six", "long"])
def test_the_first_screen_of_a_telephone_shows_a_map(visit: Any, content: PageRecord) -> None:
    tab = visit(content, 390)
    stage = tab.locator(".map-card .stage").first.bounding_box()
    bar = tab.locator(".bar-of-controls").bounding_box()
    assert stage["x"] >= 0 and stage["x"] + stage["width"] <= 390
    assert stage["y"] + 0.75 * stage["height"] <= bar["y"]


@pytest.mark.parametrize("width", [390, 1280])
def test_text_in_charts_has_at_least_eleven_pixels(visit: Any, width: int) -> None:
    tab = visit(one(), width)
    tab.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    sizes = tab.locator("svg.plot text").evaluate_all(
        "all => all.map(t => parseFloat(getComputedStyle(t).fontSize) * t.getScreenCTM().a)"
    )
    assert sizes and min(sizes) >= 11


@pytest.mark.parametrize("width", [390, 1280])
def test_links_of_the_contents_jump_to_their_picture(visit: Any, width: int) -> None:
    tab = visit(ten(), width)
    tab.emulate_media(reduced_motion="reduce")
    for k in (8, 3):
        tab.locator(f".contents a >> nth={k - 1}").click()
        tab.wait_for_url(f"**#picture-{k}")
        top = tab.locator(f"#picture-{k}-title").evaluate("e => e.getBoundingClientRect().top")
        assert 0 <= top < 140
    tab.locator("#picture-3 .trust").first.click()
    assert tab.locator("#picture-3-map-1-numbers").get_attribute("open") is not None


def test_what_a_reader_chose_survives_a_reload(visit: Any) -> None:
    tab = visit(ten())
    for key in ("s", "e", "c", "3"):
        tab.keyboard.press(key)
    tab.locator("#opacity").fill("30")
    tab.locator("#picture-2-map-1 .look").click()  # this one alone: overlay, map, picture
    tab.locator("#picture-4-map-1 details.making summary").click()
    tab.wait_for_timeout(100)
    place = tab.evaluate("scrollY")
    assert place > 500
    tab.reload()
    tab.locator("#picture-4 details.making[open]").first.wait_for(state="attached")
    root = "document.documentElement.dataset"
    assert tab.evaluate(f"[{root}.view, {root}.scale, {root}.sign]") == ["map", "own", "plain"]
    assert (
        tab.locator("[name=contours]").is_checked()
        and tab.locator("#opacity").input_value() == "30"
    )
    assert tab.locator("#picture-2-map-1 .stage").get_attribute("data-view") == "picture"
    opened = tab.locator("details[open]")
    assert opened.count() == tab.locator("#picture-4 details[open]").count() == 3
    assert tab.evaluate("scrollY") == pytest.approx(place, abs=2)
