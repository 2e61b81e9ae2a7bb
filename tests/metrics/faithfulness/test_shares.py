"""Drop, increase, completeness and additive exactness: the numbers of the papers by hand."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Axis, Case, Class, Heatmap, Model, create
from sightline.errors import NotExplainable
from sightline.metric import judged
from sightline.metrics.faithfulness import additive_exactness as parts
from sightline.worlds import analytic
from sightline.worlds.miniatures import MINIATURES

SIZE = (4, 6)


class Linear(nn.Module):
    """Two classes without bias: logit 1 is the sum of weight times picture, logit 0 is zero."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images: Tensor) -> Tensor:
        logit = (images * self.weight).sum((1, 2, 3))
        return torch.stack([0 * logit, logit], 1)


def case(heat: Tensor, logit: float = 2.0, target: object = None) -> Case:
    """White pictures; the logit of class 1 is spread evenly over them."""
    model = Model(Linear(torch.full((1, 3, *SIZE), logit / 72)), size=SIZE)
    return Case(model, torch.ones(len(heat), 3, *SIZE), target or Class(1), Heatmap(heat))


def drop(whole: Case) -> float:
    return create("metric", "average-drop", fill=0.0)(whole).item()


def increase(whole: Case) -> float:
    return create("metric", "average-increase", fill=0.0)(whole).item()


def test_showing_everything_drops_nothing_and_raises_nothing() -> None:
    for value in (1.0, 7.0, 1e-9):
        whole = case(torch.full((1, *SIZE), value))
        assert drop(whole) == 0 and increase(whole) == 0


def test_showing_nothing_leaves_a_half_of_two_classes() -> None:
    before = float(torch.tensor(2.0).sigmoid())
    for heat in (torch.zeros(1, *SIZE), -torch.ones(1, *SIZE)):
        assert_close(drop(case(heat)), (before - 0.5) / before, atol=1e-6, rtol=0)
        assert increase(case(heat)) == 0
        assert drop(case(heat, logit=-2.0)) == 0 and increase(case(heat, logit=-2.0)) == 1


def test_eight_tenths_that_become_six_are_a_quarter() -> None:
    logits = [float(torch.tensor(p).logit()) for p in (0.8, 0.6)]
    heat = torch.zeros(1, *SIZE)
    heat[0] = logits[1] / logits[0]
    heat[0, 0, 0] = 1  # the largest, so that the rest keeps its value
    share = (1 + 23 * logits[1] / logits[0]) / 24
    after = float(torch.tensor(logits[0] * share).sigmoid())
    assert_close(drop(case(heat, logits[0])), (0.8 - after) / 0.8, atol=1e-6, rtol=0)
    exact = case(torch.ones(1, *SIZE), logits[0])
    half = create("metric", "average-drop", fill=logits[1] / logits[0])
    assert_close(half(exact.with_heat(torch.zeros(1, *SIZE))).item(), 0.25, atol=1e-6, rtol=0)


def test_a_target_without_a_probability_is_refused() -> None:
    for name in ("average-drop", "average-increase"):
        with pytest.raises(NotExplainable, match="with a probability"):
            create("metric", name)(case(torch.ones(1, *SIZE), target=Axis(1)))


def test_a_class_that_was_impossible_has_no_drop() -> None:
    assert create("metric", "average-drop")(case(torch.ones(1, *SIZE), logit=-200.0)).isnan().all()


def gap(whole: Case, **fields: object) -> Tensor:
    return create("metric", "completeness", **fields)(whole)


def test_what_sums_to_the_score_is_complete_and_parts_of_it_are_not() -> None:
    known = analytic.linear()
    expected = known.expected
    whole = Case(known.model, known.images, known.target, Heatmap(expected))
    assert_close(gap(whole), torch.zeros(2), atol=1e-5, rtol=0)  # the mean colour is 0 here
    assert_close(gap(whole, baseline="zero"), torch.zeros(2), atol=1e-5, rtol=0)
    assert_close(gap(whole.with_heat(expected / 2)), torch.full((2,), 0.5), atol=1e-5, rtol=0)
    assert_close(gap(whole.with_heat(0 * expected)), torch.ones(2))
    assert (gap(whole, baseline=1.0) > 0.01).all()


def test_the_native_map_is_summed_and_equal_scores_have_no_number() -> None:
    heat = Heatmap(torch.rand(1, *SIZE), native=torch.full((1, 2, 2), 0.5))
    whole = case(torch.ones(1, *SIZE))
    assert_close(gap(Case(whole.model, whole.images, Class(1), heat)), torch.zeros(1))
    assert gap(case(torch.ones(1, *SIZE), logit=0.0)).isnan().all()


@pytest.mark.parametrize("level", [1e-4, 1.0, 1e4])
def test_scores_that_differ_by_rounding_alone_have_no_number(level: float) -> None:
    class Level(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return level * (1 + self.step * images.mean((1, 2, 3), dtype=torch.float64))[:, None]

    net, whole = Level(), torch.ones(1, 3, *SIZE)
    for step, known in ((1e-7, False), (0.5, True)):
        net.step = step
        summed = torch.full((1, *SIZE), level * step / (SIZE[0] * SIZE[1]))
        found = gap(Case(Model(net, size=SIZE), whole, Class(0), Heatmap(summed)))
        assert_close(found[0], torch.tensor(0.0 if known else float("nan")), equal_nan=True)


@pytest.mark.parametrize("name", ["integrated-gradients", "gradient"])
def test_methods_that_claim_a_sum_keep_it_and_the_gradient_does_not(name: str) -> None:
    model = Model(MINIATURES["pooled-cnn"](), size=(32, 32))
    whole = judged(create("explainer", name), model, torch.rand(2, 3, 32, 32), 1)
    found = gap(whole)
    assert (found < 0.05).all() if name == "integrated-gradients" else (found > 0.1).all()


class Flat(nn.Module):
    """A layer of 2 filters at 4 x 4, flattened: the weights differ from place to place."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Identity()
        self.head = nn.Linear(32, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.maps(images[:, :2]).flatten(1))


def flattened() -> tuple[Model, Tensor]:
    """Grad-CAM's and HiResCAM's example: two places count, by 5 and -1."""
    net = Flat()
    images = torch.zeros(1, 3, 4, 4)
    images[0, 0, 0, 0], images[0, 0, 3, 3] = 1, 1
    with torch.no_grad():
        net.head.weight.zero_()
        net.head.weight[1, 0], net.head.weight[1, 15] = 5, -1
    return Model(net, size=(4, 4)), images


def exactness(method: str, model: Model, images: Tensor, **fields: object) -> tuple[float, bool]:
    explainer = create("explainer", method, layer="maps")
    whole = judged(explainer, model, images, 1)
    metric = create("metric", "additive-exactness", **fields)
    return metric(whole).item(), bool(metric.guaranteed(whole).all())


def test_the_example_of_the_guarantee() -> None:
    model, images = flattened()
    assert_close(exactness("hires-cam", model, images), (0.0, True))
    assert_close(exactness("grad-cam", model, images), (1.0, True), atol=1e-6, rtol=0)


def test_behind_a_pooled_head_both_are_exact() -> None:
    model, images, _ = analytic.pooled_head(batch=1)
    for method in ("hires-cam", "grad-cam"):
        error, guaranteed = exactness(method, model, images)
        assert error < 1e-5 and guaranteed
        whole = judged(create("explainer", method, layer="maps"), model, images, 1)
        assert create("metric", "additive-exactness").gap(whole).item() < 1e-5


def test_a_head_that_bends_has_no_guarantee() -> None:
    class Bent(Flat):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images).square()

    model = Model(Bent(), size=(4, 4))
    error, guaranteed = exactness("hires-cam", model, torch.rand(1, 3, 4, 4))
    assert error > 0.01 and not guaranteed


def test_places_are_hidden_one_by_one_as_loops_would() -> None:
    mini = MINIATURES["pooled-cnn"]
    net = mini()
    model, images = Model(net, size=mini.size), torch.rand(2, 3, *mini.size)
    heat = torch.rand(2, *mini.size)
    whole = Case(model, images, model.aim(images, 1), Heatmap(heat))
    layer = model.spatial
    grid = model.trace(images, read=[layer]).maps[layer].shape[-2:]
    raw = nn.functional.adaptive_avg_pool2d(heat[:, None], grid)[:, 0]
    expected = []
    for row in range(2):
        falls = torch.zeros(grid)
        for i in range(grid[0]):
            for j in range(grid[1]):
                keep = torch.ones(grid)
                keep[i, j] = 0
                one = images[row : row + 1]
                hidden = model.trace(one, edit={layer: lambda maps, k=keep: maps * k}).output
                falls[i, j] = (model.outputs(one) - hidden)[0, 1]
        expected.append((raw[row] - falls).abs().mean() / falls.abs().mean())
    found = create("metric", "additive-exactness")(whole)
    assert_close(found, torch.stack(expected), atol=1e-4, rtol=1e-4)


def test_networks_that_mix_copies_are_asked_picture_by_picture() -> None:
    mini = MINIATURES["token-net"]
    model, images = Model(mini(), size=mini.size), torch.rand(1, 3, *mini.size)
    whole = Case(model, images, model.aim(images, 1), Heatmap(torch.rand(1, *mini.size)))
    metric = create("metric", "additive-exactness")
    edits = [parts._unchanged, parts._without(0, 1), parts._without(1, 0)]
    behind = parts._behind(whole, 0, model.spatial, edits)
    target = whole.target.take([0]).with_habit(False)
    apart = parts._separate_scores(model, images, target, model.spatial, edits)
    assert_close(behind, apart, atol=1e-5, rtol=1e-4)
    assert torch.isfinite(metric(whole)).all()
