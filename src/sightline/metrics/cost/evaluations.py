"""Evaluations: how often did the network run to explain a picture?

Project definition: passes in the explanation's record over its pictures; nothing is run.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from ...errors import BadField
from ...explanation import Explanation
from ...metric import Case, Metric
from ...registry import register
from ...shapes import Scores
from ._record import shared


@register("evaluations", paper="none")
@dataclass(frozen=True, kw_only=True)
class Evaluations(Metric):
    """How many passes through the network did the explanation take, for each picture?

    Forward and backward passes of one picture count one each. copy: how much a pass through only
    the part after a layer counts; 1 is an upper bound. NaN for a map that no method made.

    Do not trust it as a time: a backward pass takes about as long as two forward passes, and passes
    that compute only what changed count as whole passes.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "lower"
    takes: ClassVar[type[Explanation]] = Explanation
    unit: ClassVar[str] = "passes a picture"
    measures_cost: ClassVar[bool] = True

    copy: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.copy <= 1:
            raise BadField(f"copy is a share of a pass, in [0, 1]; got {self.copy}.")

    def score(self, case: Case) -> Scores:
        told = case.explanation.provenance
        passes = told.get("evaluations")
        if passes is not None:
            passes = sum(passes.values()) + self.copy * told.get("copies", 0)
        return torch.full(
            (len(case.images),), shared(case, passes), dtype=torch.float32, device="cpu"
        )
