"""Gradients of the picture under another rule for ReLUs, refused where the rule met no ReLU."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...errors import NotExplainable
from ...model import Model
from ...network.trace import Trace
from ...ops.rules import DeconvReLU, GuidedReLU
from ...target import Target

AT_ONCE = 8  # as fast as 16 on a CPU, with half the units in memory


def gradients_under_rule(
    model: Model,
    images: Tensor,
    rule: GuidedReLU | DeconvReLU,
    score: Callable[[Trace], Tensor],
    reads: tuple[str, ...],
) -> Tensor:
    """What `rule` hands back to the pictures from `score` of a pass that recorded `reads` too.

    Raises: NotExplainable where the network has no ReLU: the rule would change nothing, and the
    result would be the plain gradient under another name.
    """
    found = []
    with torch.enable_grad():
        for rows in torch.arange(len(images), device="cpu").split(
            min(model.chunk(images, len(images)), AT_ONCE)
        ):
            part = images[rows[0] : rows[-1] + 1]
            trace = model.trace(part, read=("input", *reads), rules=(rule,), rows=rows)
            if not rule.layers:
                raise NotExplainable(
                    f"{model.name} has no ReLU, and this method changes the gradient of ReLUs"
                    " only (not of GELU, SiLU or tanh). Use gradient, smooth-grad or"
                    " integrated-gradients."
                )
            found.append(trace.grad(score(trace), "input", last=True).float())
    return torch.cat(found)


def target_score(target: Target) -> Callable[[Trace], Tensor]:
    """The target's value as the score of a pass."""
    return lambda trace: target.score(trace)
