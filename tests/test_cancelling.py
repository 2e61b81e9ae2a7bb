"""Every method can be watched and stopped between two passes, and nothing is left of it."""

from collections.abc import Callable

import pytest
from torch import Tensor

from sameness import assert_same, told
from sightline import Model
from sightline.errors import Cancelled
from sightline.network.costs import watched
from sightline.worlds.miniatures import MINIATURES
from test_contract import EXPLAINERS, first_kind, loud, network, pytestmark, unharmed
from tiny import tiny

__all__ = ["pytestmark"]


class Stopping:
    """A watch that stops the call at a pass; None lets it run. told: of each pass so far."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.told: list[tuple[str, int]] = []

    def __call__(self, kind: str, images: int) -> None:
        if len(self.told) == self.at:
            raise Cancelled("stopped")
        self.told.append((kind, images))

    def images(self, *kinds: str) -> dict[str, int]:
        return {kind: sum(count for each, count in self.told if each == kind) for kind in kinds}


def fresh(name: str) -> tuple[Model, Tensor]:
    """A model that the method accepts, of which nothing is known yet, and a picture."""
    kind = first_kind(name)
    images = network(kind)[1][:1]
    if kind == "black-box":
        return Model.from_function(network(kind)[0].module.function, size=images.shape[2]), images
    return Model(loud(MINIATURES[kind]()), size=MINIATURES[kind].size), images


@pytest.mark.parametrize("name", EXPLAINERS)
def test_a_method_is_stopped_at_its_first_and_at_a_middle_pass(name: str) -> None:
    (model, images), explain = fresh(name), tiny(name)
    with unharmed(model.module):
        run(Stopping(0), lambda: explain(model, images, 1))
        wanted, again = explain(model, images, 1), Stopping()
        with watched(again):
            second = explain(model, images, 1)
        assert_same(told(second), told(wanted))
        spent = {**second.provenance["evaluations"], "copies": second.provenance["copies"]}
        assert again.images(*spent) == spent
        run(Stopping(len(again.told) // 2), lambda: explain(model, images, 1))
        assert_same(told(explain(model, images, 1)), told(wanted))


def run(watch: Stopping, work: Callable[[], object]) -> None:
    """Runs work that the watch stops; nothing runs after it."""
    with pytest.raises(Cancelled, match="stopped"), watched(watch):
        work()
    assert len(watch.told) == watch.at
