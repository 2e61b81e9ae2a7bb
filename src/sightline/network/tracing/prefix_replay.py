"""Running a network from a layer on: what ran before it is replayed, so that many copies share one
prefix.

While the copies run, the outermost modules that ran before the layer return what they returned
before, and tensors made before the edit are repeated where they meet copies. Everything is put back
in a `finally`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from ...errors import BadModel, NetworkError, NotExplainable
from ..calling.failures import first_line
from .layouts import Layout, from_maps, to_maps
from .operations import Repeating
from .rows import refuse_folded

JOINT = " + "
"""Between the addresses of layers that are read together."""


@runtime_checkable
class Network(Protocol):
    """A network as a circuit sees it: its module, how to run it, how its layers are laid out."""

    module: nn.Module
    run: Callable[[Tensor, Tensor], Any]
    layouts: Mapping[str, Layout]

    def layer(self, address: str) -> nn.Module: ...


@dataclass(frozen=True)
class Address:
    """A layer's address, taken apart: module name, which call (None: the last), which tensor of a
    tuple."""

    name: str
    call: int | None = None
    item: int | None = None

    @classmethod
    def of(cls, text: str) -> "Address":
        found = re.fullmatch(r"(.*?)(?::(\d+))?(?:\[(\d+)\])?", text)
        assert found is not None
        name, call, item = found.groups()
        return cls(name, None if call is None else int(call), None if item is None else int(item))


class Prefix:
    """What ran before a layer, on one image: replayed for each chunk of copies so that it runs only
    once."""

    def __init__(self, circuit: Network, address: str) -> None:
        self.circuit = circuit
        self.address = address
        self.spot = Address.of(address)
        self.layer = circuit.layer(address)
        self.replay: dict[nn.Module, list[Any]] = {}
        self.value: Any = None

    def record(self, image: Tensor, rows: Tensor) -> Tensor:
        """Run the image once; returns the maps at the layer."""
        frames: list[list[tuple[nn.Module, Any]]] = [[]]
        calls: list[tuple[list[tuple[nn.Module, Any]], Any]] = []

        def enter(module: nn.Module, inputs: Any) -> None:
            frames.append([])

        def leave(module: nn.Module, inputs: Any, output: Any) -> None:
            frames.pop()
            if module is self.layer:
                before = [pair for frame in frames for pair in frame]
                calls.append((before, _cloned(output)))  # what follows may write into it
            frames[-1].append((module, _cloned(output)))

        handles = []
        for module in self.circuit.module.modules():
            handles.append(module.register_forward_pre_hook(enter))
            handles.append(module.register_forward_hook(leave))
        try:
            self.circuit.run(image, rows)
        finally:
            for handle in handles:
                handle.remove()
        wanted = len(calls) - 1 if self.spot.call is None else self.spot.call
        if not 0 <= wanted < len(calls):
            raise NotExplainable(f"layer {self.address!r} exists but did not run by itself.")
        before, self.value = calls[wanted]
        for module, output in before:
            self.replay.setdefault(module, []).append(output)
        value = item_of(self.value, self.spot, self.address)
        refuse_folded(value, self.address, len(image))
        return to_maps(value, self.circuit.layouts[self.address])

    def run(self, image: Tensor, rows: Tensor, copies: Tensor) -> Tensor:
        """The rest of the network on `copies` (maps)."""
        value = item_of(self.value, self.spot, self.address)
        raw = from_maps(copies, value, self.circuit.layouts[self.address])
        planned = {m: list(outputs) for m, outputs in self.replay.items()}
        planned.setdefault(self.layer, []).append(with_item(self.value, self.spot, raw))
        with ExitStack() as stack:
            for module, outputs in planned.items():
                stack.enter_context(_answering(module, outputs))
            stack.enter_context(Repeating(len(copies)))
            try:
                output = self.circuit.run(image, rows.expand(len(copies)))
            except NetworkError as error:
                raise self._refusal(first_line(error.__cause__ or error)) from None
            except BadModel:
                raise self._refusal("its output does not follow the number of copies") from None
        if not isinstance(output, Tensor):
            raise self._refusal(f"it returns {type(output).__name__}")
        return output

    def _refusal(self, reason: str) -> NotExplainable:
        return NotExplainable(
            f"the part of the network after {self.address!r} cannot run on a batch of copies of"
            f" one image ({reason}): it stores the batch size as a Python number. Choose an"
            " earlier layer, at the border of a block."
        )


@contextmanager
def _answering(module: nn.Module, outputs: list[Any]) -> Iterator[None]:
    """While it lasts, `module` returns `outputs` in turn instead of running, then runs again."""
    own = module.__dict__.get("forward")
    forward = module.forward
    left = iter(outputs)

    def answer(*args: Any, **kwargs: Any) -> Any:
        for output in left:
            return _cloned(output)
        return forward(*args, **kwargs)

    module.__dict__["forward"] = answer
    try:
        yield
    finally:
        if own is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = own


def _cloned(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if type(value) in (list, tuple):
        return type(value)(_cloned(v) for v in value)
    return value


def item_of(output: Any, spot: Address, address: str) -> Tensor:
    if isinstance(output, (list, tuple)):
        tensors = [i for i, v in enumerate(output) if isinstance(v, Tensor)]
        index = spot.item if spot.item is not None else (tensors[0] if tensors else 0)
        output = output[index] if index < len(output) else None
    if not isinstance(output, Tensor):
        raise NotExplainable(
            f"layer {address!r} returns {type(output).__name__}, not a tensor; read a module"
            " inside it."
        )
    return output


def with_item(output: Any, spot: Address, value: Tensor) -> Any:
    if isinstance(output, Tensor):
        return value
    tensors = [i for i, v in enumerate(output) if isinstance(v, Tensor)]
    index = spot.item if spot.item is not None else tensors[0]
    changed = [value if i == index else v for i, v in enumerate(output)]
    return tuple(changed) if isinstance(output, tuple) else changed
