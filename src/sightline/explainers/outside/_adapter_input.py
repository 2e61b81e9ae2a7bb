"""What a method written elsewhere is given, and what is expected back from it.

It gets a copy of the network with one normalised picture and the index of a class, and returns a
map. Pictures go one at a time and the global random state is seeded before each, so an answer does
not depend on the batch; whatever the method does to the network, it does to the copy.
"""

import random
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, fields
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import NotExplainable, ShapeError, SightlineError, UnknownName, near
from ...explainer import Explainer
from ...explanation import Heatmap
from ...model import Model
from ...network.calling.outputs import scores_of
from ...network.costs import Payers, payers
from ...ops.resize import resize
from ...shapes import Images
from ...target import Target
from ._options import Setting, split


@dataclass(frozen=True, kw_only=True, eq=False)
class AdapterInput:
    """One picture for a method: `module`, a copy of the network; `images` (1, channel, row, col),
    as the network expects them; `natural`, the same in [0, 1]; `index`, the class asked for;
    `layer`, the name of the layer to read, empty where the method reads none.
    """

    model: Model
    module: nn.Module
    images: Tensor
    natural: Tensor
    index: int
    layer: str = ""


class ScoreNetwork(nn.Module):
    """The network as other libraries expect one: normalised pictures in, (batch, class) out."""

    def __init__(self, network: nn.Module, model: Model) -> None:
        super().__init__()
        self.network = network
        self.side = dict(model.side)
        self.call, self.read = model.calling.forward, model.calling.output

    def forward(self, images: Tensor) -> Tensor:
        called = self.call or (lambda module, x, **side: module(x, **side))
        returned = called(self.network, images, **self.side)
        return self.read(returned) if self.read else scores_of(returned)


@dataclass(frozen=True, kw_only=True)
class Adapter(Explainer):
    """A method that was written outside of this library. seed: of the global random state, which it
    finds at the start of each picture.
    """

    opening: ClassVar[str] = ""  # how the names of these methods begin

    seed: int = 0

    @classmethod
    def named(cls, name: str, /, **given: Any) -> "Adapter":
        """The method of that name, with these fields besides.

        Raises: UnknownName for a field that it does not have, MissingExtra where the library is not
        installed, BadField for a function that is not there.
        """
        wanted = {**cls.fields_of(*split(name)), **given}
        known = [f.name for f in fields(cls)]
        for field in wanted:
            if field not in known:
                raise UnknownName(f"{name} has no field {field!r}{near(field, known)}")
        return cls(**wanted)

    @classmethod
    @abstractmethod
    def fields_of(cls, rest: str, options: dict[str, Setting]) -> dict[str, Any]:
        """The fields that a name means. rest: what follows its colon; options: behind its `?`."""

    @final
    def explain(self, model: Model, images: Images, target: Target) -> Heatmap:
        name = self.registered_name
        classes = _classes(name, target, len(images))
        size = (images.shape[2], images.shape[3])
        layer = self.layer_of(model) if "layer" in self.needs else ""
        found = []
        with model.unharmed(), _network_copy(model) as module, torch.enable_grad():
            like = next(module.parameters(), images)
            for row, index in enumerate(classes):
                natural = images[row : row + 1].detach()
                given = AdapterInput(
                    model=model,
                    module=module,
                    images=_normalised(model, natural).to(like).clone(),
                    natural=natural.clone(),
                    index=index,
                    layer=layer,
                )
                found.append(
                    as_map(self._seeded_map(given), name, images.shape[2:]).to(images.device)
                )
        native = torch.cat(found)
        return Heatmap(resize(native[:, None], size)[:, 0], native=native)

    @abstractmethod
    def map(self, given: AdapterInput) -> Any:  # Any: what others return is checked by `as_map`
        """The map of one picture: (1, row, col), or (1, channel, row, col) to be summed up."""

    @final
    def _seeded_map(self, given: AdapterInput) -> Any:
        random.seed(self.seed)
        np.random.seed(self.seed)
        torch.manual_seed(self.seed)
        try:
            return self.map(given)
        except (SightlineError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise NotExplainable(
                f"{self.registered_name} raised {type(error).__name__}: {error}"
            ) from error


def _normalised(model: Model, natural: Tensor) -> Tensor:
    """The picture as the network expects it; a black box takes it as it is."""
    if not model.differentiable:
        return natural
    return (natural - model.mean.to(natural)) / model.std.to(natural)


def as_map(found: Any, name: str, size: tuple[int, ...]) -> Tensor:
    """What a method returned, as (1, row, col) float32; channels are summed.

    Raises: ShapeError for anything but one map no larger than the picture, NotExplainable for NaN.
    """
    expected = (
        f"expected one map (1, row, col), or (1, channel, row, col), of at most {size[0]} x"
        f" {size[1]}"
    )
    if not isinstance(found, (Tensor, np.ndarray)):
        raise ShapeError(f"{name} returned {type(found).__name__}; {expected}, tensor or array.")
    maps = torch.as_tensor(found, device="cpu").detach().float()
    shape = tuple(maps.shape)
    if maps.ndim == 4:
        maps = maps.sum(1)
    fits = maps.ndim == 3 and len(maps) == 1 and all(maps.shape)
    if not fits or maps.shape[1] > size[0] or maps.shape[2] > size[1]:
        raise ShapeError(f"{name} returned a map of shape {shape}; {expected}.")
    bad = int((~torch.isfinite(maps)).sum())
    if bad:
        raise NotExplainable(
            f"{name} returned NaN or infinite values in {bad} of {maps.numel()} places; expected"
            " finite numbers. Check the method on this picture."
        )
    return maps


def _classes(name: str, target: Target, count: int) -> list[int]:
    """The class of each picture. Raises: NotExplainable where the question is not about a class."""
    found = target.indices(count)
    if target.negated or target.probability or any(index is None for index in found):
        raise NotExplainable(
            f"{name} can explain only the index of a class; {target!r} needs more. Give a class,"
            " or use one of sightline's own methods."
        )
    return [int(index) for index in found if index is not None]


@contextmanager
def _network_copy(model: Model) -> Iterator[nn.Module]:
    """A copy of the network that may be changed at will; what runs through it is counted."""
    try:
        copy = deepcopy(model.module)
    except Exception:  # some networks hold what cannot be copied; `unharmed` watches over them
        copy = model.module
    handle = copy.register_forward_hook(_counting(model.evaluations, payers()))
    try:
        plain = model.calling.forward is None and model.calling.output is None
        yield copy if plain else ScoreNetwork(copy, model)
    finally:
        handle.remove()


def _counting(total: dict[str, int], paid: Payers) -> Callable[..., None]:
    def count(_: nn.Module, given: tuple[Any, ...], returned: Any) -> None:
        rows = len(given[0]) if given and isinstance(given[0], Tensor) else 1
        paid.spend(total, forward=rows)
        if isinstance(returned, Tensor) and returned.requires_grad:
            returned.register_hook(back)

    def back(gradient: Tensor) -> None:
        paid.spend(total, backward=len(gradient))

    return count


def spelled(text: str, names: list[str]) -> str | None:
    """The name that was meant, whatever its case, hyphens and underscores; None for a stranger."""
    plain = {_letters(name): name for name in names}
    return text if text in names else plain.get(_letters(text))


def _letters(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum() or c == "+")
