"""The contract of an explainer: (model, images, target) -> Explanation.

`__call__` is final and does the chores once (explainers/contract): it validates, fixes the target
on the clean images, splits into batches, freezes and restores, detaches, refuses empty answers and
attaches provenance. A method writes `explain`.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar, final

from torch import nn

from . import registry
from .errors import BadField, SightlineWarning
from .explainers.contract import requirements
from .explainers.contract.batches import Attempt, explained
from .explainers.contract.refusals import in_words
from .explanation import Explanation, Heatmap
from .model import Model
from .network.shared_pass import in_view, shape_of
from .ops.batches import fit_side
from .shapes import Images
from .target import Target
from .targets.given import to_target

_Method = TypeVar("_Method", bound="Explainer")  # the tests' shape hook knows no `Self`


class Explainer(ABC):
    """A method that explains a model. Explainers are frozen dataclasses; their fields are the
    paper's parameters.

    needs: what the model must offer, of `gradients`, `layer`, `attention`; a method that needs a
    layer has a field `layer`, None for the model's last spatial one. joins: it can read several
    layers of one grid together, addresses joined by " + ". probability: whether the score is a
    probability where the target does not set it. gives: the kind of explanation. own_passes: all
    its gradients come from passes of its own, so the clean pass needs no graph. A method that runs
    others returns them in `parts`: it needs what they need, and takes its default of `probability`
    from the first. tiny: fields with which it is quick, for tests. well_known: people use it first,
    and expect it to do well. recommended: one of the few methods to start with. differentiable_as:
    the form in which an attack computes its map with a graph (`cam`, `gradient`, ...); a class says
    it for itself alone. revision: raised where equal fields give another answer than before.
    """

    kind: ClassVar[str] = "explainer"
    registered_name: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    joins: ClassVar[bool] = False
    probability: ClassVar[bool] = False
    gives: ClassVar[type[Explanation]] = Heatmap
    own_passes: ClassVar[bool] = False
    tiny: ClassVar[Mapping[str, Any]] = {}
    well_known: ClassVar[bool] = False
    recommended: ClassVar[bool] = False
    differentiable_as: ClassVar[str] = ""
    revision: ClassVar[int] = 1

    @final
    def __call__(self, model: Model | nn.Module, images: Any, target: Any = None) -> Explanation:
        """Explain `target` (None is the top class) for images: paths, PIL images, arrays, or a
        prepared tensor.

        Raises: NotExplainable where the method cannot treat this model, ShapeError, BadTarget,
        BadImage.
        """
        result, error = self.attempt(model, images, target)
        if error is not None:
            raise error
        if told := in_words(result):
            warnings.warn(told, SightlineWarning, stacklevel=2)
        return result

    @final
    def attempt(self, model: Model | nn.Module, images: Any, target: Any = None) -> Attempt:
        """The explanation, pictures that the method refuses marked in it; and, where it refuses
        all of them, the error that says why.

        Raises: what a call raises before any picture is looked at.
        """
        model = Model.of(model)
        tensors = model.prepare(images)
        fit_side(model.side, len(tensors))
        with in_view(model.module, shape_of(tensors)):
            aimed = to_target(target).bind(model, tensors)
            self.check(model)
            requirements.warn_of_parts(self, model)
            return explained(self, model, tensors, aimed)

    @property
    def parts(self) -> "tuple[Explainer, ...]":
        """The explainers that this one holds in its fields and runs; by default there are none."""
        return ()

    def reads(self, model: Model) -> tuple[str, ...]:
        """Layers that the method reads besides `layer`, so that the clean pass records them."""
        return ()

    @property
    @final
    def whole(self) -> "tuple[Explainer, ...]":
        """This explainer and all that it holds, in depth."""
        return (self, *(each for part in self.parts for each in part.whole))

    @property
    @final
    def habit(self) -> bool:
        """Whether the score is a probability where the target does not set it."""
        return self.parts[0].habit if self.parts else self.probability

    @abstractmethod
    def explain(self, model: Model, images: Images, target: Target) -> Explanation:
        """The explanation of a batch: images (batch, channel, row, col) in [0, 1], the target fixed
        on them."""

    @final
    def check(
        self, model: Model, size: tuple[int, int] | None = None, channels: int | None = None
    ) -> None:
        """Raises: NotExplainable where this model cannot offer what the method needs, before any
        work is done. size, channels: of the pictures that come; without, what is known of the
        model alone."""
        requirements.check(self, model, size, channels)

    @final
    def layer_of(self, model: Model) -> str:
        """The layer that this method reads: its field `layer`, or the model's last spatial one; of
        a method that joins, all that carry the evidence together.

        Raises: UnknownName for a layer that the model does not have.
        """
        return requirements.layer_of(self, model)

    def fast(self: _Method) -> _Method:
        """The same method with its documented approximations on; by default there are none."""
        return self


def part_method(spec: "Explainer | str") -> "Explainer":
    """The explainer that a field names, or the one that it holds. Raises: BadField for anything
    else."""
    if isinstance(spec, str):
        return registry.create("explainer", spec)
    if isinstance(spec, Explainer):
        return spec
    raise BadField(f"expected the name of an explainer or an Explainer; got {spec!r}.")
