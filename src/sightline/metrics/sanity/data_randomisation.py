"""Data randomisation: does the map differ for a network that learned random labels?

Paper: Adebayo et al., NeurIPS 2018, section 3.2: one network learned the labels, the other the same
pictures with permuted labels; their maps for the same class are compared. Deviations: the second
network is given, not trained here; it should know its random training labels to 95 % (from memory)
and share architecture, start and order of data with the first.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ...errors import NotExplainable
from ...metric import Case, Metric
from ...model import Model
from ...registry import register
from ...shapes import Scores
from ._similarity import Similarity, check, similarity


@register("data-randomisation", paper="arXiv:1810.03292")
@dataclass(frozen=True, kw_only=True)
class DataRandomisation(Metric):
    """How similar are the maps of this network and of one trained on random labels?

    1 is equal, 0 unrelated; lower is better. other: the second network, which is required.
    similarity: `rank-absolute` or `rank-signed` (Spearman), `ssim`, `hog` or `hog-pearson`, of maps
    signed and unclipped where the method has them. NaN where a map is constant or missing.

    Do not trust it if the second network did not learn its labels: then it is only an untrained
    one. Edges of the picture make maps similar whatever was learned; compare with the edge
    baseline.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "lower"
    unit: ClassVar[str] = "similarity"
    bounds: ClassVar[tuple[float, float] | None] = (-1.0, 1.0)

    other: Model | None = None
    similarity: Similarity = "rank-absolute"

    def __post_init__(self) -> None:
        check(self.similarity)

    def score(self, case: Case) -> Scores:
        if self.other is None:
            raise NotExplainable(
                "data-randomisation compares with a second network, trained on permuted labels;"
                " give it as the field `other`."
            )
        again = case.again(case.images, self.other, signed=True).cpu()
        return similarity(self.similarity, case.signed.cpu(), again)
