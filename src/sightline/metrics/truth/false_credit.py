"""False credit: how much does the map give to parts of a drawn bird that do not matter?

Project definition, on `worlds.aviary`: as `part-importance`; a part matters when removing it
changes the score by at least the share `matters` of the largest change.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from ...errors import BadField
from ...metric import Case, Metric
from ...registry import register
from ...shapes import Scores
from ._parts import parts_of


@register("false-credit", paper="none", claims=("prefers-truth",))
@dataclass(frozen=True, kw_only=True)
class FalseCredit(Metric):
    """What share of the map's positive values goes to parts whose removal changes nothing? Lower is
    better.

    In [0, 1], of the positive credit on all visible parts. matters: the share of the largest effect
    from which a part matters. NaN for a picture that was not drawn, where no part has an effect, or
    where no part gets positive credit.

    Do not trust it across maps of different sharpness: a coarse map spreads over neighbouring parts
    and gets a worse number here, even where it points to the right part.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "lower"
    unit: ClassVar[str] = "share of credit"
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)

    matters: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.matters <= 1:
            raise BadField(
                f"matters is a share of the largest effect, in (0, 1]; got {self.matters}."
            )

    def score(self, case: Case) -> Scores:
        found = []
        for parts in parts_of(case, "false-credit"):
            share = float("nan")
            if parts is not None:
                effects, credits = parts.effects.abs(), parts.credits.clamp(min=0)
                idle = effects < self.matters * effects.max()
                if bool(effects.max() > 1e-6) and bool(credits.sum() > 0):
                    share = float(credits[idle].sum() / credits.sum())
            found.append(share)
        return torch.tensor(found, dtype=torch.float32, device="cpu")
