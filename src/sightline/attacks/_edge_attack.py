"""The family of attacks that move edges: first the classifier, then classifier and map together.

Paper: Abdukhamidov et al., CSoNet 2021 (arXiv:2211.15926), after ADV2 (Zhang et al., USENIX
Security 2020); recipe from the authors' code for PGD against CAM. Stage 1 lowers -z_t, each step
weighed by the edges. Stage 2 lowers soft cross-entropy + pull * ||m(x + d; t) - m0||^2 (mean over
places, maps from 0 to 1), pull rising linearly. In the code the edges end with stage 1, so that the
final change is not limited to them: `edges="always"` limits it.

Deviations: soft labels that sum to 1, and the best picture of stage 2 is kept (sure of the class,
then nearest map), for every explainer; the code does so for the gradient alone and takes the last
one elsewhere. The code's other schedule of `pull` for the gradient is not used, because its map
loss is scaled differently. For the mask network the code adds 0.2 times the cross-entropy of its
encoder; here the encoder is the classifier.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor

from ..attack import Attack
from ..errors import BadField
from ..explainer import Explainer
from ..model import Model
from ..ops.noise import generator
from ..target import Target
from ._edges import edges
from ._losses import BestPicture, class_goal, random_label, slope, soft_loss, within
from ._objective import MapObjective


@dataclass(frozen=True, kw_only=True)
class EdgeAttack(Attack):
    """Two stages of signed steps whose sizes depend on the edges of the clean picture.

    epsilon: largest change of a pixel value, in [0, 1]. step: size of each step. first, second:
    steps of the two stages. pull: weight of the map, at the start and end of stage 2. edges:
    `stage1` frees all pixels in stage 2, `always` never does.
    """

    tiny: ClassVar[Mapping[str, Any]] = {"first": 2, "second": 3}

    epsilon: float = 0.031
    step: float = 1 / 255
    first: int = 300
    second: int = 500
    pull: tuple[float, float] = (5.0, 10.0)
    edges: Literal["stage1", "always"] = "stage1"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epsilon < 0 or self.step <= 0 or min(self.first, self.second) < 0:
            raise BadField(
                "an edge attack needs epsilon >= 0, step > 0 and first, second >= 0; got"
                f" {self.epsilon}, {self.step}, {self.first} and {self.second}."
            )
        if self.edges not in ("stage1", "always"):
            raise BadField(f"edges is 'stage1' or 'always'; got {self.edges!r}.")

    @abstractmethod
    def weigh(self, edges: Tensor, explainer: Explainer | None) -> Tensor:
        """How far each pixel may go in one step, as a share of `step`; from (1, 1, row, col)."""

    @final
    def deceive(
        self, model: Model, images: Tensor, target: Target, explainer: Explainer | None
    ) -> Tensor:
        index = class_goal(model, target, self.registered_name).index
        objective = MapObjective.of(model, images, index, explainer, self.pull)
        sizes = self.step * self.weigh(edges(images), explainer)
        moved = images
        for _ in range(self.first):
            trace = model.trace(moved, read=("input",))
            push = slope(trace, -trace.logits[:, index])
            moved = within(moved - sizes * push.sign(), images, self.epsilon)
        free = torch.full_like(sizes, self.step) if self.edges == "stage1" else sizes
        return self._second(model, images, moved, free, objective)

    def _second(
        self, model: Model, images: Tensor, moved: Tensor, sizes: Tensor, objective: MapObjective
    ) -> Tensor:
        dice = generator(self.seed, "soft labels")
        kept = BestPicture(moved)
        for i in range(self.second + 1):
            done = i / max(1, self.second)
            trace = objective.trace(model, moved)
            label = random_label(trace.output.shape[1], objective.index, done, dice)
            loss = soft_loss(trace.logits, label)
            loss, confidence, apart = objective.add_map(model, trace, loss, done)
            kept.offer(moved, confidence, apart)
            if i < self.second:
                moved = within(moved - sizes * slope(trace, loss).sign(), images, self.epsilon)
        return kept.image
