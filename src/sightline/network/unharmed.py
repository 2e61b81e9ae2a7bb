"""Borrowing a network: whatever is done to it inside, it comes back as it was, also after an
exception.
"""

import hashlib
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import BadModel

_OWN = frozenset(nn.Module().__dict__)


@contextmanager
def unharmed(module: nn.Module) -> Iterator[None]:
    """Evaluation mode and frozen weights inside; mode, buffers, attributes and random states come
    back after.

    The mode is set on each module without calling `eval()`, because adapters merge weights there.
    Caches in plain dictionaries and lists count as attributes: some networks keep for ever what
    they computed in evaluation mode.
    """
    parts = list(module.modules())
    modes = [part.training for part in parts]
    weights = [p for p in module.parameters() if p.requires_grad]
    attributes = [_attributes(part) for part in parts]
    buffers = [_buffers(part) for part in parts]
    states = _random_states(module)
    try:
        for part in parts:
            part.training = False
        for weight in weights:
            weight.requires_grad_(False)
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)
        for i, part in enumerate(parts):
            part.training = modes[i]
            _restore_attributes(part, attributes[i])
            _restore_buffers(part, buffers[i])
        _set_random_states(states)


def _attributes(part: nn.Module) -> dict[str, tuple[Any, Any]]:
    """Each attribute that is not PyTorch's own and, for a dictionary, list or set, what is in
    it.
    """
    return {
        name: (value, type(value)(value) if type(value) in (dict, list, set) else None)
        for name, value in part.__dict__.items()
        if name not in _OWN
    }


def _restore_attributes(part: nn.Module, attributes: dict[str, tuple[Any, Any]]) -> None:
    own = part.__dict__
    for name in [n for n in own if n not in attributes and n not in _OWN]:
        del own[name]
    for name, (value, inside) in attributes.items():
        if own.get(name) is not value:
            own[name] = value
        if isinstance(inside, list):
            value[:] = inside
        elif inside is not None:
            value.clear()
            value.update(inside)


def _buffers(part: nn.Module) -> dict[str, tuple[Tensor | None, int, Tensor | None]]:
    return {
        name: (None, 0, None) if b is None else (b, _version(b), b.detach().clone())
        for name, b in part._buffers.items()
    }


def _restore_buffers(
    part: nn.Module, buffers: dict[str, tuple[Tensor | None, int, Tensor | None]]
) -> None:
    now = dict(part._buffers.items())  # a scripted module's has no other methods
    for name in now.keys() - buffers.keys():
        delattr(part, name)
    for name, (buffer, version, copy) in buffers.items():
        if buffer is not None and copy is not None and _version(buffer) != version:
            with torch.no_grad():
                buffer.copy_(copy)
        if now.get(name) is not buffer and not isinstance(part, torch.jit.ScriptModule):
            part._buffers[name] = buffer


def _version(buffer: Tensor) -> int:
    return 0 if buffer.is_inference() else buffer._version


def _random_states(module: nn.Module) -> tuple[Any, ...]:
    devices = {p.device for p in module.parameters() if p.device.type == "cuda"}
    cuda = [(device, torch.cuda.get_rng_state(device)) for device in devices]
    return torch.get_rng_state(), cuda, random.getstate(), np.random.get_state()


def _set_random_states(states: tuple[Any, ...]) -> None:
    torch.set_rng_state(states[0])
    for device, state in states[1]:
        torch.cuda.set_rng_state(state, device)
    random.setstate(states[2])
    np.random.set_state(states[3])


def scores_in(returned: Any) -> Tensor:
    """The scores in what a network returns: a tensor, the first tensor of a sequence, or an entry
    `logits`.

    Raises: BadModel where there is no tensor.
    """
    if isinstance(returned, Tensor):
        return returned
    if isinstance(returned, Mapping):
        named = returned.get("logits")
        returned = [named] if isinstance(named, Tensor) else list(returned.values())
    elif not isinstance(returned, (list, tuple)):
        returned = [getattr(returned, "logits", None)]
    for value in returned:
        if isinstance(value, (Tensor, Mapping, list, tuple)):
            return scores_in(value)
    raise BadModel(
        "the network returns no tensor of scores; pass `output=`, a function that"
        " selects the scores."
    )


def digest(module: nn.Module) -> str:
    """A fingerprint of all weights and buffers, 16 hexadecimal digits."""
    found = hashlib.sha256()
    for name, value in module.state_dict().items():
        if isinstance(value, Tensor):
            found.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
            found.update(
                value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
            )
    return found.hexdigest()[:16]
