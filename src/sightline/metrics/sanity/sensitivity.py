"""Sensitivity: how much does the map change when the picture changes invisibly?

Paper: Yeh et al., NeurIPS 2019, definition 2 (max-sensitivity): the largest |E(x + d) - E(x)| over
noise d of at most `radius` in each pixel; here in parts of |E(x)|, as is usual (from memory).
Deviations: a fixed number of uniform draws, the same for every picture; pixels stay in [0, 1] where
the model knows its preprocessing.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from ...errors import BadField
from ...metric import Case, Metric
from ...ops.noise import generator
from ...registry import register
from ...shapes import Curves, Scores


@register("sensitivity", paper="arXiv:1901.09392")
@dataclass(frozen=True, kw_only=True)
class Sensitivity(Metric):
    """How much does the map change under invisible noise? Lower is steadier.

    The length of the change over the length of the map; 0 for a map that stays, about 1.4 for maps
    that have nothing in common and the same length. over: `max` over the noisy copies, as
    published, or their `mean`. radius: of the uniform noise, in units of the picture. seed: of the
    noise. NaN for a map of zeros, and where the method gives no map for a draw. It costs `samples`
    explanations.

    Do not trust a low number by itself: a map that ignores picture and model does not change at
    all. Where the noise changes the model's own output, the map should change too.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "lower"
    unit: ClassVar[str] = "relative change of the map"
    scale_free: ClassVar[bool] = False
    blind_is_best: ClassVar[bool] = True

    samples: int = 10
    radius: float = 0.02
    over: Literal["max", "mean"] = "max"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1 or not self.radius > 0:
            raise BadField(
                f"sensitivity needs samples >= 1 and radius > 0; got {self.samples} and"
                f" {self.radius}."
            )
        if self.over not in ("max", "mean"):
            raise BadField(f"over is 'max' or 'mean'; got {self.over!r}.")

    def read(self, curves: Curves) -> Scores:
        drawn = curves.double()
        return drawn.amax(1) if self.over == "max" else drawn.mean(1)

    def curves(self, case: Case) -> Curves:
        """The relative change of each draw, (batch, samples)."""
        images, dice = case.images, generator(self.seed, "sensitivity")
        heat = case.heat.double().flatten(1).cpu()
        peak = heat.abs().amax(1, keepdim=True)
        scale = torch.where(peak > 0, peak, torch.nan)
        found = []
        for _ in range(self.samples):
            noise = (
                2 * torch.rand(images.shape[1:], generator=dice, dtype=torch.float32, device="cpu")
                - 1
            ) * self.radius
            moved = images + noise.to(images)
            moved = moved.clamp(0, 1) if case.model.preprocess is not None else moved
            other = case.again(moved).double().flatten(1).cpu()
            found.append((other / scale - heat / scale).norm(dim=1) / (heat / scale).norm(dim=1))
        return torch.stack(found, 1).float()
