"""How long a run will take: passes that were measured beforehand, times the time of one pass here.

It is an estimate: other networks need other passes, and a pass in a large batch is faster.
"""

import time
from dataclasses import fields
from math import prod
from typing import Any

import torch

from ... import registry
from ...explain_pictures import PicturePlan
from ...explainer import Explainer
from ...metric import Metric
from ...model import Model
from ...network.costs import uncounted
from ...ops.null_maps import NULLS
from ..catalogue import facts
from .meter import duration

LONG = 60.0  # seconds from which a run says its estimate
_BACKWARD = 2  # forward passes that one backward pass takes, about
_STEPS = 32  # passes of a metric that does not say, about
_WORTH = 500  # passes from which the time of one is measured
_IMAGES = 4  # in the batch that is timed


def expected(plan: PicturePlan) -> dict[str, int]:
    """Images sent through the network for each method of a picture, its metrics included; nothing
    for a method that was not measured."""
    known = [e for e in plan.explainers if facts.costs().get(e.registered_name)]
    judged = sum(_judging(m) for m in plan.metrics)
    return {e.registered_name: sum(_passes(e)) + judged for e in known}


def sentence(
    plan: PicturePlan, pictures: int, *, baselines: int = len(NULLS), workers: int = 1
) -> str:
    """How long so many pictures will take; empty where that is under a minute. baselines: maps that
    are judged beside the methods'. workers: processes that share the work."""
    able = [e for e in plan.explainers if e.registered_name not in plan.refused]
    judged = sum(_judging(m) for m in plan.metrics) * (len(able) + baselines)
    forward = judged + sum(_passes(e)[0] for e in able)
    backward = sum(_passes(e)[1] for e in able)
    passes = pictures * (forward + _BACKWARD * backward)
    if passes < _WORTH or plan.model.size is None:
        return ""
    each = _seconds(plan.model)
    spent = passes * each / max(1, min(workers, pictures))
    if spent < LONG:
        return ""
    total = f"{pictures * (forward + backward):,} passes of about {duration(each)}"
    return f"this will take about {duration(spent)} (an estimate: {total})"


def _passes(explainer: Explainer) -> tuple[int, int]:
    """Forward and backward images for one picture; 1 and 1 of a method that was not measured."""
    known = facts.costs().get(explainer.registered_name) or {"forward": 1, "backward": 1}
    times = _times(explainer)
    return round(known["forward"] * times), round(known["backward"] * times)


def _times(method: Any) -> float:
    """How many times the usual work a method does: fields in the plural count what is done."""
    usual = {f.name: f.default for f in fields(method)}
    held = registry.to_json(method)["fields"]
    pairs = [(held[name], usual[name]) for name in held if name.endswith("s")]
    whole = [(a, b) for a, b in pairs if type(a) is int and type(b) is int and a > 0 and b > 0]
    return float(prod(a / b for a, b in whole))


def _judging(metric: Metric) -> int:
    steps = registry.to_json(metric)["fields"].get("steps")
    return steps if isinstance(steps, int) else _STEPS


def _seconds(model: Model) -> float:
    """The time of one image in a small batch, without a trace in the model's counts."""
    assert model.size is not None
    shape = (_IMAGES, model.calling.channels(model.module), *model.size)
    images = torch.full(shape, 0.5, dtype=torch.float32, device="cpu").to(model.device)
    with uncounted():
        model.outputs(images)
        started = time.perf_counter()
        model.outputs(images)
        return (time.perf_counter() - started) / _IMAGES
