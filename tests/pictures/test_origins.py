"""Frames and pictures travel with rows: slices, copies, other orders, other devices and models."""

import pickle
import threading
import time
from copy import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sightline import Model, Preprocess
from sightline.pictures.origins import HELD, Origins
from sightline.pictures.reading import Picture

SIDES = [(40, 60), (60, 40), (33, 90), (50, 50)]


def picture(rows: int, cols: int, seed: int = 0) -> Picture:
    array = np.random.default_rng(seed).integers(0, 256, (rows, cols, 3), dtype=np.uint8)
    return Picture(array, f"{rows} x {cols}, {seed}")


def made() -> tuple[Model, list[Picture], Tensor]:
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = Model(net, Preprocess(size=24, crop=0.75))
    pictures = [picture(*size, seed=i) for i, size in enumerate(SIDES)]
    return model, pictures, model.prepare(pictures)


def moved(images: Tensor) -> Tensor:
    """A copy as another device would hold it: no view, other memory, other strides."""
    return images.clone(memory_format=torch.channels_last)


TRAVELS = {
    "the tensor": (lambda x: x, [0, 1, 2, 3]),
    "a slice": (lambda x: x[1:3], [1, 2]),
    "a slice of a slice": (lambda x: x[1:][1:2], [2]),
    "every other row": (lambda x: x[::2], [0, 2]),
    "one row": (lambda x: x[2][None], [2]),
    "a copy": (moved, [0, 1, 2, 3]),
    "a slice of a copy": (lambda x: moved(x)[2:], [2, 3]),
    "another order": (lambda x: x[[3, 0, 0]], [3, 0, 0]),
    "joined": (lambda x: torch.cat([x[2:], x[:2]]), [2, 3, 0, 1]),
    "stacked": (lambda x: torch.stack([x[3], x[1]]), [3, 1]),
    "channels permuted and back": (lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2), None),
    "doubles": (lambda x: x.double(), None),
    "halves": (lambda x: x.half(), None),
    "bfloat16": (lambda x: x.bfloat16(), None),
    "NumPy and back": (lambda x: torch.from_numpy(x.numpy().copy()), None),
    "leaf with gradient": (lambda x: x.detach().requires_grad_(), None),
}


@pytest.mark.parametrize("way", TRAVELS)
def test_frames_and_pictures_travel_with_rows(way: str) -> None:
    model, pictures, images = made()
    change, rows = TRAVELS[way]
    rows = rows or [0, 1, 2, 3]
    there = change(images)
    assert isinstance(model.preprocess, Preprocess)
    assert model.frames(there) == [model.preprocess.frame(SIDES[i]) for i in rows]
    assert model.pictures(there) == [pictures[i] for i in rows]
    assert model.origins.names(there) == [pictures[i].name for i in rows]


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x * 0.5,
        lambda x: x.flip(3),
        lambda x: x[..., 2:, :],
        lambda x: torch.cat([x[:3], torch.rand(1, 3, 24, 24)]),
        lambda x: x.transpose(2, 3),
    ],
)
def test_what_was_changed_has_no_frame(change) -> None:
    model, _, images = made()
    assert model.frames(change(images)) is None and model.pictures(change(images)) is None


def test_writing_into_the_tensor_or_its_base_loses_the_frame() -> None:
    model, _, images = made()
    part = images[:2]
    assert model.frames(part) and model.frames(images)
    images[0].mul_(0.5)
    assert model.frames(images) is None and model.frames(part) is None
    assert len(model.frames(images[1:])) == 3


def test_pictures_that_look_alike_are_told_apart_by_their_tensor_only() -> None:
    model, *_ = made()
    black = [Picture(np.zeros((*size, 3), np.uint8), str(size)) for size in SIDES]
    images = model.prepare(black)
    first = [model.preprocess.frame(size) for size in SIDES]
    assert model.frames(images) == first and model.frames(images[2:]) == first[2:]
    assert model.pictures(images[1:2]) == [black[1]]
    assert model.frames(images.clone()) is None and model.pictures(images.clone()) is None
    followed = model.origins.follow(images[1:].clone(), images, slice(1, None))
    assert model.frames(followed) == first[1:] and model.pictures(followed) == black[1:]


def test_the_same_picture_prepared_twice_is_no_doubt() -> None:
    model, _, images = made()
    model.prepare([picture(*SIDES[0], seed=0)])
    assert model.frames(images.clone()) == model.frames(images)


def test_given_taken_and_copied_models_know_the_same_but_no_pickle_and_no_stranger() -> None:
    model, _, images = made()
    for other in (copy(model), model.given(question=torch.zeros(4)), model.take([0])):
        assert other.frames(images.clone()) == model.frames(images)
    assert pickle.loads(pickle.dumps(model)).frames(images) is None
    assert made()[0].frames(images + 0) is not None  # the same pictures, prepared there too
    assert Model(nn.Flatten(), Preprocess(size=24)).frames(images) is None


def test_pictures_live_as_long_as_their_tensor_and_the_latest_a_little_longer() -> None:
    model, pictures, images = made()
    there = images.clone()
    del images
    assert model.pictures(there) == pictures
    other = model.prepare([Picture(np.zeros((HELD // 3 // 1000 + 1, 1000, 3), np.uint8), "large")])
    assert model.pictures(there) == pictures  # looked up before: it lives with the copy
    assert model.pictures(other)[0].name == "large"
    fresh = there + 0
    del there, pictures
    assert model.pictures(fresh) is None and len(model.frames(fresh)) == 4
    assert model.origins.names(fresh)[0] == "40 x 60, 0"


def test_memory_is_bounded_and_a_forgotten_picture_is_not_taken_for_a_tensor(monkeypatch) -> None:
    monkeypatch.setattr("sightline.pictures.origins.ROWS", 5)
    model, _, images = made()
    kept = images.clone()
    model.prepare([picture(30, 30, seed=9 + i) for i in range(4)])
    assert len(model.origins._rows) == 5
    assert model.frames(images) and model.frames(kept) is None
    with pytest.raises(ValueError, match="changed after"):
        model.origins.placed(kept)


def test_tensors_that_never_were_pictures_cost_no_digest(monkeypatch) -> None:
    monkeypatch.setattr("sightline.pictures.origins._digest", lambda row: pytest.fail("digest"))
    model = Model(nn.Flatten(), Preprocess(size=24))
    assert model.frames(torch.rand(2, 3, 24, 24)) is None


def test_a_digest_is_cheap() -> None:
    origins, row = Origins(), torch.rand(1, 3, 224, 224)
    images = torch.rand(1, 3, 224, 224)
    origins.add(images, [picture(9, 9)], None)
    took = []
    for _ in range(9):
        started = time.perf_counter()
        origins.frames(row + 0)
        took.append(time.perf_counter() - started)
    assert min(took) < 0.01  # 0.9 ms where nothing else runs


def test_many_threads_may_prepare_and_look_up() -> None:
    model, *_ = made()
    wrong = []

    def work(seed: int) -> None:
        for i in range(10):
            sizes = SIDES[i % 4], SIDES[(i + seed) % 4]
            images = model.prepare([picture(*s, seed=97 * seed + i) for s in sizes])
            frames = model.frames(images.clone())
            wrong.extend([] if frames == [model.preprocess.frame(s) for s in sizes] else [seed])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
