"""TensorFlow's SAME padding for networks whose weights were trained with it.

At even sizes a 3x3 convolution of stride 2 is padded at the bottom and the right only. With
symmetric padding the same weights still run, but a pixel off at every stride, and lose accuracy.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import BadModel


class SamePadConv2d(nn.Conv2d):
    """A convolution whose output has ceil(size / stride) pixels; the odd one is padded last."""

    def forward(self, input: Tensor) -> Tensor:
        """The convolution of the padded maps."""
        rows, cols = (
            _padding(size, kernel, stride, dilation)
            for size, kernel, stride, dilation in zip(
                input.shape[-2:], self.kernel_size, self.stride, self.dilation, strict=True
            )
        )
        return super().forward(functional.pad(input, (*cols, *rows)))


def pad_same(module: nn.Module) -> list[str]:
    """Swap every strided convolution that overlaps itself for a `SamePadConv2d`; their names.

    Weights and names stay; a network that pads that way by itself has nothing to swap.
    """
    strided = [
        (name, part)
        for name, part in module.named_modules(remove_duplicate=False)
        if isinstance(part, nn.Conv2d)
        and not type(part).__name__.endswith("Same")
        and any(
            s > 1 and (k > s or part.padding not in ("valid", (0, 0)))
            for s, k in zip(part.stride, part.kernel_size, strict=True)
        )
    ]
    for name, part in strided:
        if type(part) is not nn.Conv2d or part.padding_mode != "zeros":
            raise BadModel(
                f"pad_type=same cannot replace layer {name}, a {type(part).__name__} with padding "
                f"mode {part.padding_mode}; expected a plain convolution. Leave pad_type out."
            )
        module.set_submodule(name, _same(part))
    return [name for name, _ in strided]


def _same(conv: nn.Conv2d) -> SamePadConv2d:
    made = SamePadConv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        0,
        conv.dilation,  # type: ignore[arg-type]
        conv.groups,
        conv.bias is not None,
        device=torch.device("meta"),
    )
    made.weight, made.bias = conv.weight, conv.bias
    return made.train(conv.training)


def _padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    reach = (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1
    missing = max(reach - size, 0)
    return missing // 2, missing - missing // 2
