"""A page that comes in pieces, as a large file does: nothing moves while the rest arrives."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from sightline.pages.record import MapEntry, Method, PageRecord, PictureEntry
from sightline.pages.report.page import build

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

PIECE, PAUSE = 10_000, 0.01  # bytes, seconds


def page() -> bytes:
    dice = np.random.default_rng(0)
    maps = tuple(
        MapEntry(
            method=Method(name=f"m{k}", title=f"M{k}"), values=dice.random((56, 56), np.float32)
        )
        for k in range(4)
    )
    picture = dice.integers(0, 255, (160, 200, 3), dtype=np.uint8)
    items = tuple(
        PictureEntry(name=f"{k}.jpg", picture=picture, box=(20.0, 0.0, 180.0, 160.0), maps=maps)
        for k in range(4)
    )
    return build(PageRecord(title="Slow", items=items)).encode()


@pytest.fixture
def address() -> Iterator[str]:
    content = page()

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            for start in range(0, len(content), PIECE):
                self.wfile.write(content[start : start + PIECE])
                self.wfile.flush()
                time.sleep(PAUSE)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_the_rows_of_a_telephone_start_at_their_first_map(address: str, browser: Any) -> None:
    tab = browser.new_page(viewport={"width": 390, "height": 844})
    tab.set_default_timeout(120_000)  # a shared machine may be slow
    tab.goto(address)
    tab.locator("html:not(.still)").wait_for(state="attached")
    places = tab.locator(".row").evaluate_all("all => all.map(row => row.scrollLeft)")
    tab.close()
    assert places == [0, 0, 0, 0]
