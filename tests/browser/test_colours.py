"""The page paints a map in the colours that a file of it has."""

from typing import Any

import numpy as np
import pytest

from sightline.pages.record import MapEntry, Method, PageRecord, PictureEntry
from sightline.pages.report.page import write
from sightline.views import encode, paint

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

Y, X = np.mgrid[:56, :56]
SPOT = np.exp(-((Y - 20) ** 2 + (X - 30) ** 2) / 90).astype(np.float32)
MAPS = {
    "magnitude": SPOT,
    "on a floor": SPOT + np.float32(0.4),
    "signed": SPOT - 0.6 * SPOT[::-1, ::-1],
}
PIXELS = """() => {
  const c = document.querySelector("canvas.heat");
  const pixels = c.getContext("2d").getImageData(0, 0, c.width, c.height);
  return [c.height, c.width, ...pixels.data];
}"""


def _page(values: np.ndarray) -> PageRecord:
    entry = MapEntry(method=Method(name="m", title="m"), values=values)
    item = PictureEntry(
        name="x.png",
        picture=np.full((56, 56, 3), 120, np.uint8),
        box=(0.0, 0.0, 56.0, 56.0),
        top=(("wren", 0.9),),
        maps=(entry,),
    )
    return PageRecord(title="t", items=(item,))


def test_the_evidence_switch_holds_for_maps_with_signs_of_their_own(
    browser: Any,
    tmp_path: Any,
) -> None:
    tab = browser.new_page()
    tab.goto(write(_page(MAPS["signed"]), tmp_path / "report.html").as_uri())
    tab.wait_for_selector(".painted")
    ends = []
    for _ in range(3):  # as made, for, for and against
        tab.wait_for_timeout(50)
        ends.append(tab.locator(".ends span").first.text_content())
        tab.keyboard.press("e")
    tab.close()
    assert ends[1] == "0" and ends[0] == ends[2] != "0"


@pytest.mark.parametrize("name", MAPS)
def test_the_canvas_has_the_colours_of_the_file(name: str, browser: Any, tmp_path: Any) -> None:
    values = MAPS[name]
    tab = browser.new_page()
    tab.goto(write(_page(values), tmp_path / "report.html").as_uri())
    tab.wait_for_selector(".painted")
    painted = tab.evaluate(PIXELS)
    tab.close()
    rows, cols, *data = painted
    canvas = np.array(data, np.uint8).reshape(rows, cols, 4).astype(int)
    sent = encode.heat_back(encode.heat(values, long_side=max(rows, cols)))  # in 256 steps
    expected = paint.rgba(sent, paint.ramp(sent)).astype(int)
    in_file = paint.rgba(encode.fit(values, max(rows, cols)), paint.ramp(values)).astype(int)
    seen = expected[..., 3] > 40  # a canvas keeps few steps of colours that are nearly clear
    assert canvas.shape == expected.shape and seen.mean() > 0.05
    for wanted, most in ((expected, 5), (in_file, 14)):
        apart = np.abs(canvas - wanted)
        assert np.quantile(apart[seen], 0.99) <= most and apart[..., 3].max() <= most
