"""Integrated gradients: the gradient averaged on the straight way from a baseline, times the
difference.

Paper: Sundararajan, Taly and Yan, ICML 2017, eq. 1: (x - x0) * integral of the gradient at x0 + t
(x - x0). The sum over pixels is s(x) - s(x0). Deviations: midpoint nodes; there are 20 of them, not
the paper's 20 to 300 chosen by hand, and they are tripled for each image until the sum is within
`tolerance`: the midpoints of n are among those of 3 n, so nothing is computed twice.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import BadField
from ...explainer import Explainer
from ...explanation import Heatmap
from ...model import Model
from ...ops.fill import Fill
from ...registry import register
from ...shapes import Images
from ...target import Target

FIRST = 20


@register(
    "integrated-gradients",
    paper="arXiv:1703.01365",
    claims=(
        "class-sensitive",
        "weight-sensitive",
        "scale-invariant",
        "complete",
        "exact-on-linear",
        "ignores-dead-input",
    ),
)
@dataclass(frozen=True, kw_only=True)
class IntegratedGradients(Explainer):
    """How does each pixel share in the difference between this picture's score and an empty
    picture's?

    values and native: signed, summed over colours; they sum to the score minus the baseline's
    score. channels: each colour's share. baseline: the empty picture, the name of a `Fill`. steps:
    exactly so many midpoint nodes; None means 20, then 60 and so on up to `limit`, until the
    relative error of the sum is below `tolerance`. details: `attributed` (the sum), `expected` (the
    difference of scores), `completeness` (relative error of the sum) and `steps`, one of each per
    image.

    Do not trust it where the picture equals the baseline: such pixels get nothing, whatever they
    mean. Look at `completeness` first; above 0.05 the integral has not converged.
    """

    needs: ClassVar[tuple[str, ...]] = ("gradients",)

    baseline: str | float = "mean"
    steps: int | None = None
    tolerance: float = 0.02
    limit: int = 180

    def __post_init__(self) -> None:
        Fill(self.baseline)
        if (self.steps is not None and self.steps < 1) or self.limit < FIRST or self.tolerance <= 0:
            raise BadField(
                f"integrated-gradients needs steps >= 1, limit >= {FIRST} and tolerance > 0; got"
                f" {self.steps},"
                f" {self.limit} and {self.tolerance}."
            )

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        empty = Fill(self.baseline).like(images, model)
        rows = torch.arange(len(images))
        expected = model.scores(images, target) - model.scores(empty, target, rows=rows)
        nodes = FIRST if self.steps is None else self.steps
        total = torch.zeros_like(images, dtype=torch.float32)
        used = torch.zeros(len(images), dtype=torch.long)
        unsettled = rows
        while len(unsettled):
            nested = bool(used[unsettled[0]])
            fresh = torch.tensor([i for i in range(nodes) if not nested or i % 3 != 1])
            self._add(total, model, (images, empty), target, unsettled, (fresh + 0.5) / nodes)
            used[unsettled] = nodes
            shares = (images - empty).float() * total / used.to(total).view(-1, 1, 1, 1)
            error = _relative(shares.sum((1, 2, 3)), expected).cpu()
            nodes *= 3
            last = self.steps is not None or nodes > self.limit
            unsettled = rows[:0] if last else unsettled[error[unsettled] > self.tolerance]
        return _heatmap(shares, expected, used)

    def _add(
        self,
        total: Tensor,
        model: Model,
        ends: tuple[Tensor, Tensor],
        target: Target,
        rows: Tensor,
        nodes: Tensor,
    ) -> None:
        """Add to `total` the gradients of the images `rows` at the `nodes` of their ways from the
        baseline.
        """
        images, empty = ends
        origin, places = rows.repeat_interleave(len(nodes)), nodes.repeat(len(rows))
        size = model.chunk(images, len(origin))
        for part in zip(origin.split(size), places.split(size), strict=True):
            at, where = part[0].to(images.device), part[1].to(images).view(-1, 1, 1, 1)
            between = empty[at] + where * (images[at] - empty[at])
            _, grads = model.gradients(between, target, rows=part[0])
            total.index_add_(0, at, grads.to(total))


def _relative(attributed: Tensor, expected: Tensor) -> Tensor:
    return (attributed - expected.to(attributed)).abs() / expected.to(attributed).abs().clamp(
        min=1e-6
    )


def _heatmap(shares: Tensor, expected: Tensor, steps: Tensor) -> Heatmap:
    summed = shares.sum(1)
    attributed = summed.sum((1, 2))
    details = {
        "attributed": attributed,
        "expected": expected,
        "completeness": _relative(attributed, expected),
        "steps": steps,
    }
    return Heatmap(summed, native=summed, channels=shares, details=details)
