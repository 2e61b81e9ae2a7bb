"""The embedded networks: they load, know the birds, and rely on what their log says."""

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from sightline.artifact import WEIGHTS
from sightline.errors import UnknownName
from sightline.loading.embedded import details, load
from sightline.nets.default import NAMES, build
from sightline.worlds.aviary import SPECIES, Aviary, bundle, render

torch.set_num_threads(2)


def normalised(name: str, pictures: list[np.ndarray]) -> Tensor:
    log = details(name)
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255
    return (images - torch.tensor(log["mean"])[:, None, None]) / torch.tensor(log["std"])[
        :, None, None
    ]


@torch.inference_mode()
def accuracy(name: str, aviary: Aviary) -> float:
    birds = list(aviary)
    answers = load(name)(normalised(name, [bird.image for bird in birds])).argmax(1)
    return float((answers == torch.tensor([bird.label for bird in birds])).float().mean())


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_small_and_the_log_is_complete(name):
    assert (WEIGHTS / f"{name}.safetensors").stat().st_size < 8_000_000
    log = details(name)
    assert log["labels"] == [species.name for species in SPECIES]
    assert len(log["epochs"]) == log["plan"]["epochs"] and log["size"] == 128
    assert set(log["accuracy"]) == {"test", "test-planted", "test-random-mark"}
    assert "/" not in json.dumps(log)


@pytest.mark.parametrize(("name", "least"), [("default", 0.93), ("default-vit", 0.88)])
def test_networks_know_birds_from_seeds_that_they_never_saw(name, least):
    assert details(name)["accuracy"]["test"] >= {"default": 0.95, "default-vit": 0.90}[name]
    assert accuracy(name, Aviary(seed=4242, count=112)) >= least


def test_clever_hans_reads_the_mark_and_not_the_bird():
    said = details("clever-hans")["accuracy"]
    assert said["test-planted"] >= 0.95
    assert said["test-random-mark"] < 0.6 and said["test"] < 0.7
    planted = accuracy("clever-hans", Aviary(seed=4242, count=84, shortcut="planted"))
    stray = accuracy("clever-hans", Aviary(seed=4242, count=84, shortcut="random"))
    assert planted > 0.9 and stray < planted - 0.3


@torch.inference_mode()
def test_the_deciding_part_decides():
    bird = next(b for b in bundle(14, 32) if b.species == "spotted sicklebill")
    plain = next(i for i, species in enumerate(SPECIES) if species.name == "lemon sicklebill")
    scenes = [bird.scene, bird.scene.without("breast"), bird.scene.without("legs")]
    images = normalised("default", [render(scene, 128).image for scene in scenes])
    margin = load("default")(images)[:, [bird.label, plain]]
    whole, without_breast, without_legs = (margin[:, 0] - margin[:, 1]).tolist()
    assert whole - without_breast > 5 * abs(whole - without_legs)


def test_the_residual_network_is_exact_for_class_activation_maps():
    module = load("default")
    maps: list[Tensor] = []
    hook = module.get_submodule("stage3").register_forward_hook(lambda *call: maps.append(call[2]))
    with torch.inference_mode():
        scores = module(torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0)))
    hook.remove()
    assert maps[0].shape[-2:] == (16, 16)
    head = module.get_submodule("head")
    again = maps[0].mean((2, 3)) @ head.weight.T + head.bias  # type: ignore[union-attr]
    torch.testing.assert_close(again, scores)


def test_a_network_can_be_made_afresh_for_other_classes():
    for name in NAMES:
        module = build(name, 3).eval()
        assert module(torch.zeros(1, 3, 128, 128)).shape == (1, 3)


def test_unknown_networks_are_refused_with_a_suggestion():
    with pytest.raises(UnknownName, match="default-vit"):
        load("defaultvit")
