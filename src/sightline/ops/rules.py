"""Backward rules: what an operation hands down in place of its gradient.

A rule names the operations that it rewrites and runs them itself: the value that goes forward is
the operation's own, the value that comes back is the rule's. Rules see operations, not modules, so
functional, re-used and in-place calls and residual sums are all the same to them
(`network/trace.py` finds the calls).

Sources: deconvnet (Zeiler and Fergus, 2014), guided backpropagation (Springenberg et al., 2015),
z-plus and epsilon (Bach et al., 2015; Montavon et al., 2017).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ..errors import NotExplainable
from ..shapes import AnyTensor


@dataclass(frozen=True)
class OperationCall:
    """One operation as it happens: `compute(*inputs)` gives its value without changing anything.

    operation: `relu`, `conv`, `linear`, `sum`, `attention` or `softmax`. inputs: the tensors that
    carry the picture; that of a relu may be overwritten after it, so no rule keeps it. weight,
    bias: of a conv or linear. layer: the module that is running.
    """

    operation: str
    inputs: tuple[Tensor, ...]
    compute: Callable[..., Tensor]
    layer: str = ""
    weight: Tensor | None = None
    bias: Tensor | None = None
    linear: Callable[[Tensor, Tensor, Tensor | None], Tensor] | None = None
    attend: Callable[[], tuple[Tensor, Tensor]] | None = None


@runtime_checkable
class Rule(Protocol):
    """What `model.trace(rules=)` takes. inside: layers that it is limited to; empty means
    everywhere."""

    @property
    def operations(self) -> tuple[str, ...]: ...

    @property
    def inside(self) -> tuple[str, ...]: ...

    def run(self, call: OperationCall) -> AnyTensor: ...


def supported(rules: Sequence[Rule], precision: str) -> str:
    """Which network serves a pass under these rules, as `Engine.running` names it: the user's own,
    whose operations are as they were written; any equal one where only ReLUs are rewritten."""
    if not rules:
        return precision
    return "exact" if all(rule.operations == ("relu",) for rule in rules) else "user"


class _Rewritten(torch.autograd.Function):
    """Forward: the value of the call. Backward: `back(signal, kept)`, kept being what `keep` makes
    of the inputs and the value."""

    @staticmethod
    def forward(ctx: Any, call: OperationCall, back: Any, keep: Any, *inputs: Tensor) -> Tensor:
        value = call.compute(*inputs)
        ctx.back = back
        ctx.save_for_backward(*keep(inputs, value))
        return value

    @staticmethod
    def backward(ctx: Any, *signals: Tensor) -> tuple[Tensor | None, ...]:
        return (None, None, None, *ctx.back(signals[0], ctx.saved_tensors))


Tensors = tuple[Tensor, ...]


def rewritten(
    call: OperationCall,
    back: Callable[[AnyTensor, Tensors], Tensors],
    keep: Callable[[Tensors, AnyTensor], Tensors] = lambda inputs, value: inputs,
) -> AnyTensor:
    """The value of the call, whose backward hands `back(signal, kept)` to its inputs; kept: the
    inputs, or what `keep(inputs, value)` makes of them."""
    return _Rewritten.apply(call, back, keep, *call.inputs)


def _pullback(compute: Callable[..., Tensor], inputs: tuple[Tensor, ...], signal: Tensor):
    with torch.enable_grad():
        leaves = tuple(x.detach().requires_grad_() for x in inputs)
        return torch.autograd.grad(compute(*leaves), leaves, signal)


@dataclass(frozen=True)
class GuidedReLU:
    """Only positive signals pass back, and only where the unit was open.

    layers: the layer of every call that was rewritten, in order; empty where there was none.
    """

    operations: tuple[str, ...] = ("relu",)
    inside: tuple[str, ...] = ()
    layers: list[str] = field(default_factory=list, compare=False)

    def run(self, call: OperationCall) -> AnyTensor:
        self.layers.append(call.layer)

        def opened(inputs: Tensors, value: Tensor) -> Tensors:
            return ((value > 0) & (value == inputs[0]),)

        def back(signal: Tensor, kept: Tensors) -> Tensors:
            return (signal.clamp(min=0).mul_(kept[0]),)

        return rewritten(call, back, opened)


@dataclass(frozen=True)
class DeconvReLU:
    """Only positive signals pass back, whatever the unit's own sign. layers: as in `GuidedReLU`."""

    operations: tuple[str, ...] = ("relu",)
    inside: tuple[str, ...] = ()
    layers: list[str] = field(default_factory=list, compare=False)

    def run(self, call: OperationCall) -> AnyTensor:
        self.layers.append(call.layer)

        return rewritten(call, lambda signal, _: (signal.clamp(min=0),), lambda *_: ())


@dataclass(frozen=True)
class ZPlus:
    """Relevance of a conv or linear goes to positive contributions only, in proportion; biases get
    none.

    The value handed back is relevance, not gradient: it sums to what arrived, up to `stabiliser`.
    """

    operations: tuple[str, ...] = ("conv", "linear")
    inside: tuple[str, ...] = ()
    stabiliser: float = 1e-9

    def run(self, call: OperationCall) -> AnyTensor:
        assert call.linear is not None and call.weight is not None
        operate, weight = call.linear, call.weight

        def contribute(positive: Tensor, negative: Tensor) -> Tensor:
            up = operate(positive, weight.clamp(min=0), None)
            return up + operate(negative, weight.clamp(max=0), None)

        def back(signal: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            signs = inputs[0].clamp(min=0), inputs[0].clamp(max=0)
            total = contribute(*signs)
            shares = _pullback(contribute, signs, signal / (total + self.stabiliser))
            return (signs[0] * shares[0] + signs[1] * shares[1],)

        return rewritten(call, back)


@dataclass(frozen=True)
class Epsilon:
    """Relevance is shared in proportion to signed contributions, with `epsilon` against small sums.

    On a residual sum each branch gets the share that it added.
    """

    operations: tuple[str, ...] = ("conv", "linear", "sum")
    inside: tuple[str, ...] = ()
    epsilon: float = 1e-6

    def run(self, call: OperationCall) -> AnyTensor:
        def back(signal: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            value = call.compute(*inputs)
            ratio = signal / (value + self.epsilon * torch.where(value >= 0, 1.0, -1.0))
            return tuple(
                x * g for x, g in zip(inputs, _pullback(call.compute, inputs, ratio), strict=True)
            )

        return rewritten(call, back)


@dataclass(frozen=True)
class RecordAttention:
    """Opens fused attention and keeps the weights (batch, head, token, token) of every call, in
    order.

    Every softmax of at least three axes is recorded as it is: plain attention, its keys last, and
    what else there may be. The network's output does not change.
    """

    operations: tuple[str, ...] = ("attention", "softmax")
    inside: tuple[str, ...] = ()
    weights: list[tuple[str, Tensor]] = field(default_factory=list)

    def run(self, call: OperationCall) -> AnyTensor:
        if call.operation == "softmax":
            value = call.compute(*call.inputs)
            if value.ndim > 2:
                self.weights.append((call.layer, value))
            return value
        if call.attend is None:
            raise NotExplainable(f"the attention in {call.layer!r} cannot be opened here.")
        value, weights = call.attend()
        self.weights.append((call.layer, weights))
        return value
