"""Passes through a network: shared on every device, counted for who caused them."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import torch
from PIL import Image

import sightline as sl
from sightline import Model
from sightline.errors import UnknownName
from sightline.network.costs import recorded, uncounted, watched
from sightline.network.shared_pass import in_view, shape_of
from sightline.worlds.miniatures import MINIATURES

CAMS = ["grad-cam", "hires-cam", "layer-cam"]


def small() -> Model:
    mini = MINIATURES["pooled-cnn"]
    return Model(mini(), sl.Preprocess(mini.size), labels=list("abcde"))


def pictures(count: int) -> torch.Tensor:
    size = MINIATURES["pooled-cnn"].size
    return torch.rand((count, 3, *size), generator=torch.Generator().manual_seed(0))


# shared where moving a tensor copies it


def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device whose `.to()` copies, as that of every accelerator does: `cpu:0` is not `cpu`."""
    monkeypatch.setattr(Model, "device", property(lambda model: torch.device("cpu:0")))
    here = torch.zeros(1)
    assert here.to(small().device) is not here


@pytest.mark.parametrize("count", [2, 17])  # in one batch, and in two
def test_methods_share_a_forward_where_moving_copies(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    far(monkeypatch)
    model = small()
    found = sl.explain(model, pictures(count), method=CAMS)
    spent = [heat.provenance["evaluations"]["forward"] for heat in found]
    assert spent == [count, 0, 0]
    assert model.evaluations == {"forward": count, "backward": count, "copies": 0}


def test_evaluate_shares_a_forward_where_moving_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, spent = tmp_path / "pictures", []
    data.mkdir()
    Image.new("RGB", (32, 32), (200, 60, 90)).save(data / "one.png")
    for name in ("near", "far"):
        model, out = small(), tmp_path / name
        rest = {"stability": False, "workers": 1, "cache": False}
        sl.evaluate(model, data, CAMS, ["evaluations"], out, **rest)
        spent.append(model.evaluations)
        far(monkeypatch)
    assert spent[0] == spent[1]


def test_a_call_pays_for_the_calls_inside_it() -> None:
    model, images = small(), pictures(2)
    target, before = model.aim(images, 1), dict(model.evaluations)
    with recorded() as outer:
        model.scores(images, target)
        with recorded() as inner:
            model.gradients(images, target)
        with uncounted():
            model.scores(images, target)
    assert inner == {"forward": 2, "backward": 2, "copies": 0}
    assert outer == {"forward": 4, "backward": 2, "copies": 0}
    assert {kind: model.evaluations[kind] - before[kind] for kind in before} == outer


def in_threads(work: Callable[[int], Any], count: int = 4) -> list[Any]:
    """What `work` gives for each number, all of them at the same time."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def test_each_of_four_threads_pays_for_its_own_passes() -> None:
    model, images, cam = small(), pictures(1), sl.create("explainer", "grad-cam")
    cam(model, images)  # the anatomy is measured once
    before, start = model.evaluations["forward"], Barrier(4)

    def costs(_: int) -> list[int]:
        start.wait()
        return [cam(model, images).provenance["evaluations"]["forward"] for _ in range(8)]

    assert in_threads(costs) == [[1] * 8] * 4
    assert model.evaluations["forward"] - before == 4 * 8


# watched and stopped


def test_an_error_of_a_watch_is_never_taken_for_one_of_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SIGHTLINE_CACHE", "")  # every start-up check runs, and forgives nearly all
    images, method, told = pictures(1), sl.create("explainer", "ablation-cam"), []
    with watched(lambda kind, count: told.append(kind)):
        method(small(), images, 1)
    assert {"check", "forward"} <= set(told)

    for at in range(len(told)):
        left = iter(range(at))

        def stop(kind: str, count: int, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise RuntimeError("mine")

        with pytest.raises(RuntimeError, match=r"^mine$"), watched(stop):
            method(small(), images, 1)


# studied at the size of what comes


class Strips(torch.nn.Module):
    """A network for pictures of 6 x 100: attention over all places, ruinous at 224 x 224."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(1, 4, 3, padding=1)
        self.head = torch.nn.Linear(4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.stem(images).relu()
        places = maps.flatten(2).transpose(1, 2)
        alike = (places @ places.transpose(1, 2)).softmax(2)
        return self.head((alike @ places).mean(1))


@pytest.mark.parametrize("name", ["grad-cam", "gradient", "rise"])
def test_a_model_without_a_size_is_studied_at_the_size_of_what_comes(name: str) -> None:
    net, sizes = Strips(), set()
    net.register_forward_pre_hook(lambda part, given: sizes.add(tuple(given[0].shape[2:])))
    model, method = Model(net, labels=["a", "b", "c"]), sl.create("explainer", name)
    method.check(model)  # before any picture comes
    if "layer" in method.needs:
        with pytest.raises(UnknownName, match="no layer named 'top'"):
            replace(method, layer="top").check(model)
    images = torch.rand(1, 1, 6, 100, generator=torch.Generator().manual_seed(0))
    with in_view(model.module, shape_of(images)):
        assert model.gives == "logits" and model.anatomy.input_size == (6, 100)
    sl.explain(model, images, [method, "occlusion"], target=1)
    assert sizes == {(6, 100)}


def test_pictures_in_view_decide_whatever_was_studied_last() -> None:
    model = Model(MINIATURES["pooled-cnn"]())
    for side in (64, 32):
        model.study((side, side))
    seen = {}
    for side in (32, 64):
        with model.shared(torch.rand(1, 3, side, side)):
            seen[side] = model.anatomy.input_size
    assert seen == {32: (32, 32), 64: (64, 64)}
