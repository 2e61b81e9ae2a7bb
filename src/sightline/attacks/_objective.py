"""Being taken for a class under the map that was: the second stage of AdvEdge and stAdv."""

from dataclasses import dataclass

from torch import Tensor

from ..explainer import Explainer
from ..model import Model
from ..network.trace import Trace
from ._differentiable_maps import DifferentiableMap, differentiable_map


@dataclass(frozen=True, eq=False)
class MapObjective:
    """One picture's class to reach and map to keep; without a mapping the map plays no part.

    wanted: the clean picture's map for its own class. pull: weight of the map, from start to end.
    """

    index: int
    pull: tuple[float, float]
    mapping: DifferentiableMap | None = None
    wanted: Tensor | None = None

    @classmethod
    def of(
        cls,
        model: Model,
        images: Tensor,
        index: int,
        explainer: Explainer | None,
        pull: tuple[float, float],
    ) -> "MapObjective":
        """Raises: NotExplainable for an explainer that cannot be followed."""
        if explainer is None:
            return cls(index, pull)
        mapping = differentiable_map(explainer, model)
        own = int(model.outputs(images).argmax(1))
        return cls(index, pull, mapping, mapping.clean_map(model, images, own))

    def trace(self, model: Model, images: Tensor) -> Trace:
        """A pass over `images` that both losses can be read from."""
        if self.mapping is None:
            return model.trace(images, read=("input",))
        return self.mapping.trace(model, images)

    def add_map(
        self, model: Model, trace: Trace, loss: Tensor, done: float
    ) -> tuple[Tensor, float, float]:
        """`loss` with the map's term, the confidence in the class, and how far the map is away.

        done: share of the stage that is over. Without a map the doubt in the class is the distance.
        """
        confidence = trace.logits.detach().softmax(1)[0, self.index].item()
        if self.mapping is None or self.wanted is None:
            return loss, confidence, 1 - confidence
        apart = self.mapping.distance(model, trace, self.index, self.wanted)
        weight = self.pull[0] + done * (self.pull[1] - self.pull[0])
        return loss + weight * apart, confidence, apart.item()
