"""How one network was copied serves the next that is built alike, and is proven for each."""

import copy
from dataclasses import replace

import torch
from torch import nn

from sightline.network import execution
from sightline.network.execution import ExecutionCopy
from sightline.network.folding import build


def run(module, x):
    return module(x)


def stack():
    parts = [
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3),
        nn.BatchNorm2d(4),
    ]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).eval()


def lively(net, seed=0):
    dice = torch.Generator().manual_seed(seed)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.3, generator=dice)
            part.running_var.uniform_(0.5, 2, generator=dice)
    return net


def images():
    return torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(3))


def test_a_known_plan_spares_the_search_and_is_proven_anew(monkeypatch):
    net, x = lively(stack()), images()
    first, _ = ExecutionCopy.attempt(net, x, run)
    other = lively(stack(), seed=1)
    wanted, _ = ExecutionCopy.attempt(other, x, run)
    monkeypatch.setattr(execution, "pairs", None)  # a search would fail
    found, _ = ExecutionCopy.attempt(other, x, run, first.plan)
    assert found.folded_norms == wanted.folded_norms == first.folded_norms
    assert torch.equal(run(found.module, x), run(wanted.module, x))


def test_a_known_plan_that_does_not_hold_is_given_up_for_a_search():
    net, x = lively(stack()), images()
    folded, layout = ExecutionCopy.attempt(net, x, run)[0].plan
    wrong = [*folded[1:], replace(folded[0], norm=folded[1].norm)]
    found, _ = ExecutionCopy.attempt(net, x, run, (wrong, layout))
    assert found.plan == (folded, layout) and found.folded_norms == {p.norm for p in folded}


def test_plans_are_for_networks_that_differ_in_weights_alone():
    net = stack()
    same = build(net)
    net[0].weight.data.add_(1)
    assert build(net) == same == build(copy.deepcopy(net))
    net[0].register_forward_hook(lambda *_: None)
    assert build(net) != same
