"""What a known transform makes of a picture with hard edges is what the network gets from us."""

import math
import random
import warnings

import numpy as np
import pytest
import torch
from timm.data import create_transform
from torch import nn
from torchvision import models, transforms
from torchvision.transforms import InterpolationMode, v2

import sightline as sl
from sightline.errors import BadField, SightlineWarning
from sightline.pictures.preprocess import Opaque, Preprocess, understand
from sightline.pictures.reading import Picture

BICUBIC = InterpolationMode.BICUBIC
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
FLOAT, NORMAL = v2.ToDtype(torch.float32, scale=True), v2.Normalize(**IMAGENET)
CROP, TENSOR = transforms.CenterCrop(56), transforms.ToTensor()


def edges(rows: int, cols: int) -> Picture:
    """Black and white stripes and steps, with noise between: where bicubic weights overshoot."""
    array = np.random.default_rng(rows * cols).integers(0, 256, (rows, cols, 3), dtype=np.uint8)
    row, col = np.mgrid[:rows, :cols]
    array[(row % 29 < 13) & (col % 31 < 17)] = 0
    array[(row % 29 < 13) & (col % 31 >= 17)] = 255
    array[rows // 3 :: 7] = (0, 255, 0)
    return Picture(array, f"{rows} x {cols}")


PICTURES = [edges(203, 318), edges(480, 300), edges(60, 420), edges(19, 30), edges(900, 640)]

TORCHVISION = {
    "classic": [transforms.Resize(64), CROP, TENSOR, NORMAL],
    "classic bicubic": [transforms.Resize(64, BICUBIC), CROP, TENSOR, NORMAL],
    "stretched bicubic": [transforms.Resize((96, 64), BICUBIC), TENSOR, NORMAL],
    "floats": [TENSOR, transforms.Resize(64), CROP, NORMAL],
    "bicubic floats": [TENSOR, transforms.Resize(64, BICUBIC), CROP, NORMAL],
    "bicubic floats, aliased": [TENSOR, transforms.Resize(64, BICUBIC, antialias=False), CROP],
    "nearest floats": [TENSOR, transforms.Resize(64, InterpolationMode.NEAREST), CROP],
    "nearest-exact": [TENSOR, transforms.Resize(64, InterpolationMode.NEAREST_EXACT), CROP],
    "bytes": [v2.ToImage(), v2.Resize(64), v2.CenterCrop(56), FLOAT, NORMAL],
    "bicubic bytes": [v2.ToImage(), v2.Resize((70, 64), BICUBIC), FLOAT, NORMAL],
    "bicubic bytes, aliased": [v2.ToImage(), v2.Resize(64, BICUBIC, antialias=False), FLOAT],
    "bicubic old bytes": [
        transforms.PILToTensor(),
        transforms.Resize((70, 64), BICUBIC),
        transforms.ConvertImageDtype(torch.float32),
    ],
    "floats to 255": [v2.ToImage(), v2.ToDtype(torch.float32), v2.Resize(64, BICUBIC)],
}
PRESETS = {
    "resnet": models.ResNet50_Weights.DEFAULT,
    "efficientnet": models.EfficientNet_B3_Weights.DEFAULT,
    "vit, bicubic": models.ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1,
    "swin": models.Swin_V2_T_Weights.DEFAULT,
}
TIMM = {
    "plain": {},
    "bicubic": {"interpolation": "bicubic", "crop_pct": 0.9},
    "whole": {"interpolation": "bicubic", "crop_pct": 1.0},
    "smaller than the crop": {"interpolation": "bicubic", "crop_pct": 1.14},
    "squash": {"interpolation": "bicubic", "crop_pct": 0.95, "crop_mode": "squash"},
    "border": {"crop_pct": 0.95, "crop_mode": "border"},
    "border, smaller": {"crop_pct": 1.14, "crop_mode": "border"},
}
HUGGING_FACE = {
    "ViTImageProcessor": {},
    "DeiTImageProcessor": {},
    "ConvNextImageProcessor": {"size": {"shortest_edge": 224}},
    "CLIPImageProcessor": {},
    "BeitImageProcessor": {},
    "SiglipImageProcessor": {},
    "BitImageProcessor": {},
    "LevitImageProcessor": {},
    "SegformerImageProcessor": {"size": {"height": 256, "width": 256}},
    "ViTImageProcessorPil": {},
    "DeiTImageProcessorPil": {},
    "ConvNextImageProcessorPil": {"size": {"shortest_edge": 224}},
    "CLIPImageProcessorPil": {},
}


def same(transform, tolerance: float = 0.01) -> Preprocess:
    """The transform is understood, and gives our inputs to within so many 255ths."""
    found = understand(transform)
    assert found is not None
    mean, std = (torch.tensor(v)[:, None, None] for v in (found.mean, found.std))
    for picture in PICTURES:
        made = transform(picture.pil())
        made = made if isinstance(made, torch.Tensor) else torch.as_tensor(made["pixel_values"][0])
        torch.testing.assert_close(
            found.prepare(picture), made.float() * std + mean, rtol=0, atol=tolerance / 255
        )
    return found


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_s_transforms_are_the_same(name: str) -> None:
    same(transforms.Compose(TORCHVISION[name]), 0.51 if "old bytes" in name else 0.01)


@pytest.mark.parametrize("name", PRESETS)
def test_torchvision_s_presets_are_the_same(name: str) -> None:
    same(PRESETS[name].transforms())


@pytest.mark.parametrize("name", TIMM)
@pytest.mark.parametrize("size", [(3, 96, 96), (3, 96, 64)])
def test_timm_s_transforms_are_the_same(name: str, size: tuple[int, int, int]) -> None:
    same(create_transform(size, is_training=False, **TIMM[name]))


@pytest.mark.parametrize("name", HUGGING_FACE)
def test_hugging_face_s_processors_are_the_same(name: str) -> None:
    processor = getattr(pytest.importorskip("transformers"), name, None)
    if processor is None:
        pytest.skip(f"this version of transformers has no {name}")
    same(processor(**HUGGING_FACE[name]))


def test_an_overshoot_is_kept_and_may_come_back_as_a_tensor() -> None:
    transform = transforms.Compose(TORCHVISION["bicubic floats"][:-1])
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = sl.Model(net, transform)
    images = model.prepare([edges(203, 318)])
    assert images.min() < -0.05 and images.max() > 1.05
    assert model.frames(images) is not None
    heat = sl.explain(model, images, "grad-cam", target=0)
    assert sl.explain(model, [edges(203, 318)], "grad-cam", target=0).values.equal(heat.values)
    with pytest.raises(sl.errors.BadImage, match="natural units"):
        model.prepare(images + 1)
    assert "bicubic, torch, floats" in model.preprocess.describe()


# crop as a part


@pytest.mark.parametrize("size", [224, (96, 64), (65, 65)])
@pytest.mark.parametrize("part", [0.5, 0.875, 1.0, 1.01, 1.14, 1.5, 2.0, np.float64(1.14)])
def test_a_number_with_a_point_is_timm_s_crop_pct_also_above_one(size, part) -> None:
    shape = (3, size, size) if isinstance(size, int) else (3, *size)
    theirs = create_transform(
        shape, is_training=False, crop_pct=float(part), interpolation="bicubic"
    )
    ours = Preprocess(size=size, crop=part, interpolation="bicubic", **IMAGENET)
    known = understand(theirs)
    assert (ours.size, ours.resize, ours.fit) == (known.size, known.resize, known.fit)
    for picture in PICTURES[:4]:
        mean, std = (torch.tensor(v)[:, None, None] for v in (ours.mean, ours.std))
        expected = theirs(picture.pil()) * std + mean
        torch.testing.assert_close(ours.prepare(picture), expected, rtol=0, atol=1e-5)
        rows, cols = picture.size
        frame = ours.frame(picture.size)
        scale = min(rows / math.floor(shape[1] / part), cols / math.floor(shape[2] / part))
        wide = frame.box[2] - frame.box[0]
        assert wide == pytest.approx(shape[2] * scale, rel=0.06)


def test_a_side_with_a_point_is_refused_and_a_whole_number_is_a_side() -> None:
    with pytest.raises(BadField, match="Write a side in pixels without a decimal point"):
        Preprocess(size=256, crop=224.0)
    for part in (1.14, 0.875):
        with pytest.raises(BadField, match="no `resize`"):
            Preprocess(size=224, crop=part, resize=256)
    assert Preprocess(size=256, crop=224) == Preprocess(size=224, crop="center", resize=256)


# transforms that draw


OWN = np.random.default_rng(0)
RANDOM = {
    "training": create_transform((3, 64, 64), is_training=True),
    "crop": transforms.Compose([transforms.RandomResizedCrop(32), TENSOR]),
    "flip": transforms.Compose(
        [transforms.Resize((32, 32)), transforms.RandomHorizontalFlip(), TENSOR]
    ),
    "jitter": v2.Compose([v2.ColorJitter(0.4), v2.ToImage(), FLOAT]),
    "erasing": transforms.Compose([TENSOR, transforms.RandomErasing(p=0.3)]),
    "NumPy": lambda image: TENSOR(image) * float(np.random.rand()),
    "Python": lambda image: TENSOR(image).roll(random.choice((0, 0, 0, 1)), 2),
    "its own": lambda image: TENSOR(image) * float(OWN.random()),
}
STEADY = {
    "a function": lambda image: TENSOR(image),
    "a flip that is certain": transforms.Compose([transforms.RandomHorizontalFlip(1.0), TENSOR]),
    "a longest side": v2.Compose([v2.Resize(None, max_size=224), v2.ToImage(), FLOAT]),
    "at most": transforms.Compose([transforms.Resize(64, max_size=80), TENSOR]),
}


@pytest.mark.parametrize("name", RANDOM)
def test_a_transform_that_draws_is_warned_about_once_and_said(name: str) -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 2))
    states = torch.get_rng_state(), np.random.get_state()[1]
    with pytest.warns(
        SightlineWarning, match="a different result for the same picture each time"
    ) as seen:
        model = sl.Model(net, RANDOM[name])
    assert len(seen) == 1
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert "random" in model.preprocess.describe() and model.preprocess.to_json()["varies"]
    found = sl.explain(model, [PICTURES[0]], "gradient", target=0)
    assert "varies=True" in found.provenance["preprocessing"]


@pytest.mark.parametrize("name", STEADY)
def test_a_transform_that_only_might_is_not(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = sl.Model(nn.Flatten(), STEADY[name])
    assert isinstance(model.preprocess, Opaque) and "random" not in model.preprocess.describe()
    assert model.prepare([PICTURES[0]]).shape[1] == 3
