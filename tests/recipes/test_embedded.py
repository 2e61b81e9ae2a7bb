"""The script that trains the embedded networks: it goes on where it was interrupted."""

from dataclasses import replace

import torch

from sightline.data.batches import ImageBatches
from sightline.nets.default import NAMES
from sightline.recipes.embedded import (
    PLANS,
    TRAIN,
    BirdSet,
    accuracy,
    augment,
    draw,
    train,
)
from sightline.worlds.aviary import Aviary

torch.set_num_threads(2)
FEW = BirdSet("few", 31, 28)


def drawn(folder) -> ImageBatches:
    return draw(FEW, folder, workers=0)


def test_pictures_are_drawn_once_and_are_those_of_the_aviary(tmp_path):
    pictures = drawn(tmp_path)
    begun = (tmp_path / "few-31-28.npy").stat().st_mtime_ns
    every = torch.arange(28)
    assert torch.equal(drawn(tmp_path).pixels(every), pictures.pixels(every))
    assert (tmp_path / "few-31-28.npy").stat().st_mtime_ns == begun
    assert (pictures.samples[5].load().array == Aviary(seed=31, count=28)[5].image).all()
    assert pictures.labels.bincount().tolist() == [2] * 14


def test_an_interrupted_training_ends_as_an_uninterrupted_one(tmp_path):
    pictures = drawn(tmp_path)
    plan = replace(PLANS["default"], data=FEW, epochs=2, small=1, warm=1.0, batch=14)
    (tmp_path / "a").mkdir()
    whole, history = train(plan, pictures, None, tmp_path / "a")
    (tmp_path / "b").mkdir()
    train(plan, pictures, None, tmp_path / "b", stop=1)
    again, _ = train(plan, pictures, None, tmp_path / "b")
    assert [entry["epoch"] for entry in history] == [1, 2]
    for one, two in zip(whole.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, two)
    assert 0 <= accuracy(whole, pictures) <= 1


def test_borrowed_layers_stay_the_teachers(tmp_path):
    pictures = drawn(tmp_path)
    short = {"data": FEW, "epochs": 1, "small": 0, "warm": 0.5, "batch": 14}
    teacher, _ = train(replace(PLANS["default"], **short), pictures, None, tmp_path)
    pupil, _ = train(replace(PLANS["default-vit"], **short), pictures, teacher, tmp_path)
    for layer in ("stem", "stage1", "stage2"):
        theirs = teacher.get_submodule(layer).state_dict()
        for name, value in pupil.get_submodule(layer).state_dict().items():
            assert torch.equal(value, theirs[name])


def test_augmentation_depends_on_the_generator_alone():
    images = torch.randint(0, 256, (4, 3, 128, 128), dtype=torch.uint8)
    first, second = (augment(images, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, second) and first.shape == (4, 3, 128, 128)


def test_there_is_a_plan_for_each_network():
    assert set(PLANS) == set(NAMES) and PLANS["default"].data is TRAIN
