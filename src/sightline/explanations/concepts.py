"""Concepts: the few learned features whose contributions add up to a class's score.

A feature's *contribution* is its value times its weight; offset and contributions sum to the
*reconstructed* score, and the *residual* is what the model's own score has beyond it. The offset
(the score of a picture without any feature) is a project definition.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import NotExplainable, ShapeError
from ..explanation import Explanation, Heatmap
from ..ops.resize import resize
from ..shapes import Scores


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Concepts(Explanation):
    """Which learned features add up to the score of this class, and where are they?

    called: what each picture was explained for. names: of its features. values, weights (batch,
    feature): not negative. offset, score (batch,): the score without any feature, and the model's
    own. maps (batch, feature, row, col): signed, in the cells of the layer in which they are drawn.
    examples: for each picture and feature those on which it is strongest, each with its `name`,
    `value`, `label` and perhaps a `thumbnail`. trained: what the features of this class reached on
    pictures that they had not seen (`r2`: how well the sum follows the score). layer: what they
    read.

    Do not trust a feature's name more than its pictures: names are given by people, and the
    features are those of a second network, not of the model. Where the residual is large, or `r2`
    is low, the sum is not the model's reason.

    >>> import torch
    >>> one = torch.ones(1, 2)
    >>> Concepts(called=["owl"], names=[["ears", "eyes"]], values=one, weights=2 * one,
    ...          offset=torch.ones(1), score=torch.tensor([5.5])).residual.tolist()
    [0.5]
    """

    called: Sequence[str]
    names: Sequence[Sequence[str]]
    values: Tensor
    weights: Tensor
    offset: Tensor
    score: Tensor
    maps: Tensor | None = None
    examples: Sequence[Sequence[Sequence[Mapping[str, Any]]]] = ()  # Any: whatever JSON holds
    trained: Sequence[Mapping[str, Any]] = ()
    layer: str = ""

    def __post_init__(self) -> None:
        count = len(self.called)
        if self.values.ndim != 2 or self.values.shape != self.weights.shape:
            raise ShapeError(
                f"values and weights are (batch, feature); got {tuple(self.values.shape)} and"
                f" {tuple(self.weights.shape)}."
            )
        sizes = {len(self.values), len(self.names), len(self.offset), len(self.score)}
        if sizes != {count}:
            raise ShapeError(f"{count} pictures with {sorted(sizes)} values, names or scores.")
        for name, empty in (("examples", []), ("trained", {})):
            if not getattr(self, name):
                object.__setattr__(self, name, [empty] * count)

    def __len__(self) -> int:
        return len(self.called)

    @property
    def contributions(self) -> Float[Tensor, "batch feature"]:
        """Value times weight, (batch, feature), in units of the score."""
        return self.values * self.weights

    @property
    def reconstructed(self) -> Scores:
        """Offset and all contributions, (batch,)."""
        return self.offset + self.contributions.sum(1)

    @property
    def residual(self) -> Scores:
        """What the model's score has beyond the sum, (batch,)."""
        return self.score - self.reconstructed

    def order(self, i: int = 0) -> list[int]:
        """The features of picture `i`, the largest contribution first."""
        return self.contributions[i].argsort(descending=True, stable=True).tolist()

    def heatmap(self, feature: int) -> Heatmap:
        """Where one feature is, as a map of the pictures' size, clipped at zero.

        Raises: NotExplainable where no maps or pictures are known.
        """
        if self.maps is None or self.images is None:
            raise NotExplainable("these concepts have no maps, or no pictures to show them on.")
        native = self.maps[:, feature]
        large = resize(native.relu()[:, None], self.images.shape[-2:])[:, 0]
        return Heatmap(large, native=native, images=self.images, frames=self.frames)

    @classmethod
    def nothing(cls, count: int, size: tuple[int, int], like: Any = None) -> "Concepts":
        """Features without a value: those of `like` by name, or none."""
        if like is not None:
            blank = super().nothing(count, size, like)
            names = [["" for _ in like.names[0]]] * count
            return replace(blank, names=names, layer=like.layer)
        none, unknown = (
            torch.zeros(count, 0, dtype=torch.float32, device="cpu"),
            torch.full((count,), float("nan"), dtype=torch.float32, device="cpu"),
        )
        return cls(
            called=[""] * count,
            names=[[]] * count,
            values=none,
            weights=none,
            offset=unknown,
            score=unknown,
        )

    def refused_if_empty(self, method: str, model: str) -> "Concepts":
        """The result: that no feature is active is an answer too. A picture with a number that is
        not finite is marked as refused.

        Raises: NotExplainable where none is left.
        """
        held = (self.values, self.weights, self.offset, self.score, self.maps)
        finite = torch.ones(len(self), dtype=torch.bool, device="cpu")
        for tensor in held:
            if tensor is not None:
                finite &= torch.isfinite(tensor).reshape(len(self), -1).all(1).cpu()
        reason = (
            f"{method} on {model} gave numbers that are not finite; check the model's weights"
            " and preprocessing, and train the features again."
        )
        if len(self) and not finite.any():
            raise NotExplainable(reason)
        return self.without([None if good else reason for good in finite.tolist()])
