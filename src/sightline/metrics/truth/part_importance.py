"""Part importance: does the map rank the parts of a drawn bird as the network does?

Project definition, on `worlds.aviary`: each visible part is drawn away with all else equal, and how
far the score falls is its true effect; the map's credit for a part is the sum of its values there,
as for maps that share the score out over pixels. Large parts thus get more credit from any map: the
`uniform map` among the baselines shows how far that alone reaches.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from ...metric import Case, Metric
from ...ops.similarity import spearman
from ...registry import register
from ...shapes import Scores
from ._parts import parts_of


@register("part-importance", paper="none", claims=("prefers-truth",))
@dataclass(frozen=True, kw_only=True)
class PartImportance(Metric):
    """Does the map give the highest values to the parts whose removal changes the score most?

    Rank correlation, in [-1, 1], of the map's credit and the true effect over the visible parts (a
    planted mark included); 0 is no relation. The effect is the drop of the probability, unless the
    target says otherwise. NaN for a picture that was not drawn, with fewer than three parts, or
    where all credits are equal.

    Compare it with the uniform map, which credits each part with its area and gets 0.23 on drawn
    birds under `sightline:default`, because large parts matter more.

    Do not trust one picture: with a dozen parts, chance alone reaches 0.5. Most parts have almost
    no effect, so their order is random; `false-credit` is not affected by that.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    unit: ClassVar[str] = "rank correlation"
    bounds: ClassVar[tuple[float, float] | None] = (-1.0, 1.0)

    def score(self, case: Case) -> Scores:
        found = []
        for parts in parts_of(case, "part-importance"):
            if parts is None or len(parts.names) < 3:
                found.append(torch.tensor(torch.nan, dtype=torch.float64, device="cpu"))
                continue
            credits, effects = (each[None, None] for each in (parts.credits, parts.effects))
            found.append(spearman(credits, effects)[0])
        return torch.stack(found)
