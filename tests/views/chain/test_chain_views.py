"""Chains as people see them: escaped, without script, honest about doubt, readable when long."""

import re

import pytest
import torch

from sightline import Chain
from sightline.errors import NotExplainable, ShapeError
from sightline.registry import view


def chain(**fields: object) -> Chain:
    told = {
        "questions": ["Is it <b>red</b>?", "Is it round?"],
        "classes": ["apple", "brick & mortar", "sky"],
        "asked": [[0, 1], []],
        "answers": [["yes", "no"], []],
        "posterior": [[[0.4, 0.3, 0.3], [0.5, 0.5, 0.0], [0.1, 0.9, 0.0]], [[0.4, 0.3, 0.3]]],
        "gains": [[0.61, 3e-6], []],
        "sureness": [[0.98, 0.6], []],
        "reason": ["nothing left to learn", "limit reached"],
        "model_class": [1, None],
    }
    return Chain(**{**told, **fields})  # type: ignore[arg-type]


def test_a_panel_says_what_was_asked_answered_and_believed() -> None:
    text = view(Chain, "panel")(chain(), 0)
    assert "After 2 questions, the chain predicts brick &amp; mortar (90" in text
    assert "The model predicts the same." in text
    assert "Is it &lt;b&gt;red&lt;/b&gt;?" in text and "<b>" not in text and "<script" not in text
    assert "0.61 nats" in text and "under 0.001 nats" in text
    assert "1 of 2 answers was read with less than 75" in text and text.count("chain-doubtful") == 1
    assert text.count(' chain-end"') == 3  # the class it ends at stands in every row
    widths = [float(w) for w in re.findall(r"width:([\d.]+)%", text)]
    assert widths[-2:] == [90.0, 10.0] or 90.0 in widths[-3:]


def test_a_chain_without_a_question_and_a_model_that_disagrees_are_said() -> None:
    assert "After no questions, the chain predicts apple (40" in view(Chain, "panel")(chain(), 1)
    other = view(Chain, "panel")(chain(model_class=[2, 0]), 0)
    assert "The model predicts sky." in other


def long_chain() -> Chain:
    count = 26 * 26
    generator = torch.Generator().manual_seed(0)
    asked = torch.randperm(count, generator=generator)[:20].tolist()
    bits = torch.randint(2, (28, 28), generator=generator)
    answers = []
    for number in asked:
        top, left = divmod(number, 26)
        patch = bits[top : top + 3, left : left + 3].flatten().tolist()
        answers.append("".join(map(str, patch)))
    return Chain(
        questions=[],
        classes=["0", "1"],
        asked=[asked],
        answers=[answers],
        posterior=[[[0.5, 0.5]] * 21],
        reason=["all asked"],
        grid=(28, 28),
        side=3,
        known=["".join(map(str, bits.flatten().tolist()))],
        images=torch.rand(1, 1, 28, 28),
    )


def test_patches_are_shown_where_they_are_and_long_chains_are_folded() -> None:
    found = long_chain()
    text = view(Chain, "panel")(found, 0)
    assert text.count("chain-frame") == 20 and "<summary>8 questions more" in text
    top, left = found.corner(found.asked[0][0])
    assert f'class="asked" x="{left}" y="{top}"' in text
    assert f"rows {top + 1}-{top + 3}, columns {left + 1}-{left + 3}" in text


def test_a_page_stands_alone_in_light_and_dark() -> None:
    text = view(Chain, "html")(long_chain())
    assert text.count("<section") == 1 and "data:image/" in text and "prefers-color-scheme" in text
    assert "http" not in text.replace("http-equiv", "") and "<script" not in text
    assert ".chain-bar" in text and ".sag" not in text


@pytest.mark.parametrize("dark", [False, True])
def test_a_figure_has_a_row_for_each_question(dark: bool) -> None:
    drawn = chain().figure(i=0, dark=dark)
    labels = [t.get_text() for t in drawn.axes[0].get_yticklabels()]
    assert labels == ["before any question", "1. Is it <b>red</b>?  yes", "2. Is it round?  no"]
    assert view(Chain, "png")(chain(), 0).startswith(b"\x89PNG")


def test_a_chain_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(ShapeError, match="2 questions, 1 answers and 3 beliefs"):
        chain(answers=[["yes"], []])
    broken = chain(posterior=[[[0.4, 0.3, 0.3]] * 2 + [[float("nan")] * 3], [[0.4, 0.3, 0.3]]])
    with pytest.raises(NotExplainable, match="not finite"):
        broken.take([0]).refused_if_empty("information-pursuit", "a model")
    rest = broken.refused_if_empty("information-pursuit", "a model")
    assert rest.refused[1] is None and "not finite" in rest.refused[0]
    assert rest.asked[0] == [] and rest.prediction[0] == -1 and rest.asked[1] == broken.asked[1]
    assert "not finite" in view(Chain, "panel")(rest, 0) and "not finite" in view(Chain, "text")(
        rest, 0
    )
    assert view(Chain, "png")(rest, 0).startswith(b"\x89PNG")
