"""The Langevin sampler: its known bias, its cap, and what it samples of a VAE."""

import math
from itertools import islice

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from sightline.ops.noise import generator
from sightline.ops.pursuit.langevin import CAP, langevin, langevin_step


def test_the_variance_of_a_standard_normal_is_that_of_an_uncorrected_sampler() -> None:
    places = torch.randn(1, 20000, 1, generator=generator(1, "start"), dtype=torch.float64)
    walk = langevin(places, lambda z: -z, generator(0, "steps"), cap=1e9)
    samples = torch.cat(list(islice(walk, 400))[100::10])
    assert float(samples.var()) == pytest.approx(1 / (1 - 0.1 / 2), abs=0.01)
    assert float(samples.mean()) == pytest.approx(0, abs=0.01)


def test_a_move_is_the_equation_and_the_cap_shrinks_drift_and_noise_of_its_group_alone() -> None:
    dice = torch.Generator().manual_seed(0)
    places, noise = (torch.randn(2, 3, 4, generator=dice) for _ in range(2))
    gradient = torch.stack([places[0] * 0.1, places[1] * 1e3])
    found = langevin_step(places, gradient, noise)
    assert_close(found[0], places[0] + 0.1 * gradient[0] + math.sqrt(0.2) * noise[0])
    norm = math.sqrt(sum(v * v for v in gradient[1].flatten().tolist()))
    assert norm > CAP
    reach = 0.1 * CAP / norm
    expected = places[1] + reach * gradient[1] + math.sqrt(2 * reach) * noise[1]
    assert_close(found[1], expected)
    assert_close((reach * gradient[1]).norm(), torch.tensor(0.1 * CAP))


def test_the_cap_of_the_paper_is_always_felt_by_its_many_chains() -> None:
    places = torch.randn(1, 256, 100, generator=generator(0, "chains"))
    still = torch.zeros_like(places)
    reach = 1 - langevin_step(places, -places, still) / places
    assert float(reach.mean()) == pytest.approx(0.1 * 100 / 160, rel=0.02)


def test_it_is_reproducible_and_goes_on_where_it_was() -> None:
    def walk(start: Tensor, seed: int) -> list[Tensor]:
        steps = langevin(start, lambda z: 2 - z, generator(seed, "w"))
        return list(islice(steps, 60))

    start = torch.zeros(1, 400, 2)
    assert all(map(torch.equal, walk(start, 3), walk(start, 3)))
    assert not torch.equal(walk(start, 3)[0], walk(start, 4)[0])
    cold, warm = walk(start, 3), walk(walk(start, 3)[-1], 5)
    assert abs(float(warm[0].mean()) - 2) < 0.1 < abs(float(cold[0].mean()) - 2)
    assert not warm[-1].requires_grad and float(start.abs().max()) == 0
