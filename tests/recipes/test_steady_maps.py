"""Adversarial training with a map term: its terms by hand, its controls, what it reaches."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

import sightline as sl
from sightline import Model, create
from sightline.data.batches import ImageBatches, of_tensors
from sightline.errors import BadField, NotExplainable
from sightline.ops.noise import generator
from sightline.ops.similarity import stretched
from sightline.recipes import steady_maps
from sightline.recipes._command import command
from sightline.recipes.steady_maps import Natural, SteadyMaps, SteadyPlan, arms, compared, parted

SIDE = 12


class Small(nn.Module):
    """Two convolutions, an average, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        )
        self.head = nn.Linear(8, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).mean((2, 3)))


def small(seed: int = 0) -> Small:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Small()


def stripes(count: int, seed: int) -> ImageBatches:
    """Class 0 lies, class 1 stands: wide stripes in half of the pictures, and a faint chessboard
    in all that tells too, but not after a change of 0.05."""
    dice = generator(seed, "stripes")
    labels = torch.arange(count) % 2
    shift = torch.randint(0, 6, (count,), generator=dice)
    wave = (((torch.arange(SIDE)[None] + shift[:, None]) // 3) % 2).float() - 0.5
    lying, standing = wave[:, :, None].expand(-1, -1, SIDE), wave[:, None].expand(-1, SIDE, -1)
    wide = torch.where(labels[:, None, None] == 0, lying, standing)
    board = (torch.arange(SIDE)[:, None] + torch.arange(SIDE)) % 2 - 0.5
    faint = board * (1 - 2 * labels.float())[:, None, None]
    there = torch.rand(count, 1, 1, generator=dice) < 0.5
    noise = 0.01 * torch.randn(count, SIDE, SIDE, generator=dice)
    images = 0.5 + 0.3 * there * wide + 0.06 * faint + noise
    return of_tensors(images.clamp(0, 1)[:, None].expand(-1, 3, -1, -1).clone(), labels)


def recipe(**fields: Any) -> SteadyMaps:
    return SteadyMaps(epsilon=0.05, **fields)


@pytest.fixture
def module() -> Natural:
    model = Model(small(), sl.Preprocess(size=(SIDE, SIDE), mean=0.4, std=0.3))
    return Natural(model.module, model).double()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    found = stripes(4, 5)
    return found.batch(Model(small()), torch.arange(4)).double(), found.labels


def test_the_loss_is_the_sum_of_its_terms(module: Natural, batch: tuple[Tensor, Tensor]) -> None:
    images, labels = batch
    full = recipe(adversarial_weight=0.7, map_weight=3.0)
    moved = full.moved(module, images, labels, 2)

    def chart(pictures: Tensor) -> Tensor:  # by hand: the head is linear behind an average
        maps = module.network.get_submodule("features")((pictures - module.mean) / module.std)
        head = module.network.get_submodule("head").get_parameter("weight")
        weights = head[labels] / SIDE**2
        return stretched(torch.einsum("bk,bkij->bij", weights, maps).relu())

    attacked = functional.cross_entropy(module(moved), labels)
    apart = (chart(images) - chart(moved)).square().mean()
    found = full.loss(module, images, labels, 2)
    assert found is not None and apart > 1e-6
    assert_close(found, 0.7 * attacked + 3 * apart)
    weights = [p for p in module.parameters() if p.requires_grad]
    wanted = torch.autograd.grad(0.7 * attacked + 3 * apart, weights)
    for mine, by_hand in zip(torch.autograd.grad(found, weights), wanted, strict=True):
        assert_close(mine, by_hand)


def test_pictures_move_within_the_budget_and_against_their_class(
    module: Natural, batch: tuple[Tensor, Tensor]
) -> None:
    images, labels = batch
    module.train()
    moved = recipe(steps=5).moved(module, images, labels, 0)
    assert module.training
    assert (moved - images).abs().max() <= 0.05 + 1e-12
    assert moved.min() >= 0 and moved.max() <= 1
    before, after = (functional.cross_entropy(module(x), labels) for x in (images, moved))
    assert after > before
    assert torch.equal(moved, recipe(steps=5).moved(module, images, labels, 0))
    assert not torch.equal(moved, recipe(steps=5).moved(module, images, labels, 1))


def test_the_map_is_the_explainer_s() -> None:
    net = small()
    model = Model(net, size=(SIDE, SIDE))
    images = stripes(3, 1).batch(model, torch.arange(3))
    _, found = Natural(net, model).mapped(images, torch.tensor([0, 1, 1]))
    heat = create("explainer", "grad-cam", layer="features")(model, images, [0, 1, 1])
    assert_close(found, heat.native.relu())


def study(out: Path, epochs: int, count: int) -> dict[str, dict[str, Any]]:
    """What each arm reached; the log says the same, and the network is as it was before."""
    seen = sl.Preprocess(size=(SIDE, SIDE), mean=0.5, std=0.2)
    model = Model(small(1), seen, labels=["lying", "standing"])
    plan = SteadyPlan(
        epochs=epochs, batch=20, rate=1e-2, epsilon=0.05, exam=count // 5, exam_steps=8
    )
    data = stripes(count, 0), stripes(count // 5, 9)
    reached = compared(plan, model, data, 0, out)["reached"]
    assert list(reached) == ["as it was", "plain", "adversarial", "adversarial and maps"]
    assert json.loads(out.with_suffix(".json").read_text())["reached"] == reached
    first = small(1)
    for name, value in model.module.state_dict().items():
        assert torch.equal(value, first.state_dict()[name])  # every arm learned on a copy
    return reached


@pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive")
def test_arms_are_compared_with_the_network_that_all_started_from(tmp_path: Path) -> None:
    reached = study(tmp_path / "net.safetensors", 1, 40)
    assert all(0 <= arm["accuracy"] <= 1 for arm in reached.values())
    plain, _, full = list(reached.values())[1:]
    assert plain["seconds"] >= 0 and full != plain  # rounded to a tenth of a second


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive")
def test_the_maps_term_keeps_class_and_map(tmp_path: Path) -> None:
    reached = study(tmp_path / "net.safetensors", 30, 200)
    plain, full = reached["plain"], reached["adversarial and maps"]
    assert full["accuracy"] >= plain["accuracy"] > 0.6
    assert full["attacked"] > plain["attacked"] + 0.2
    assert full["maps"] > plain["maps"] + 0.2 and reached["adversarial"]["maps"] > plain["maps"]


def test_arms_differ_in_their_terms_alone() -> None:
    model = Model(small(), size=(SIDE, SIDE), labels=["a", "b"])
    found = arms(SteadyPlan(adversarial_weight=0.5, map_weight=2.0), 3)
    full = found["adversarial and maps"]
    assert full.map_weight == 2 and full.adversarial_weight == 0.5
    assert found["adversarial"] == replace(full, map_weight=0.0)
    assert found["plain"] == replace(full, map_weight=0.0, adversarial_weight=0.0)
    images = torch.rand(2, 3, SIDE, SIDE)
    assert found["plain"].loss(model.module, images, torch.tensor([0, 1]), 0) is None


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadField, match="0 or more"):
        recipe(map_weight=-1.0)
    with pytest.raises(BadField, match="1 or more"):
        SteadyPlan(exam=0)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, 2))
    with pytest.raises(NotExplainable, match="no spatial layer"):
        Natural(flat, Model(flat, size=(SIDE, SIDE)))
    with pytest.raises(BadField, match="too few"):
        parted(stripes(3, 0), 10)


def test_the_command_learns_from_a_folder_and_its_file_loads_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = torch.Generator().manual_seed(0)
    for label in ("amber brindlefinch", "azure fisherling"):
        (tmp_path / "birds" / label).mkdir(parents=True)
        for i in range(3):
            pixels = (torch.rand(40, 44, 3, generator=dice) * 255).byte().numpy()
            Image.fromarray(pixels).save(tmp_path / "birds" / label / f"{i}.png")
    out = tmp_path / "steady.safetensors"
    words = ["--folder", str(tmp_path / "birds"), "--epochs", "1", "--batch", "3", "--steps", "1"]
    words += ["--exam", "1", "--exam-steps", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["steady_maps", *words])
    with torch.random.fork_rng(devices=[]):
        steady_maps.main()
    facts = json.loads(out.with_suffix(".json").read_text())
    assert facts["pictures"] == 5 and facts["exam"] == 1
    model = sl.load(f"file:{out}?arch=sightline:default")
    assert model.size == (128, 128) and model.label(0) == sl.load("sightline:default").label(0)
    monkeypatch.setattr(sys, "argv", ["steady_maps", "--model", "planted"])
    with pytest.raises(SystemExit):
        command(steady_maps.main)
