"""RISE: hide random halves of the picture and find which visible pixels go with a high score.

Paper: Petsiuk, Das and Saenko, BMVC 2018, eq. 6: S = 1 / (N p) * sum of f(x * M_i) M_i with N =
4000 (VGG-16) or 8000 (ResNet-50) masks from a 7 x 7 grid with p = 0.5.

Deviations (project definition): by default the map is the covariance of score and visibility, the
published map without a constant that is mostly noise; what the score owes to the visible share of
each block of the picture is fitted, and the covariance of the masks themselves is taken in closed
form (`_fitted.py`), so that chance overlaps add nothing.
On five photographs under MobileNet-V2, with a mean score of 0.01 to 0.68 under masks, 75 to 600
masks were then as good as 1000 of the published form (median 270); centring alone took 220 to 980.
At most 512 masks are drawn, and fewer where the maps of the even and the odd masks already agree.
`centred=False, fitted=False, masks=4000, agreement=1` is the published form.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...errors import BadField
from ...explainer import Explainer
from ...explanation import Heatmap
from ...hiding import hidden_images
from ...model import Model
from ...ops.fill import Fill
from ...ops.noise import generator
from ...ops.resize import resize
from ...registry import register
from ...shapes import Images
from ...target import Target
from ._estimate import MaskedMean
from ._fitted import Blocks, FittedCovariance, axis_factor

BLOCK = 64  # masks between two looks at the agreement


@register(
    "rise",
    paper="arXiv:1806.07421",
    claims=("class-sensitive", "weight-sensitive", "seed-stable"),
)
@dataclass(frozen=True, kw_only=True)
class Rise(Explainer):
    """Which pixels are visible when the model is confident?

    values and native: with `centred` signed, the covariance of score and visibility divided by
    `keep`; otherwise the mean score when the pixel is visible. fitted: by regression on blocks,
    two to a cell, where centred; otherwise by the mean over the masks. masks: at most so many (the
    paper's number is 4000 to 8000). grid, keep: cells of the coarse mask and the share of them that
    stays visible. agreement: stop once the maps of two halves of the masks correlate above this,
    looked at every 64 masks for each picture by itself; 1 never stops early. fill: what a hidden
    pixel becomes. details: `standard_error` (row, col) of each picture's map and `masks`, how many
    it took.

    Do not trust differences below the standard error, or details finer than a cell of the grid.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    probability: ClassVar[bool] = True
    tiny: ClassVar[Mapping[str, Any]] = {"masks": 60}
    well_known: ClassVar[bool] = True
    recommended: ClassVar[bool] = True

    masks: int = 512
    grid: int = 7
    keep: float = 0.5
    agreement: float = 0.9
    centred: bool = True
    fitted: bool = True
    fill: str | float = "mean"
    seed: int = 0

    def __post_init__(self) -> None:
        Fill(self.fill)
        if self.masks < 2 or self.grid < 1 or not 0 < self.keep < 1 or not 0 < self.agreement <= 1:
            raise BadField(
                "rise needs masks >= 2, grid >= 1, keep between 0 and 1 and agreement in (0, 1];"
                f" got {self.masks}, {self.grid}, {self.keep} and {self.agreement}."
            )

    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        filled = Fill(self.fill).like(images, model)
        model.chunk(images, self.masks * len(images))
        hidden = hidden_images(model, target, images, filled)
        means = [self._estimator(image[0]) for image in images]
        unsettled = list(range(len(images)))
        for masks in self._random_masks(images):
            for row in unsettled:
                means[row].add(hidden[row].scores(masks).float(), masks[:, 0])
            unsettled = [row for row in unsettled if means[row].agreement() <= self.agreement]
            if not unsettled:
                break
        found = torch.stack([m.estimate() for m in means]).to(images) / self.keep
        error = torch.stack([m.standard_error() for m in means]).to(images) / self.keep
        details = {
            "standard_error": error,
            "masks": torch.tensor([m.count for m in means], device="cpu"),
        }
        return Heatmap(found, native=found, details=details)

    def _estimator(self, like: Tensor) -> MaskedMean | FittedCovariance:
        """What gathers the scores of one picture (row, col)."""
        if not (self.centred and self.fitted):
            return MaskedMean(like, centred=self.centred)
        factors = [
            axis_factor(self._axis(length), length, min(2 * self.grid, length))
            for length in like.shape
        ]
        return FittedCovariance(Blocks(self.keep * (1 - self.keep) * factors[0], factors[1]))

    def _axis(self, length: int) -> Tensor:
        """What each position of an axis takes from each cell, (cell, position), float64."""
        whole = (self.grid + 1) * -(-length // self.grid)
        cells = torch.eye(self.grid, dtype=torch.float64, device="cpu")[:, None, None]
        return resize(cells, (1, whole))[:, 0, 0]

    def _random_masks(self, images: Tensor) -> Iterator[Tensor]:
        """Blocks of masks (mask, 1, row, col), the same for every image; grid and shift are drawn
        mask by mask.
        """
        source = generator(self.seed, "rise")
        rows, cols = images.shape[-2:]
        cell = -(-rows // self.grid), -(-cols // self.grid)
        whole = (self.grid + 1) * cell[0], (self.grid + 1) * cell[1]
        for start in range(0, self.masks, BLOCK):
            found = []
            for _ in range(start, min(start + BLOCK, self.masks)):
                coarse = (
                    torch.rand(
                        1,
                        1,
                        self.grid,
                        self.grid,
                        generator=source,
                        dtype=torch.float32,
                        device="cpu",
                    )
                    < self.keep
                ).float()
                shift = torch.rand(2, generator=source, dtype=torch.float32, device="cpu")
                top, left = int(shift[0] * cell[0]), int(shift[1] * cell[1])
                found.append(resize(coarse, whole)[0, :, top : top + rows, left : left + cols])
            yield torch.stack(found).to(images)
