"""Integrated gradients: the gradient averaged on the straight way from a baseline, times the
difference.

Paper: Sundararajan, Taly and Yan, ICML 2017, eq. 1: (x - x0) * integral of the gradient at x0 + t
(x - x0). The sum over pixels is s(x) - s(x0). Deviations: midpoint nodes; there are 20 of them, not
the paper's 20 to 300 chosen by hand, and they are tripled for each image until the sum is within
`tolerance`: the midpoints of n are among those of 3 n, so nothing is computed twice. Gauss-Legendre
nodes are not nested: each tripling starts anew, 20 + 60 + 180 gradients in place of 180. They are
no better: on the embedded convolutional network and four birds midpoints lie nearer to 1000 nodes
at 5, 10 and 20 (cosine at worst 0.993 against 0.985 with 10), on the embedded transformer now one,
now the other.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
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
    exactly so many nodes; None means 20, then 60 and so on up to `limit`, until the
    relative error of the sum is below `tolerance`. nodes: `midpoint`, or `gauss-legendre` as other
    libraries take by default. details: `attributed` (the sum), `expected` (the
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
    nodes: Literal["midpoint", "gauss-legendre"] = "midpoint"

    def __post_init__(self) -> None:
        Fill(self.baseline)
        if self.nodes not in ("midpoint", "gauss-legendre"):
            raise BadField(f"nodes is 'midpoint' or 'gauss-legendre'; got {self.nodes!r}.")
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
        steps = FIRST if self.steps is None else self.steps
        total = torch.zeros_like(images, dtype=torch.float32)
        used = torch.zeros(len(images), dtype=torch.long)
        unsettled = rows
        while len(unsettled):
            if self.nodes == "midpoint":
                fresh = _midpoints(steps, nested=bool(used[unsettled[0]]))
            else:
                fresh = _gauss_legendre(steps)
                total[unsettled] = 0
            self._add(total, (model, target), (images, empty), unsettled, fresh)
            used[unsettled] = steps
            shares = (images - empty).float() * total / used.to(total).view(-1, 1, 1, 1)
            error = _relative(shares.sum((1, 2, 3)), expected).cpu()
            steps *= 3
            last = self.steps is not None or steps > self.limit
            unsettled = rows[:0] if last else unsettled[error[unsettled] > self.tolerance]
        return _heatmap(shares, expected, used)

    def _add(
        self,
        total: Tensor,
        aim: tuple[Model, Target],
        ends: tuple[Tensor, Tensor],
        rows: Tensor,
        nodes: Tensor,
    ) -> None:
        """Add to `total` the gradients of the images `rows` at the `nodes` of their ways from the
        baseline, by weight. aim: model and target; ends: images and their baselines.
        """
        model, target = aim
        images, empty = ends
        origin = rows.repeat_interleave(nodes.shape[1])
        size = model.chunk(images, len(origin))
        planned = zip(origin.split(size), nodes.repeat(1, len(rows)).split(size, 1), strict=True)
        for part, (places, weights) in planned:
            at, where = part.to(images.device), places.to(images).view(-1, 1, 1, 1)
            between = empty[at] + where * (images[at] - empty[at])
            _, grads = model.gradients(between, target, rows=part)
            total.index_add_(0, at, weights.to(total).view(-1, 1, 1, 1) * grads.to(total))


def _midpoints(steps: int, *, nested: bool) -> Tensor:
    """Places and weights, (2, node); `nested` leaves out those of a third as many steps."""
    places = torch.tensor([(i + 0.5) / steps for i in range(steps) if not nested or i % 3 != 1])
    return torch.stack([places, torch.ones_like(places)])


def _gauss_legendre(steps: int) -> Tensor:
    """Places in (0, 1) and weights that sum to `steps`, (2, node)."""
    places, weights = np.polynomial.legendre.leggauss(steps)
    return torch.from_numpy(np.stack([(places + 1) / 2, steps * weights / 2])).float()


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
