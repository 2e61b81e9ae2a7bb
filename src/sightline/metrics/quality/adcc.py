"""ADCC: average drop, coherency and complexity in one number.

Paper: Poppi et al., CVPR-W 2021, eq. 4: 3 / (1/coherency + 1/(1 - complexity) + 1/(1 - drop)).
For a collection the authors' code averages the numbers of pictures; published tables are reproduced
by averaging the three terms first (`aggregate="dataset"`). Deviations: as `average-drop`,
`coherency` and `complexity`; 0 where one of the three terms is 0.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import BadField
from ...metric import Case, Metric
from ...ops.fill import Fill
from ...registry import register
from ...shapes import Curves, Scores
from .coherency import coherence
from .complexity import spread


@register("adcc", paper="arXiv:2104.10252")
@dataclass(frozen=True, kw_only=True)
class ADCC(Metric):
    """Does the map keep the model's confidence, mark only a small area, and stay the same when made
    again? Higher is better.

    In [0, 1], the harmonic mean of the three; 0 where one term is 0, else NaN where one is
    undefined. aggregate: for a collection, the mean of the pictures' numbers (`image`) or one
    harmonic mean of the three means (`dataset`), as in published tables; the two differ, so report
    which one you used. fill: what hidden pixels become, the name of a `Fill`. `curves` are drop,
    coherency and complexity.

    Do not trust it as more than its three parts: none of them measures whether the map is about the
    class. A map of another class that keeps the picture recognisable scores as high.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    unit: ClassVar[str] = "harmonic mean"
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)

    aggregate: Literal["image", "dataset"] = "image"
    fill: str | float = "mean"

    def __post_init__(self) -> None:
        Fill(self.fill)
        if self.aggregate not in ("image", "dataset"):
            raise BadField(f"aggregate is 'image' or 'dataset'; got {self.aggregate!r}.")

    def read(self, curves: Curves) -> Scores:
        return harmonic(curves.double())

    def curves(self, case: Case) -> Curves:
        """Drop, coherency and complexity of each picture, (batch, 3)."""
        before, after = (
            case.probabilities(case.images),
            case.probabilities(case.visible_images(self.fill)),
        )
        drop = torch.where(before > 0, (before - after).clamp(min=0) / before, torch.nan)
        terms = (drop, coherence(case, self.fill), spread(case).cpu())
        return torch.stack(terms, 1).float()

    def summary(self, values: Scores, curves: Curves | None = None) -> float:
        """`adcc_dataset` of the three terms, or the mean of the pictures' numbers."""
        if self.aggregate == "image" or curves is None:
            return Metric.summary(self, values)
        return adcc_dataset(curves)


def adcc_dataset(terms: Float[Tensor, "picture 3"]) -> float:
    """One harmonic mean of the mean drop, coherency and complexity, of terms (picture, 3); pictures
    where one is undefined are left out."""
    known = terms[~terms.isnan().any(1)].double()
    return float(harmonic(known.mean(0)[None])) if len(known) else float("nan")


def harmonic(terms: Float[Tensor, "batch 3"]) -> Scores:
    """ADCC (batch,) of drop, coherency and complexity (batch, 3)."""
    drop, coherency, complexity = terms.unbind(1)
    parts = torch.stack([coherency, 1 - complexity, 1 - drop], 1)
    found = 3 / (1 / parts).sum(1)
    return torch.where((parts <= 0).any(1), 0, found)
