"""Operations that can run on boxes of a map: what a change of their inputs reaches, and how to run
them there.

Known are elementwise operations, those along channels, convolutions, pooling with fixed kernels and
padding. Whatever mixes all places (attention, squeeze-excite, group norm, a `view`) is not local.
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from .map_boxes import Boxes, Reach
from .tape import Batch, Ref, Step, leaves

Shapes = Mapping[int, tuple[int, ...]]

_ELEMENTWISE = {
    "aten._to_copy", "aten.alias", "aten.clone", "aten.detach", "aten.elu", "aten.elu_",
    "aten.hardswish", "aten.hardswish_", "aten.hardtanh", "aten.hardtanh_", "aten.leaky_relu",
    "aten.leaky_relu_", "aten.relu6",
}  # fmt: skip
_ALONG_CHANNELS = {"aten.cat": 1, "aten.split": 2, "aten.split_with_sizes": 2, "aten.slice": 1}
_NORMS = {"aten.native_batch_norm": 5, "aten._native_batch_norm_legit_no_training": None}


@dataclass(frozen=True, kw_only=True)
class Local:
    """How a step runs on boxes.

    boxes: of what it makes. reaches: rows and columns of a sliding window; None where output and
    input boxes are the same. fill: what lies beyond the border of the map. run: (function,
    arguments) -> result, on inputs with their halo; None: as recorded.
    """

    boxes: Boxes
    reaches: tuple[Reach, Reach] | None = None
    fill: float = 0.0
    run: Callable[[Any, tuple, dict[str, Any]], Any] | None = None

    @property
    def halo(self) -> bool:
        """Whether the step sees inputs outside of the boxes of its outputs."""
        return self.reaches is not None and any(
            r != Reach(kernel=1, stride=1, padding=0, dilation=r.dilation) for r in self.reaches
        )


def localised(
    step: Step, boxes: Mapping[int, Boxes], fixed: Container[int], shapes: Shapes
) -> Local | None:
    """How `step` runs on boxes, None where it cannot: its inputs are whole, or it is not local.

    boxes: of the tensors that have some. fixed: the tensors that do not depend on the images.
    shapes: of all tensors, for a batch of two.
    """
    changed = [n for n in dict.fromkeys(step.uses) if n not in fixed]
    follows_batch = any(isinstance(v, Batch) for v in leaves((step.args, step.kwargs)))
    if not changed or follows_batch or any(n not in boxes for n in changed):
        return None
    first = changed[0]
    if step.name in _SLIDING:
        given = step.args[0]
        known = isinstance(given, Ref) and given.index == first and changed == [first]
        return _SLIDING[step.name](step, boxes[first], shapes) if known else None
    if not _spatially_equal(step, boxes, shapes):
        return None
    found = boxes[first]
    for other in changed[1:]:
        found = found.hull(boxes[other])
    return Local(boxes=found)


def _spatially_equal(step: Step, boxes: Mapping[int, Boxes], shapes: Shapes) -> bool:
    """Whether every place of the output depends on the same place of the inputs alone."""
    if step.name in _ALONG_CHANNELS:
        at = _ALONG_CHANNELS[step.name]
        axis = step.args[at] if len(step.args) > at else step.kwargs.get("dim", 0)
        if axis not in (1, -3):
            return False
    elif step.name in _NORMS:
        at = _NORMS[step.name]
        return isinstance(step.args[0], Ref) and (at is None or step.args[at] is False)
    elif torch.Tag.pointwise not in step.function.tags and step.name not in _ELEMENTWISE:
        return False
    places = {shapes[n][2:] for n in step.uses if n in boxes}
    fixed = [shapes[n] for n in step.uses if n not in boxes]
    if len(places) != 1 or any(len(s) > 4 or any(n != 1 for n in s[-2:]) for s in fixed):
        return False
    return all(len(s) == 4 and {s[2:]} == places for s in step.shapes)


def _slid(
    step: Step, boxes: Boxes, reaches: list[Reach], fill: float, run: Callable[..., Any]
) -> Local:
    rows = reaches[0].outputs(boxes.rows, step.shapes[0][2])
    cols = reaches[1].outputs(boxes.cols, step.shapes[0][3])
    made = boxes.on(rows, cols)
    return Local(boxes=made, reaches=(reaches[0], reaches[1]), fill=fill, run=run)


def _convolution(step: Step, boxes: Boxes, shapes: Shapes) -> Local | None:
    _, weight, _, stride, padding, dilation, transposed, *_ = step.args
    if transposed or len(step.shapes[0]) != 4 or not isinstance(weight, Ref):
        return None
    pairs = zip(_two(stride), _two(padding), _two(dilation), strict=True)
    reaches = [
        Reach(kernel=shapes[weight.index][2 + i], stride=s, padding=p, dilation=d)
        for i, (s, p, d) in enumerate(pairs)
    ]

    def run(function: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        return function(*args[:4], [0, 0], *args[5:], **kwargs)

    return _slid(step, boxes, reaches, 0.0, run)


def _max_pool(step: Step, boxes: Boxes, shapes: Shapes) -> Local | None:
    named = _named(step, ("input", "kernel", "stride", "padding", "dilation", "ceil"))
    kernel = _two(named["kernel"])
    stride, dilation = _two(named.get("stride") or kernel), _two(named.get("dilation", 1))
    padding = _two(named.get("padding", 0))
    reaches = [
        Reach(kernel=kernel[i], stride=stride[i], padding=padding[i], dilation=dilation[i])
        for i in range(2)
    ]

    def run(function: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        return function(args[0], kernel, stride, [0, 0], dilation, False)

    return _slid(step, boxes, reaches, -torch.inf, run)


def _avg_pool(step: Step, boxes: Boxes, shapes: Shapes) -> Local | None:
    names = ("input", "kernel", "stride", "padding", "ceil", "counted", "divisor")
    named = _named(step, names)
    kernel, padding = _two(named["kernel"]), _two(named.get("padding", 0))
    stride = _two(named.get("stride") or kernel)
    given = shapes[step.uses[0]][2:]
    inside = all(
        (step.shapes[0][2 + i] - 1) * stride[i] + kernel[i] <= given[i] + 2 * padding[i]
        for i in range(2)
    )
    if not inside or (any(padding) and not named.get("counted", True)):
        return None
    reaches = [Reach(kernel=kernel[i], stride=stride[i], padding=padding[i]) for i in range(2)]
    divisor = named.get("divisor")

    def run(function: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        return function(args[0], kernel, stride, [0, 0], False, True, divisor)

    return _slid(step, boxes, reaches, 0.0, run)


def _pad(step: Step, boxes: Boxes, shapes: Shapes) -> Local | None:
    """The boxes stay what they are: nothing of the border changes."""
    sides = [*step.args[1], 0, 0, 0, 0][:4]
    if len(step.args[1]) > 4 or min(sides) < 0 or len(step.shapes[0]) != 4:
        return None
    rows = boxes.rows.moved(sides[2], step.shapes[0][2])
    cols = boxes.cols.moved(sides[0], step.shapes[0][3])

    def run(function: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        return args[0]

    return Local(boxes=boxes.on(rows, cols), run=run)


_SLIDING: dict[str, Callable[[Step, Boxes, Shapes], Local | None]] = {
    "aten.convolution": _convolution,
    "aten.max_pool2d_with_indices": _max_pool,
    "aten.avg_pool2d": _avg_pool,
    "aten.constant_pad_nd": _pad,
}


def _two(value: Any) -> list[int]:
    both = [value] if isinstance(value, int) else list(value)
    return both * 2 if len(both) == 1 else both


def _named(step: Step, names: tuple[str, ...]) -> dict[str, Any]:
    return dict(zip(names, step.args, strict=False))
