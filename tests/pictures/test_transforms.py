"""A transform of torchvision, timm or Hugging Face is understood where all of it is known."""

import numpy as np
import pytest
import torch
from timm.data import create_transform
from torch import nn
from torchvision import transforms
from torchvision.models import EfficientNet_B3_Weights, ResNet50_Weights
from torchvision.transforms import v2

from sightline.pictures.preprocess import Opaque, Preprocess, understand
from sightline.pictures.reading import Picture

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
FLOAT = v2.ToDtype(torch.float32, scale=True)
compose, to_tensor = transforms.Compose, transforms.ToTensor()
resize, crop = transforms.Resize(64), transforms.CenterCrop(56)


def picture(rows: int, cols: int) -> Picture:
    array = np.random.default_rng(0).integers(0, 256, (rows, cols, 3), dtype=np.uint8)
    return Picture(array, "noise")


def resize_crop(*first: object, **normal: object) -> compose:
    normal = normal or IMAGENET
    return compose(
        [
            *first,
            transforms.Resize(64),
            transforms.CenterCrop(56),
            to_tensor,
            transforms.Normalize(**normal),
        ]
    )


UNDERSTOOD = {
    "torchvision": (resize_crop(), Preprocess(size=(56, 56), resize=64, **IMAGENET)),
    "preset": (
        ResNet50_Weights.DEFAULT.transforms(),
        Preprocess(size=(224, 224), resize=232, **IMAGENET),
    ),
    "bicubic preset": (
        EfficientNet_B3_Weights.DEFAULT.transforms(),
        Preprocess(size=(300, 300), resize=320, interpolation="bicubic", **IMAGENET),
    ),
    "nested": (
        nn.Sequential(transforms.Resize((40, 60)), v2.Compose([v2.ToImage(), FLOAT])),
        Preprocess(size=(40, 60), crop=None),
    ),
    "version 2": (
        v2.Compose(
            [
                v2.ToImage(),
                v2.Resize(64),
                v2.CenterCrop((56, 30)),
                FLOAT,
                v2.Normalize(**IMAGENET),
            ]
        ),
        Preprocess(size=(56, 30), resize=64, **IMAGENET),
    ),
    "0 to 255": (
        v2.Compose(
            [
                v2.Resize(64),
                v2.CenterCrop(56),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32),
                v2.Normalize([127.5] * 3, [51.0] * 3),
            ]
        ),
        Preprocess(size=(56, 56), resize=64, mean=0.5, std=0.2),
    ),
    "tensor first": (
        compose([to_tensor, transforms.Resize(64, antialias=False), crop]),
        Preprocess(size=(56, 56), resize=64, antialias=False),
    ),
    "grey": (
        compose([transforms.Grayscale(), resize, crop, to_tensor]),
        Preprocess(size=(56, 56), resize=64, channels=1),
    ),
    "as they come": (
        compose([to_tensor, transforms.Normalize(0.5, 0.25)]),
        Preprocess(size=None, crop=None, mean=0.5, std=0.25),
    ),
    "timm": (
        create_transform((3, 96, 96), is_training=False, interpolation="bicubic"),
        Preprocess(size=(96, 96), crop=0.875, interpolation="bicubic", **IMAGENET),
    ),
    "timm, not square": (
        create_transform((3, 96, 64), is_training=False, crop_pct=0.9),
        Preprocess(size=(96, 64), crop=0.9, **IMAGENET),
    ),
}


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_a_transform_whose_parts_are_known_is_understood(name):
    transform, expected = UNDERSTOOD[name]
    found = understand(transform)
    assert found is not None
    for field in ("size", "crop", "resize", "fit", "interpolation", "antialias", "channels"):
        assert getattr(found, field) == getattr(expected, field)
    for rows, cols in ((61, 90), (90, 61), (20, 31)):
        image = picture(rows, cols)
        mean, std = (torch.tensor(v)[:, None, None] for v in (expected.mean, expected.std))
        theirs = transform(image.pil()) * std + mean
        torch.testing.assert_close(found.prepare(image), theirs, rtol=0, atol=1.01 / 255)


@pytest.mark.parametrize(
    "transform",
    [
        None,
        lambda image: image,
        nn.Identity(),
        transforms.Resize(64),
        transforms.PILToTensor(),
        resize_crop(transforms.Lambda(lambda image: image)),
        resize_crop(transforms.RandomHorizontalFlip(1.0)),
        compose([transforms.CenterCrop(99), transforms.Resize(64), to_tensor]),
        compose([transforms.Resize(64, max_size=80), to_tensor]),
        create_transform((3, 64, 64), is_training=True),
    ],
)
def test_a_transform_with_an_unknown_part_is_not_understood(transform):
    assert understand(transform) is None


def test_a_transform_that_does_something_else_than_its_parts_say_is_not_understood():
    class Upside(transforms.ToTensor):
        def __call__(self, pic):
            return super().__call__(pic).flip(1)

    Upside.__name__, Upside.__module__ = "ToTensor", "torchvision.transforms"
    assert understand(compose([transforms.Resize((32, 32)), Upside()])) is None


HUGGING_FACE = {
    "ViTImageProcessor": {},
    "CLIPImageProcessor": {},
    "DeiTImageProcessor": {},
    "BitImageProcessor": {"size": {"shortest_edge": 60}, "crop_size": {"height": 52, "width": 45}},
    "ConvNextImageProcessor": {"size": {"shortest_edge": 64}},
    "EfficientNetImageProcessor": {"rescale_offset": True, "rescale_factor": 1 / 127.5},
    "LevitImageProcessor": {},
    "PoolFormerImageProcessor": {},
    "MobileNetV2ImageProcessor": {"do_normalize": False},
}


@pytest.mark.parametrize("name", HUGGING_FACE)
def test_a_hugging_face_processor_is_understood(name):
    processor = getattr(pytest.importorskip("transformers"), name)(**HUGGING_FACE[name])
    found = understand(processor)
    assert found is not None
    image = picture(83, 120)
    theirs = processor(image.pil(), return_tensors="pt")["pixel_values"][0]
    mean, std = (torch.tensor(v)[:, None, None] for v in (found.mean, found.std))
    apart = (theirs * std + mean - found.prepare(image)).abs()
    assert apart.max() < 4 / 255 and apart.mean() < 1 / 255


def test_a_hugging_face_processor_with_an_unknown_geometry_still_runs():
    processor = pytest.importorskip("transformers").PerceiverImageProcessor()
    assert understand(processor) is None
    assert Opaque(processor).prepare(picture(40, 60)).shape == (3, 224, 224)


def test_understanding_leaves_the_random_state_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    assert understand(resize_crop()) is not None
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()
