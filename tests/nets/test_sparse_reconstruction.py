"""The sparse reconstruction autoencoder: its loss by hand, and latents that were planted."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from sightline.errors import BadField
from sightline.nets.sparse_reconstruction import (
    Reconstruction,
    ReconstructionLoss,
    SparseReconstruction,
    pull_away,
    relative_errors,
)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).double()


def seen(features: Tensor, score: Tensor, rebuilt: Tensor) -> Reconstruction:
    return Reconstruction(features=features, score=score, activations=rebuilt, before=features)


def test_the_loss_is_the_formula_written_with_loops() -> None:
    features, rebuilt, given = drawn(7, 3), drawn(7, 4, seed=1), drawn(7, 4, seed=2)
    score, wanted = drawn(7, seed=3), drawn(7, seed=4)
    found = seen(features, score, rebuilt)
    faithful = sum((float(score[i]) - float(wanted[i])) ** 2 for i in range(7)) / 7
    sparse = 0.0
    for k in range(4):
        missed = sum((float(given[i, k]) - float(rebuilt[i, k])) ** 2 for i in range(7)) / 7
        sparse += math.log(1 + 10 * missed) / 4
    apart = 0.0
    for a in range(3):
        for b in range(3):
            if a != b:
                product = sum(float(features[i, a] * features[i, b]) for i in range(7))
                lengths = math.prod(
                    math.sqrt(sum(float(features[i, c]) ** 2 for i in range(7))) for c in (a, b)
                )
                apart += (product / lengths) ** 2 / 6
    loss = ReconstructionLoss(beta=0.5, eta=2.0)(found, given, wanted)
    assert float(loss) == pytest.approx(faithful + 0.5 * sparse + 2 * apart, rel=1e-6)


def test_the_control_is_a_plain_mean_square() -> None:
    given, rebuilt = drawn(5, 4), drawn(5, 4, seed=1)
    found = seen(drawn(5, 2), torch.zeros(5).double(), rebuilt)
    loss = ReconstructionLoss(concave=False, eta=0.0)(found, given, torch.zeros(5).double())
    assert_close(loss, (given - rebuilt).square().mean())


def test_a_feature_that_is_active_nowhere_costs_what_it_lacks() -> None:
    given = drawn(5, 4)
    before = torch.tensor([[1.0, -0.4], [0.0, -0.9]]).double().repeat(3, 1)[:5]
    zero = torch.zeros(5).double()
    found = Reconstruction(features=before.relu(), score=zero, activations=given, before=before)
    assert float(ReconstructionLoss()(found, given, zero)) == pytest.approx(0.5)


def test_features_at_right_angles_pull_nothing_away_and_copies_do() -> None:
    assert pull_away(torch.eye(4)) == 0
    assert float(pull_away(torch.ones(6, 3))) == pytest.approx(1.0, abs=1e-5)
    assert pull_away(torch.ones(6, 1)) == 0
    assert torch.isfinite(pull_away(torch.zeros(6, 3)))


def test_a_relative_error_is_none_for_what_is_rebuilt_and_one_for_the_mean() -> None:
    given = drawn(50, 2)
    rebuilt = torch.stack([given[:, 0], given[:, 1].mean().expand(50)], 1)
    found = seen(given, given[:, 0], rebuilt)
    assert_close(relative_errors(found, given), torch.tensor([0.0, 1.0]).double())


def test_settled_it_gives_the_same_in_the_activations_own_units() -> None:
    torch.manual_seed(0)
    net = SparseReconstruction(6, features=2, hidden=(8,))
    plain = torch.randn(5, 6)
    before = net(plain)
    mean, spread = torch.randn(6), torch.rand(6) + 0.5
    net.settle(mean, spread, 3.0, 2.0)
    after = net(plain * spread + mean)
    assert_close(after.features, before.features, atol=1e-5, rtol=1e-4)
    assert_close(after.score, 3 + 2 * before.score, atol=1e-5, rtol=1e-4)


def test_no_feature_and_no_weight_is_below_zero() -> None:
    torch.manual_seed(0)
    net = SparseReconstruction(6, features=3, hidden=(8, 4))
    assert (net.encode(torch.randn(50, 6)) >= 0).all()
    net.readout.data[0] = -1
    net.clamp_readout()
    assert net.readout.tolist() == [0, 1, 1]


@pytest.mark.parametrize("bad", [{"features": 0}, {"size": 0}, {"hidden": (8, 0)}])
def test_sizes_below_one_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(BadField):
        SparseReconstruction(**{"size": 4, **bad})


@pytest.mark.parametrize("bad", [{"beta": -1.0}, {"eta": -0.1}, {"q": 0.0}])
def test_negative_factors_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(BadField, match="beta and eta"):
        ReconstructionLoss(**bad)
