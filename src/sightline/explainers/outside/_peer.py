"""A method of another library by its name there, such as `captum:IntegratedGradients`."""

from abc import abstractmethod
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

from torch import Tensor, nn

from ...errors import BadField, MissingExtra, NotExplainable, UnknownName, near
from ...explainer import Explainer
from ...network.tracing.layouts import Layout
from ._adapter_input import Adapter, AdapterInput, spelled
from ._options import Setting


@dataclass(frozen=True, kw_only=True)
class Peer(Adapter):
    """Another library's method, by its name there.

    method: its name there. options: (parameter, value) pairs for it, by the peer's own names.
    layer: None is the model's last spatial one, for those that read a layer. version: of the
    library, found out here.
    """

    well_known: ClassVar[bool] = True

    package: ClassVar[str] = ""  # what pip installs
    usual: ClassVar[tuple[str, ...]] = ()  # its methods that people use first

    method: str
    options: tuple[tuple[str, Setting], ...] = ()
    layer: str | None = None
    version: str = ""

    def __post_init__(self) -> None:
        try:
            number = version(self.package)
        except PackageNotFoundError:
            raise MissingExtra(
                f"{self.opening}:{self.method} needs {self.package}, which is not installed: `pip"
                f" install {self.package}`."
            ) from None
        names = self.names()
        found = spelled(self.method, names)
        if found is None:
            raise UnknownName(
                f"{self.package} {number} has no method {self.method!r}"
                f"{near(self.method, names)} It has: {', '.join(names)}."
            )
        needs = ("gradients", "layer") if self.layered(found) else ("gradients",)
        if self.layer is not None and "layer" not in needs:
            raise BadField(f"{self.opening}:{found} reads no layer; leave `layer` out.")
        settled = {
            "method": found,
            "version": number,
            "needs": needs,
            "registered_name": f"{self.opening}:{found}",
        }
        for name, value in settled.items():
            object.__setattr__(self, name, value)  # frozen, and this is its making

    @classmethod
    def fields_of(cls, rest: str, options: dict[str, Setting]) -> dict[str, Any]:
        own: dict[str, Any] = {k: v for k, v in options.items() if k in ("layer", "seed")}
        theirs = tuple((k, v) for k, v in options.items() if k not in own)
        return {**own, "options": theirs, "method": rest}

    @abstractmethod
    def names(self) -> list[str]:
        """The methods that the library offers and this adapter can ask."""

    @abstractmethod
    def layered(self, method: str) -> bool:
        """Whether the method reads one layer."""

    @property
    def chosen(self) -> dict[str, Setting]:
        """The options by name."""
        return dict(self.options)


def layer_module(given: AdapterInput) -> nn.Module:
    """The module behind the name of a layer. Raises: NotExplainable for the input itself."""
    name = _bare(given.layer)
    if name == "input":
        raise NotExplainable(
            "other libraries read modules, and the input is not a module; name a layer."
        )
    network = getattr(given.module, "network", given.module)
    return network.get_submodule(name)


def layout(given: AdapterInput) -> Layout:
    """How that layer lays out its maps."""
    size = (given.images.shape[2], given.images.shape[3])
    known = given.model.study(size, given.images.shape[1]).layouts
    return known.get(given.layer) or known.get(_bare(given.layer)) or Layout("nchw")


def reads_rows_and_columns(given: AdapterInput, method: Explainer) -> None:
    """Raises: NotExplainable where a layer of tokens would be taken for one of maps."""
    style = layout(given).style
    if style != "nchw":
        raise NotExplainable(
            f"{method.registered_name} takes what a layer returns as (batch, filter, row, col), and"
            f" {given.layer} of {given.model.name} has {layout(given)}; its map would be wrong."
        )


def _bare(layer: str) -> str:
    return layer.split(":")[0].split("[")[0]


def first(found: Any) -> Tensor:  # Any: a tensor or a tuple of them
    """The one tensor that was asked for."""
    return found[0] if isinstance(found, (tuple, list)) else found
