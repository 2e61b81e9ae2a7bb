"""Learned weights that belong to a model: one way to save, find, check and load them.

A file is safetensors; its metadata hold what kind it is of, and its facts as JSON: what rebuilds
the network, and the digest of the model that it was trained for. What a kind is made of stands
with its network (nets/); how it is trained, in a recipe.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from .errors import BadModel, FileProblem, NotExplainable, SightlineError
from .files.writing import write_bytes
from .model import Model

WEIGHTS = Path(__file__).parent / "nets" / "weights"  # what comes with the package
Tensors = Mapping[str, Tensor]


@runtime_checkable
class Facts(Protocol):
    """What a file says of itself; a dataclass of plain values.

    digest: the weights of the model that it was trained for; empty for none. model: its name.
    """

    @property
    def digest(self) -> str: ...
    @property
    def model(self) -> str: ...


_Facts = TypeVar("_Facts", bound=Facts)
_Net = TypeVar("_Net")
_Module = TypeVar("_Module", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Artifact(Generic[_Facts, _Net]):
    """A kind of learned weights.

    kind, section: the words in a file's metadata for the kind and for its facts. what: in words,
    with its article. recipe, options: the command that makes one. facts: makes them from the fields
    in a file. build: the network from facts and tensors, on the tensors' device. shipped: the
    file's name among WEIGHTS, where the package brings one. half: store matrices in float16.
    """

    kind: str
    section: str
    what: str
    recipe: str
    options: str = ""
    facts: Callable[..., _Facts]
    build: Callable[[_Facts, Tensors], _Net]
    shipped: str = ""
    half: bool = False

    @property
    def noun(self) -> str:
        """What it is, without the article."""
        return self.what.partition(" ")[2]

    def save(self, path: Path, facts: _Facts, tensors: Tensors) -> Path:
        """Write a file whole or not at all. Raises: FileProblem where that is not possible."""
        stored = {name: self._stored(tensor) for name, tensor in tensors.items()}
        text = json.dumps(asdict(facts), ensure_ascii=False)  # type: ignore[call-overload]
        return write_bytes(path, save(stored, metadata={"kind": self.kind, self.section: text}))

    def read(self, path: Path) -> _Facts:
        """The file's facts, without its tensors.

        Raises: FileProblem where there is no file, BadModel for a file of another kind.
        """
        if not path.is_file():
            raise FileProblem(
                f"there is no file {path} with the {self.noun}; `{self.recipe}` makes one."
            )
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
        except SafetensorError as error:
            raise BadModel(f"{path} is not a safetensors file ({error}).") from None
        if metadata.get("kind") != self.kind:
            raise BadModel(
                f"{path.name} holds no {self.noun} (its kind is {metadata.get('kind')!r}, expected"
                f" {self.kind!r}). `{self.recipe}` makes one."
            )
        plain: dict[str, Any] = json.loads(metadata[self.section])
        return self.facts(**{name: _tupled(value) for name, value in plain.items()})

    def load(self, path: Path, model: Model | None = None) -> _Net:
        """The network in the file, on the model's device. model: the one that it must have been
        trained for; None asks nothing, and loads it on the CPU.

        Raises: FileProblem, or BadModel for another kind of file, another model or damage.
        """
        facts = self.read(path)
        if model is not None:
            self.check(path, facts, model)
        device = torch.device("cpu") if model is None else model.device
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name).to(device) for name in file.keys()}
        floats = {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}
        try:
            return self.build(facts, floats)
        except SightlineError:
            raise
        except (KeyError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise BadModel(
                f"{path.name} is damaged ({reason}); `{self.recipe}` makes one."
            ) from None

    def check(self, path: Path, facts: _Facts, model: Model, instead: str = "") -> None:
        """Raises: BadModel where the file was trained for another model. instead: a further way
        out, for the message."""
        if facts.digest == model.digest:
            return
        trained = f"{facts.model} with weights {facts.digest}"
        raise BadModel(
            f"{path.name} was trained for {trained if facts.model else f'weights {facts.digest}'};"
            f" this is {model.name} with weights {model.digest}. What was learned for one model is"
            f" not valid for another: train a new {self.noun} with `{self.recipe}`{instead}."
        )

    def shipped_for(self, model: Model) -> Path | None:
        """The file in this package that was trained for this very model, or None."""
        path = WEIGHTS / self.shipped
        ours = bool(self.shipped) and path.is_file()
        return path if ours and self.read(path).digest == model.digest else None

    def find(self, given: str | Path | None, model: Model) -> Path | None:
        """The file that was given, or else the one that comes with the package."""
        return Path(given).expanduser() if given else self.shipped_for(model)

    def require(
        self, given: str | Path | None, model: Model, method: str, instead: str = ""
    ) -> Path:
        """The same. Raises: NotExplainable where there is none, with the recipe to run; instead: a
        further way out."""
        path = self.find(given, model)
        if path is None:
            raise NotExplainable(
                f"{method} needs {self.what} that was trained for {model.name}, and none is known."
                f" Train one with `{self.recipe} {self.options}`, then give its file as"
                f" `weights`{instead}."
            )
        return path

    def _stored(self, tensor: Tensor) -> Tensor:
        tensor = tensor.detach().cpu()
        halved = self.half and tensor.is_floating_point() and tensor.ndim > 1
        return (tensor.half() if halved else tensor).clone(memory_format=torch.contiguous_format)


def filled(module: _Module, tensors: Tensors, start: str = "") -> _Module:
    """A network in evaluation mode, frozen, with the tensors whose names begin with `start`."""
    own = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
    module.load_state_dict(own)
    device = next(iter(own.values())).device
    return module.to(device).requires_grad_(False).eval()


def _tupled(value: Any) -> Any:  # Any: JSON
    return tuple(_tupled(each) for each in value) if isinstance(value, list) else value
