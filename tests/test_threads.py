"""Several threads on one model: right answers, right costs, and no waiting for a whole method."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier, Event
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import sightline as sl
from sightline import Model, create
from sightline.explanation import Explanation, Heatmap
from sightline.network.costs import watched
from sightline.worlds.miniatures import MINIATURES
from test_contract import harm, loud

SIZE = MINIATURES["pooled-cnn"].size
METHODS = (
    create("explainer", "grad-cam"),
    create("explainer", "score-cam"),
    create("explainer", "guided-backprop"),
    create("explainer", "integrated-gradients", steps=8),
    create("explainer", "rise", masks=64),
    create("explainer", "occlusion", window=8, stride=4),
)


class Uncopied(nn.Module):
    """A network that no copy can be made of, so that the user's own module runs every pass."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(images)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Uncopied":
        raise TypeError("held by somebody else")


def pictures(count: int) -> torch.Tensor:
    return torch.rand((count, 3, *SIZE), generator=torch.Generator().manual_seed(0))


def in_threads(work: Callable[[int], Any], count: int = 4) -> list[Any]:
    """What `work` gives for each number, all of them at the same time."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def costs(found: Explanation) -> tuple[int, ...]:
    told = found.provenance
    return (*told["evaluations"].values(), told["copies"])


@pytest.mark.parametrize("copied", [True, False])
def test_four_threads_and_six_methods_give_what_one_thread_gives(copied: bool) -> None:
    net = loud(MINIATURES["pooled-cnn"]())
    model = Model(net if copied else Uncopied(net), size=SIZE)
    images, start = pictures(4).split(1), Barrier(4)
    wanted = [[method(model, image, 1) for method in METHODS] for image in images]
    wanted = [[method(model, image, 1) for method in METHODS] for image in images]
    model.module.train()
    before = harm(model.module)

    def explain(which: int) -> list[Explanation]:
        start.wait()
        order = [*METHODS[which:], *METHODS[:which]]  # each thread is elsewhere
        found = {method: method(model, images[which], 1) for method in order}
        return [found[method] for method in METHODS]

    for found, alone in zip(in_threads(explain), wanted, strict=True):
        for one, other in zip(found, alone, strict=True):
            scale = other.native.abs().max()
            assert_close(one.native / scale, other.native / scale, atol=1e-5, rtol=1e-4)
            assert costs(one) == costs(other)
    assert harm(model.module) == before


@dataclass(frozen=True, kw_only=True)
class Pausing(sl.Explainer):
    """Waits between two passes until others have run."""

    between: ClassVar[Event] = Event()
    others: ClassVar[Event] = Event()

    def explain(self, model: Model, images: torch.Tensor, target: sl.Target) -> Heatmap:
        self.between.set()
        assert self.others.wait(20)
        model.outputs(images.flip(3))
        return Heatmap(images.mean(1))


def test_a_method_holds_the_model_for_one_pass_and_not_for_its_whole_run() -> None:
    model, images = Model(MINIATURES["pooled-cnn"](), size=SIZE), pictures(1)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(Pausing(), model, images, 1)
        assert Pausing.between.wait(20)
        quick = create("explainer", "grad-cam")(model, images, 1)
        Pausing.others.set()
        assert costs(quick) == (1, 1, 0) and costs(slow.result(20)) == (2, 0, 0)


def test_watches_hear_of_their_own_thread_alone() -> None:
    model, images = Model(MINIATURES["pooled-cnn"](), size=SIZE), pictures(1)
    start, told = Barrier(2), [[], []]
    model.outputs(images)

    def look(which: int) -> None:
        with watched(lambda kind, count: told[which].append((kind, count))):
            start.wait()
            model.outputs(images.expand(1 + which, -1, -1, -1))

    in_threads(look, 2)
    assert told == [[("forward", 1)], [("forward", 2)]]
