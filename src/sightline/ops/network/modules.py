"""Small questions to a module: what is inside it, how many channels it eats, where it lives."""

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import nn

_Made = TypeVar("_Made")


class Recent(Generic[_Made]):
    """What was made of the last `count` modules, each remembered for itself and not for its equals.

    It keeps them alive; more would keep every network of a long session.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.pairs: list[tuple[nn.Module, _Made]] = []

    def made_of(self, module: nn.Module, make: Callable[[nn.Module], _Made]) -> _Made:
        """What was made of the module, or is made of it now."""
        others = [pair for pair in self.pairs if pair[0] is not module]
        found = next((made for known, made in self.pairs if known is module), None)
        made = make(module) if found is None else found
        self.pairs = [*others, (module, made)][-self.count :]
        return made


def unwrapped(module: nn.Module) -> nn.Module:
    """The network inside data parallelism and `torch.compile`, so that layers keep the user's
    names."""
    parallel = isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel))
    inside = module.module if parallel else getattr(module, "_orig_mod", module)
    return inside if inside is module else unwrapped(inside)


def channels_of(module: nn.Module) -> int:
    """Channels that the first convolution takes; 3 where there is none."""
    for part in module.modules():
        if isinstance(part, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            return part.in_channels
    return 3


def device_of(module: nn.Module) -> torch.device:
    """Where the first parameter lives; the CPU for a module without parameters."""
    return next((p.device for p in module.parameters()), torch.device("cpu"))
