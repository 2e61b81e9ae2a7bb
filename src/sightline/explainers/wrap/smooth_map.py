"""Smoothed maps: any method, averaged over noisy copies of the picture.

Paper: Smilkov et al., 2017, section 3.1, for gradients: the mean of maps at x + N(0, sigma^2),
sigma a share of max(x) - min(x). Around other methods than the gradient it is a project definition.
Deviations: what is averaged is the finished map, so around `gradient` the values are a mean of
absolutes, while `smooth-grad` takes the absolute of a mean; `native` and `channels` are means of
signed numbers in both.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...errors import BadField
from ...explainer import Explainer, part_method
from ...explanation import Heatmap
from ...model import Model
from ...ops.noise import generator
from ...registry import register
from ...shapes import Images
from ...target import Target
from ._inner_method import inner_heatmap


@register(
    "smooth-map",
    paper="arXiv:1706.03825",
    claims=(
        "class-sensitive",
        "weight-sensitive",
        "scale-invariant",
        "non-negative",
        "seed-stable",
    ),
)
@dataclass(frozen=True, kw_only=True)
class SmoothMap(Explainer):
    """What does the method show on average over slightly different pictures?

    explainer: the method, a name or an explainer with its own parameters. samples: number of noisy
    copies; each is explained. spread: deviation of the noise as a share of the normalised picture's
    range (max - min). All images of a batch get the same noise. values, native and channels: means
    of what the method gives. The target is the one of the clean picture. The claims listed here are
    those of the default method; another method keeps its own.

    Do not trust details finer than the noise, and do not trust it more than the method itself: a
    mean of maps that all miss something misses it too.
    """

    tiny: ClassVar[Mapping[str, Any]] = {"samples": 4}

    explainer: Explainer | str = "grad-cam"
    samples: int = 50
    spread: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        part_method(self.explainer)
        if self.samples < 1 or self.spread < 0:
            raise BadField(
                f"smooth-map needs samples >= 1 and spread >= 0; got {self.samples} and"
                f" {self.spread}."
            )

    @property
    def parts(self) -> tuple[Explainer, ...]:
        return (part_method(self.explainer),)

    def fast(self) -> "SmoothMap":
        """The same around the fast form of its method."""
        return replace(self, explainer=self.parts[0].fast())

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        (part,) = self.parts
        std, colour = model.std.to(images), model.mean.to(images)
        low, high = torch.aminmax(((images - colour) / std).flatten(1), dim=1)
        deviation = self.spread * (high - low).view(-1, 1, 1, 1) * std
        at_once = max(1, model.chunk(images, self.samples * len(images)) // len(images))
        sums: dict[str, Tensor] = {}
        for noise in self._noise(images, at_once):
            noisy = (images + deviation * noise[:, None].to(images)).flatten(0, 1)
            rows = list(range(len(images))) * len(noise)
            heat = inner_heatmap(part, _for(model, rows, len(images)), noisy, target.take(rows))
            for name in ("values", "native", "channels"):
                if (found := getattr(heat, name)) is not None:
                    added = found.unflatten(0, (len(noise), len(images))).sum(0)
                    sums[name] = sums[name] + added if name in sums else added
        mean = {name: total / self.samples for name, total in sums.items()}
        return Heatmap(mean["values"], native=mean.get("native"), channels=mean.get("channels"))

    def _noise(self, images: Tensor, at_once: int) -> Iterator[Tensor]:
        """Standard normal numbers (sample, channel, row, col), drawn sample by sample so that
        chunks do not matter.
        """
        source = generator(self.seed, "smooth-map")
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


def _for(model: Model, rows: list[int], images: int) -> Model:
    """The model for copies of its images; itself where they are the batch, in order."""
    return model if len(rows) == images else model.take(rows)
