"""A fill is the colour that it says, or is refused where nobody knows what that colour is."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import sightline as sl
from sightline import Fill, Model, Preprocess
from sightline.errors import BadField
from sightline.metric import Case
from sightline.ops.noise import generator

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.5)


def networks() -> tuple[Model, Model, torch.Tensor, torch.Tensor]:
    """One network wrapped (natural tensors) and bare (normalised ones), with equal inputs."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())
    net.append(nn.Linear(64, 3))
    natural = torch.rand(2, 3, 16, 16)
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    wrapped = Model(net, Preprocess(size=16, mean=MEAN, std=STD))
    return wrapped, Model(net, size=16), natural, (natural - mean) / std


@pytest.mark.parametrize("colour", ["black", "white", "grey"])
@pytest.mark.parametrize(
    ("method", "field"),
    [
        ("occlusion", "fill"),
        ("rise", "fill"),
        ("integrated-gradients", "baseline"),
        ("input-x-gradient", "baseline"),
        ("sag", "fill"),
        ("igos", "fill"),
    ],
)
def test_a_colour_on_a_bare_module_is_refused(method: str, field: str, colour: str) -> None:
    _, bare, _, tensors = networks()
    explain = sl.create("explainer", method, **{field: colour})
    with pytest.raises(BadField, match=rf"'{colour}' is a colour.*\"mean\".*sl.Preprocess"):
        explain(bare, tensors, 0)


@pytest.mark.parametrize("metric", ["deletion", "insertion", "average-drop", "coherency"])
def test_a_metric_refuses_it_too(metric: str) -> None:
    _, bare, _, tensors = networks()
    heat = sl.explain(bare, tensors, "gradient", 0)
    explainer = sl.create("explainer", "gradient")
    case = Case(bare, tensors, bare.aim(tensors, 0), heat, explainer)
    with pytest.raises(BadField, match="is a colour"):
        sl.create("metric", metric, fill="black")(case)


def test_an_unknown_transform_has_no_colours_and_a_black_box_has() -> None:
    images = torch.rand(2, 3, 16, 16)
    opaque = Model(nn.Flatten(), lambda image: torch.zeros(3, 16, 16))
    with pytest.raises(BadField, match="is a colour"):
        Fill("white").like(images, opaque)
    box = Model.from_function(lambda x: x.mean((2, 3)), size=16)
    assert_close(Fill("white").like(images, box), torch.ones_like(images))
    assert_close(Fill("grey").like(images, networks()[0]), torch.full_like(images, 0.5))


def test_a_number_and_the_mean_are_the_same_pixels_wrapped_and_bare() -> None:
    wrapped, bare, natural, tensors = networks()
    maps = [
        sl.create("explainer", "occlusion", window=4, stride=4)(model, x, 0).values
        for model, x in ((wrapped, natural), (bare, tensors))
    ]
    assert_close(maps[0], maps[1], rtol=1e-4, atol=1e-5)
    assert_close(Fill(0.25).like(tensors, bare), torch.full_like(tensors, 0.25))


def test_noise_is_in_the_range_of_the_picture_where_units_are_unknown() -> None:
    wrapped, bare, natural, tensors = networks()
    drawn = torch.rand(3, 16, 16, generator=generator(0, "fill"))
    assert_close(Fill("noise").like(natural, wrapped), drawn.expand_as(natural))
    low, high = tensors.amin((2, 3), keepdim=True), tensors.amax((2, 3), keepdim=True)
    noise = Fill("noise").like(tensors, bare)
    assert_close(noise, low + (high - low) * drawn)
    assert_close(noise[1:], Fill("noise").like(tensors[1:], bare))
    assert abs(noise.mean() - tensors.mean()) < 0.1 * tensors.std()


def test_no_method_and_no_metric_takes_a_colour_unless_asked() -> None:
    from dataclasses import fields

    from sightline.registry import available, create

    for kind in ("explainer", "metric"):
        for name in available(kind):
            made = create(kind, name)
            taken = [getattr(made, f.name) for f in fields(made)]
            assert not {"black", "white", "grey"} & {v for v in taken if isinstance(v, str)}, name
