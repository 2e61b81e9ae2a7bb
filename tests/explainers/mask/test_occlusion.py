"""Occlusion: exact on a linear model, its definition as loops, and what it cannot see."""

import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Class, Model, create, hiding
from sightline.cli.parse import methods
from sightline.errors import BadField, NotExplainable, SightlineWarning
from sightline.explainers.contract.window_plans import PLANS
from sightline.registry import from_json, to_json
from sightline.worlds import analytic
from sightline.worlds.miniatures import MINIATURES


def test_a_window_of_one_pixel_gives_each_pixel_of_a_linear_model_its_own_product() -> None:
    known = analytic.linear()
    explain = create("explainer", "occlusion", window=1, stride=1)
    heat = explain(known.model, known.images, Class(1, probability=False))
    assert_close(heat.native, known.expected)
    assert_close(heat.values, known.expected)


Sides = tuple[int, int]


def loops(net: nn.Module, image: Tensor, window: Sides, stride: Sides) -> Tensor:
    """Mean drop of the probability of class 1 over the windows that cover each pixel."""
    rows, cols = image.shape[1:]
    net, image = net.double(), image.double()
    starts = [
        sorted({*range(0, n - side + 1, step), n - side})
        for n, side, step in zip((rows, cols), window, stride, strict=True)
    ]
    total, count = torch.zeros(rows, cols), torch.zeros(rows, cols)
    with torch.no_grad():
        clean = net(image[None]).softmax(1)[0, 1]
        for top in starts[0]:
            for left in starts[1]:
                hidden = image.clone()
                hidden[:, top : top + window[0], left : left + window[1]] = 0
                drop = clean - net(hidden[None]).softmax(1)[0, 1]
                for r in range(top, top + window[0]):
                    for c in range(left, left + window[1]):
                        total[r, c] += drop
                        count[r, c] += 1
    net.float()
    return total / count


@pytest.mark.parametrize(
    ("window", "stride"),
    [(7, 5), ((9, 4), (6, 3)), ((3, 11), 3), ((5, 32), (4, 1)), ((24, 6), 6)],
)
def test_it_is_the_mean_drop_of_the_windows_that_cover_a_pixel(window: Any, stride: Any) -> None:
    mini = MINIATURES["attention-pooled"]  # 24 x 32: the last window is shifted back inside
    net, images = mini(), torch.rand(2, 3, *mini.size)
    explain = create("explainer", "occlusion", window=window, stride=stride)
    heat = explain(Model(net, size=mini.size), images, 1)
    sides, steps = ((v, v) if isinstance(v, int) else v for v in (window, stride))
    for i in range(2):
        assert_close(heat.native[i], loops(net, images[i], sides, steps), atol=1e-6, rtol=1e-3)
    assert heat.provenance["ran"]["window"] == list(sides)
    assert heat.provenance["ran"]["stride"] == list(steps)
    assert from_json("explainer", to_json(explain)) == explain


@pytest.mark.parametrize(
    ("asked", "said", "window", "stride"),
    [
        (
            {"window": 40},
            "window of 40 x 40 .* pictures of 24 x 32; 24 x 32 was used",
            [24, 32],
            [12, 16],
        ),
        ({"window": (40, 8)}, "window of 40 x 8 .*; 24 x 8 was used", [24, 8], [12, 4]),
        (
            {"window": (40, 8), "stride": (30, 8)},
            "stride of 30 x 8 .*; 24 x 8 was used",
            [24, 8],
            [24, 8],
        ),
        ({"stride": 9}, "stride of 9 x 9 .* windows of 3 x 3; 3 x 3 was used", [3, 3], [3, 3]),
    ],
)
def test_what_does_not_fit_is_cut_and_the_record_says_what_ran(
    asked: dict[str, Any], said: str, window: list[int], stride: list[int]
) -> None:
    mini = MINIATURES["attention-pooled"]
    model, images = Model(mini(), size=mini.size), torch.rand(1, 3, *mini.size)
    with warnings.catch_warnings(record=True, action="always") as seen:
        heat = create("explainer", "occlusion", **asked)(model, images, 1)
    assert any(re.search(said, str(w.message)) for w in seen if w.category is SightlineWarning)
    ran, told = heat.provenance["ran"], heat.provenance["parameters"]
    assert (ran["window"], ran["stride"]) == (window, stride)
    for name in ("window", "stride"):
        assert told[name] == (ran[name] if name in asked else None)
    again = from_json("explainer", {"name": "occlusion", "fields": told})(model, images, 1)
    assert torch.equal(
        again.values, heat.values
    )  # the record makes the same map, without a warning


@pytest.mark.parametrize("text", ["8,4", "(8, 4)", "[8,4]"])
def test_a_command_line_may_give_rows_and_columns(text: str) -> None:
    model = Model(MINIATURES["pooled-cnn"](), size=(32, 32))
    (made,) = methods(model, "occlusion", settings=[f"window={text}", "stride=4"])
    assert (made.window, made.stride) == ((8, 4), 4)


@pytest.mark.parametrize("value", [0, (8, 0), (8,) * 3, (8.5, 2), 2.5, True, "8", ()])
def test_what_is_no_number_of_pixels_is_refused(value: Any) -> None:
    with pytest.raises(
        BadField, match=r"window is a (number of pixels|whole number or 2 whole nu)"
    ):
        create("explainer", "occlusion", window=value)
    with pytest.raises(BadField, match="stride of 2 x 5 leaves gaps between windows of 8 x 4"):
        create("explainer", "occlusion", window=[8, 4], stride=(2, 5))


def test_windows_scale_with_the_picture() -> None:
    mini = MINIATURES["pooled-cnn"]
    model, images = Model(mini(), size=mini.size), torch.rand(1, 3, *mini.size)
    small = create("explainer", "occlusion")(model, images, 1)
    named = create("explainer", "occlusion", window=5, stride=2)(model, images, 1)
    assert torch.equal(small.values, named.values)  # a seventh of 32 pixels


def test_hiding_one_of_two_equal_causes_changes_nothing() -> None:
    known = analytic.two_paths(target=0)
    explain = create("explainer", "occlusion", window=1, stride=1)
    with pytest.raises(NotExplainable, match="zeros"):
        explain(known.model, known.images, Class(0, probability=False))
    both = analytic.two_paths(target=1)
    heat = explain(both.model, both.images, Class(1, probability=False))
    assert heat.values[0, 1, 1] == 1 and heat.values[0, -2, -2] == 1 and heat.values.sum() == 2


def test_it_finds_a_planted_patch() -> None:
    known = analytic.planted_patch(batch=3)
    heat = create("explainer", "occlusion", window=3, stride=1)(*known)
    for i in range(3):
        peak = int(heat.values[i].flatten().argmax())
        assert known.expected[i].flatten()[peak] == 1


def test_the_fill_matters_and_gaps_are_refused() -> None:
    known = analytic.linear()
    explain = create("explainer", "occlusion", window=1, stride=1, fill=1.0)
    heat = explain(known.model, known.images, Class(1, probability=False))
    weight = known.model.module.weight[1].detach()
    assert_close(heat.native, (weight * (known.images - 1)).sum(1))
    with pytest.raises(BadField, match="gaps"):
        create("explainer", "occlusion", window=3, stride=4)
    with pytest.raises(BadField, match="at least 1"):
        create("explainer", "occlusion", window=0)


def residual() -> nn.Module:
    """A block with an in-place ReLU, functional operations and a shortcut of another stride."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1)
            self.shortcut, self.norm = nn.Conv2d(8, 8, 1, 2), nn.BatchNorm2d(8)

        def forward(self, x: Tensor) -> Tensor:
            y = self.second(F.relu(self.first(x), inplace=True))
            return F.relu(self.norm(y).add_(self.shortcut(x)))

    stem = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
    return headed(nn.Sequential(stem, Block()), 8)


def headed(body: nn.Module, filters: int) -> nn.Module:
    return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(filters, 9))


def googlenet() -> nn.Module:
    return torchvision.models.googlenet(weights=None, aux_logits=False, init_weights=False)


NETS: dict[str, tuple[Callable[[], nn.Module], bool]] = {  # and whether windows run as boxes
    "residual": (residual, True),
    "vgg11": (lambda: headed(torchvision.models.vgg11(weights=None).features, 512), True),
    "resnet18": (lambda: torchvision.models.resnet18(weights=None), True),
    "mobilenet_v2": (lambda: torchvision.models.mobilenet_v2(weights=None), True),
    "squeezenet1_1": (lambda: torchvision.models.squeezenet1_1(weights=None), True),
    "densenet": (lambda: torchvision.models.DenseNet(12, (3, 3), 16, num_classes=9), True),
    "googlenet": (googlenet, True),
    "efficientnet_b0": (lambda: torchvision.models.efficientnet_b0(weights=None), False),
    "vit": (
        lambda: torchvision.models.VisionTransformer(96, 16, 8, 2, 64, 128, num_classes=9),
        False,
    ),
    "swin": (
        lambda: torchvision.models.swin_transformer.SwinTransformer(
            [4, 4], 16, [1, 1], [2, 2], [4, 4], num_classes=9
        ),
        False,
    ),
}


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    net = NETS[name][0]().eval()
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None and part.running_var is not None
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    for weight in net.parameters():
        if not weight.any():
            nn.init.normal_(weight.data, 0, 0.1)
    return net


def in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hiding, "GAIN", float("inf"))


@pytest.mark.parametrize("name", NETS)
def test_boxes_and_full_forwards_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, images, boxed = network(name), torch.rand(1, 3, 96, 96), NETS[name][1]
    model, target = Model(net), Class(3, probability=False)
    if boxed:  # small pictures gain little
        monkeypatch.setattr(hiding, "GAIN", 0.0)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    explain = create("explainer", "occlusion", window=16, stride=16, fill="blur")
    quick = explain(model, images, target).native
    used = [plan for plan in model.runner.engine.checks.of(PLANS) if plan is not None]
    assert bool(used) == boxed and all(len(plan.locals) > 4 for plan in used)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    in_full(monkeypatch)
    full = explain(Model(net, name="again"), images, target).native
    spread = Model(net, name="logits").outputs(images).std()
    assert_close(quick, full, atol=1e-4 * float(spread), rtol=0)


@pytest.mark.parametrize(
    "window, stride", [(32, 16), (16, 8), (25, 7), ((40, 12), (20, 6)), ((9, 60), 9)]
)
def test_any_window_and_stride_agrees(
    window: Any, stride: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, images = network("squeezenet1_1"), torch.rand(2, 3, 96, 85)
    explain = create("explainer", "occlusion", window=window, stride=stride)
    model = Model(net)
    monkeypatch.setattr(hiding, "GAIN", 0.0)
    monkeypatch.setattr(hiding, "FEWEST", 1)
    quick = explain(model, images, 3)
    assert any(model.runner.engine.checks.of(PLANS))
    alone = explain(model, images[1:], 3)
    assert_close(alone.native[0], quick.native[1], atol=1e-6, rtol=1e-4)
    in_full(monkeypatch)
    full = explain(Model(net), images, 3)
    assert_close(quick.native, full.native, atol=1e-6, rtol=1e-3)


def test_every_window_counts_as_one_forward_and_the_clean_maps_as_another() -> None:
    model, images = Model(network("residual")), torch.rand(2, 3, 64, 64)
    explain = create("explainer", "occlusion", window=8, stride=8)
    explain(model, images, 1)
    counted = dict(model.evaluations)
    explain(model, images, 1)
    spent = model.evaluations["forward"] - counted["forward"]
    assert spent - 2 * (64 + 1) in (0, 2, 4)  # and the clean scores
    assert model.evaluations["backward"] == counted["backward"]


def test_new_weights_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    net, images = network("residual"), torch.rand(1, 3, 64, 64)
    model, explain = Model(net), create("explainer", "occlusion", window=8, stride=8)
    first = explain(model, images, 1).native
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(1.1)
    second = explain(model, images, 1).native
    assert not torch.allclose(first, second)
    in_full(monkeypatch)
    assert_close(explain(Model(net), images, 1).native, second, atol=1e-6, rtol=1e-3)


def test_nothing_is_left_behind_when_the_forward_raises() -> None:
    class Fragile(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.broken = network("residual"), False

        def forward(self, x: Tensor) -> Tensor:
            if len(x) == 3:  # the second run of the tape
                raise RuntimeError("three are too many")
            return self.body(x)

    net = Fragile().eval()
    explain = create("explainer", "occlusion", window=16, stride=8)
    before = {name: set(vars(part)) for name, part in net.named_modules()}
    model = Model(net)
    found = explain(model, torch.rand(1, 3, 64, 64), 1)
    assert found.native.isfinite().all()
    assert not any(model.runner.engine.checks.of(PLANS))
    assert {name: set(vars(part)) for name, part in net.named_modules()} == before
    assert torch.relu(-torch.ones(1)) == 0  # no mode is left on
