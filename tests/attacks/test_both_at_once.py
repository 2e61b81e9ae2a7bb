"""Attacks that fool classifier and map together, on a small trained network with a CAM head."""

from functools import cache
from typing import Any

import pytest
import torch

from attacks.shapes_net import pictures, trained
from sightline import create
from sightline.attacks import countermeasures, outcome
from sightline.attacks.outcome import AttackOutcome

COUNT, EPSILON = 16, 0.1
WITNESSES = (
    "gradient",
    "smooth-grad",
    "guided-backprop",
    "input-x-gradient",
    "integrated-gradients",
)


@cache
def attacked(name: str, explainer: str = "cam", count: int = COUNT) -> AttackOutcome:
    few: dict[str, Any] = {"steps": 30} if name == "pgd" else {"first": 5, "second": 60}
    made = create("attack", name, epsilon=EPSILON, **few)
    images = pictures(COUNT, 7)[0][:count]
    return outcome.run(made, trained(), images, None, [create("explainer", explainer)])


def _error(found: AttackOutcome) -> float:
    return found.maps[0].l2.square().mean().item()


@pytest.mark.parametrize("name", ["adv-edge", "adv-edge+"])
def test_it_succeeds_as_pgd_does_with_half_the_error_of_the_map(name: str) -> None:
    plain, both = attacked("pgd"), attacked(name)
    assert both.success.double().mean() >= plain.success.double().mean() - 0.1
    assert _error(both) <= _error(plain) / 2


def test_the_gradient_is_drawn_back_too() -> None:
    plain, both = attacked("pgd", "gradient", 3), attacked("adv-edge", "gradient", 3)
    assert both.success.double().mean() >= plain.success.double().mean() - 0.1
    assert both.maps[0].rank.mean() > plain.maps[0].rank.mean()


def test_explainers_that_were_not_attacked_give_the_attack_away() -> None:
    found = attacked("adv-edge")
    witnesses = [create("explainer", name) for name in WITNESSES]
    clean, late = (
        countermeasures.disagreements(trained(), x, witnesses) for x in (found.images, found.fooled)
    )
    seen = countermeasures.detect(clean, late)
    assert seen.auc > 0.8 and seen.held_out == COUNT // 2
    same = countermeasures.detect(clean, clean)
    assert 0.3 < same.auc < 0.7  # nothing to tell apart


def test_manipulation_moves_the_map_and_keeps_the_class() -> None:
    made = create("attack", "manipulation", epsilon=EPSILON, steps=40)
    images = pictures(2, 9)[0]
    found = outcome.run(made, trained(), images, None, [create("explainer", "cam")])
    assert found.success.all() and (found.before == found.after).all()
    assert (found.maps[0].rank < 0.7).all()
    assert (found.sure_after > found.sure_before - 0.11).all()


def test_st_adv_bends_the_picture_into_another_class() -> None:
    made = create("attack", "st-adv", rate=0.05, first=30, second=30)
    images = pictures(2, 11)[0]
    found = outcome.run(made, trained(), images, None, [create("explainer", "cam")])
    assert found.success.all()
    assert torch.isfinite(found.alike).all()


def test_a_picture_without_a_map_is_left_out_of_the_detector() -> None:
    clean = torch.rand(12, 4, generator=torch.Generator().manual_seed(0))
    lost = clean.clone()
    lost[3] = torch.nan
    assert countermeasures.detect(lost, clean + 1).pictures == 11
