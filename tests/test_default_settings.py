"""Each method's default settings run once: contract and claims ask for its `tiny` ones, because
more iterations of the same prove nothing there. (The metrics' contract asks for their defaults.)
"""

import random

import jaxtyping
import pytest
import torch

from attacks.shapes_net import pictures, trained
from sightline import Heatmap, available, create
from sightline.registry import entry
from test_contract import EXPLAINERS, first_kind, network

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*(no evidence for the target is pos|no step lowered)"),
    pytest.mark.filterwarnings("ignore:.*maps with negative values"),
    pytest.mark.usefixtures("learned_parts"),
]


@pytest.mark.parametrize("name", EXPLAINERS)
def test_an_explainer_explains_with_its_defaults(name: str) -> None:
    model, images = network(first_kind(name))
    before = random.getstate()  # Python's own, of which the shape checks draw where they are on
    found = create("explainer", name)(model, images[:1], 0)
    assert random.getstate() == before
    assert isinstance(found, entry("explainer", name).cls.gives) and not found.lost
    if isinstance(found, Heatmap):
        assert torch.isfinite(found.native).all() and found.native.abs().amax() > 0


@pytest.mark.parametrize("name", available("attack"))
def test_an_attack_keeps_the_shape_and_the_range_with_its_defaults(name: str) -> None:
    clean = pictures(1, 21)[0]
    fooled = create("attack", name)(trained(), clean, None, "grad-cam")
    assert fooled.shape == clean.shape and torch.isfinite(fooled).all()
    assert fooled.min() >= 0 and fooled.max() <= 1


def test_shapes_are_checked_elsewhere() -> None:
    assert jaxtyping.config.jaxtyping_disable  # tests/shape_checks.py says where and why


@pytest.mark.parametrize("kind", ["explainer", "metric", "attack", "recipe"])
def test_tiny_settings_are_fields_and_differ_from_the_defaults(kind: str) -> None:
    for name in available(kind):
        default = create(kind, name)
        for field, value in entry(kind, name).cls.tiny.items():
            assert getattr(default, field) != value, f"{name}: {field}"
