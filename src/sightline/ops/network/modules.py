"""Small questions to a module: what is inside it, how many channels it eats, where it lives."""

import torch
from torch import nn


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
