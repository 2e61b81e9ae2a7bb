"""Folding batch-norms into convolutions: which pairs execution shows to be one operation, and how.

A pair counts where the norm receives the convolution's own tensor, nothing else uses that tensor or
the weights, and both ran once. A folded norm passes its input on and keeps what it does beside
normalising, so reading its layer still gives the right maps.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.utils._python_dispatch import TorchDispatchMode

TOLERANCE = 1e-4  # of the standard deviation
_PLAIN = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A convolution and the norm that alone receives its output.

    unreadable: all layers that return that output, so that mean something else once it is folded.
    """

    conv: str
    norm: str
    unreadable: tuple[str, ...]


def pairs(
    network: nn.Module, run: Callable[[], Any], foreign: frozenset[int] = frozenset()
) -> tuple[list[Pair], bool]:
    """The pairs that may be folded, and whether `network` used a tensor whose `id` is in `foreign`.

    run: runs the network once, in evaluation mode, without gradients.
    """
    study = _Study(network)
    handles: list[Any] = []
    for module in study.names:
        if not isinstance(module, torch.jit.ScriptModule):
            handles.append(module.register_forward_pre_hook(study.enter))
            handles.append(module.register_forward_hook(study.leave))
    try:
        with study:
            run()
    except Exception:  # an operation that cannot be watched: nothing is folded
        return [], False
    finally:
        for handle in handles:
            handle.remove()
    return study.chosen(), not foreign.isdisjoint(study.uses)


def fold(network: nn.Module, pair: Pair) -> None:
    """Put the norm's scale and shift into the convolution; the norm keeps name and activation."""
    conv, norm = network.get_submodule(pair.conv), network.get_submodule(pair.norm)
    weight, bias = _weight_and_bias(conv)
    scale, shift = _scale_and_shift(norm)
    shift = shift if bias is None else shift + scale * bias.double()
    scaled = weight.double() * _along(scale, weight)
    conv._parameters["weight"] = nn.Parameter(scaled.to(weight), requires_grad=False)
    conv._parameters["bias"] = nn.Parameter(shift.to(weight), requires_grad=False)
    norm.forward = partial(_after_norm, norm)


def build(module: nn.Module) -> tuple[Any, ...]:
    """What pairs depend on: equal for networks that differ in their weights alone."""
    return tuple(
        (name, type(part), len(part._forward_hooks), len(part._forward_pre_hooks))
        for name, part in module.named_modules()
    )


def difference(wanted: Tensor, got: Tensor) -> float:
    """The largest deviation, in standard deviations of `wanted`; infinite for NaN."""
    wanted, got = wanted.detach().double(), got.detach().double()
    if wanted.shape != got.shape or not bool(wanted.isfinite().all()):
        return float("inf")
    spread = wanted.std() if wanted.numel() > 1 else wanted.abs().max()
    return float((got - wanted).abs().max() / spread.clamp_min(torch.finfo(torch.float32).tiny))


class _Study(TorchDispatchMode):
    """Watches one run: which convolution's tensor reaches which norm, and who else uses it."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch's default, True, makes the first operation import its compiler: seconds."""
        return False

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.names = {module: name for name, module in network.named_modules()}
        hooked = {m for m in self.names if m._forward_hooks or m._forward_pre_hooks}
        self.convs = {m for m in self.names if _is_convolution(m)} - hooked
        self.norms = {m for m in self.names if _is_norm(m)} - hooked
        self.uses: dict[int, int] = {}  # by id of a tensor
        self.before: list[dict[int, int]] = []
        self.held: list[Tensor] = []  # keeps the ids unique
        self.made: dict[int, tuple[nn.Module, int]] = {}  # a convolution's output: by whom, version
        self.returned_by: dict[int, list[str]] = {}
        self.calls: dict[nn.Module, int] = {}
        self.found: list[tuple[nn.Module, nn.Module, Tensor]] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        for value in (*args, *(kwargs or {}).values()):
            for tensor in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(tensor, Tensor):
                    self.uses[id(tensor)] = self.uses.get(id(tensor), 0) + 1
        return function(*args, **(kwargs or {}))

    def enter(self, module: nn.Module, inputs: Any) -> None:
        own = _tensors(module) if module in self.convs | self.norms else []
        received = inputs[:1] if module in self.norms else ()
        self.before.append({id(t): self.uses.get(id(t), 0) for t in (*own, *received)})

    def leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        before = self.before.pop()
        self.calls[module] = self.calls.get(module, 0) + 1
        if isinstance(output, Tensor):
            self.held.append(output)
            self.returned_by.setdefault(id(output), []).append(self.names[module])
            if module in self.convs and _uses_weight_as_it_is(module, inputs, output):
                self.made[id(output)] = module, output._version
                self.uses[id(output)] = 0  # a freed tensor may have had this id
            elif module in self.norms and inputs and id(inputs[0]) in self.made:
                self.pair(module, inputs[0], output)
        self.uses.update(before)  # what a module does with its own tensors is its own affair

    def pair(self, norm: nn.Module, between: Tensor, output: Tensor) -> None:
        conv, version = self.made[id(between)]
        if version == between._version and _is_affine(norm, between, output):
            self.found.append((conv, norm, between))

    def chosen(self) -> list[Pair]:
        """Both called once; the tensor between them and their weights not used elsewhere."""
        pairs = []
        for conv, norm, between in self.found:
            own = (between, *_tensors(conv), *_tensors(norm))
            once = self.calls[conv] == self.calls[norm] == 1
            if once and not any(self.uses.get(id(t)) for t in own):
                unreadable = tuple(self.returned_by[id(between)])
                pairs.append(
                    Pair(conv=self.names[conv], norm=self.names[norm], unreadable=unreadable)
                )
        return pairs


def _tensors(module: nn.Module) -> list[Tensor]:
    held = (*module._parameters.values(), *module._buffers.values())
    return [tensor for tensor in held if tensor is not None]


def _is_convolution(module: nn.Module) -> bool:
    if not isinstance(module, _ConvNd) or isinstance(module, _ConvTransposeNd):
        return False
    return module._parameters.get("weight") is not None and "bias" in module._parameters


def _is_norm(module: nn.Module) -> bool:
    buffers = module._buffers
    statistics = buffers.get("running_mean"), buffers.get("running_var")
    return None not in statistics and "eps" in module.__dict__


def _weight_and_bias(conv: nn.Module) -> tuple[Tensor, Tensor | None]:
    weight = conv._parameters["weight"]
    assert weight is not None
    return weight, conv._parameters["bias"]


def _scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """A batch-norm in evaluation mode as `scale * x + shift`, float64."""
    held = {**norm._buffers, **norm._parameters}  # frozen norms keep all in buffers
    mean, variance = held["running_mean"], held["running_var"]
    assert mean is not None and variance is not None
    scale = (variance.double() + norm.__dict__["eps"]).rsqrt()
    if (weight := held.get("weight")) is not None:
        scale = scale * weight.double()
    shift = -mean.double() * scale
    return scale, shift if (bias := held.get("bias")) is None else shift + bias.double()


def _along(values: Tensor, like: Tensor, axis: int = 0) -> Tensor:
    return values.view(*[1] * axis, -1, *[1] * (like.ndim - axis - 1))


def _after_norm(norm: nn.Module, x: Tensor) -> Tensor:
    """What a norm does beside normalising: its children in turn (timm keeps activations there)."""
    for child in norm.children():
        x = child(x)
    return x


def _uses_weight_as_it_is(conv: nn.Module, inputs: Any, output: Tensor) -> bool:
    """False for a weight standardised in `forward`: a filter's scale does not reach its output."""
    if type(conv) in _PLAIN and "forward" not in conv.__dict__:
        return True
    own = dict(conv._parameters)
    weight, bias = _weight_and_bias(conv)
    scale = torch.linspace(0.5, 2.0, len(weight), dtype=weight.dtype, device=weight.device)
    try:
        conv._parameters["weight"] = nn.Parameter(weight * _along(scale, weight), False)
        conv._parameters["bias"] = None if bias is None else nn.Parameter(bias * scale, False)
        got = conv.forward(*inputs)
    finally:
        conv._parameters.update(own)
    return difference(output * _along(scale, output, 1), got) < TOLERANCE


def _is_affine(norm: nn.Module, x: Tensor, output: Tensor) -> bool:
    """Whether a module with running statistics normalises by them, then does as its children."""
    scale, shift = (_along(v, x, 1).to(x) for v in _scale_and_shift(norm))
    return difference(output, _after_norm(norm, x * scale + shift)) < TOLERANCE
