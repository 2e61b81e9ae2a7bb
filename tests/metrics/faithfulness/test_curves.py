"""Deletion and insertion: the additive score of the card, ties, substrates, and what they cost."""

from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Axis, Case, Class, Fill, Heatmap, Model, create
from sightline.errors import BadField
from sightline.metrics.faithfulness._curve import order
from sightline.worlds.miniatures import MINIATURES

VALUES = (0.4, 0.3, 0.2, 0.1)


class Additive(nn.Module):
    """Output 0 is the sum of weight times picture; output 1 is nothing."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images: Tensor) -> Tensor:
        score = (images[:, 0] * self.weight).sum((1, 2))
        return torch.stack([score, 0 * score], 1)


def additive(heat: list[float], values: tuple[float, ...] = VALUES) -> Case:
    """Four pixels worth `values`, all 1, hidden 0, ranked by `heat`."""
    model = Model(Additive(torch.tensor(values).view(2, 2)), size=(2, 2))
    images = torch.ones(1, 3, 2, 2)
    target = model.aim(images, Axis(0))
    return Case(model, images, target, Heatmap(torch.tensor(heat).view(1, 2, 2)))


def both(case: Case) -> tuple[float, float]:
    deletion = create("metric", "deletion", steps=4)
    insertion = create("metric", "insertion", steps=4, fill=0.0)
    return round(deletion(case).item(), 6), round(insertion(case).item(), 6)


def test_perfect_and_reversed_orders_have_the_areas_of_the_card() -> None:
    assert both(additive([4.0, 3, 2, 1])) == (0.375, 0.625)
    assert both(additive([1.0, 2, 3, 4])) == (0.625, 0.375)


def test_the_perfect_order_is_the_best_of_all_24() -> None:
    areas = [both(additive([float(i) for i in p])) for p in permutations(range(4))]
    assert min(a for a, _ in areas) == 0.375 and max(b for _, b in areas) == 0.625


def test_equal_pixels_give_a_half_whatever_the_order() -> None:
    for p in permutations(range(4)):
        assert both(additive([float(i) for i in p], (0.25,) * 4)) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("steps", "counts", "area"),
    [
        # the score is what is left of (0.4, 0.3, 0.2, 0.06, 0.04), trapezoids over the pixels
        (1, [0, 5], 0.5),
        (2, [0, 2, 5], 0.4 * 1.3 / 2 + 0.6 * 0.3 / 2),
        (3, [0, 2, 3, 5], 0.4 * 1.3 / 2 + 0.2 * 0.4 / 2 + 0.4 * 0.1 / 2),
        (4, [0, 1, 2, 4, 5], 0.2 * 1.6 / 2 + 0.2 * 0.9 / 2 + 0.4 * 0.34 / 2 + 0.2 * 0.04 / 2),
        (5, [0, 1, 2, 3, 4, 5], 0.2 * (0.5 + 0.6 + 0.3 + 0.1 + 0.04)),
        (9, [0, 1, 1, 2, 2, 3, 3, 4, 4, 5], 0.2 * (0.5 + 0.6 + 0.3 + 0.1 + 0.04)),
    ],
)
def test_steps_are_weighed_by_the_pixels_that_they_change(
    steps: int, counts: list[int], area: float
) -> None:
    worth = torch.tensor([[0.4, 0.3, 0.2, 0.06, 0.04]])
    model = Model(Additive(worth), size=(1, 5))
    images = torch.ones(1, 3, 1, 5)
    case = Case(model, images, model.aim(images, Axis(0)), Heatmap(worth[None]))
    deletion = create("metric", "deletion", steps=steps)
    insertion = create("metric", "insertion", steps=steps, fill=0.0)
    assert deletion.changed(5) == counts
    assert_close(deletion(case).item(), area, atol=1e-6, rtol=0)
    assert_close(deletion.measure(case)[0].item(), area, atol=1e-6, rtol=0)
    assert_close(insertion(case).item(), 1 - area, atol=1e-6, rtol=0)


def cnn() -> tuple[Model, Tensor]:
    mini = MINIATURES["pooled-cnn"]
    net = mini()
    with torch.no_grad():
        net.head.weight *= 8
    return Model(net, size=mini.size), torch.rand(2, 3, *mini.size)


def test_curves_start_and_end_at_the_picture_and_the_fill() -> None:
    model, images = cnn()
    target = model.aim(images, 1)
    case = Case(model, images, target, Heatmap(torch.rand(2, 32, 32)))
    chances = model.probabilities(images)[:, 1]
    for name, fill in (("deletion", "mean"), ("insertion", "blur")):
        curves = create("metric", name).curves(case)
        assert curves.shape == (2, 33)
        ends = curves if name == "deletion" else curves.flip(1)
        hidden = model.probabilities(Fill(fill).like(images, model))[:, 1]
        assert_close(ends[:, 0], chances)
        assert_close(ends[:, -1], hidden)
        area = torch.trapezoid(curves, dx=1 / 32)
        assert_close(create("metric", name)(case), area)


def test_with_one_substrate_deletion_of_a_map_is_insertion_of_its_negative_backwards() -> None:
    model, images = cnn()
    case = Case(model, images, model.aim(images, 1), Heatmap(torch.rand(2, 32, 32)))
    deleted = create("metric", "deletion", fill=0.5).curves(case)
    inserted = create("metric", "insertion", fill=0.5).curves(case.with_heat(-case.heat))
    assert_close(inserted.flip(1), deleted)


def test_a_logit_target_gives_a_curve_of_logits() -> None:
    model, images = cnn()
    plain = model.aim(images, Class(1, probability=False))
    case = Case(model, images, plain, Heatmap(torch.rand(2, 32, 32)))
    assert_close(create("metric", "deletion").curves(case)[:, 0], model.outputs(images)[:, 1])


def test_a_sparse_map_deletes_its_pixels_first_and_the_rest_at_random() -> None:
    heat = torch.zeros(1, 16, 16)
    heat[0, 5, :4] = torch.tensor([1.0, 2, 3, 4])
    rank = order(heat[0], seed=0)
    assert rank[5, :4].tolist() == [3, 2, 1, 0]
    rest = rank.flatten()[rank.flatten() >= 4]
    assert not torch.equal(rest, rest.sort().values)  # not reading order
    assert not torch.equal(order(heat[0], seed=1), rank)
    assert torch.equal(order(heat[0], seed=0), rank)
    model, images = cnn()
    tied = create("metric", "deletion").tied(Case(model, images[:1], Class(1), Heatmap(heat)))
    assert_close(tied, torch.tensor([252 / 256]))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(1, 12), st.floats(1e-20, 1e20), st.integers(0, 99))
def test_an_order_is_a_permutation_that_scaling_and_rounding_do_not_change(
    rows: int, cols: int, scale: float, seed: int
) -> None:
    heat = torch.rand((rows, cols), generator=torch.Generator().manual_seed(seed))
    rank = order(heat, seed)
    assert sorted(rank.flatten().tolist()) == list(range(rows * cols))
    assert torch.equal(order(heat * 2.0 ** int(torch.tensor(scale).log2()), seed), rank)
    coarse = (heat * 3).round()
    assert torch.equal(order(coarse, seed), order(coarse * (1 + 1e-8), seed))


def test_each_curve_costs_one_forward_per_step_and_the_start() -> None:
    model, images = cnn()
    case = Case(model, images, model.aim(images, 1), Heatmap(torch.rand(2, 32, 32)))
    for steps in (8, 56):
        before = model.evaluations["forward"]
        create("metric", "insertion", steps=steps)(case)
        assert model.evaluations["forward"] - before == 2 * (steps + 1)


def test_bad_fields_are_refused() -> None:
    with pytest.raises(BadField, match="steps"):
        create("metric", "deletion", steps=0)
    with pytest.raises(BadField, match="no fill 'pink'"):
        create("metric", "insertion", fill="pink")
