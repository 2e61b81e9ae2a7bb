"""The report is one file that says what was found, escapes what it was given, and stays small."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from sightline.errors import FileProblem
from sightline.pages import shell
from sightline.pages.record import Curve, MapEntry, Method, MetricEntry, PageRecord, PictureEntry
from sightline.pages.report import summary
from sightline.pages.report.page import build, write
from sightline.pages.report.provenance import plain
from sightline.stats.intervals import mean_interval
from sightline.views import encode, wording

CAM = Method(
    name="grad-cam",
    title="Grad-CAM",
    question="How much?",
    doubt="Do not trust it where `mean` misleads.",
)
EVIL = "</script><script>alert('x')</script><img src=x onerror=alert(1)>"


def spot(rows: int = 40, cols: int = 40, row: int = 10, col: int = 12) -> np.ndarray:
    y, x = np.mgrid[0:rows, 0:cols]
    return np.exp(-((y - row) ** 2 + (x - col) ** 2) / 30).astype(np.float32)


def metric(name: str = "deletion", value: float = 0.1, direction: str = "lower") -> MetricEntry:
    line = Curve(x=[0.0, 0.5, 1.0], y=[0.9, 0.3, 0.1], low=[0.8, 0.5, 0.1], high=[1.0, 0.7, 0.1])
    nulls = {"random": 0.3, "edge map": 0.2}
    return MetricEntry(name=name, value=value, direction=direction, nulls=nulls, curve=line)


def entry(values: np.ndarray | None = None, **more: object) -> MapEntry:
    values = spot() if values is None else values
    facts = {"method": "grad-cam", "parameters": {"layer": "layer4"}, "seed": 0}
    given = {"metrics": (metric(),), "passes": (1, 1), "seconds": 0.04, "layer": "layer4"}
    return MapEntry(method=CAM, values=values, provenance=facts, **{**given, **more})


def item(label: str = "wren", size: tuple[int, int] = (60, 90), **more: object) -> PictureEntry:
    picture = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    given = {
        "picture": picture,
        "box": (15.0, 0.0, 75.0, 60.0),
        "maps": (entry(),),
        "name": "a.jpg",
    }
    given |= {"top": ((label, 0.97), ("robin", 0.02)), "target": label, "probability": 0.97}
    return PictureEntry(**{**given, **more})


def maps_of(text: str) -> list[dict]:
    found = re.search(r'<script type="application/json">(.*?)</script>', text, re.S)
    assert found
    return json.loads(found[1])["maps"]


class Reader(HTMLParser):
    """Collects tags, text by heading, and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("h1", "h2"):
            self.headings.append("")
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open:
            self.headings[-1] += data


def test_the_page_needs_nothing_but_itself() -> None:
    text = build(PageRecord(title="t", items=(item(),)))
    for tag, attributes in Reader(text).tags:
        address = attributes.get("src") or attributes.get("href") or "#"
        assert address.startswith(("data:", "#")), (tag, address)
    assert "url(" not in text and "@import" not in text
    assert re.search(r"default-src 'none'.*script-src 'sha256-[^' ;]+';", text)


def test_only_our_own_script_may_run() -> None:
    scripts = [
        a for t, a in Reader(build(PageRecord(title="t", items=(item(),)))).tags if t == "script"
    ]
    assert [a.get("type") for a in scripts] == ["application/json", "module"]


def test_no_page_lets_text_become_code() -> None:
    for path in (Path(shell.__file__).parent / "templates").glob("*.j2"):
        assert "unsafe-eval" not in path.read_text("utf-8")


@pytest.mark.parametrize("where", ["title", "label", "file", "error", "note", "provenance", "part"])
def test_html_in_names_stays_text(where: str) -> None:
    mask = np.ones((40, 40), dtype=bool)
    bad = item(
        EVIL if where == "label" else "wren",
        name=EVIL if where == "file" else "a.jpg",
        parts={EVIL if where == "part" else "crest": mask},
        maps=(
            entry(),
            MapEntry(method=CAM, error=EVIL if where == "error" else "no"),
            MapEntry(method=CAM, values=spot(), provenance={EVIL: EVIL}),
        ),
    )
    text = build(
        PageRecord(
            title=EVIL if where == "title" else "t",
            items=(bad,),
            notes=(EVIL,),
            facts=((EVIL, EVIL),),
        )
    )
    reader = Reader(text)
    assert sum(tag == "script" for tag, _ in reader.tags) == 2
    assert not any("onerror" in attributes for _, attributes in reader.tags)


def test_json_in_the_page_cannot_end_its_element() -> None:
    text = shell.embedded({"a": "</script>\u2028&<!--"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script>\u2028&<!--"}


def test_the_script_gets_maps_that_come_back() -> None:
    text = build(PageRecord(title="t", items=(item(),)))
    sent = maps_of(text)[0]
    back = encode.heat_back(sent)
    assert abs(float(back.max()) - float(spot().max())) < 0.02
    assert (sent["row"], sent["column"]) == (0, 0) and 'id="picture-1-map-1"' in text


def test_the_heading_states_the_finding() -> None:
    parts = {"crest": spot() > 0.5, "bird": spot() > 0.01}
    headings = Reader(build(PageRecord(title="t", items=(item(parts=parts),)))).headings
    assert any(
        h.startswith("Prediction: wren (97") and "Grad-CAM peaks on the crest." in h
        for h in headings
    )


def test_a_wrong_answer_and_another_target_are_said() -> None:
    told = " ".join(
        Reader(
            build(
                PageRecord(
                    title="t", items=(item(truth="robin", target="robin", probability=0.02),)
                )
            )
        ).headings
    )
    assert "Prediction: wren (97" in told
    assert "it is robin" in told
    assert "Explained: robin (2" in told


def test_an_empty_map_is_explained_and_its_signed_map_is_sent() -> None:
    empty = entry(np.zeros((40, 40), dtype=np.float32), native=-spot(5, 5, 2, 2))
    text = build(PageRecord(title="t", items=(item(maps=(empty,)),)))
    assert "No relevance anywhere is positive for wren; this is the signed map." in text
    sent = maps_of(text)[0]
    assert sent["empty"] and sent["signed"]["low"] < 0


def test_failures_are_listed_with_their_reason() -> None:
    broken = PictureEntry(name="b.jpg", error="the file ends early; copy it again.")
    refused = item(maps=(entry(), MapEntry(method=CAM, error="no attention here.")))
    text = build(PageRecord(title="t", items=(refused, broken)))
    assert "2 entries failed" in text
    assert "the file ends early; copy it again." in text and "no attention here." in text


@pytest.mark.parametrize("items", [(), (PictureEntry(name="b.jpg", error="not a picture."),)])
def test_a_report_without_any_map_is_still_a_page(items: tuple[PictureEntry, ...]) -> None:
    headings = Reader(build(PageRecord(title="t", items=items))).headings
    assert any("nothing to show" in h or "None of the pictures" in h for h in headings)


@pytest.mark.parametrize("size", [(600, 90), (40, 400), (1, 1)])
def test_portrait_panorama_and_a_single_pixel_are_drawn(size: tuple[int, int]) -> None:
    box = (0.0, 0.0, float(size[1]), float(size[0]))
    assert "Prediction: <em>wren" in build(PageRecord(title="t", items=(item(size=size, box=box),)))


def test_tensors_without_a_picture_are_shown_as_the_model_saw_them() -> None:
    bare = item(picture=None, box=None, shown=np.random.default_rng(0).random((40, 40, 3)))
    assert "data:image/" in build(PageRecord(title="t", items=(bare,)))


def test_ten_pictures_with_three_methods_stay_under_five_megabytes() -> None:
    dice = np.random.default_rng(0)
    noise = [dice.random((224, 224), dtype=np.float32) for _ in range(3)]
    picture = dice.integers(0, 255, (90, 120, 3), dtype=np.uint8).repeat(12, 0).repeat(12, 1)
    many = tuple(
        item(picture=picture, box=(180.0, 0.0, 1260.0, 1080.0), maps=tuple(entry(v) for v in noise))
        for _ in range(10)
    )
    assert len(build(PageRecord(title="t", items=many)).encode()) < 5e6


def test_numbers_come_with_their_null_levels_and_a_verdict() -> None:
    text = build(PageRecord(title="t", items=(item(),)))
    assert "random\N{NO-BREAK SPACE}0.30" in text
    assert "Beats the baselines on deletion." in text


def test_a_verdict_names_what_does_as_well() -> None:
    won, lost = metric(), metric("insertion", 0.1, "higher")
    both = "Beats the baselines on deletion; a random map scores as well on insertion."
    assert summary.verdict([won, lost]) == both
    none = "Does not beat the baselines: a random map scores as well on insertion."
    assert summary.verdict([lost]) == none
    assert summary.verdict([]) == ""


def test_baseline_sentence_and_caution_stand_once_per_method() -> None:
    lost = metric("insertion", 0.1, "higher")
    items = (item(), item(maps=(entry(metrics=(metric(), lost)),)), item())
    text = build(PageRecord(title="t", items=items))
    assert text.count("Do not trust it where") == 1
    assert text.count("the baselines on deletion") == 1
    assert (
        "Beats the baselines on deletion in 3 of 3 pictures and on insertion in 0 of 1 picture."
        in text
    )
    none = summary.verdicts([item(maps=(entry(metrics=(lost,)),))] * 2)
    assert none == {"grad-cam": "Does not beat the baselines on insertion (0 of 2 pictures)."}
    assert text.count('id="method-grad-cam"') == 1 and 'href="#method-grad-cam"' in text


def test_a_method_fails_where_it_beats_no_baseline_and_others_do() -> None:
    lost = (metric("deletion", 0.25), metric("insertion", 0.1, "higher"))
    other = Method(name="rise", title="RISE")
    both = item(
        maps=(entry(metrics=lost), MapEntry(method=other, values=spot(), metrics=(metric(),)))
    )
    assert summary.failing(both) == ["Grad-CAM"]
    told = "Grad-CAM fails here: it does not beat the baselines on deletion or insertion."
    assert summary.failure(both) == told
    assert summary.failing(item(maps=(entry(metrics=lost),))) == []  # nobody does better
    assert summary.failure(item()) == ""


def test_how_a_map_was_made_is_a_table_in_plain_words() -> None:
    facts = {
        "target": "Class((287,), probability=False)",
        "target_label": ["lynx"],
        "parameters": {"layer": None, "keep_sign": False},
        "evaluations": {"forward": 0, "backward": 1},
        "preprocessing": "Preprocess(size=(128, 128), range=None, antialias=True)",
        "hook": "<function foo at 0x7f35c8>",
        "refused": [None],
    }
    made = MapEntry(method=CAM, values=spot(), provenance=facts)
    text = build(PageRecord(title="t", items=(item(maps=(made,)),)))
    table = text[text.index("How it was made") :]
    rows = dict(re.findall(r"<tr><th[^>]*>(.*?)</th><td>(.*?)</td></tr>", table, re.S))
    assert rows == {
        "Explained": "lynx",
        "Passes": "1 backward",
        "Preprocessing": "size 128, 128; antialias yes",
        "Hook": "foo",
        "Setting: keep sign": "no",
        "Setting: layer": "default",
    }


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, ""),
        (True, "yes"),
        (0.123456, "0.1235"),
        (-2.5, "\N{MINUS SIGN}2.5"),
        ([1, [2, 3]], "1, 2, 3"),
        ({"name": "igos", "fields": {"cells": 7}}, "igos: cells 7"),
        ("Class((287,), probability=False)", "class: 287; probability no"),
        ("Region(box=(1, 2), inner=Class((3,)))", "region: box 1, 2; inner class: 3"),
        ("<bound method Net.forward of Net()>", "<bound method Net.forward of Net()>"),
        ("<function loss at 0x7f>", "loss"),
        ("a (b) c", "a (b) c"),
        ("broken(", "broken("),
    ],
)
def test_values_are_said_in_words(value: object, words: str) -> None:
    assert plain(value) == words


def test_several_pictures_are_summed_up_by_the_rules_of_every_table() -> None:
    values = np.random.default_rng(0).random(8)
    items = [item(maps=(entry(metrics=(MetricEntry(name="m", value=v),)),)) for v in values]
    low, high = mean_interval(values) or (0, 0)
    for count, shown in ((8, (low, high)), (7, None)):
        table = summary.table(items[:count])
        assert table and table["rows"][0]["cells"][0]["value"] == values[:count].mean()
        told = wording.with_interval(values[:count].mean(), shown)
        assert table["rows"][0]["cells"][0]["text"] == told
        assert ("95 % interval" in build(PageRecord(title="t", items=tuple(items[:count])))) == (
            count == 8
        )
    table = summary.table([item(), item()])
    assert table and table["rows"][0]["cells"][0]["won"] == 2


def test_a_number_that_differs_from_a_baseline_by_rounding_does_not_beat_it() -> None:
    for direction, sign in (("higher", 1), ("lower", -1)):
        beaten = {
            step: summary.beats(
                MetricEntry(
                    name="m", value=0.5 + sign * step, direction=direction, nulls={"b": 0.5}
                )
            )
            for step in (1e-7, 1e-4, -1e-4)
        }
        assert beaten == {1e-7: False, 1e-4: True, -1e-4: False}


def test_writing_replaces_in_one_step_and_says_where(tmp_path: Path) -> None:
    goal = tmp_path / "new" / "report.html"
    assert write(PageRecord(title="one"), goal) == goal
    write(PageRecord(title="two"), goal)
    assert "<h1>two</h1>" in goal.read_text("utf-8")
    assert [p.name for p in goal.parent.iterdir()] == ["report.html"]


def test_a_path_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(FileProblem, match="could not be written"):
        write(PageRecord(title="t"), tmp_path / "report.html")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("uniform map", "a uniform map"), ("edge map", "an edge map"), ("random", "a random map")],
)
def test_a_baseline_has_its_article(name: str, said: str) -> None:
    assert summary._article(name) == said
