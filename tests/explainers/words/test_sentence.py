"""The sentence from the facts, for every kind of facts there can be."""

from typing import Any

import pytest

from sightline import Words, create
from sightline.errors import NotExplainable, ShapeError
from sightline.explainers.words._named_regions import chance_levels
from sightline.explanations.words import amount, level, plain, sentence, shortened


def fact(word: str, evidence: float, outcome: str, **more: Any) -> dict[str, Any]:
    return {"word": word, "evidence": evidence, "outcome": outcome, **more}


CREST = fact("crest", 0.41, "for")
BAR = fact("white wing bar", 0.22, "for")
BILL = fact("bill", 0.001, "none")


def test_the_sentence_of_the_planted_facts() -> None:
    assert plain(sentence("crested reedling", [CREST, BAR, BILL])) == (
        "Prediction: crested reedling, because of: crest (0.41), white wing bar (0.22). The bill"
        " was checked but did not matter."
    )


def test_one_word_three_words_and_none() -> None:
    assert plain(sentence("azure finch", [CREST])) == (
        "Prediction: azure finch, because of: crest (0.41)."
    )
    tail = fact("tail", 0.1, "for")
    assert plain(sentence("finch", [CREST, BAR, tail])).count("(") == 3
    nothing = plain(sentence("finch", [BILL, fact("legs", 0, "none")]))
    assert nothing == (
        "Prediction: finch. None of the words explains it: hiding any one changes the score no more"
        " than hiding other regions of its size. The bill and legs were checked but did not matter."
    )
    assert "None of the named parts is visible" in plain(sentence("finch", []))


def test_one_idle_word_in_the_plural() -> None:
    assert plain(sentence("finch", [CREST, fact("legs", 0, "none")])).endswith(
        "The legs were checked but did not matter."
    )


def test_evidence_against_stands_apart_and_never_among_the_reasons() -> None:
    wing = fact("wing", -0.12, "against")
    assert plain(sentence("finch", [CREST, wing])) == (
        "Prediction: finch, because of: crest (0.41). Evidence against it: wing"
        " (\N{MINUS SIGN}0.12)."
    )
    only = plain(sentence("finch", [wing]))
    assert "because" not in only and "Evidence against it: wing" in only


def test_many_idle_words_are_counted_and_very_long_names_cut_in_the_middle() -> None:
    idle = [fact(f"part {k}", 0, "none") for k in range(9)]
    assert "part 0, part 1, part 2, part 3 and 5 more were checked" in plain(sentence("x", idle))
    name = "a very long attribute name that " * 20 + "ends somewhere"
    text = plain(sentence("finch", [fact(name, 0.3, "for")]))
    assert len(text) < 120 and "…ds somewhere" in text and "(0.30)" in text
    assert shortened("two\n lines") == "two lines"


def test_what_would_be_said_instead_and_what_the_runner_up_lacks() -> None:
    turned = fact("crest", 0.41, "for", instead="plain reedling")
    rival = {"label": "amber finch", "probability": 0.1, "lacks": ["long tail", "bib"]}
    text = plain(sentence("reedling", [turned], rival=rival))
    assert "Without the crest the prediction would be plain reedling." in text
    assert "The second choice, amber finch, lacks: long tail and bib." in text
    assert "second choice" not in plain(sentence("reedling", [CREST], rival={**rival, "lacks": []}))


def test_a_class_that_does_not_come_first_is_explained_after_the_prediction() -> None:
    text = plain(sentence("finch", [CREST], top="owl"))
    assert text.startswith("Prediction: owl. Explained: finch, supported by: crest (0.41).")


def test_styles_mark_labels_and_words() -> None:
    styles = {text: style for style, text in sentence("finch", [CREST, BILL])}
    assert styles["finch"] == "label" and styles["crest"] == styles["bill"] == "word"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.414, "0.41"),
        (-0.12, "\N{MINUS SIGN}0.12"),
        (0.001, "under 0.01"),
        (0.0, "0.00"),
        (12.3, "12"),
    ],
)
def test_amounts(value: float, text: str) -> None:
    assert amount(value) == text
    assert level(0.001) == "0.00" == level(-0.001)


def test_every_picture_has_facts_and_every_fact_a_finite_number() -> None:
    with pytest.raises(ShapeError, match="1 lists of facts for 2 pictures"):
        Words(called=["a", "b"], facts=[[]])
    broken = Words(called=["a"], facts=[[fact("crest", float("nan"), "none")]])
    with pytest.raises(NotExplainable, match="measured nan for 'crest'"):
        broken.refused_if_empty("part-words", "a model")


def test_words_that_stand_in_one_place_share_one_number() -> None:
    crown = fact("red crown", 0.39, "for", same=["crest"])
    crest = fact("crest", 0.41, "for", same=["red crown"], instead="parrot")
    assert plain(sentence("finch", [crest, BAR, crown])) == (
        "Prediction: finch, because of: crest and red crown (0.41, same place), white wing bar"
        " (0.22). Without that place the prediction would be parrot."
    )


@pytest.mark.parametrize(("others", "passing"), [(5, 1), (19, 1), (20, 2), (39, 2), (100, 6)])
def test_how_many_words_that_do_not_matter_pass_by_chance(others: int, passing: int) -> None:
    explain = create("explainer", "part-words", named={"x": [0, 0, 2, 2]}, others=others, least=0.0)
    drops = [float(place) for place in range(others + 1)]  # one of them is the word's, by chance
    outcomes = []
    for own in drops:
        levels = chance_levels([drop for drop in drops if drop != own])
        outcomes.append(explain.outcome(own, levels, 1.0)[0])
    assert outcomes.count("for") == outcomes.count("against") == passing
