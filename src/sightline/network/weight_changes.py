"""Noticing that a network is no longer what it was, fast enough to ask before every pass."""

from dataclasses import dataclass
from itertools import chain
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn

SAMPLES = 64  # values compared per tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Watch:
    """What a network was: its parts, hooks and weights, with 64 values of each tensor.

    Values are compared because writing through `.data` moves neither address nor version. A
    ResNet-50 takes 0.7 ms. It does not see a few values written through `.data` between the 64.
    """

    module: nn.Module
    holders: list[Any]  # the dictionaries of each module
    held: list[Any]  # what they hold
    tensors: list[Tensor]
    places: list[tuple[int, int]]  # data_ptr and _version
    views: list[list[Tensor]]  # by dtype and device, into the tensors' memory
    values: list[Tensor]

    @classmethod
    def over(cls, module: nn.Module) -> "Watch":
        """Remember `module` as it is now."""
        holders: list[Any] = []
        for part in module.modules():
            holders += [part._parameters, part._buffers, part._modules]
            holders += [part._forward_hooks, part._forward_pre_hooks]
        held = _contents(holders)
        tensors = [thing for thing in held if isinstance(thing, Tensor)]
        by_kind: dict[tuple[Any, ...], list[Tensor]] = {}
        for tensor in tensors:
            by_kind.setdefault((tensor.dtype, tensor.device), []).append(_sampled(tensor))
        views = list(by_kind.values())
        return cls(
            module=module,
            holders=holders,
            held=held,
            tensors=tensors,
            places=[_place(t) for t in tensors],
            views=views,
            values=[_bits(v) for v in views],
        )

    def unchanged(self, module: nn.Module) -> bool:
        """Whether `module` is the same network: the same parts, hooks and weights, in any mode."""
        held = _contents(self.holders)
        same = len(held) == len(self.held) and all(map(is_, held, self.held))
        if module is not self.module or not same or [*map(_place, self.tensors)] != self.places:
            return False
        now = map(_bits, self.views)
        return all(torch.equal(new, old) for new, old in zip(now, self.values, strict=True))


def _contents(holders: list[Any]) -> list[Any]:
    return list(chain.from_iterable(holder.values() for holder in holders))


def _place(tensor: Tensor) -> tuple[int, int]:
    return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version


def _sampled(tensor: Tensor) -> Tensor:
    """A view of up to 64 values spread over a tensor's memory."""
    axes = zip(tensor.shape, tensor.stride(), strict=True)
    span = 1 + sum((n - 1) * step for n, step in axes) if tensor.numel() else 0
    return tensor.detach().as_strided((min(span, SAMPLES),), (max(span // SAMPLES, 1),))


def _bits(views: list[Tensor]) -> Tensor:
    """Compared as bits, so that NaN equals itself."""
    return torch.cat(views).view(torch.uint8)
