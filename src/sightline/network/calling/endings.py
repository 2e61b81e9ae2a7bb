"""What the last steps of a network say about its output: scores, probabilities or features.

The autograd graph is followed back from the output through steps that only move, pool or add up
numbers. A linear layer or a convolution there makes scores of classes, a softmax or a sigmoid makes
probabilities; a sum of branches or a layer norm is what a backbone without its classifier ends in.
"""

import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor

_SHAPES = (
    "View", "UnsafeView", "Reshape", "Squeeze", "Unsqueeze", "Select", "Slice", "T", "Transpose",
    "Permute", "Expand", "Clone", "Copy", "ToCopy", "CopySlices", "Alias", "AsStrided", "Index",
    "Gather", "Cat", "Stack", "Unbind", "Split", "Contiguous",
)  # fmt: skip
_POOLS = (
    "Mean", "Sum", "AvgPool", "AdaptiveAvgPool", "MkldnnAdaptiveAvgPool", "MaxPool", "Amax", "Max",
    "AdaptiveMaxPool", "UpsampleBilinear", "UpsampleNearest", "UpsampleBicubic", "NativeDropout",
    "FusedDropout", "Logsumexp",
)  # fmt: skip
_SUMS = ("Add", "Sub")
_SCALES = ("Mul", "Div", "Rsub", "Neg", "Pow", "Sqrt")
_LINEAR = ("Addmm", "Mm", "Bmm", "Baddbmm", "Mv", "Addmv", "Dot", "Addbmm", "Linear", "Convolution",
           "MkldnnConvolution", "CudnnConvolution", "ThnnConv", "SlowConv")  # fmt: skip
_BOUNDED = ("Softmax", "Sigmoid", "Hardsigmoid", "Tanh", "Exp", "Erf")
_ACTIVATIONS = ("Relu", "Hardtanh", "Hardswish", "Silu", "Gelu", "Elu", "LeakyRelu", "Threshold",
                "Clamp", "Mish", "Prelu")  # fmt: skip
_LAYER_NORMS = ("NativeLayerNorm", "NativeGroupNorm", "FusedRmsNorm")
_DEEPEST = 200  # steps that are followed


def is_bounded(scores: Tensor) -> bool:
    """Whether all that the output is made of went through a softmax, a sigmoid or their like, with
    no weights behind it."""
    ends = _ends(scores.grad_fn, (*_SHAPES, *_POOLS, *_SUMS, *_SCALES))
    kinds = [_kind(node) for node in ends]
    return bool(kinds) and all(kind in _BOUNDED for kind in kinds)


def is_hidden(scores: Tensor) -> bool:
    """Whether there is no graph to read: a black box, or a scripted network."""
    return scores.grad_fn is None or any(
        "Graph" in _kind(node) for node in _ends(scores.grad_fn, _SHAPES)
    )


def is_linear(scores: Tensor) -> bool:
    """Whether scores come from linear layers or convolutions, through pooling at most."""
    kinds = [_kind(n) for n in _ends(scores.grad_fn, (*_SHAPES, *_POOLS, *_SUMS, "Mul", "Div"))]
    return bool(kinds) and all(kind in _LINEAR for kind in kinds)


def is_backbone(scores: Tensor) -> bool:
    """Whether the output is what a block of a backbone ends in: a layer norm, or a sum of branches
    of which one is no linear layer, with or without an activation behind it."""
    through = (*_SHAPES, *_POOLS)
    for node in _ends(scores.grad_fn, through):
        kind = _kind(node)
        if kind in _LAYER_NORMS:
            return True
        inner = [node] if kind not in _ACTIVATIONS else list(_ends(_first(node), through))
        for each in inner:
            if each is not None and _kind(each) in _SUMS and len(_inputs(each)) > 1:
                kinds = [_kind(n) for n in _ends(each, (*through, *_SUMS))]
                if not all(k in _LINEAR for k in kinds):
                    return True
    return False


def _ends(node: Any, through: tuple[str, ...]) -> Iterator[Any]:  # Any: autograd nodes are untyped
    """The first nodes, from the output backwards, that are not of these kinds."""
    waiting, seen = [node] if node is not None else [], set()
    while waiting and len(seen) < _DEEPEST:
        here = waiting.pop()
        if here in seen:
            continue
        seen.add(here)
        if _kind(here) in through:
            waiting += _inputs(here)
        elif _kind(here) != "AccumulateGrad":
            yield here


def _inputs(node: Any) -> list[Any]:
    return [step for step, _ in node.next_functions if step is not None]


def _first(node: Any) -> Any:
    return next(iter(_inputs(node)), None)


def _kind(node: Any) -> str:
    """The operation of a node: `AdaptiveAvgPool` of `AdaptiveAvgPool2DBackward0`."""
    name = node.name().split("Backward")[0].split("::")[-1].lstrip("_")
    return re.split(r"\d", name, maxsplit=1)[0]
