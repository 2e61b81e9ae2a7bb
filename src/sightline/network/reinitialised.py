"""Randomised weights: what a network's parameters would be without training.

Each layer's own initialiser draws where it has one. What it sets to a constant (scales and shifts
of norms, biases) is drawn normally around that constant, with the deviation that it had, at most
0.1; what no initialiser covers (class tokens, position embeddings, layer scales) normally with its
own mean and deviation. Each layer and each such tensor has a stream of its own, from (seed, name).
The network given is read only.
"""

from collections.abc import Iterator
from copy import deepcopy

import torch
from torch import Tensor, nn

from ..ops.noise import generator

STATISTICS = {"running_mean": 0.0, "running_var": 1.0}
LEAST = 0.02  # deviation for parameters that were all equal
MOST = 0.1  # around an initialiser's constant: more, and rectifiers behind a norm go dead


def weighted_layers(module: nn.Module) -> list[str]:
    """Names of the modules that have parameters of their own, from the output back: the order in
    which they were registered, reversed. The network itself is ""."""
    seen: set[int] = set()
    found = []
    for name, part in module.named_modules():
        own = {id(p) for _, p in _own(part)} - seen
        if own:
            found.append(name)
        seen |= own
    return found[::-1]


def redrawn(module: nn.Module, seed: int, statistics: bool) -> dict[str, dict[str, Tensor]]:
    """New values for every parameter: layer name -> parameter name -> tensor; with `statistics`
    also running means 0 and variances 1."""
    twin = deepcopy(module).cpu()
    found: dict[str, dict[str, Tensor]] = {}
    for name, part in twin.named_modules():
        before = {key: value.detach().clone() for key, value in _own(part)}
        _reset(part, seed, name)
        values = {}
        for key, value in _own(part):
            values[key] = _drawn(value.detach().clone(), before[key], seed, f"{name}.{key}")
        if statistics:
            for key, buffer in part._buffers.items():
                if buffer is not None and key in STATISTICS:
                    values[key] = torch.full_like(buffer, STATISTICS[key])
        if values:
            found[name] = values
    return found


def put(module: nn.Module, values: dict[str, dict[str, Tensor]], layers: list[str]) -> None:
    """Write the values of some layers into a network, in place."""
    with torch.no_grad():
        for name in layers:
            part = module.get_submodule(name)
            for key, value in values[name].items():
                held = part._parameters.get(key)
                held = part._buffers[key] if held is None else held
                if held is not None:
                    held.copy_(value)


def tensors_of(module: nn.Module) -> dict[str, dict[str, Tensor]]:
    """A copy of what `redrawn` draws, as it is now."""
    found = {}
    for name, part in module.named_modules():
        values = {key: value.detach().clone() for key, value in _own(part)}
        values |= {
            key: value.clone()
            for key, value in part._buffers.items()
            if value is not None and key in STATISTICS
        }
        if values:
            found[name] = values
    return found


def _own(part: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for key, value in part._parameters.items():
        if value is not None and value.is_floating_point():
            yield key, value


def _reset(part: nn.Module, seed: int, name: str) -> None:
    reset = getattr(part, "reset_parameters", None) or getattr(part, "_reset_parameters", None)
    if not callable(reset) or not any(True for _ in _own(part)):
        return
    state = torch.get_rng_state()
    try:
        torch.default_generator.set_state(generator(seed, name).get_state())
        with torch.no_grad():
            reset()
    except (RuntimeError, TypeError, ValueError, AttributeError):  # a user's own; drawn below
        pass
    finally:
        torch.set_rng_state(state)


def _drawn(fresh: Tensor, trained: Tensor, seed: int, name: str) -> Tensor:
    """What the initialiser drew, or a draw where it drew nothing."""
    constant = bool((fresh == fresh.flatten()[0]).all())
    untouched = torch.equal(fresh, trained)
    if not constant and not untouched:
        return fresh
    values = trained.double()
    spread = float(values.std(correction=0)) or LEAST
    centre = values.mean()
    if not untouched:
        centre, spread = fresh.double().mean(), min(spread, MOST)
    noise = torch.randn(
        values.shape, generator=generator(seed, name), dtype=torch.float64, device="cpu"
    )
    return (centre + spread * noise).to(trained.dtype)
