"""Can a metric that judges where a map points tell a map that knows from one that does not?

Pictures hold an object that alone speaks for the class and a distractor that speaks against it, so
the right map is known; drawn birds give the true effect of each part. The other metrics have checks
of their own: completeness, additive exactness and average drop in faithfulness/test_shares.py,
coherency, complexity and ADCC in quality/test_adcc.py, sensitivity and randomisation in
sanity/test_randomised.py, runtime and evaluations in cost/test_costs.py, and those of sets of
patches in structure/test_sets.py.
"""

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Case, Class, Heatmap, Metric, Model, Truth, available, create
from sightline.metrics.truth._parts import parts_of
from sightline.ops.null_maps import NULLS, reference
from sightline.ops.resize import resize
from sightline.registry import entry
from sightline.worlds.aviary import render, sample
from sightline.worlds.miniatures import MINIATURES

SIDE, OBJECT, PICTURES = 48, 14, 6
BIRD, BIRDS = 48, 3

SETTINGS: dict[str, dict[str, Any]] = {
    "pointing": {"tolerance": 0.0},  # 15 pixels are a third of these pictures
}
POINTING = [n for n in available("metric") if "prefers-truth" in entry("metric", n).claims]
RANKED = ("deletion", "insertion", "pointing", "part-iou")  # only the order of values counts
ON_BIRDS = ("part-importance", "false-credit")


def test_a_metric_that_does_not_claim_to_prefer_the_truth_has_a_check_of_its_own() -> None:
    tests = Path(__file__).parents[1].rglob("test_*.py")
    texts = [path.read_text("utf-8") for path in tests if path.name != Path(__file__).name]
    for name in set(available("metric")) - {*POINTING}:
        assert any(f'"{name}"' in text for text in texts), f"no test names {name}"


class Sees(nn.Module):
    """Red squares speak for class 1, green ones against it."""

    def forward(self, images: Tensor) -> Tensor:
        bright = (images - 0.5).relu().sum((2, 3)) / (0.4 * OBJECT**2)
        logit = 6 * bright[:, 0] - 3 * bright[:, 1] - 1.5
        return torch.stack([-logit / 2, logit / 2], 1)


@cache
def squares() -> tuple[Case, Tensor]:
    """Pictures with a red and a green square at random places that do not meet; the red mask."""
    dice = np.random.default_rng(4)
    images = 0.4 * torch.rand((PICTURES, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    masks, others = [], []
    for image in images:
        here, there = np.zeros((2, SIDE, SIDE), dtype=bool)
        row, col = dice.integers(0, SIDE - OBJECT, 2)
        here[row : row + OBJECT, col : col + OBJECT] = True
        row, col = (row + SIDE // 2) % (SIDE - OBJECT), (col + SIDE // 2) % (SIDE - OBJECT)
        there[row : row + OBJECT, col : col + OBJECT] = True
        there &= ~here
        image[0, torch.from_numpy(here)] = 0.9
        image[1, torch.from_numpy(there)] = 0.9
        masks.append(here)
        others.append({"distractor": there})
    truth = Truth(labels=[1] * PICTURES, masks=masks, parts=others)
    oracle = torch.from_numpy(np.stack(masks)).float()
    model = Model(Sees(), size=(SIDE, SIDE))
    return Case(model, images, Class(1), Heatmap(oracle), truth=truth), oracle


@cache
def birds() -> tuple[Case, list[Any]]:
    """Drawn birds, an untrained network, and the true effect of each part."""
    drawn = [render(sample(7, i), BIRD, masks=True) for i in range(BIRDS)]
    images = torch.from_numpy(np.stack([b.image for b in drawn])).movedim(3, 1).float() / 255
    net = MINIATURES["pooled-cnn"]()
    with torch.no_grad():
        net.head.weight *= 8
    truth = Truth(scenes=[b.scene for b in drawn], parts=[b.masks for b in drawn])
    model = Model(net, size=(BIRD, BIRD))
    case = Case(model, images, model.aim(images, 1), Heatmap(torch.rand(len(images), BIRD, BIRD)))
    whole = Case(model, images, case.target, case.explanation, truth=truth)
    return whole, parts_of(whole, "part-importance")


def painted(values: list[Tensor]) -> Tensor:
    """Maps whose sum over each part is that part's value, the largest pixel being 1."""
    case, parts = birds()
    heat = torch.zeros(len(values), BIRD, BIRD)
    for row, (known, each) in enumerate(zip(parts, values, strict=True)):
        for name, value in zip(known.names, each.tolist(), strict=True):
            mask = torch.from_numpy(case.truth.parts[row][name])
            heat[row][mask] = value / mask.sum()
    largest = heat.abs().amax((1, 2), keepdim=True)
    return heat / torch.where(largest > 0, largest, 1)


def world(name: str) -> tuple[Case, Tensor, Tensor]:
    """A case, the map that knows, and the one that knows and says the opposite."""
    if name not in ON_BIRDS:
        case, oracle = squares()
        return case, oracle, 1 - oracle
    case, parts = birds()
    effects = [each.effects for each in parts]
    if name == "part-importance":
        return case, painted(effects), painted([-e for e in effects])
    matters = [e.abs() >= 0.05 * e.abs().max() for e in effects]
    right = [e.abs() * m for e, m in zip(effects, matters, strict=True)]
    return case, painted(right), painted([(~m).double() for m in matters])


def metric_of(name: str) -> Metric:
    return create("metric", name, **SETTINGS.get(name, {}))


def merit(metric: Metric, case: Case, heat: Tensor) -> float:
    """The number of a collection, larger is better; a map without a number knows nothing."""
    shown = case.with_heat(heat)
    values = metric(shown)
    found = metric.summary(values, metric.curves(shown))
    return found if metric.direction == "higher" else -found


def noise(case: Case, seed: int) -> Tensor:
    """Smooth noise, another one for each picture."""
    dice = torch.Generator().manual_seed(seed)
    coarse = torch.rand((len(case.images), 1, 6, 6), generator=dice)
    return resize(coarse, case.images.shape[-2:])[:, 0]


@pytest.mark.parametrize("name", POINTING)
def test_the_map_that_knows_beats_every_map_that_does_not(name: str) -> None:
    metric, (case, oracle, _) = metric_of(name), world(name)
    best = merit(metric, case, oracle)
    for null in NULLS:
        assert best > merit(metric, case, reference(null, case.images))


@pytest.mark.parametrize("name", POINTING)
def test_the_opposite_of_what_is_known_loses_to_chance(name: str) -> None:
    metric, (case, oracle, inverted) = metric_of(name), world(name)
    chance = [merit(metric, case, noise(case, seed)) for seed in range(2)]
    lost, best = merit(metric, case, inverted), merit(metric, case, oracle)
    assert lost < best
    assert lost <= np.mean(chance) + 0.05 * (best - np.mean(chance))  # pxap: the object's share


@pytest.mark.parametrize("name", POINTING)
def test_a_random_map_stays_in_the_band_of_random_maps(name: str) -> None:
    metric, (case, oracle, _) = metric_of(name), world(name)
    band = [merit(metric, case, noise(case, seed)) for seed in range(40, 46)]
    reach = 3 * np.std(band) + 0.05  # of a few pictures
    for seed in (0, 1):
        drawn = reference("random", case.images, seed)
        assert abs(merit(metric, case, drawn) - np.mean(band)) <= reach
    assert merit(metric, case, oracle) > np.mean(band) + np.std(band)


@pytest.mark.parametrize("name", POINTING)
def test_growing_noise_only_lowers_the_number(name: str) -> None:
    metric, (case, oracle, _) = metric_of(name), world(name)
    found = [
        np.mean([
            merit(metric, case, (1 - share) * oracle + share * noise(case, seed))
            for seed in (20, 21)
        ])
        for share in (0.0, 0.35, 0.7, 1.0)
    ]  # fmt: skip
    slack = 0.05 * (found[0] - found[-1])
    assert found[0] > found[-1]
    assert all(a >= b - slack for a, b in pairwise(found)), found


@pytest.mark.parametrize("name", POINTING)
def test_scale_never_counts_and_order_alone_where_it_is_said(name: str) -> None:
    metric, (case, _, _) = metric_of(name), world(name)
    heat = (noise(case, 30) * 64).round() / 64
    plain = metric(case.with_heat(heat))
    assert_close(metric(case.with_heat(4 * heat)), plain, equal_nan=True)
    bent = metric(case.with_heat(heat**3))
    if name in RANKED:
        assert_close(bent, plain)
