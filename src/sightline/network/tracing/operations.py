"""Seeing operations as they happen: which calls are a ReLU, a conv, a sum, an attention, and what
they touch.

A torch-function mode sees functional, in-place and re-used calls alike and leaves nothing behind.
Two modes live here: `Rewriting` runs backward rules, `Repeating` lets one image's tensors meet its
copies.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ...ops.rules import OperationCall, Rule

_RELU: dict[Any, Callable[[Tensor], Tensor]] = {
    **dict.fromkeys(
        (F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu_), torch.relu
    ),
    **dict.fromkeys((F.relu6,), F.relu6),
}
_CLAMP = (torch.clamp, torch.clamp_, Tensor.clamp, Tensor.clamp_)
_CLAMP_MIN = (torch.clamp_min, torch.clamp_min_, Tensor.clamp_min, Tensor.clamp_min_)
_HARDTANH = (F.hardtanh, F.hardtanh_)  # what nn.ReLU6 calls
_CONV = (torch.conv1d, torch.conv2d, torch.conv3d)
_SUM = (torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__radd__, Tensor.__iadd__)
_SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax)
_IN_PLACE = {
    torch.relu_, Tensor.relu_, F.relu_, torch.clamp_, Tensor.clamp_, torch.clamp_min_,
    Tensor.clamp_min_, Tensor.add_, Tensor.__iadd__, F.hardtanh_,
}  # fmt: skip


class Rewriting(TorchFunctionMode):
    """Runs each operation that a rule claims through the rule; `where` says which module is
    running."""

    def __init__(self, rules: Sequence[Rule], where: Callable[[], str]) -> None:
        super().__init__()
        self.rules = rules
        self.where = where

    def __torch_function__(self, func, types, args=(), kwargs=None):  # pyright: ignore
        kwargs = kwargs or {}
        call = recognise(func, args, kwargs)
        if call is None:
            return func(*args, **kwargs)
        layer = self.where()
        for rule in self.rules:
            if call.operation in rule.operations and _within(layer, rule.inside):
                value = rule.run(_at(call, layer))
                if func is F.multi_head_attention_forward:
                    return value, None
                if func in _IN_PLACE or kwargs.get("inplace") or _positional_in_place(func, args):
                    return args[0].copy_(value)
                return value
        return func(*args, **kwargs)


def _positional_in_place(func: Any, args: tuple) -> bool:
    place = {F.relu: 1, F.relu6: 1, F.hardtanh: 3}.get(func)
    return place is not None and len(args) > place and args[place] is True


def _within(layer: str, inside: tuple[str, ...]) -> bool:
    return not inside or any(layer == name or layer.startswith(f"{name}.") for name in inside)


def _at(call: OperationCall, layer: str) -> OperationCall:
    return OperationCall(**{**call.__dict__, "layer": layer})


def recognise(func: Any, args: tuple, kwargs: dict[str, Any]) -> OperationCall | None:
    """The operation that this call is, or None for one that no rule speaks about.

    The input of a sum that the call overwrites is cloned, so that a rule may keep it.
    """
    if func in _RELU:
        return OperationCall("relu", (args[0] if args else kwargs["input"],), _RELU[func])
    if func in _CLAMP_MIN or func in _CLAMP or func in _HARDTANH:
        return _clamp(func, args, kwargs)
    if func in _CONV or func is F.linear:
        return _weighted(func, args, kwargs)
    if func in _SUM:
        return _sum(func, args, kwargs)
    if func in _SOFTMAX:
        rest, named = args[1:], {k: v for k, v in kwargs.items() if k != "_stacklevel"}
        return OperationCall("softmax", (args[0],), lambda x: torch.softmax(x, *rest[:1], **named))
    if func is F.scaled_dot_product_attention:
        return OperationCall(
            "attention",
            tuple(args[:3]),
            lambda q, k, v: func(q, k, v, *args[3:], **kwargs),
            attend=lambda: _attend(*args, **kwargs),
        )
    if func is F.multi_head_attention_forward:
        return _multi_head(func, args, kwargs)
    return None


def _clamp(func: Any, args: tuple, kwargs: dict[str, Any]) -> OperationCall | None:
    names, usual = ("min", "max"), (None, None)
    if func in _HARDTANH:
        names, usual = ("min_val", "max_val"), (-1.0, 1.0)
    low, high = (
        args[k] if len(args) > k else kwargs.get(name, default)
        for k, (name, default) in enumerate(zip(names, usual, strict=True), start=1)
    )
    high = None if func in _CLAMP_MIN else high
    if not isinstance(low, (int, float)) or low != 0 or isinstance(high, Tensor):
        return None
    source = args[0] if args else kwargs["input"]
    return OperationCall("relu", (source,), lambda x: torch.clamp(x, 0, high))


def _weighted(func: Any, args: tuple, kwargs: dict[str, Any]) -> OperationCall:
    names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    rest = {k: v for k, v in given.items() if k not in names[:3]}
    weight, bias = given["weight"], given.get("bias")
    return OperationCall(
        "linear" if func is F.linear else "conv",
        (given["input"],),
        lambda x: func(x, weight, bias, **rest),
        weight=weight,
        bias=bias,
        linear=lambda x, w, b: func(x, w, b, **rest),
    )


def _sum(func: Any, args: tuple, kwargs: dict[str, Any]) -> OperationCall | None:
    if len(args) != 2 or kwargs or not all(isinstance(a, Tensor) for a in args):
        return None
    left, right = args
    if left.shape != right.shape or any(isinstance(a, torch.nn.Parameter) for a in args):
        return None
    return OperationCall("sum", (left.clone() if func in _IN_PLACE else left, right), torch.add)


def _attend(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, **_):
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = query @ key.transpose(-2, -1) * scale
    if is_causal:
        scores = scores.masked_fill(torch.ones_like(scores).tril() == 0, -torch.inf)
    if attn_mask is not None:
        hidden = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -torch.inf) if hidden else scores + attn_mask
    weights = scores.softmax(-1)
    return weights @ value, weights


def _multi_head(func: Any, args: tuple, kwargs: dict[str, Any]) -> OperationCall:
    def attend() -> tuple[Tensor, Tensor]:
        named = {**kwargs, "need_weights": True, "average_attn_weights": False}
        value, weights = func(*args, **named)
        return value, weights

    return OperationCall(
        "attention", tuple(args[:3]), lambda *_: func(*args, **kwargs)[0], attend=attend
    )


_JOINS = {
    torch.cat, torch.concat, torch.concatenate, torch.stack, torch.bmm, torch.baddbmm, torch.hstack,
    Tensor.bmm, Tensor.baddbmm, Tensor.copy_, Tensor.__iadd__, Tensor.__imul__, Tensor.__isub__,
    Tensor.add_, Tensor.mul_, Tensor.sub_, Tensor.div_, torch.einsum,
    F.scaled_dot_product_attention, F.multi_head_attention_forward,
}  # fmt: skip
_WRITES = {
    Tensor.copy_, Tensor.__iadd__, Tensor.__imul__, Tensor.__isub__, Tensor.add_, Tensor.mul_,
    Tensor.sub_, Tensor.div_,
}  # fmt: skip


class Repeating(TorchFunctionMode):
    """Where one image's tensors (batch 1) meet its `copies`, they are repeated; never weights.

    Elementwise operations repeat a batch of 1 by themselves; the operations listed above do not.
    """

    def __init__(self, copies: int) -> None:
        super().__init__()
        self.copies = copies

    def __torch_function__(self, func, types, args=(), kwargs=None):  # pyright: ignore
        kwargs = kwargs or {}
        if func in _JOINS and self.copies > 1:
            tensors = [t for t in _flat((args, tuple(kwargs.values()))) if isinstance(t, Tensor)]
            if any(t.ndim > 1 and len(t) == self.copies for t in tensors):
                args = tuple(
                    self._repeat(a, func in _WRITES and i == 0) for i, a in enumerate(args)
                )
                kwargs = {k: self._repeat(v, False) for k, v in kwargs.items()}
        return func(*args, **kwargs)

    def _repeat(self, value: Any, written: bool) -> Any:
        if isinstance(value, (list, tuple)) and any(isinstance(v, Tensor) for v in value):
            return type(value)(self._repeat(v, False) for v in value)
        if not isinstance(value, Tensor) or isinstance(value, torch.nn.Parameter):
            return value
        if value.ndim < 2 or len(value) != 1:
            return value
        repeated = value.expand(self.copies, *value.shape[1:])
        return repeated.clone() if written else repeated


def _flat(values: Any) -> list[Any]:
    if isinstance(values, (list, tuple)):
        return [leaf for v in values for leaf in _flat(v)]
    return [values]
