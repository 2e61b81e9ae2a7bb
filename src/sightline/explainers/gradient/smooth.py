"""SmoothGrad: the gradient, averaged over noisy copies of the picture.

Paper: Smilkov et al., 2017, section 3.1: the mean of signed gradients at x + N(0, sigma^2), sigma a
share of max(x) - min(x). Deviations: the reduction over colours is that of `gradient` (the paper
leaves it to the display).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...errors import BadField
from ...explainer import Explainer
from ...explanation import Heatmap
from ...model import Model
from ...ops.noise import generator
from ...registry import register
from ...shapes import Images
from ...target import Target


@register(
    "smooth-grad",
    paper="arXiv:1706.03825",
    claims=(
        "class-sensitive",
        "weight-sensitive",
        "scale-invariant",
        "exact-on-linear",
        "ignores-dead-input",
        "non-negative",
        "seed-stable",
    ),
)
@dataclass(frozen=True, kw_only=True)
class SmoothGrad(Explainer):
    """Which pixels would change the target most, on average over slightly different pictures?

    samples: noisy copies. spread: deviation of the noise as a share of the normalised picture's
    range (max - min); in natural units it is multiplied by `model.std`. All images of a batch get
    the same noise. Values, channels and native are reduced as in `gradient`.

    Do not trust structure finer than the noise: a larger spread gives a smoother map, but it
    explains a blurrier picture.
    """

    needs: ClassVar[tuple[str, ...]] = ("gradients",)
    own_passes: ClassVar[bool] = True
    tiny: ClassVar[Mapping[str, Any]] = {"samples": 4}
    well_known: ClassVar[bool] = True

    samples: int = 50
    spread: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1 or self.spread < 0:
            raise BadField(
                f"smooth-grad needs samples >= 1 and spread >= 0; got {self.samples} and"
                f" {self.spread}."
            )

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        std, mean = model.std.to(images), model.mean.to(images)
        low, high = torch.aminmax(((images - mean) / std).flatten(1), dim=1)
        deviation = self.spread * (high - low).view(-1, 1, 1, 1) * std
        total = torch.zeros_like(images, dtype=torch.float32)
        planned = self.samples * len(images)
        at_once = max(1, model.chunk(images, planned) // len(images))
        rows = torch.arange(len(images), device="cpu")
        for noise in self._noise(images, at_once):
            noisy = (images + deviation * noise[:, None].to(images)).flatten(0, 1)
            _, grads = model.gradients(noisy, target, rows=rows.repeat(len(noise)))
            total += grads.float().unflatten(0, (len(noise), len(images))).sum(0).to(total)
        grads = total / self.samples
        return Heatmap(grads.abs().amax(1), native=grads.sum(1), channels=grads)

    def _noise(self, images: Tensor, at_once: int) -> Iterator[Tensor]:
        """Standard normal numbers (sample, channel, row, col), drawn sample by sample so that
        chunks do not matter.
        """
        source = generator(self.seed, "smooth-grad")
        for start in range(0, self.samples, at_once):
            part = range(start, min(start + at_once, self.samples))
            yield torch.stack(
                [
                    torch.randn(
                        images.shape[1:], generator=source, dtype=torch.float32, device="cpu"
                    )
                    for _ in part
                ]
            )
