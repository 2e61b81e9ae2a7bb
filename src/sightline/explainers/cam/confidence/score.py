"""Score-CAM: weigh each filter by the score of the picture seen through that filter's map.

Paper: Wang et al., CVPR workshop 2020, definition 3: the increase of confidence s(x * N(U(A_k))) -
s(baseline). What is summed is the raw map A_k, as in the paper's eq. 4 and the authors' code (not
the normalised mask). Deviations: the paper puts a softmax over filters on the scores
(`weights="softmax"`), which makes the weights almost equal where scores are probabilities and picks
a few filters where they are logits; the default leaves it out. Filters whose map is constant get
exactly 0: their mask has no definition. The baseline is a picture of only the model's mean colour,
which also replaces what a mask hides.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ....errors import BadField
from ....hiding import HiddenImage
from ....ops.similarity import stretched
from ....registry import register
from ....shapes import Weights
from .._weighted import LayerView, WeightedCAM
from ._clusters import clustered
from ._map_masks import hidden_view, map_scores

COUNTS = (64, 256)  # clusters to try, fewest first
PROBES = 32  # filters scored by themselves to check the clusters
# Correlation of the probes' maps that is good enough for 0.99 of the whole maps: on SqueezeNet and
# eight photographs 0.982 and more stood for 0.9975 and more, 0.973 for 0.974, 0.90 for 0.88.
ALIKE = 0.98
WORTH = 0.85  # share of the exact cost above which nothing more is tried


@register(
    "score-cam",
    paper="arXiv:1910.01279",
    claims=("class-sensitive", "weight-sensitive", "scale-invariant", "non-negative"),
)
@dataclass(frozen=True, kw_only=True)
class ScoreCAM(WeightedCAM):
    """How well does the model recognise the target through each filter's map alone?

    weights: `linear`, the rise of the score over an empty picture; `softmax` of the scores over
    filters; `prob`, the plain probability of the target, as in the authors' code. clusters: None
    scores every filter by itself (one forward pass each, 512 for a ResNet-18); a number scores that
    many groups of similar filters, and each filter keeps its own map; `"auto"` takes 64 or 256
    groups where, picture by picture, their map agrees with 32 filters scored one by one, and
    otherwise every filter (then it costs more than None); token networks always score every filter.

    Do not trust it to find necessary evidence: it never measures what happens when the evidence is
    removed. Broad maps also look important whatever they show, because most of the picture stays
    visible through them.
    """

    needs: ClassVar[tuple[str, ...]] = ("layer",)
    well_known: ClassVar[bool] = True
    recommended: ClassVar[bool] = True

    weights: Literal["linear", "softmax", "prob"] = "linear"
    clusters: int | Literal["auto"] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.weights not in ("linear", "softmax", "prob"):
            raise BadField(f"weights is 'linear', 'softmax' or 'prob'; got {self.weights!r}.")
        if not (
            self.clusters in (None, "auto")
            or (isinstance(self.clusters, int) and self.clusters > 0)
        ):
            raise BadField(f"clusters is None, 'auto' or a positive number; got {self.clusters!r}.")

    def fast(self) -> "ScoreCAM":
        """Groups of like filters instead of every filter, as many as the picture needs."""
        return ScoreCAM(**{**self.__dict__, "clusters": "auto"})

    def weigh(self, view: LayerView) -> Weights:
        found = torch.zeros(view.maps.shape[:2], device=view.maps.device, dtype=torch.float32)
        target = view.target.with_probability(True) if self.weights == "prob" else view.target
        hidden = hidden_view(view, target)
        for row, maps in enumerate(view.maps):
            live = (maps.flatten(1).amax(1) > maps.flatten(1).amin(1)).nonzero()[:, 0]
            if len(live):
                found[row, live] = self._weights(hidden[row], maps[live], grouped=not view.tokens)
        return found[:, :, None, None]

    def _weights(self, hidden: HiddenImage, maps: Tensor, grouped: bool) -> Tensor:
        """What each of one picture's live maps (map, row, col) counts for; grouped: whether
        clusters may be scored."""
        empty = hidden.empty().float()

        def rise(chosen: Tensor) -> Tensor:
            scores = map_scores(hidden, chosen, stretched)
            return scores - empty.to(scores)

        if self.clusters is None or not grouped:
            rises = rise(maps)
        elif self.clusters == "auto":
            rises = _fewest(maps, rise, self.seed)
        else:
            rises = _grouped(maps, rise, self.clusters, self.seed)
        if self.weights == "softmax":
            return rises.softmax(0)  # a constant, the empty picture's score, changes no softmax
        return rises + empty.to(rises) if self.weights == "prob" else rises


def _grouped(maps: Tensor, rise: Callable[[Tensor], Tensor], k: int, seed: int) -> Tensor:
    """Each map takes the score of its cluster's mean map."""
    if k >= len(maps):
        return rise(maps)
    label, centres = clustered(stretched(maps).flatten(1), k, seed)
    return rise(centres.unflatten(1, maps.shape[1:]))[label]


def _fewest(maps: Tensor, rise: Callable[[Tensor], Tensor], seed: int) -> Tensor:
    """The scores of the fewest clusters that agree with a sample of maps scored by themselves."""
    if PROBES + COUNTS[0] > WORTH * len(maps):
        return rise(maps)
    probes = (
        torch.linspace(0, len(maps) - 1, PROBES, dtype=torch.float32, device="cpu")
        .long()
        .to(maps.device)
    )
    own, spent = rise(maps[probes]), PROBES
    for k in COUNTS:
        spent += k
        if spent > WORTH * len(maps):
            break
        guessed = _grouped(maps, rise, k, seed)
        if _agree(maps[probes], own, guessed[probes]) >= ALIKE:
            return guessed.index_copy(0, probes, own)
    rest = torch.ones(len(maps), dtype=torch.bool, device=maps.device)
    rest[probes] = False
    found = torch.zeros(len(maps), device=maps.device, dtype=torch.float32).index_copy(
        0, probes, own
    )
    found[rest] = rise(maps[rest])
    return found


def _agree(maps: Tensor, own: Tensor, guessed: Tensor) -> float:
    """Correlation of the two maps that the two lists of scores make."""
    sums = torch.einsum("sk,krc->src", torch.stack([own, guessed]), maps).flatten(1)
    return float(torch.corrcoef(sums)[0, 1])
