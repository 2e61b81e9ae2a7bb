"""No explainer's answer may hang on how a processor adds up: the registry under other kernels.

What is kept beside it is the same network and the same pictures with other kernels: alone and among
strangers, channels last, two threads, without oneDNN; and, for kernels that are not here, pictures
and weights that are off by a millionth of themselves.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from kernels import rounded_otherwise, threads, without_onednn
from refusals import REFUSED
from sameness import assert_same, told
from sightline import Model, available
from sightline.explainer import Explainer
from sightline.explanation import Explanation, Heatmap
from sightline.worlds.miniatures import MINIATURES
from tiny import tiny

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*(no evidence for the target is pos|no step lowered)"),
    pytest.mark.filterwarnings("ignore:.*maps with negative values"),
    pytest.mark.usefixtures("learned_parts"),
]

KINDS = ("pooled-cnn", "token-net", "channels-last")
OFF = 1e-6
APART = 2e-4  # of a picture's largest value: what an error of OFF may become

VARIANTS: dict[str, dict[str, Any]] = {"igos++ nesterov": {"optimiser": "nesterov"}}
SEARCHING = ("igos", "igos++", "igos++ nesterov", "iterative-saliency", "meaningful-perturbation")


@dataclass(frozen=True)
class Other:
    """Another way to compute the same. strangers: other pictures of the batch; weights: by which
    share of themselves they are off.
    """

    images: Callable[[Tensor], Tensor] = lambda images: images
    weights: float = 0.0
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    strangers: int = 0


OTHERS = {
    "among two": Other(strangers=1),
    "among sixteen": Other(strangers=14),
    "channels last": Other(lambda images: images.contiguous(memory_format=torch.channels_last)),
    "two threads": Other(around=lambda: threads(2)),
    "without oneDNN": Other(around=without_onednn),
    "pictures off": Other(lambda images: rounded_otherwise(images, OFF)),
    "weights off": Other(weights=OFF),
}


@cache
def model(kind: str, off: float = 0.0) -> Model:
    net = MINIATURES[kind]()
    with torch.no_grad():
        net.head.weight *= 8  # scores that differ clearly, as those of a trained network
        for weight in net.parameters():
            weight.copy_(rounded_otherwise(weight, off))
    return Model(net, size=MINIATURES[kind].size)


def pictures(kind: str, count: int) -> Tensor:
    drawn = torch.Generator().manual_seed(1)
    return torch.rand((16, 3, *MINIATURES[kind].size), generator=drawn)[:count]


def pairs() -> list[tuple[str, str]]:
    """Each explainer with the first network that it does not refuse; those that search with all."""
    found = []
    for name in (*available("explainer"), *VARIANTS):
        kinds = [kind for kind in KINDS if (name, kind) not in REFUSED]
        found += [(name, kind) for kind in (kinds if name in SEARCHING else kinds[:1])]
    return found


def method(name: str) -> Explainer:
    return tiny(name.split()[0], **VARIANTS.get(name, {}))


@cache
def wanted(name: str, kind: str) -> Explanation:
    return method(name)(model(kind), pictures(kind, 1), [3])


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize(("name", "kind"), pairs())
def test_other_kernels_give_the_same_explanation(name: str, kind: str, other: str) -> None:
    change, same = OTHERS[other], wanted(name, kind)
    images = change.images(pictures(kind, 1 + change.strangers))
    with change.around():
        found = method(name)(model(kind, change.weights), images, ([3, 0, 4] * 5)[: len(images)])
    if not isinstance(same, Heatmap):
        assert_same(told(found.take([0])), told(same))
        return
    least = same.native.abs().max()  # the values may be empty: all evidence is against the class
    for one, kept in ((found.native[:1], same.native), (found.values[:1], same.values)):
        scale = torch.maximum(kept.abs().max(), least)
        assert_close(one / scale, kept / scale, atol=APART, rtol=0)
