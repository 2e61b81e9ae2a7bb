"""The contract of an attack: pictures that fool the model, its explainer, or both."""

from abc import ABC, abstractmethod
from typing import ClassVar, final

from torch import Tensor

from .errors import ShapeError
from .explainer import Explainer
from .model import Model


class Attack(ABC):
    """How a picture must change to deceive. Attacks are frozen dataclasses; fields are their
    budgets."""

    kind: ClassVar[str] = "attack"
    registered_name: ClassVar[str] = ""

    @final
    def __call__(self, model: Model, images: Tensor, explainer: Explainer | None = None) -> Tensor:
        """Pictures like `images`, in the same frame and in [0, 1], that fool `model`.

        Raises: ShapeError when the attack changes the shape, which is a mistake of the attack.
        """
        model = Model.of(model)
        images = model.prepare(images)
        with model.unharmed():
            fooled = self.deceive(model, images, explainer).detach()
        if fooled.shape != images.shape:
            raise ShapeError(
                f"{self!r} returned {tuple(fooled.shape)} for images {tuple(images.shape)}; an"
                " attack"
                " keeps the shape of what it was given."
            )
        return fooled

    @abstractmethod
    def deceive(self, model: Model, images: Tensor, explainer: Explainer | None) -> Tensor: ...
