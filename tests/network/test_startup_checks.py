"""Findings of start-up checks: by topic, the latest kept, all gone with the weights."""

import torch
from torch import nn

from sightline import Model
from sightline.network.startup_checks import StartupChecks


def test_a_topic_keeps_its_latest_findings() -> None:
    checks = StartupChecks()
    for i in range(5):
        assert checks.put("tapes", i, str(i), most=3) == str(i)
    checks.put("maps", 0, None)
    assert checks.of("tapes") == ["2", "3", "4"] and checks.of("nothing") == []
    assert checks.get("tapes", 0) is None and checks.get("maps", 0, "unknown") is None
    checks.forget()
    assert checks.of("tapes") == []


def test_findings_are_forgotten_when_weights_change() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    model = Model(net, size=(2, 2))
    model.outputs(torch.ones(1, 3, 2, 2))
    model.runner.engine.checks.put("maps", "a method", 0.5)
    model.outputs(torch.zeros(1, 3, 2, 2))
    assert model.runner.engine.checks.of("maps") == [0.5]
    with torch.no_grad():
        net[1].weight.mul_(2)
    model.outputs(torch.ones(1, 3, 2, 2))
    assert model.runner.engine.checks.of("maps") == []
