"""One check per claim, run over every explainer that makes it. Add the check before the word."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Class, Heatmap, Model, available, create
from sightline.errors import NotExplainable
from sightline.registry import entry
from sightline.worlds import analytic
from sightline.worlds.miniatures import MINIATURES
from tiny import tiny

EXPLAINERS = available("explainer")

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive"),
    pytest.mark.filterwarnings("ignore:.*no step lowered the objective"),
    pytest.mark.filterwarnings("ignore:.*maps with negative values"),
    pytest.mark.usefixtures("learned_parts"),
]


def miniature(name: str, seed: int = 0, batch: int = 3) -> tuple[Model, Tensor]:
    """An untrained network that the method accepts, its weights drawn from `seed`, and pictures."""
    mini = MINIATURES[
        "token-net" if "attention" in create("explainer", name).needs else "pooled-cnn"
    ]
    net = mini()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for weight in net.parameters():
            weight += weight.std(unbiased=False) * torch.randn_like(weight) * (4 if seed else 0)
        net.head.weight *= 8
    images = torch.rand((batch, 3, *mini.size), generator=torch.Generator().manual_seed(7))
    return Model(net, size=mini.size), images


def ranks_agree(a: Tensor, b: Tensor) -> float:
    """Mean rank correlation of the maps (batch, row, col)."""
    pairs = zip(a.flatten(1).tolist(), b.flatten(1).tolist(), strict=True)
    return sum(float(spearmanr(x, y).statistic) for x, y in pairs) / len(a)


def native(name: str, model: Model, images: Tensor, target: Any, **fields: Any) -> Tensor:
    heat: Heatmap = tiny(name, **fields)(model, images, target)
    assert heat.native is not None
    return heat.native


def class_sensitive(name: str) -> None:
    """What speaks for one of two opposite classes speaks against the other, or tells nothing."""
    model, images, _ = analytic.symmetric_classes()
    found = []
    for k in (0, 1):
        try:
            found.append(native(name, model, images, k).flatten(1))
        except NotExplainable as reason:
            assert "map of zeros" in str(reason)
    assert found
    assert len(found) == 1 or torch.cosine_similarity(*found).max() < -0.9


def weight_sensitive(name: str) -> None:
    """Other weights give another map, for a given picture and class."""
    found = [native(name, *miniature(name, seed), 1) for seed in (0, 1)]
    assert ranks_agree(*found) < 0.5


def complete(name: str) -> None:
    """The map sums to the score minus the score of an empty picture, within 2 %."""
    model, images = miniature(name)
    target = Class(1)
    aimed = model.aim(images, target)
    gap = model.scores(images, aimed) - model.scores(torch.zeros_like(images), aimed)
    assert_close(native(name, model, images, target).sum((1, 2)), gap, rtol=0.02, atol=1e-6)


def exact_on_linear(name: str) -> None:
    """Each pixel of a linear model gets its own weight times its value; all values are 1 here."""
    known = analytic.linear()
    images = torch.ones_like(known.images)
    weight = known.model.module.weight[1].sum(0).expand(2, -1, -1)
    assert_close(native(name, known.model, images, known.target), weight.detach())


def exact_on_pooled_head(name: str) -> None:
    """Behind global average pooling and one linear layer the map is the class map over the area."""
    for known in (analytic.pooled_head(), analytic.symmetric_classes()):
        assert_close(native(name, known.model, known.images, known.target), known.expected)


class Affine(nn.Module):
    """Filters, then one linear layer with a bias, on all places or on their average."""

    def __init__(self, pooled: bool) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.maps = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
            pool = nn.AdaptiveAvgPool2d(1) if pooled else nn.Identity()
            self.head = nn.Sequential(pool, nn.Flatten(), nn.Linear(6 if pooled else 6 * 56, 4))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.maps(images))


def additive(name: str) -> None:
    """Where one linear layer follows, the map sums to the logit without its bias."""
    images = torch.rand((2, 3, 7, 8), generator=torch.Generator().manual_seed(4))
    accepted = 0
    for pooled in (True, False):
        net = Affine(pooled)
        try:
            found = native(name, Model(net, size=(7, 8)), images, 2)
        except NotExplainable:
            continue
        accepted += 1
        assert_close(found.sum((1, 2)), net(images)[:, 2].detach() - net.head[2].bias[2].detach())
    assert accepted


def ignores_dead_input(name: str) -> None:
    """What the network never sees gets exactly nothing."""
    known = analytic.dead_pixel()
    found = native(name, known.model, known.images, known.target)
    assert (found[known.expected == 0] == 0).all()
    assert (found[known.expected == 1] != 0).all()


def non_negative(name: str) -> None:
    """No value is below zero, for any class."""
    model, images = miniature(name, batch=5)
    heat = tiny(name)(model, images, list(range(5)))
    assert (heat.values >= 0).all()


def seed_stable(name: str) -> None:
    """Another seed gives other numbers and nearly the same order of pixels."""
    known = analytic.dead_pixel()
    found = [native(name, known.model, known.images, known.target, seed=s) for s in (0, 1)]
    assert not torch.equal(*found)
    assert ranks_agree(*found) > 0.8


def stretched(maps: Tensor) -> Tensor:
    return maps / maps.abs().amax((1, 2), keepdim=True)


def scale_invariant(name: str) -> None:
    """Scores times 10 or 100, and a constant that flips their sign, change no order of pixels."""
    model, images = miniature(name)
    plain = native(name, model, images, 1)
    for factor in (10, 100):
        for shift in (500, -500):
            scaled = Model(
                model.module, size=model.size, output=lambda y, f=factor, s=shift: f * y + s
            )
            found = native(name, scaled, images, 1)
            assert_close(stretched(found), stretched(plain), atol=2e-3, rtol=1e-3)


CHECKS: dict[str, Callable[[str], None]] = {
    "class-sensitive": class_sensitive,
    "weight-sensitive": weight_sensitive,
    "complete": complete,
    "exact-on-linear": exact_on_linear,
    "exact-on-pooled-head": exact_on_pooled_head,
    "additive": additive,
    "ignores-dead-input": ignores_dead_input,
    "non-negative": non_negative,
    "seed-stable": seed_stable,
    "scale-invariant": scale_invariant,
}
CLAIMS = [(claim, name) for name in EXPLAINERS for claim in entry("explainer", name).claims]


@pytest.mark.parametrize(("claim", "name"), CLAIMS)
def test_what_is_claimed_holds(claim: str, name: str) -> None:
    assert claim in CHECKS, f"{name} claims {claim!r}, for which there is no check"
    CHECKS[claim](name)


@pytest.mark.parametrize("claim", list(CHECKS))
def test_each_check_serves_somebody(claim: str) -> None:
    assert any(claim == made for made, _ in CLAIMS)
