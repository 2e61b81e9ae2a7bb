"""Words in a report, on a page and as a figure: escaped, whole, and with their checks."""

import re

import pytest
import torch

from sightline import Words, create
from sightline.registry import view
from sightline.worlds import analytic

NASTY = '<script>alert("x")</script>'


def found() -> Words:
    known = analytic.dead_pixel()
    boxes = {NASTY: (5, 5, 8, 7), "crest": (0, 0, 3, 3), "all": (0, 0, 9, 7)}
    return create("explainer", "part-words", named=boxes)(known.model, known.images, known.target)


def test_a_panel_shows_the_sentence_the_check_and_each_word_escaped() -> None:
    words = found()
    panel = view(Words, "panel")(words, 0)
    assert "<script" not in panel and "&lt;script&gt;" in panel
    assert panel.count('<li class="words-card') == 4  # the picture and three words
    assert "at most 1 of 20 other regions of the same size" in panel
    assert "not checked" in panel and "does not count" in panel
    for fact in words.facts[0]:
        assert fact["why"] in panel


def test_a_page_stands_alone_and_shows_every_picture() -> None:
    page = view(Words, "html")(found())
    assert page.count('class="words-sentence"') == 2
    assert "<script" not in page and not re.search(r'(?:src|href)="http', page)
    assert ".words-cards" in page and "prefers-color-scheme:dark" in page


def test_a_picture_without_words_and_one_without_pixels_are_drawn() -> None:
    empty = Words(called=["owl"], facts=[[]])
    assert "None of the named parts is visible" in view(Words, "panel")(empty, 0)
    assert view(Words, "figure")(empty).get_size_inches()[0] > 0


@pytest.mark.parametrize("dark", [False, True])
def test_a_figure_has_a_picture_for_each_word_and_the_evidence(dark: bool) -> None:
    figure = found().figure(i=1, dark=dark)
    assert len(figure.axes) == 5
    assert any(
        "$" not in text.get_text() and "Prediction: " in text.get_text() for text in figure.texts
    )
    figure.canvas.draw()


def test_maps_are_drawn_over_the_picture_with_their_scale() -> None:
    fact = {
        "word": "crest",
        "evidence": 0.4,
        "others": [0.0, 0.1],
        "null": 0.1,
        "null_low": 0.0,
        "outcome": "for",
        "why": "costs more",
        "region": "4 4 5 2 9",
        "box": [1, 1, 3, 2],
        "area": 0.1,
        "probability": 0.9,
        "contribution": 0.5,
        "cut": 0.2,
        "map": [[0.0, 2.0], [-1.0, 0.5]],
    }
    words = Words(called=["owl"], facts=[[fact]], images=torch.rand(1, 3, 4, 4))
    panel = view(Words, "panel")(words, 0)
    assert "0 to 2" in panel and "outline: 20" in panel and panel.count("data:image") == 2
