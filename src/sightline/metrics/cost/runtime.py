"""Runtime: how long did the explanation of a picture take?

Project definition: the seconds in the explanation's record over its pictures; nothing is run.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from ...explanation import Explanation
from ...metric import Case, Metric
from ...registry import register
from ...shapes import Scores
from ._record import shared


@register("runtime", paper="none")
@dataclass(frozen=True, kw_only=True)
class Runtime(Metric):
    """How many seconds did the explanation take, for each picture?

    The wall clock from the prepared pictures to the finished maps, over the pictures explained in
    one call. NaN for a map that no method made, such as the baselines.

    Do not trust it across machines, or beside other work on this one; the first call of a model
    also includes measurements that are made once. `evaluations` does not change between runs.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "lower"
    takes: ClassVar[type[Explanation]] = Explanation
    unit: ClassVar[str] = "seconds a picture"
    measures_cost: ClassVar[bool] = True

    def score(self, case: Case) -> Scores:
        spent = shared(case, case.explanation.provenance.get("seconds"))
        return torch.full((len(case.images),), spent, dtype=torch.float32, device="cpu")
