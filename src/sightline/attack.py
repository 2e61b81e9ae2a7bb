"""The contract of an attack: pictures that fool the model, its explainer, or both."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import nn

from .errors import BadImage, NotExplainable, ShapeError
from .explainer import Explainer, part_method
from .model import Model
from .shapes import Images
from .target import Target, Top


class Attack(ABC):
    """Which small change of a picture fools the model? Frozen dataclasses; fields are budgets.

    aim: the target where none is given: the class that the model should predict, by default its
    second choice; a negated target is the class to move away from. tiny: fields with which it is
    quick, for tests. keeps_class: the prediction stays. revision: raised when its answers change.
    """

    kind: ClassVar[str] = "attack"
    registered_name: ClassVar[str] = ""
    aim: ClassVar[Target] = Top(1)
    tiny: ClassVar[Mapping[str, Any]] = {}
    keeps_class: ClassVar[bool] = False
    revision: ClassVar[int] = 1

    @final
    def __call__(
        self,
        model: Model | nn.Module,
        images: Any,
        target: Any = None,
        explainer: Explainer | str | None = None,
    ) -> Images:
        """Pictures like `images`, in the same frame and in [0, 1], that fool `model`.

        target: the class to be taken for; `-target` the one to leave. explainer: whose map the
        attack fools too, where it can. Each picture is attacked by itself, so its answer does not
        depend on its batch.

        Raises: BadImage for values outside [0, 1], NotExplainable for a black box or an explainer
        that the attack cannot follow, BadTarget for a target that is no class.
        """
        model = Model.of(model)
        clean = model.prepare(images)
        name = self.registered_name or type(self).__name__
        if not model.differentiable:
            raise NotExplainable(f"{name} needs gradients, which {model.name} does not have.")
        if clean.numel() and not (clean.min() >= 0 and clean.max() <= 1):
            raise BadImage(
                f"an attack moves pictures within [0, 1]; these reach from {clean.min():.3g} to"
                f" {clean.max():.3g}. Wrap the network with `sl.Model(net, preprocess=...)`."
            )
        held = None if explainer is None else part_method(explainer)
        with model.unharmed(), torch.enable_grad():
            aimed = model.aim(clean, self.aim if target is None else target)
            if held is not None:
                held.check(model, (clean.shape[2], clean.shape[3]), clean.shape[1])
            found = [
                self.deceive(model.take([i]), clean[[i]].to(model.device), aimed.take([i]), held)
                for i in range(len(clean))
            ]
        fooled = torch.cat([each.detach() for each in found]).to(clean) if found else clean
        if fooled.shape != clean.shape or not torch.isfinite(fooled).all():
            raise ShapeError(
                f"{self!r} returned {tuple(fooled.shape)} for images {tuple(clean.shape)}, or"
                " values that are not finite; an attack keeps the shape of what it was given."
            )
        return fooled.clamp(0, 1)

    @abstractmethod
    def deceive(
        self, model: Model, images: Images, target: Target, explainer: Explainer | None
    ) -> Images:
        """One picture (1, channel, row, col), changed; the target is fixed on the clean one."""
