"""What a metric says and the curve behind it come from one measurement."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

import sightline as sl
from sightline.metric import judged
from sightline.worlds import analytic


@pytest.fixture
def case() -> sl.Case:
    model = analytic.linear().model
    return judged(sl.create("explainer", "gradient"), model, torch.rand(2, 3, 6, 7))


@dataclass(frozen=True, kw_only=True)
class Counted(sl.Metric):
    """How often are the curves asked for?"""

    asked: list[int] = field(default_factory=list, compare=False)

    def curves(self, case: sl.Case) -> Tensor:
        self.asked.append(1)
        return case.heat.flatten(1)[:, :4]

    def read(self, curves: Tensor) -> Tensor:
        return curves.sum(1)


@dataclass(frozen=True, kw_only=True)
class Plain(sl.Metric):
    """What of a metric without curves?"""

    def score(self, case: sl.Case) -> Tensor:
        return case.heat.mean((1, 2))


@dataclass(frozen=True, kw_only=True)
class Neither(sl.Metric):
    """What of one that defines nothing?"""


def test_a_metric_that_reads_its_curves_measures_once(case: sl.Case) -> None:
    metric = Counted()
    values, curves = metric.measure(case)
    assert metric.asked == [1]
    assert curves is not None and torch.equal(values, curves.sum(1))
    assert torch.equal(metric(case), values)


def test_a_metric_without_curves_gives_its_numbers_alone(case: sl.Case) -> None:
    values, curves = Plain().measure(case)
    assert curves is None and torch.equal(values, Plain()(case))


def test_a_metric_that_defines_nothing_says_so(case: sl.Case) -> None:
    with pytest.raises(TypeError, match="neither"):
        Neither()(case)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("model-randomisation", {"steps": 2}),
        ("model-randomisation", {"steps": 2, "mode": "independent"}),
        ("sensitivity", {"samples": 2}),
        ("deletion", {"steps": 4}),
        ("adcc", {}),
    ],
)
def test_measuring_gives_the_number_and_the_curve_of_the_metric(
    name: str, fields: dict[str, Any]
) -> None:
    world = analytic.pooled_head()
    metric = sl.create("metric", name, **fields)
    case = judged(sl.create("explainer", "gradient"), world.model, world.images)
    values, curves = metric.measure(case)
    assert values == pytest.approx(metric(case), abs=1e-6, nan_ok=True)
    assert curves is not None and curves.numpy() == pytest.approx(
        metric.curves(case).numpy(), abs=1e-6, nan_ok=True
    )
