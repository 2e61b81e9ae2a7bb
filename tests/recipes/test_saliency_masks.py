"""Training masks: two shapes on noise are found, fake classes stay empty, and it can be resumed."""

import json
import logging
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Model, Preprocess, create
from sightline.data.batches import ImageBatches, of_tensors
from sightline.errors import BadField, SightlineWarning, UnknownName
from sightline.nets.mask_loss import MaskLoss, RandomFill
from sightline.nets.masking import MaskingBlueprint, MaskingNetwork
from sightline.ops.noise import generator
from sightline.recipes._command import pictures_of
from sightline.recipes._mask_quality import Exam, blobs, masks_of, overlaps, quality
from sightline.recipes.saliency_masks import (
    Clock,
    MaskPlan,
    learn_selectors,
    run,
    selected,
)
from sightline.recipes.saliency_masks import train as train_masks

BLURRED = RandomFill(sigma=60.0, kernel=301)  # by 9 of 32 pixels: 1.6 would not hide a shape of 13
PLAN = MaskPlan(
    selector_steps=600,
    steps=450,
    batch=32,
    base=16,
    cell=2,
    half=False,
    loss=MaskLoss(hiding=BLURRED),
)


def shapes(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """32 x 32 pictures of a square (0), a cross (1) or nothing (2) on noise, and where it is."""
    dice = generator(seed, "shapes")
    shift = 0.3 * (torch.rand(count, 3, 1, 1, generator=dice) - 0.5)
    images = 0.5 + shift + 0.06 * torch.randn(count, 3, 32, 32, generator=dice)
    labels = torch.arange(count) % 3
    masks = torch.zeros(count, 32, 32, dtype=torch.bool)
    for i in range(count):
        top, left = torch.randint(1, 18, (2,), generator=dice).tolist()
        shape = torch.ones(13, 13, dtype=torch.bool)
        if labels[i] == 1:
            shape[:4, :4] = shape[:4, -4:] = shape[-4:, :4] = shape[-4:, -4:] = False
        if labels[i] < 2:
            masks[i, top : top + 13, left : left + 13] = shape
        colour = 0.8 + 0.2 * torch.rand(3, 1, generator=dice)
        images[i][:, masks[i]] = colour.expand(3, int(masks[i].sum()))
    return images.clamp(0, 1), labels, masks


@cache
def classifier(steps: int = 60) -> Model:
    """A small network that tells the three apart; after 200 steps nearly always."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        widths = (3, 16, 32, 48)
        blocks = [
            part
            for before, after, stride in zip(widths, widths[1:], (2, 2, 1), strict=False)
            for part in (nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.ReLU())
        ]
        net = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 3))
        images, labels, _ = shapes(960, 1)
        stepper = torch.optim.Adam(net.parameters(), lr=3e-3)
        for step in range(steps):
            rows = torch.randint(960, (64,), generator=generator(step, "rows"))
            loss = nn.functional.cross_entropy(net(images[rows]), labels[rows])
            stepper.zero_grad()
            loss.backward()
            stepper.step()
    return Model(net.eval(), Preprocess(size=(32, 32)), ["square", "cross", "nothing"])


def source(count: int = 960) -> ImageBatches:
    images, labels, _ = shapes(count, 1)
    there = labels < 2
    return of_tensors(images[there], labels[there])


@pytest.mark.slow
def test_masks_find_the_shapes_and_stay_empty_for_a_fake_class(tmp_path: Path) -> None:
    model = classifier(200)
    network, _ = train_masks(PLAN, model, source(), tmp_path)
    images, labels, truth = shapes(240, 2)
    there = labels < 2
    images, labels, truth = images[there], labels[there], truth[there]
    assert (model.outputs(images).argmax(1) == labels).float().mean() > 0.97
    real = masks_of(network, model, images, labels, 0.0)
    fake = masks_of(network, model, images, 1 - labels, 0.0)
    found = {name: float(value.float().mean()) for name, value in overlaps(real, truth).items()}
    assert found["iou"] > 0.5 and found["pointing"] > 0.9
    assert fake.mean() < 0.1 * real.mean()


def test_an_interrupted_training_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    model, few = classifier(), source(60)
    plan = replace(PLAN, steps=5, selector_steps=20, batch=8)
    whole, history = train_masks(plan, model, few, tmp_path / "a")
    train_masks(plan, model, few, tmp_path / "b", stop=2)
    again, parts = train_masks(plan, model, few, tmp_path / "b")
    assert [entry["step"] for entry in history] == [5]
    assert [entry["step"] for entry in parts] == [2, 5]
    for name, value in whole.state_dict().items():
        assert_close(again.state_dict()[name], value)


def test_phase_one_learns_the_selectors_alone_and_phase_two_leaves_them(tmp_path: Path) -> None:
    model, few = classifier(), source(60)
    network, _ = train_masks(replace(PLAN, steps=1, batch=8), model, few, tmp_path)
    assert_close(network.embedding.detach(), torch.load(tmp_path / "selectors.pt"))
    maps = network.blueprint.maps(model, few.batch(model, torch.arange(len(few.labels))))[0]
    for shown, there in ((few.labels, 1), (1 - few.labels, 0)):
        said = network.existence(maps, shown).argmax(1)
        assert (said == there).float().mean() > 0.9
    means = torch.load(tmp_path / "means.pt")
    assert_close(means, maps.mean((2, 3)), atol=1e-5, rtol=1e-4)


def test_the_true_class_goes_with_the_flag_while_a_fake_one_is_masked() -> None:
    labels, dice = torch.arange(400) % 5, torch.Generator().manual_seed(0)
    real = torch.rand(400, generator=dice) < 0.5
    shown = selected(labels, real, 5, dice)
    assert torch.equal(shown[real], labels[real]) and (shown[~real] != labels[~real]).all()
    assert shown[~real].bincount().min() > 20


def test_the_selectors_rate_falls_and_the_run_depends_on_the_seed_alone() -> None:
    model, few = classifier(), source(60)
    found = []
    for _ in range(2):
        network = MaskingNetwork(MaskingBlueprint.of(model, cell=2))
        network.embedding.data.fill_(0.01)
        means = network.blueprint.maps(model, few.batch(model, torch.arange(len(few.labels))))[
            0
        ].mean((2, 3))
        learn_selectors(replace(PLAN, selector_steps=12, drop=5), network, means, few.labels)
        found.append(network.embedding.detach())
    assert torch.equal(*found)


def test_silhouettes_are_compared_pixel_by_pixel() -> None:
    truth = torch.zeros(1, 4, 4, dtype=torch.bool)
    truth[0, :2, :2] = True
    mask = torch.zeros(1, 1, 4, 4)
    mask[0, 0, 0] = torch.tensor([1.0, 0.6, 0.9, 0.4])
    found = overlaps(mask, truth)
    assert_close(found["iou"], torch.tensor([2 / 5]))  # three above a half, two inside, four true
    assert_close(found["mass_inside"], torch.tensor([1.6 / 2.9]))
    assert found["pointing"].tolist() == [1]


def test_blobs_have_the_area_that_was_asked_for() -> None:
    found = blobs(torch.tensor([0.0, 0.25, 1.0]), (8, 12))
    assert found.sum((1, 2, 3)).tolist() == [0, 24, 96]
    assert found[1, 0, 3:5, 5:7].all() and not found[1, 0, 0].any()


def test_quality_counts_what_the_classifier_says_of_kept_and_cut_pictures() -> None:
    model = classifier()
    images, labels, truth = shapes(60, 3)
    exam = Exam(images, labels, (labels + 1) % 3, truth)
    whole = quality(model, exam, torch.ones(60, 1, 16, 16))
    assert whole["area"] == 1 and whole["class_first_when_kept"] > 0.9
    assert whole["class_first_when_cut"] < 0.7


def photographs(folder: Path, names: tuple[str, ...]) -> Path:
    images, _, _ = shapes(12, 4)
    for i, image in enumerate(images):
        place = folder / names[i % len(names)]
        place.mkdir(parents=True, exist_ok=True)
        array = (image.permute(1, 2, 0) * 255).byte().numpy()
        Image.fromarray(np.asarray(array)).save(place / f"{i}.png")
    return folder


def test_folders_are_classes_by_label_or_number(tmp_path: Path) -> None:
    model = classifier()
    with pytest.warns(SightlineWarning, match="1 of 3 classes have a bare number .* 'square'"):
        found = pictures_of(str(photographs(tmp_path / "a", ("cross", "0", "nothing"))), model)
    assert found.labels.bincount().tolist() == [4, 4, 4]
    assert found.batch(model, torch.tensor([0, 11])).shape == (2, 3, 32, 32)
    with pytest.raises(UnknownName, match="did you mean 'square'"):
        pictures_of(str(photographs(tmp_path / "b", ("sqare", "cross"))), model)
    with pytest.raises(BadField, match="has 1 of the model's classes"):
        pictures_of(str(photographs(tmp_path / "c", ("cross",))), model)


def test_a_run_writes_weights_and_a_log_with_its_controls(tmp_path: Path) -> None:
    model, out = classifier(), tmp_path / "shapes-masks.safetensors"
    plan = replace(PLAN, steps=3, selector_steps=20, batch=8)
    pictures = pictures_of(str(photographs(tmp_path / "p", ("square", "cross", "nothing"))), model)
    run(plan, model, pictures, tmp_path / "data", out)
    log = json.loads(out.with_suffix(".json").read_text())
    assert log["weights_digest"] == model.digest and log["history"][-1]["step"] == 3
    assert set(log["measured"]) == {
        "confidence 0",
        "confidence 6",
        "untrained",
        "whole picture",
    }
    assert "/" not in json.dumps(log)
    heat = create("explainer", "realtime-saliency", weights=out)(
        model, [s.source for s in pictures.samples[:2]], 0
    )
    assert heat.native.shape == (2, 16, 16)


def test_progress_says_how_long_it_will_take(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock.start("phase", 0, 10)
    for done in range(1, 11):
        clock.tick(done, "fine")
    said = [record.message for record in caplog.records]
    assert len(said) == 2 and "1 of 10" in said[0] and said[1].endswith("0.0 min left fine")
