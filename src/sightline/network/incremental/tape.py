"""A network as the list of tensor operations that it ran, to be run again on any number of copies.

Operations are recorded below autograd and autocast, where every spelling of a convolution or a ReLU
is one operation. Two runs, of two and of three images, show which numbers (of a `view`, say) follow
the size of the batch and which tensors do not depend on the images. What a tape could not repeat is
refused: chance, numbers taken out of tensors, writing through views.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

SIZES = (2, 3)


class Unrepeatable(Exception):
    """A run that a tape cannot repeat, with the reason."""


@dataclass(frozen=True)
class Ref:
    """A tensor on the tape, by its number; 0 is the images."""

    index: int


@dataclass(frozen=True)
class Batch:
    """A number that follows the size of the batch: `slope` * batch + `offset`."""

    slope: int
    offset: int


@dataclass(frozen=True, kw_only=True)
class Step:
    """One operation: what it is called with (`Ref` for tensors), and the numbers of what it made.

    shapes: of what it made, for a batch of two.
    """

    function: Any
    args: tuple
    kwargs: dict[str, Any]
    made: tuple[int, ...]
    listed: bool  # it returns a tuple or list
    shapes: tuple[tuple[int, ...], ...]

    @cached_property
    def uses(self) -> tuple[int, ...]:
        return tuple(v.index for v in leaves((self.args, self.kwargs)) if isinstance(v, Ref))

    @cached_property
    def name(self) -> str:
        """The operation without its overload: "aten.convolution"."""
        return str(self.function.overloadpacket)

    def run(self, values: dict[int, Any], batch: int) -> None:
        """Compute on `values`, by number, and put in what was made."""
        args, kwargs = filled((self.args, self.kwargs), values, batch)
        returned = self.function(*args, **kwargs)
        for number, value in zip(self.made, returned if self.listed else (returned,), strict=True):
            values[number] = value


@dataclass(frozen=True, kw_only=True)
class Tape:
    """What a network does: steps in order, tensors that do not depend on the images, the output."""

    steps: tuple[Step, ...]
    constants: dict[int, Tensor]
    output: int

    @classmethod
    def of(cls, run: Callable[[Tensor], Any], images: Tensor) -> "Tape":
        """Record `run` on two and on three images like `images`. Raises: Unrepeatable."""
        example = torch.cat([images[:1], images[:1].flip(3), images[:1].roll(1, 2)]).detach()
        records = []
        for size in SIZES:
            given = example[:size].clone()
            record = _Record(given)
            with torch.no_grad(), record:
                returned = run(given)
            number = record.numbers.get(returned) if isinstance(returned, Tensor) else None
            if number is None or number in record.constants:
                raise Unrepeatable("the output is not one tensor made from the images")
            records.append((record, number))
        (two, output), (three, other) = records
        if output != other or len(two.steps) != len(three.steps):
            raise Unrepeatable("the operations depend on the size of the batch")
        return _agreed(two, three, output)

    @cached_property
    def last_uses(self) -> dict[int, int]:
        """For each tensor, the step that uses it last."""
        last = {number: i for i, step in enumerate(self.steps) for number in step.uses}
        return {**last, self.output: len(self.steps)}

    def outputs(self, images: Tensor) -> Tensor:
        """The network on a batch of any size."""
        values: dict[int, Any] = {0: images, **self.constants}
        for _ in self.play(values, len(images)):
            pass
        return values[self.output]

    def play(self, values: dict[int, Any], batch: int) -> Iterator[Step]:
        """Run step after step on `values`, each shown once it ran; what is used no more is
        dropped.
        """
        last = self.last_uses
        for i, step in enumerate(self.steps):
            step.run(values, batch)
            yield step
            for number in {*step.uses, *step.made}:
                if last.get(number, -1) <= i and number not in self.constants:
                    values.pop(number, None)


class _Record(TorchDispatchMode):
    """Writes down one run."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch's default, True, makes the first operation import its compiler: seconds."""
        return False

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.numbers: Any = WeakTensorKeyDictionary()
        self.numbers[images] = 0
        self.count = 1
        self.constants: dict[int, Tensor] = {}  # not made from the images
        self.storages: Any = WeakTensorKeyDictionary()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in function.tags and "attention" not in str(function):
            raise Unrepeatable(f"{function} draws random numbers")
        taken = _mapped((args, kwargs), self._ref)
        written = _written(function, args, kwargs)
        for tensor in written:
            self._refuse_alias(tensor, function)
        returned = function(*args, **kwargs)
        listed = isinstance(returned, (tuple, list))
        found = list(returned) if listed else [returned]
        if any(not isinstance(value, Tensor) for value in found if value is not None):
            raise Unrepeatable(f"{function} takes a number out of a tensor")
        free = not any(isinstance(v, Ref) and v.index not in self.constants for v in leaves(taken))
        made = tuple(self._made(value, free) for value in found)
        shapes = tuple(() if v is None else tuple(v.shape) for v in found)
        self.steps.append(
            Step(
                function=function,
                args=taken[0],
                kwargs=taken[1],
                made=made,
                listed=listed,
                shapes=shapes,
            )
        )
        return returned

    def _ref(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if value not in self.numbers:  # a weight, a buffer, or made outside of any operation
            self.constants[self._made(value, True)] = value
        return Ref(self.numbers[value])

    def _made(self, value: Tensor | None, free: bool) -> int:
        number, self.count = self.count, self.count + 1
        if value is not None:
            self.numbers[value] = number
            self.storages[value] = value.untyped_storage().data_ptr() or None
            if free:
                self.constants[number] = value
        return number

    def _refuse_alias(self, tensor: Tensor, function: Any) -> None:
        if self.numbers.get(tensor, 0) in (0, *self.constants):
            raise Unrepeatable(f"{function} writes into a tensor that is kept")
        place = self.storages.get(tensor)
        if place is None:
            return
        alike = [t for t, other in list(self.storages.items()) if other == place]
        if any(t is not tensor for t in alike):
            raise Unrepeatable(f"{function} writes into a tensor that is seen through a view")


def _written(function: Any, args: tuple, kwargs: dict[str, Any]) -> list[Tensor]:
    if not function._schema.is_mutable or str(function.overloadpacket) == "aten.as_strided_":
        return []
    found = []
    for i, argument in enumerate(function._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[i] if i < len(args) else kwargs.get(argument.name)
            found += [v for v in leaves(value) if isinstance(v, Tensor)]
    return found


def _agreed(two: _Record, three: _Record, output: int) -> Tape:
    """One tape from the runs of two and of three images."""
    constants: dict[int, Tensor] = {}
    for number, value in two.constants.items():
        other = three.constants.get(number)
        if other is not None and _same(value, other):
            constants[number] = value
    steps, wanted = [], {output}
    for a, b in zip(reversed(two.steps), reversed(three.steps), strict=True):
        if a.function is not b.function or a.made != b.made or a.listed != b.listed:
            raise Unrepeatable("the operations depend on the size of the batch")
        needed = wanted.intersection(a.made)
        if not needed or needed <= constants.keys():
            continue
        args, kwargs = _merged((a.args, a.kwargs), (b.args, b.kwargs))
        step = Step(
            function=a.function,
            args=args,
            kwargs=kwargs,
            made=a.made,
            listed=a.listed,
            shapes=a.shapes,
        )
        wanted.update(step.uses)
        steps.append(step)
    known = {0}.union(*(step.made for step in steps), constants)
    if missing := wanted - known:
        raise Unrepeatable(f"{len(missing)} tensors came from outside and differ between runs")
    kept = {number: constants[number] for number in wanted & constants.keys()}
    return Tape(steps=tuple(reversed(steps)), constants=kept, output=output)


def _same(a: Tensor, b: Tensor) -> bool:
    return a is b or (a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b))


def _merged(a: Any, b: Any) -> Any:
    if isinstance(a, (tuple, list)) and len(a) == len(b):
        return type(a)(_merged(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return {key: _merged(value, b[key]) for key, value in a.items()}
    if type(a) is int and type(b) is int and a != b:
        slope = (b - a) // (SIZES[1] - SIZES[0])
        return Batch(slope, a - SIZES[0] * slope)
    if a != b:
        raise Unrepeatable("arguments of an operation depend on the images")
    return a


def filled(value: Any, values: dict[int, Any], batch: int) -> Any:
    """Arguments with tensors in place of `Ref` and numbers in place of `Batch`."""
    if isinstance(value, Ref):
        return values[value.index]
    if isinstance(value, Batch):
        return value.slope * batch + value.offset
    if isinstance(value, (tuple, list)):
        return type(value)(filled(v, values, batch) for v in value)
    if isinstance(value, dict):
        return {key: filled(v, values, batch) for key, v in value.items()}
    return value


def leaves(value: Any) -> Iterator[Any]:
    """What stands in nested tuples, lists and dictionaries."""
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from leaves(part)
    elif isinstance(value, dict):
        yield from leaves(list(value.values()))
    else:
        yield value


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(_mapped(v, change) for v in value)
    if isinstance(value, dict):
        return {key: _mapped(v, change) for key, v in value.items()}
    return change(value)
