"""Model randomisation: does the map change when the model's weights are randomised?

Paper: Adebayo et al., NeurIPS 2018, section 3.1: layers are randomised from the output back, all up
to one (cascading) or one at a time (independent), and the maps compared with the original ones.
Deviations: the class stays the one of the trained model (`own_class` takes the random one's); every
parameter is drawn, also scales, class tokens and position embeddings (network/reinitialised.py);
layers after the first are taken in runs, so that the cost does not grow with depth. Each picture
has random networks of its own, several of them: two random networks of one architecture differ by
more than most methods do, and networks that all pictures shared would hide that from the spread
over pictures. The verdict is a project definition.
"""

import zlib
from collections.abc import Iterator, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from ...errors import BadField, NotExplainable
from ...metric import Case, Metric
from ...model import Model
from ...network.reinitialised import put, redrawn, tensors_of, weighted_layers
from ...ops.noise import generator
from ...registry import register
from ...shapes import Curves, Scores
from ._similarity import Similarity, check, similarity


@register("model-randomisation", paper="arXiv:1810.03292")
@dataclass(frozen=True, kw_only=True)
class ModelRandomisation(Metric):
    """How similar are the maps before and after the model's weights are randomised? Lower is
    better.

    1 is equal, 0 unrelated. mode: `cascading` gives the similarity once every layer is random,
    `independent` the mean over layers that were random alone. steps: runs of layers, the first
    being the last layer alone; None takes each by itself. `curves` start at 1, the trained model,
    and go from the output back. similarity: `rank-absolute` or `rank-signed` (Spearman), `ssim`,
    `hog` or `hog-pearson`; the maps compared are signed and unclipped, where the method has them,
    because a clipped one may be empty. statistics: of batch norms, `reset` to 0 and 1 or `kept`.
    draws: random networks a picture, whose similarities are averaged; they are drawn from `seed`
    and the picture, so an interval over pictures holds what the draws do. NaN where a map is
    missing under every draw, or one alone of the two is constant; a map that did not change is 1.
    It works on a copy of the network and costs an explanation a step and draw.

    Do not trust a low number as proof of a good map: noise gets one too. A high number may come
    from the picture, which stays the same: compare with the edge and random baselines. Use
    `verdict` over a collection, not one picture.
    """

    direction: ClassVar[Literal["higher", "lower"]] = "lower"
    unit: ClassVar[str] = "similarity"
    bounds: ClassVar[tuple[float, float] | None] = (-1.0, 1.0)

    mode: Literal["cascading", "independent"] = "cascading"
    similarity: Similarity = "rank-absolute"
    statistics: Literal["reset", "kept"] = "reset"
    steps: int | None = 8
    own_class: bool = False
    draws: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        check(self.similarity)
        for name, allowed in (
            ("mode", ("cascading", "independent")),
            ("statistics", ("reset", "kept")),
        ):
            if getattr(self, name) not in allowed:
                raise BadField(f"{name} is one of {allowed}; got {getattr(self, name)!r}.")
        if self.steps is not None and self.steps < 2:
            raise BadField(f"steps is at least 2, the last layer and the others; got {self.steps}.")
        if self.draws < 1:
            raise BadField(f"draws is the number of random networks, at least 1; got {self.draws}.")

    def score(self, case: Case) -> Scores:
        if self.mode == "cascading":
            return self._alike(case, last=True)[:, 0]
        return self._alike(case)[:, 1:].mean(1)

    def read(self, curves: Curves) -> Scores:
        return curves[:, -1] if self.mode == "cascading" else curves[:, 1:].mean(1)

    def curves(self, case: Case) -> Curves:
        """The similarity after each step, (batch, steps + 1), starting with the trained model."""
        return self._alike(case).float()

    def verdict(self, curves: Curves, seed: int = 0) -> Literal["sensitive", "insensitive"]:
        """Whether the method depends on what the model learned, from cascading curves.

        Sensitive where the mean similarity falls below 0.9 with the last layer alone and, in the
        end, its 95 % bootstrap interval over pictures reaches down to 0.1. Raises: BadField for
        independent curves.
        """
        if self.mode != "cascading":
            raise BadField(
                "the verdict needs curves of mode 'cascading'; got mode"
                " 'independent'. Set mode='cascading'."
            )
        known = curves[~curves.isnan().any(1)].double()
        if not len(known):
            return "insensitive"
        draws = torch.randint(
            len(known), (1000, len(known)), generator=generator(seed, "bootstrap"), device="cpu"
        )
        low = known[:, -1][draws].mean(1).quantile(0.025)
        return "sensitive" if low <= 0.1 and known[:, 1].mean() < 0.9 else "insensitive"

    def layers(self, model: Model) -> list[list[str]]:
        """The runs of layers that are randomised together, from the output back."""
        names = weighted_layers(model.module)
        runs = len(names) if self.steps is None else min(self.steps, len(names))
        if runs < 2:
            return [[name] for name in names]
        rest, count = names[1:], runs - 1
        ends = [round(len(rest) * i / count) for i in range(count + 1)]
        return [[names[0]], *(rest[a:b] for a, b in pairwise(ends))]

    def _alike(self, case: Case, last: bool = False) -> Tensor:
        """Similarities (batch, step): of all steps, the trained model first, or of the last."""
        runs = self.layers(case.model)
        if not runs:
            raise NotExplainable(
                f"{case.model.name} has no weights of its own that could be randomised."
            )
        wanted = [[name for run in runs for name in run]] if last else runs
        found = []
        for row, image in enumerate(case.images):
            alone, seeds = case.take([row]), _seeds(image, self.seed, self.draws)
            draws = [self._of_draw(alone, wanted, seed) for seed in seeds]
            found.append(torch.stack(draws).nanmean(0))  # a random network may give no map
        alike = torch.stack(found)
        if last:
            return alike
        heat = case.signed.cpu()
        return torch.cat([similarity(self.similarity, heat, heat)[:, None], alike], 1)

    def _of_draw(self, case: Case, runs: Sequence[list[str]], seed: int) -> Tensor:
        """Similarities (step,) for a case of one picture and one random network."""
        heat, found = case.signed.cpu(), []
        for other in self._random(case.model, runs, seed):
            target = other.aim(case.images, None) if self.own_class else None
            again = case.again(case.images, other, target, signed=True).cpu()
            found.append(similarity(self.similarity, heat, again))
        return torch.cat(found)

    def _random(self, model: Model, runs: Sequence[list[str]], seed: int) -> Iterator[Model]:
        """The model over a copy of its network, whose layers are randomised run by run."""
        twin = _copied(model)
        drawn, trained = redrawn(twin, seed, self.statistics == "reset"), tensors_of(twin)
        other = copy(model)
        other.module, other.runner = (
            twin,
            model.runner.of(twin),
        )  # what is known of layers is shared
        for run in runs:
            put(twin, drawn, run)
            yield other
            if self.mode == "independent":
                put(twin, trained, run)


def _seeds(image: Tensor, seed: int, draws: int) -> list[int]:
    """A seed for each random network of a picture (channel, row, col). The picture counts by its
    brightness on 4 x 4 places in sixteenths, which another processor's rounding does not change."""
    places = adaptive_avg_pool2d(image.detach().double().cpu().mean(0)[None], 4)
    content = (places * 16).round().to(torch.int64).flatten().tolist()
    return [zlib.crc32(f"{seed} {draw} {content}".encode()) for draw in range(draws)]


def _copied(model: Model) -> nn.Module:
    try:
        return deepcopy(model.module)
    except Exception as error:  # whatever a user's attributes raise
        raise NotExplainable(
            f"{model.name} cannot be copied ({type(error).__name__}), and its weights are not"
            " randomised in place."
        ) from None
