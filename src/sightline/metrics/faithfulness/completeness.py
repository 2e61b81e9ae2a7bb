"""Completeness: does the map add up to what it claims to explain?

Paper: Sundararajan, Taly and Yan, ICML 2017, section 3 (the axiom); the number, the gap over the
difference of the scores, is a project definition.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from ...explanation import Heatmap
from ...metric import Case, Metric
from ...ops.fill import Fill
from ...registry import register
from ...shapes import Scores

LEAST = 1e-6  # of the larger score: a smaller difference is the rounding of float32


@register("completeness", paper="arXiv:1703.01365")
@dataclass(frozen=True, kw_only=True)
class Completeness(Metric):
    """Does the map sum to the score of the picture minus that of an empty one? 0 is exact.

    The size of the gap, in units of that difference; a map of zeros gets 1. The signed,
    unclipped map is summed as it is, never normalised: `native` where there is one. The score is
    the one that the method explains by default (logits where no method is known). baseline: the
    empty picture, the name of a `Fill`, or "zero" for methods that share out the score itself. NaN
    where the two scores are equal up to rounding.

    Do not trust it as a sign that the places are right: any map can be scaled until it adds up. Do
    not use it for methods that do not claim such a sum, such as most CAMs.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "lower"
    unit: ClassVar[str] = "relative gap"
    scale_free: ClassVar[bool] = False

    baseline: str | float = "mean"

    def __post_init__(self) -> None:
        if self.baseline != "zero":
            Fill(self.baseline)

    def score(self, case: Case) -> Scores:
        shown = case.heat
        if isinstance(case.explanation, Heatmap) and case.explanation.native is not None:
            shown = case.explanation.native
        target = case.target.with_habit(case.explainer.habit if case.explainer else False)
        rows = torch.arange(len(case.images), device="cpu")
        due = case.model.scores(case.images, target, rows=rows).double()
        scale = due.abs()
        if self.baseline != "zero":
            empty = Fill(self.baseline).like(case.images, case.model)
            start = case.model.scores(empty, target, rows=rows).double()
            due, scale = due - start, torch.maximum(scale, start.abs())
        gap = (shown.to(due.device).double().sum((1, 2)) - due).abs()
        return torch.where(due.abs() > LEAST * scale, gap / due.abs(), torch.nan)
