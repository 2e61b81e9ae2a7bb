"""Reports of many pictures: pages of a bounded size, an index, and flat memory."""

import re
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from sightline.cli.results import item_files, pages, store
from sightline.pages.record import Curve, MapEntry, Method, MetricEntry, PanelEntry, PictureEntry
from sightline.pages.report.evidence import measure
from sightline.targets.words import Predicted

Command = Callable[..., Result]
METHOD = Method(name="grad-cam", title="Grad-CAM", question="Where?")


def _item(k: int, side: int = 32) -> PictureEntry:
    rng = np.random.default_rng(k)
    metric = MetricEntry(
        name="deletion",
        value=0.1 * (k % 7),
        direction="lower",
        nulls={"random": 0.3},
        curve=Curve(x=[0.0, 1.0], y=[0.9, 0.1], low=[0.8, 0.1], high=[0.9, 0.2]),
    )
    return PictureEntry(
        name=f"folder/{k}.png",
        picture=np.broadcast_to(
            np.linspace(0, 255 - k, side + 8)[None, :, None], (side, side + 8, 3)
        ).astype(np.uint8),
        box=(0.0, 0.0, float(side + 8), float(side)),
        top=(("lynx", 0.9), ("tabby", 0.05)),
        prediction=Predicted(label="lynx", index=3, share=0.9),
        target="lynx",
        parts={"head": rng.random((16, 16)) > 0.5},
        maps=(
            MapEntry(
                method=METHOD,
                values=rng.random((16, 16), np.float32),
                metrics=(metric,),
                provenance={"nested": {"a": [1, None]}, "nan": float("nan")},
            ),
            MapEntry(method=METHOD, error="no <layer>"),
        ),
        panels=(PanelEntry(method=METHOD, body="<p>words</p>", seconds=0.5),),
    )


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Callable[..., store.Store]]:
    """A store of so many pictures, on disk."""
    stack = ExitStack()

    def filled(count: int, side: int = 32) -> store.Store:
        made = stack.enter_context(store.opened(tmp_path / f"o{count}"))
        for k in range(count):
            record = {"name": f"folder/{k}.png", "error": "", "maps": []}
            made.add(f"key{k}", f"{k}", record, (), _item(k, side))
        return made

    with stack:
        yield filled


RUN = store.Run(
    settings={},
    model="m",
    title="Where",
    facts=(("model", "m"),),
    caution="Birds only.",
    refused=(("Rollout", "no attention"),),
    failed=(("gone.png", "no such file"),),
)


@pytest.mark.parametrize("side", [32, 600])
def test_a_picture_comes_back_from_its_file(side: int, tmp_path: Path) -> None:
    item = _item(1, side)
    again = item_files.read(item_files.write(item, tmp_path / "a.npz"))
    assert again.prediction == item.prediction and again.top == item.top
    assert again.box == item.box and again.panels[0].body == "<p>words</p>"
    assert np.array_equal(again.maps[0].values, item.maps[0].values)
    assert np.array_equal(again.parts["head"], item.parts["head"])
    assert again.maps[0].metrics[0].nulls == {"random": 0.3}
    assert again.maps[0].provenance["nested"] == {"a": (1, None)}
    assert again.maps[1].error == "no <layer>"
    apart = np.abs(again.picture.astype(int) - item.picture)
    assert apart.max() <= (0 if side < 400 else 3)


def test_the_names_in_files_of_finished_runs_stay(tmp_path: Path) -> None:
    path = item_files.write(_item(3), tmp_path / "a.npz")
    told = str(np.load(path)["about"])
    assert re.findall(r'"kind": "(\w+)"', told)[:3] == ["Item", "Predicted", "MapEntry"]
    names = set(re.findall(r'"kind": "(\w+)"', told))
    assert names == {
        *("Item", "Predicted", "MapEntry", "PanelEntry"),
        *("MetricEntry", "Curve", "Method"),
    }


def test_few_pictures_are_one_file(shelf: Callable[..., store.Store]) -> None:
    held = shelf(pages.PER_PAGE)
    text = pages.write(held, RUN).read_text("utf-8")
    assert text.count('<article class="item"') == pages.PER_PAGE
    assert 'class="turning"' not in text and not (held.folder / "report-pages").exists()
    assert "Birds only." in text and "no attention" in text and "gone.png" in text


def test_many_pictures_are_an_index_and_pages_that_lead_to_each_other(
    shelf: Callable[..., store.Store],
) -> None:
    held = shelf(2 * pages.PER_PAGE + 3)
    index = pages.write(held, RUN).read_text("utf-8")
    files = sorted((held.folder / "report-pages").iterdir())
    assert [f.name for f in files] == ["00001.html", "00026.html", "00051.html"]
    assert index.count("<img ") == 53 and "Birds only." in index
    assert "no attention" in index and "gone.png" in index and "deletion" in index
    numbers = []
    for k, file in enumerate(files):
        text = file.read_text("utf-8")
        numbers += re.findall(r'<p class="name"[^>]*><span>(\d+) / 53</span>', text)
        links = set(re.findall(r'<a href="([^"#]*)" rel', text))
        assert links == {f.name for f in files[max(0, k - 1) : k + 2]} - {file.name}
        assert 'href="../report.html"' in text
        for address in re.findall(rf'href="report-pages/{file.name}#([^"]*)"', index):
            assert f'id="{address}"' in text
    assert numbers == [str(k) for k in range(1, 54)]


def test_the_index_says_the_same_of_pictures_measured_before_and_now(tmp_path: Path) -> None:
    told = []
    for folder, finish in (("before", lambda item: item), ("now", measure)):
        with store.opened(tmp_path / folder) as held:
            for k in range(pages.PER_PAGE + 1):
                item = _item(k)
                other = replace(item.maps[0], values=_item(k % 2).maps[0].values)
                item = finish(replace(item, maps=(item.maps[0], other)))
                record = {"name": item.name, "error": "", "maps": []}
                held.add(f"key{k}", f"{k}", record, (), item)
            told.append(pages.write(held, RUN).read_text("utf-8"))
            light = held.item(0, arrays=False)
            assert (light.overlap == 1.0) == (folder == "now") and light.maps[0].values is None
    assert told[0] == told[1] and "The methods agree on 2 of 26, in part on" in told[0]


def test_a_page_that_would_be_too_large_is_split_and_old_pages_go(
    shelf: Callable[..., store.Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = shelf(5)
    whole = pages.write(held, RUN).stat().st_size
    monkeypatch.setattr(pages, "LARGEST", whole - 1)
    index = pages.write(held, RUN)
    files = sorted((held.folder / "report-pages").iterdir())
    assert [f.name for f in files] == ["00001.html", "00004.html"]
    assert all(f.stat().st_size < whole for f in (index, *files))
    monkeypatch.setattr(pages, "LARGEST", 1)  # one picture cannot be split
    pages.write(held, RUN)
    assert len(list((held.folder / "report-pages").iterdir())) == 5
    monkeypatch.undo()
    pages.write(held, RUN)
    assert not (held.folder / "report-pages").exists()


def test_memory_does_not_grow_with_the_pictures(
    shelf: Callable[..., store.Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PER_PAGE", 1)
    peaks = []
    for count in (2, 3, 7):  # the first loads what is loaded once
        held = shelf(count, 300)  # 280 kB a picture
        tracemalloc.start()
        pages.write(held, RUN)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] - peaks[1] < 4 * 280_000 / 2  # held in memory they would add all of it


def test_above_some_hundred_pictures_evaluate_is_named(
    flock: Path, sightline: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("explain", flock, "--method", "gradient", "--metrics", "none", "--limit")
    monkeypatch.setattr("sightline.cli.explain.MANY", 1)
    assert "`sightline evaluate` is the verb" in sightline(*words, 2).stderr
    assert "`sightline evaluate` is the verb" not in sightline(*words, 1).stderr


def test_a_photograph_under_a_network_of_birds_is_cautioned_in_the_report(
    flock: Path, sightline: Command
) -> None:
    words = ("explain", flock / "0.png", "--method", "gradient", "--metrics", "none")
    sentence = "sightline:default knows 14 drawn birds only"
    for model in ((), ("--model", "sightline:default")):
        assert sentence in sightline(*words, *model, "--out", "o").stderr
        assert sentence in Path("o/report.html").read_text("utf-8")
