"""What `explain` and `attack` read: files, folders and globs, and collections of their own word."""

from pathlib import Path

import pytest
from PIL import Image

import sightline as sl
from sightline.cli import parse
from sightline.errors import BadField, BadImage


@pytest.fixture(scope="module")
def model() -> sl.Model:
    return sl.load("sightline:default")


def test_files_come_once_and_are_called_apart(model: sl.Model, tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
        Image.new("RGB", (9, 8)).save(tmp_path / folder / "x.png")
    sources = [str(tmp_path / "a"), str(tmp_path / "*" / "x.png"), str(tmp_path / "none.png")]
    found, absent = parse.pictures(model, sources, None)
    assert [sample.name for sample in found] == ["a/x.png", "b/x.png"]
    assert [source for source, _ in absent] == sources[2:]
    assert not any(sample.label for sample in found)
    with pytest.raises(BadImage, match="no such file"):
        parse.pictures(model, sources[2:], None)


def test_a_drawn_world_comes_with_its_truth_and_the_models_classes(model: sl.Model) -> None:
    found, _ = parse.pictures(model, ["aviary:planted"], 2)
    assert len(found) == 2
    assert [model.label(sample.class_index or 0) for sample in found] == [s.label for s in found]
    assert all(sample.boxes and sample.parts for sample in found)


def test_a_stream_needs_a_limit(model: sl.Model, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(bytes(1024))
    with pytest.raises(BadField, match=r"is a stream.*--limit"):
        parse.pictures(model, [f"webdataset:{tmp_path}/a.tar"], None)
