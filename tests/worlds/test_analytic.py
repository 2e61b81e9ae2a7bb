"""The networks with known answers keep their promises, so that tests may lean on them."""

import pytest
import torch
from torch.testing import assert_close

from sightline import Class, available
from sightline.errors import NotExplainable, UnknownName
from sightline.worlds import analytic
from tiny import tiny


@pytest.mark.parametrize("network", analytic.NETWORKS)
def test_each_unpacks_into_model_images_and_target_of_any_batch(network: object) -> None:
    for batch in (1, 3):
        known = network(batch=batch)
        model, images, target = known
        assert len(images) == batch and model.size == tuple(images.shape[2:])
        assert model.scores(images, target).shape == (batch,)
        if known.expected is not None:
            assert known.expected.shape == (batch, *images.shape[2:])
        assert torch.equal(network(batch=batch).images, images)


@pytest.mark.parametrize(
    "network", [analytic.linear, analytic.pooled_head, analytic.symmetric_classes]
)
def test_expected_shares_sum_to_the_score(network: object) -> None:
    known = network()
    assert_close(known.expected.sum((1, 2)), known.model.scores(known.images, known.target))


def test_two_paths_are_or_and_and() -> None:
    known = analytic.two_paths()
    pictures = torch.zeros(4, 1, 6, 6)
    pictures[1, :, 1, 1] = pictures[2, :, -2, -2] = pictures[3, :, 1, 1] = 1
    pictures[3, :, -2, -2] = 1
    assert known.model.outputs(pictures).tolist() == [[0, 0], [1, 0], [1, 0], [1, 1]]


def test_symmetric_classes_are_opposite() -> None:
    known = analytic.symmetric_classes()
    logits = known.model.outputs(known.images)
    assert_close(logits[:, 0], -logits[:, 1])


def test_a_dead_pixel_changes_nothing_and_a_live_one_does() -> None:
    known = analytic.dead_pixel(batch=1)
    before = known.model.scores(known.images, known.target)
    for value, same in ((0, True), (1, False)):
        changed = torch.where(known.expected[:, None] == value, 0.0, known.images)
        after = known.model.scores(changed, Class(2))
        assert torch.equal(before, after) == same


def test_only_the_planted_patch_is_answered() -> None:
    known = analytic.planted_patch(batch=3)
    assert known.model.scores(known.images, known.target).gt(0).all()
    erased = known.images * (1 - known.expected[:, None])
    assert known.model.scores(erased, known.target).eq(0).all()


@pytest.mark.usefixtures("learned_parts")
@pytest.mark.filterwarnings("ignore:.*no step lowered the objective")
@pytest.mark.parametrize("name", available("explainer"))
def test_every_explainer_has_a_fitting_network(name: str) -> None:
    model, images, target = analytic.fitting(name, batch=2)
    assert len(tiny(name)(model, images, target)) == 2


def test_a_method_that_fits_nowhere_hears_each_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analytic, "NETWORKS", (analytic.linear, analytic.two_paths))
    with pytest.raises(NotExplainable, match=r"linear: rollout reads.*two_paths: rollout reads"):
        analytic.fitting("rollout")
    with pytest.raises(UnknownName):
        analytic.fitting("rolout")
