"""Samples as batches to learn from: the same pictures in one order, whatever they come from."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sightline as sl
from sightline.data.batches import UNLABELLED, ImageBatches, labelled, of_tensors, unlabelled
from sightline.data.drawn_worlds import drawings
from sightline.data.opening import open_samples
from sightline.errors import BadField, SightlineWarning, UnknownName
from sightline.pictures.reading import gather
from sightline.worlds.aviary import LABELS, Aviary

ROWS = torch.tensor([2, 0])


@pytest.fixture(scope="module")
def model() -> sl.Model:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3))
    return sl.Model(net, sl.Preprocess(size=8), labels=["owl", "hen", "3"])


def _folder(root: Path, *names: str) -> Path:
    dice = np.random.default_rng(0)
    for k, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = dice.integers(0, 255, (9 + k, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / name)
    return root


def test_a_folder_is_read_as_its_files_are_prepared(model: sl.Model, tmp_path: Path) -> None:
    folder = _folder(tmp_path, "owl/b.png", "hen/a.png", "owl/a.png", "loose.png")
    found = labelled(open_samples(folder), model)
    paths = [*gather([folder / "hen"]), *gather([folder / "owl"])]
    assert [sample.source for sample in found.samples] == paths
    assert found.labels.tolist() == [1, 0, 0]
    assert torch.equal(found.batch(model, ROWS), model.prepare([paths[2], paths[0]]))
    part = found.take([1, 2])
    assert part.labels.tolist() == [0, 0]
    assert torch.equal(part.batch(model, ROWS[1:]), model.prepare([paths[1]]))


def test_drawn_pictures_and_tensors_are_taken_as_they_are() -> None:
    birds = Aviary(seed=5, size=32, count=9)
    net = sl.Model(torch.nn.Flatten(), sl.Preprocess(size=32), labels=list(LABELS))
    numbers = [7, 1, 4]
    labels = torch.tensor([birds[k].label for k in numbers])
    drawn = ImageBatches(samples=drawings(birds, numbers, "3 birds"), labels=labels, drawn=True)
    arrays = [birds[numbers[k]].image for k in ROWS.tolist()]
    assert torch.equal(drawn.batch(net, ROWS), net.prepare(arrays))
    assert torch.equal(drawn.pixels(ROWS), torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2))
    assert [sample.number for sample in drawn.samples] == labels.tolist()
    images = torch.rand(3, 3, 32, 32)
    assert torch.equal(of_tensors(images, labels).batch(net, ROWS), images[ROWS])


def test_what_is_in_doubt_is_said_once_and_what_is_no_class_refused(
    model: sl.Model, tmp_path: Path
) -> None:
    with pytest.warns(SightlineWarning, match="1 of 2 classes have a bare number"):
        found = labelled(open_samples(_folder(tmp_path / "a", "hen/a.png", "0/b.png")), model)
    assert found.labels.tolist() == [0, 1]
    with pytest.raises(UnknownName, match="did you mean 'owl'"):
        labelled(open_samples(_folder(tmp_path / "b", "hen/a.png", "owk/b.png")), model)
    with pytest.raises(BadField, match="1 of the model's classes"):
        labelled(open_samples(_folder(tmp_path / "c", "hen/a.png")), model)
    bare = open_samples(_folder(tmp_path / "d", "a.png", "b.png"))
    assert unlabelled(bare).labels.tolist() == [UNLABELLED] * 2


def test_a_stream_is_refused(model: sl.Model, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(bytes(1024))
    for make in (unlabelled, lambda samples: labelled(samples, model)):
        with pytest.raises(BadField, match="training reads its pictures in any order"):
            make(open_samples(f"wds:{tmp_path}/a.tar"))
