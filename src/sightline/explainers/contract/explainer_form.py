"""What the contract's own files know of an explainer; the class itself stands above them."""

from typing import ClassVar, Protocol, runtime_checkable

from ...explanation import Explanation
from ...model import Model
from ...shapes import Images
from ...target import Target


@runtime_checkable
class ExplainerForm(Protocol):
    """An explainer as `explainer.Explainer` describes it: a frozen dataclass of parameters."""

    registered_name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    joins: ClassVar[bool]
    gives: ClassVar[type[Explanation]]
    own_passes: ClassVar[bool]

    @property
    def parts(self) -> "tuple[ExplainerForm, ...]": ...

    @property
    def whole(self) -> "tuple[ExplainerForm, ...]": ...

    @property
    def habit(self) -> bool: ...

    def reads(self, model: Model) -> tuple[str, ...]: ...

    def explain(self, model: Model, images: Images, target: Target) -> Explanation: ...


def name_of(method: ExplainerForm) -> str:
    """The name of a method in messages."""
    return method.registered_name or type(method).__name__
