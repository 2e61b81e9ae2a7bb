"""Sets computed only where they differ from a recorded one: the same answers for less work."""

import itertools
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Class, Model, hiding
from sightline.explainers.contract.window_plans import PLANS
from sightline.explainers.structure.graphs import _patches
from sightline.explainers.structure.graphs._hubs import hubs
from sightline.explainers.structure.graphs._patches import Patches
from sightline.explainers.structure.graphs.sag import SAG
from sightline.explanations.regions import Regions
from sightline.network.incremental.windows import Plan
from sightline.ops.resize import resize

STRENGTH = 4.0
SIZE = (84, 91)  # patches of unequal sides


def convolutions() -> nn.Module:
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(7),
        nn.Flatten(),
        nn.Linear(32 * 49, 5),
    )
    for name, weight in net.named_parameters():
        weight.data *= 0 if "bias" in name else STRENGTH  # so that patches matter, and no fill does
    return net.eval()


def transformer() -> nn.Module:
    torch.manual_seed(3)
    return torchvision.models.VisionTransformer(84, 12, 2, 2, 32, 64, num_classes=5).eval()


def pictures(count: int = 1, size: tuple[int, int] = SIZE) -> Tensor:
    source = torch.Generator().manual_seed(1)
    coarse = torch.rand((count, 3, 9, 9), generator=source)
    return resize(coarse, size) * 0.7 + 0.3 * torch.rand((count, 3, *size), generator=source)


def explained(model: Model, images: Tensor, **fields: Any) -> Regions:
    found = SAG(**{"explainer": "grad-cam", "roots": 2, "fill": 0.0, **fields})
    regions = found(model, images, Class(0))
    assert isinstance(regions, Regions)
    return regions


def in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hiding, "GAIN", float("inf"))


def plans(model: Model) -> list[Plan]:
    return [plan for plan in model.runner.engine.checks.of(PLANS) if plan is not None]


def assert_alike(quick: Regions, full: Regions) -> None:
    assert quick.minimal == full.minimal and quick.necessary == full.necessary
    assert quick.outcome == full.outcome and quick.notes == full.notes
    for a, b in zip(quick.confidences, full.confidences, strict=True):
        assert_close(a, b, atol=1e-4, rtol=0)
    for a, b in zip(quick.links, full.links, strict=True):
        assert a["edges"] == b["edges"] and len(a["nodes"]) == len(b["nodes"])
        for mine, other in zip(a["nodes"], b["nodes"], strict=True):
            assert mine["cells"] == other["cells"] and mine["root"] == other["root"]
            assert mine["confidence"] == pytest.approx(other["confidence"], abs=1e-4)


@pytest.mark.parametrize("fields", [{}, {"tried": 5}, {"fill": 0.1, "grid": 6}], ids=str)
def test_the_sets_and_the_graph_are_those_of_full_forwards(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    net, images = convolutions(), pictures()
    model = Model(net)
    quick = explained(model, images, **fields)
    assert len(plans(model)) == 1
    in_full(monkeypatch)
    full = explained(Model(net, name="again"), images, **fields)
    assert_alike(quick, full)
    assert all(a > b for a, b in zip(quick.evaluations, full.evaluations, strict=True))


def test_one_forward_is_counted_for_each_set_and_one_for_each_that_is_recorded() -> None:
    model, images = Model(convolutions()), pictures()
    patches = observed(model, images)
    patches.confidence([0])
    model.evaluations["forward"] = 0
    patches.confidence([1 << i for i in range(9)])
    assert patches.recorded == 1 and len(patches.confidences) == 10
    assert model.evaluations["forward"] == 10
    found = explained(model, images)
    told = found.provenance["evaluations"]["forward"]
    assert found.evaluations[0] <= told <= found.evaluations[0] + 4  # ranking, whole picture


def observed(model: Model, images: Tensor, fill: str | float = 0.0) -> Patches:
    target = model.aim(images, Class(0)).with_probability(True)
    return Patches(
        model=model,
        target=target,
        row=0,
        image=images[:1],
        hidden=_patches.filled(images[:1], model, fill),
        grid=(7, 7),
        whole=float(model.scores(images[:1], target)),
    )


@pytest.mark.parametrize("batch", [None, 3])
def test_every_patch_is_computed_right_from_below_and_from_above(
    batch: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, images = convolutions(), pictures()
    model = Model(net)
    model.batch = batch
    some = sum(1 << i for i in (0, 6, 8, 17, 24, 25, 40, 48))
    asked = [some ^ 1 << i for i in range(49)] + [1 << i for i in range(49)]
    quick = observed(model, images)
    got = quick.confidence(asked)
    assert quick.recorded == 2
    in_full(monkeypatch)
    full = observed(Model(net, name="again"), images)
    assert_close(got, full.confidence(asked), atol=1e-5, rtol=0)
    assert full.recorded == 0 and len(set(got)) > 60


def test_what_has_no_plan_runs_whole() -> None:
    model = Model(transformer())
    images = pictures(size=(84, 84))
    seen = observed(model, images)
    seen.confidence([1 << i for i in range(49)])
    assert seen.recorded == 0 and not plans(model)
    model = Model(convolutions())
    seen = observed(model, pictures(), "inpaint")
    seen.confidence([1 << i for i in range(49)])
    assert seen.recorded == 0 and not model.runner.engine.checks.of(PLANS)
    model = Model(convolutions())
    with torch.autocast("cpu", torch.bfloat16):
        seen = observed(model, pictures())
        seen.confidence([1 << i for i in range(49)])
    assert seen.recorded == 0 and not model.runner.engine.checks.of(PLANS)


def test_windows_hold_all_that_a_patch_changes() -> None:
    seen = observed(Model(convolutions()), pictures())
    corners = seen._windows
    sizes = corners[:, 2:] - corners[:, :2]
    assert (sizes == sizes[0]).all() and (sizes[0] == torch.tensor([24, 26])).all()
    for patch, (top, left, bottom, right) in enumerate(corners.tolist()):
        changed = seen._masks([1 << patch])[0, 0].clone()
        assert 0 <= top and bottom <= SIZE[0] and 0 <= left and right <= SIZE[1]
        changed[top:bottom, left:right] = 0
        assert not changed.any()


def test_few_sets_are_recorded_and_each_serves_what_is_one_patch_away() -> None:
    held = [0b111, 0b111000]
    grown = list(dict.fromkeys(each | 1 << p for each in held for p in range(6, 12)))
    found, left = hubs(grown, 12, 2.0)
    assert list(found) == held and not left
    apart = [0b1111 << 4 * i for i in range(4)]
    assert hubs(apart, 16, 2.0) == ({}, apart)
    assert hubs(grown, 12, 1.0) == ({}, grown)  # nothing is saved
    pairs = [sum(1 << i for i in pair) for pair in itertools.combinations(range(8), 2)]
    found, left = hubs(pairs, 8, 2.0)
    assert sorted([*itertools.chain(*found.values()), *left]) == sorted(pairs)
    for hub, some in found.items():
        assert len(some) > 2 and all((hub ^ each).bit_count() == 1 for each in some)
