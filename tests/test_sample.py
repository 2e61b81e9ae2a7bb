"""Samples: lazy, sliceable where they can be, a stream where not; their digest and problems."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sightline as sl
from sightline.data.classes import match
from sightline.data.opening import open_samples
from sightline.errors import BadField

NAMES = ("cat", "dog", "owl")


def _folder(root: Path) -> Path:
    for level, name in enumerate(NAMES):
        (root / name).mkdir(parents=True)
        Image.new("RGB", (9, 8), (level, 2, 3)).save(root / name / "a.png")
    return root


def _stream() -> sl.Samples:
    def start() -> Iterator[sl.Sample]:
        return (sl.Sample(name=f"{k}", source=torch.zeros(1, 3, 4, 4)) for k in range(5))

    return sl.Samples(name="stream", start=start)


def test_a_collection_is_sliced_and_only_what_is_asked_for_is_made() -> None:
    made: list[int] = []

    def at(k: int) -> sl.Sample:
        made.append(k)
        return sl.Sample(name=str(k))

    samples = sl.Samples.counted("ten", 10, at)
    assert not made and len(samples) == 10
    part = samples[4:8:2]
    assert not made and [s.name for s in part] == ["4", "6"] and part[1].name == "6"
    assert [s.name for s in samples.take([7, 2])[:1]] == ["7"]
    assert samples[-1].name == "9" and made == [4, 6, 6, 7, 9]
    with pytest.raises(IndexError):
        samples[10]


def test_a_stream_gives_its_first_samples_and_no_place() -> None:
    samples = _stream()
    assert [s.name for s in samples[:2]] == ["0", "1"] and len(list(samples)) == 5
    assert samples[:2].to_toml() == {"source": "stream", "limit": 2}
    with pytest.raises(TypeError, match="only its end tells"):
        len(samples)
    for place in (3, slice(1, 3), slice(None, -1)):
        with pytest.raises(BadField, match="is a stream"):
            samples[place]


def test_every_way_to_the_same_sample_gives_it(tmp_path: Path) -> None:
    samples = open_samples(_folder(tmp_path))
    assert [s.label for s in samples] == list(NAMES)
    assert [samples[k].name for k in range(3)] == [s.name for s in samples]
    assert open_samples(samples) is samples


def test_the_digest_is_of_pictures_labels_and_truth_in_order(tmp_path: Path) -> None:
    samples = open_samples(_folder(tmp_path))
    first = samples.digest()
    assert first == open_samples(str(tmp_path / "*" / "*.png")).digest()  # names do not count
    assert first != samples.take([1, 0, 2]).digest()
    assert first != samples.map(lambda s: replace(s, label="x")).digest()
    assert first != samples.map(lambda s: replace(s, boxes=((0.0, 0.0, 1.0, 1.0),))).digest()
    Image.new("RGB", (9, 8), (9, 9, 9)).save(tmp_path / "cat" / "a.png")
    assert first != samples.digest()


def test_problems_name_what_cannot_be_used(tmp_path: Path) -> None:
    _folder(tmp_path)
    (tmp_path / "t.csv").write_text("path,label,box\ncat/a.png,cat,\nb.png,dog,\ndog/a.png,gnu,1\n")
    model = sl.Model(torch.nn.Flatten(), sl.Preprocess(size=8), labels=list(NAMES))
    found = dict(open_samples(tmp_path / "t.csv").problems())
    assert list(found) == ["b.png", "dog/a.png"]
    assert "no such file" in found["b.png"] and "four numbers" in found["dog/a.png"]
    (tmp_path / "t.csv").write_text("path,label\ncat/a.png,cat\ndog/a.png,gnu\n")
    samples = match(open_samples(tmp_path / "t.csv"), model)
    assert [name for name, _ in samples.problems()] == ["dog/a.png"]


def test_labels_stay_text_beside_the_class_that_they_mean(tmp_path: Path) -> None:
    labels = ["owl, barn owl", "dog", "fish"]
    model = sl.Model(torch.nn.Flatten(), sl.Preprocess(size=8), labels=labels)
    samples = match(open_samples(_folder(tmp_path)), model)
    assert [(s.label, s.class_index) for s in samples] == [("cat", None), ("dog", 1), ("owl", 0)]
    assert [s.unknown for s in samples] == [True, False, False]
    other = match(open_samples(tmp_path), sl.Model(torch.nn.Flatten(), labels=list(NAMES)))
    assert [s.class_index for s in other] == [0, 1, 2]


def test_a_table_says_domains(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label,domain\na.png,dog,sketch\nb.png,dog,\n")
    assert [s.domain for s in open_samples(tmp_path / "t.csv")] == ["sketch", ""]


def test_drawn_worlds_are_data_and_their_pictures_come_one_by_one() -> None:
    birds = open_samples("aviary:planted", 3)
    assert birds.to_toml() == {"source": "aviary:planted", "pictures": 3, "limit": 3}
    bird = birds[1]
    assert bird.parts is not None and "mark" in bird.parts and bird.label in bird.names
    assert np.array_equal(bird.load().array, list(birds)[1].load().array)
    with pytest.raises(BadField, match="did you mean 'aviary:planted'"):
        open_samples("aviary:plantd")
