"""One network, run for everybody who asks: one pass at a time, and every pass through `trace`.

Hooks, edited layers, evaluation mode and frozen weights are on a module that all threads share, so
its lock is held for one pass, and no longer: backward passes run on a graph of their own. What
works on the module itself, or with PyTorch's one random state, holds it for its whole run
(`borrowed`): metrics, attacks and methods of other libraries. Two models that share a module, and
warnings that are caught, are not protected.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import NotExplainable
from ..ops.batches import rows_of
from ..ops.rules import Rule, supported
from .anatomy import Anatomy, study
from .black_box import BlackBox
from .calling.failures import refuse_scripted
from .calling.forward import Calling
from .calling.modules import refuse_inference
from .costs import nothing_spent
from .execution import Engine
from .shared_pass import Shape, shape_in_view, shape_of
from .trace import Circuit, Edit, Fan, Trace
from .unharmed import unharmed


@dataclass(frozen=True, eq=False)
class Asked:
    """What one pass does beside its images; as in `Model.trace`. chunk: copies in one pass."""

    read: tuple[str, ...] = ()
    edit: Mapping[str, Edit | Fan] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    rows: Tensor | None = None
    precision: str = "exact"
    chunk: int = 16

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers that it touches."""
        return (*self.read, *self.edit)


@dataclass(eq=False)
class NetworkRunner:
    """Runs a network in the copy that serves a pass, and keeps what is known of it.

    spent: images of all passes. anatomies: what was measured, by the shape of the pictures.
    Runners of one network with other side inputs share these and the lock.
    """

    module: nn.Module
    calling: Calling
    spent: dict[str, int] = field(default_factory=nothing_spent)
    anatomies: dict[Shape, Anatomy] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.engine = Engine(self.calling)

    def __getstate__(self) -> dict[str, Any]:
        own = ("module", "calling", "spent", "anatomies")
        return {name: getattr(self, name) for name in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)

    @property
    def differentiable(self) -> bool:
        return not isinstance(self.module, BlackBox)

    def of(
        self, module: nn.Module | None = None, side: Mapping[str, Any] | None = None
    ) -> "NetworkRunner":
        """The same with other side inputs, or with another network that is built alike: what is
        known of layers is shared, what runs in its place is found again."""
        calling = self.calling if side is None else replace(self.calling, side=side)
        other = replace(self, module=module or self.module, calling=calling)
        other.engine = Engine(calling, self.engine.plans)
        return other

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """The module for this thread alone, in evaluation mode and with frozen weights; all comes
        back, after errors too."""
        with self.lock, unharmed(self.module):
            yield

    def trace(self, images: Tensor, asked: Asked) -> Trace:
        """One pass, announced to who pays for it and to who watches (network/costs.py)."""
        refuse_inference(images)
        shape = shape_of(images)
        with self.lock:
            if any(name != "input" for name in asked.layers):
                self.study(shape)
            known = self.anatomies.get(shape)
            graph = bool(asked.read) and self.differentiable
            precision = supported(asked.rules, asked.precision)
            with (
                self.engine.running(self.module, images, asked.layers, precision) as module,
                torch.set_grad_enabled(torch.is_grad_enabled() and graph),
            ):
                circuit = Circuit(
                    module,
                    partial(self.calling.scores, module),
                    known.layouts if known else {},
                    self.spent,
                    asked.chunk,
                    self.engine.fans,
                    self.calling,
                )
                rows = rows_of(images, asked.rows, self.calling.side)
                return circuit.trace(images, asked.read, asked.edit, asked.rules, rows)

    def shape(self, size: tuple[int, int] | None) -> Shape | None:
        """Rows, columns and channels of the pictures that come: of those in view, else of `size`,
        else of the last ones; None where nothing is known."""
        known = shape_in_view(self.module)
        own = None if size is None else self.sized(size)
        return known or own or next(reversed(self.anatomies), None)

    def usual(self, size: tuple[int, int] | None) -> Shape:
        """The same; 224 x 224 where nothing is known."""
        return self.shape(size) or self.sized((224, 224))

    def sized(self, size: tuple[int, int], channels: int | None = None) -> Shape:
        """The shape of pictures of a size, with as many channels as such pictures had, or as the
        network takes."""
        if channels is None:
            known = [shape[2] for shape in self.anatomies if shape[:2] == size]
            channels = known[-1] if known else self.calling.channels(self.module)
        return size[0], size[1], channels

    def study(self, shape: Shape, name: str = "the network") -> Anatomy:
        """The anatomy at a shape of pictures; measured once, then remembered.

        Raises: NotExplainable for a black box, which `name` is, and for a scripted network.
        """
        if shape not in self.anatomies:
            if not self.differentiable:
                raise NotExplainable(f"{name} is a black box, without layers or gradients.")
            refuse_scripted(self.module)
            with self.lock:
                if shape not in self.anatomies:
                    rows, cols, channels = shape
                    run = self.meet(blank(shape))
                    found = study(
                        self.module, (rows, cols), channels, forward=run.rows, alone=run.alone
                    )
                    self.anatomies[shape] = found
        return self.anatomies[shape]

    def meet(self, images: Tensor) -> Calling:
        """How the network is called: seen on probe pictures of that shape before its first pass."""
        with self.lock:
            self.engine.meet(self.module, images)
            return self.calling

    def has_fast_copy(self, images: Tensor) -> bool:
        """Whether there is a bfloat16 copy of the network as it is now."""
        with self.lock:
            return self.engine.fast(self.module, images)

    def pace(self, images: Tensor, precision: str, planned: int) -> int | None:
        """How many images at once run fastest; None where too few are planned to ask."""
        with self.lock:
            return self.engine.pace(self.module, images, precision, planned)

    @property
    def digest(self) -> str:
        """A fingerprint of the weights, 16 hexadecimal digits; computed again when they change."""
        with self.lock:
            return self.engine.digest(self.module)


def blank(shape: Shape) -> Tensor:
    """One picture of a shape, of which only the shape counts."""
    rows, cols, channels = shape
    return torch.empty(1, channels, rows, cols, device="cpu", dtype=torch.float32)
