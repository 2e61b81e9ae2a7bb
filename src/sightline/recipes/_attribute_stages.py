"""A backbone cut in two: a front that stays as it is and runs once, and a back that learns."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..errors import BadModel
from ..nets.attributes import AttributeNet


class Still(nn.Sequential):
    """Layers that learn while their batch statistics and dropout stay as in evaluation: folded
    weights, and few pictures, bear nothing else.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__(inner)
        self.eval()

    def train(self, mode: bool = True) -> "Still":
        super().train(False)
        return self


def front_and_back(
    net: AttributeNet, tune: int, example: Tensor
) -> tuple[nn.Sequential, nn.Sequential]:
    """The backbone up to the layer that the heads read, as two chains of stages, the second with
    the last `tune` of them. example: two pictures, normalised: the chain must do as the network.

    Raises: BadModel for a backbone that is no chain of stages, or has fewer.
    """
    net.eval()
    with torch.no_grad():
        wanted = net.spatial(example)
        for stages in _chains(net.backbone):
            count = _reached(stages, example, wanted)
            if count is None:
                continue
            if not 0 <= tune <= count:
                raise BadModel(f"tune={tune}: the backbone has {count} stages before its heads.")
            cut = count - tune
            return nn.Sequential(*stages[:cut]), nn.Sequential(*stages[cut:count])
    raise BadModel(
        "the backbone is not a chain of stages that can be cut; leave `tune` out to train all"
        " of it, or train only a head."
    )


def _chains(backbone: nn.Module) -> Iterator[list[nn.Module]]:
    for owner in (backbone, *backbone.children()):
        yield [stage for child in owner.children() for stage in _unrolled(child)]


def _unrolled(stage: nn.Module) -> list[nn.Module]:
    """The steps of a plain chain, in depth; any other module as one."""
    if type(stage) is not nn.Sequential:
        return [stage]
    return [step for child in stage.children() for step in _unrolled(child)]


def _reached(stages: list[nn.Module], example: Tensor, wanted: Tensor) -> int | None:
    """After how many stages the example has become what is wanted."""
    value = example
    for k, stage in enumerate(stages):
        try:
            value = stage(value)
        except (RuntimeError, TypeError, ValueError, NotImplementedError):
            return None
        same = isinstance(value, Tensor) and value.shape == wanted.shape
        if same and torch.allclose(value, wanted, rtol=1e-3, atol=1e-4):
            return k + 1
    return None
