"""What every registered metric promises, unlisted: a new file is covered once it exists."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import golden
from kernels import without_onednn
from sightline import Case, Explanation, Heatmap, Model, Regions, Truth, available, create
from sightline.errors import NotExplainable, NotMeasured, UnknownName
from sightline.metric import Metric, judged
from sightline.ops.null_maps import NULLS
from sightline.registry import entry, from_json, to_json
from sightline.worlds.aviary import render, sample
from sightline.worlds.miniatures import MINIATURES
from tiny import tiny

METRICS = available("metric")
CLASSES = {name: entry("metric", name).cls for name in METRICS}
OF_SETS = [name for name, cls in CLASSES.items() if cls.takes is Regions]  # not maps
COSTS = [name for name, cls in CLASSES.items() if cls.measures_cost]
OF_MAPS = [name for name in METRICS if name not in OF_SETS]
SIZE = (32, 32)


@cache
def model() -> Model:
    net = MINIATURES["pooled-cnn"]()
    with torch.no_grad():
        net.head.weight *= 8
    return Model(net, size=SIZE)


@cache
def other_model() -> Model:
    """The same network with other weights."""
    net = MINIATURES["pooled-cnn"]()
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(3)) / 4)
    return Model(net, size=SIZE)


def metric_called(name: str) -> Metric:
    """A metric with what it cannot do without."""
    fields = {"data-randomisation": {"other": other_model()}}
    return tiny(name, "metric", **fields.get(name, {}))


@cache
def case() -> Case:
    """Three drawn birds, gradients as their maps, and everything that is true of them."""
    birds = [render(sample(7, index), SIZE[0], masks=True) for index in range(3)]
    drawn = torch.from_numpy(np.stack([bird.image for bird in birds]))
    corner = np.zeros(SIZE, dtype=bool)
    corner[:6, :6] = True
    truth = Truth(
        labels=[0, 1, 2],
        boxes=[[tuple(map(float, bird.box))] for bird in birds],
        masks=[bird.silhouette for bird in birds],
        parts=[{**bird.masks, "distractor": corner} for bird in birds],
        keypoints=[bird.keypoints for bird in birds],
        scenes=[bird.scene for bird in birds],
    )
    images = drawn.movedim(3, 1).float() / 255
    return judged(create("explainer", "gradient"), model(), images, [0, 3, 4], truth)


@cache
def sets() -> Case:
    """The same birds with sets of patches, one picture having two."""
    whole = case()
    minimal = [[[(0, 1), (2, 2)]], [[(1, 1)], [(2, 3), (3, 3)]], [[(0, 0)]]]
    necessary = [[(1, 1)], [(2, 2), (2, 3)], [(0, 3)]]
    claimed = Regions(
        grid=(4, 4),
        minimal=minimal,
        necessary=necessary,
        confidences=[[0.9] * len(each) for each in minimal],
        remaining=[0.1] * 3,
        links=[{"nodes": [], "edges": []}] * 3,
        outcome=["sufficient"] * 3,
        notes=[[]] * 3,
        evaluations=[1] * 3,
    )
    return Case(whole.model, whole.images, whole.target, claimed, truth=whole.truth)


def case_for(name: str) -> Case:
    """The case with an explanation of the kind that the metric reads."""
    return sets() if name in OF_SETS else case()


def part(whole: Case, rows: list[int]) -> Case:
    return replace(whole.take(rows), places=None)


def maps() -> dict[str, Tensor]:
    """Maps that break careless metrics: constant, zero, one per cent of support, huge, tiny,
    negative.
    """
    sparse = torch.zeros(3, *SIZE)
    sparse[:, 3, 4:14] = 1
    noise = torch.rand((3, *SIZE), generator=torch.Generator().manual_seed(2))
    return {
        "constant": torch.ones(3, *SIZE),
        "zero": torch.zeros(3, *SIZE),
        "sparse": sparse,
        "huge": noise * 1e20,
        "tiny": noise * 1e-20,
        "negative": -noise,
    }


@pytest.mark.parametrize("name", METRICS)
def test_it_gives_one_float32_number_for_each_image(name: str) -> None:
    metric = metric_called(name)
    found = metric(case_for(name))
    assert found.shape == (3,) and found.dtype == torch.float32 and torch.isfinite(found).all()
    assert metric.direction in ("higher", "lower") and metric.unit


def assert_agree(found: Tensor, wanted: Tensor) -> None:
    """As far as other kernels round: a number may be a quotient of differences, so to four digits
    of its own size; near 0 to five of the unit that all metrics have."""
    assert_close(found, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", METRICS)
def test_alone_is_as_in_a_batch_in_any_order(name: str) -> None:
    metric, whole = metric_called(name), case_for(name)
    together = metric(whole)
    for i in range(3):
        assert_agree(metric(part(whole, [i]))[0], together[i])
    assert_agree(metric(part(whole, [2, 0])), together[[2, 0]])


@pytest.mark.parametrize("name", [n for n in METRICS if n != "runtime"])
def test_other_kernels_give_the_same_number(name: str) -> None:
    wanted = metric_called(name)(case_for(name))
    with without_onednn():
        assert_agree(metric_called(name)(case_for(name)), wanted)


@pytest.mark.parametrize("name", METRICS)
def test_chunks_of_three_give_the_same_number(name: str) -> None:
    together = metric_called(name)(case_for(name))
    model().batch = 3
    try:
        assert_agree(metric_called(name)(case_for(name)), together)
    finally:
        model().batch = None


UNDEFINED = golden.read(golden.UNDEFINED)  # maps of which a metric has no number, not zero


def undefined(name: str) -> list[str]:
    """The degenerate maps of which a metric says that it has no number."""
    found = {kind: metric_called(name)(case().with_heat(heat)) for kind, heat in maps().items()}
    assert not any(number.isinf().any() for number in found.values())
    return [kind for kind, number in found.items() if number.isnan().any()]


@pytest.mark.parametrize("name", OF_MAPS)
def test_degenerate_maps_get_a_number_or_are_said_to_have_none(name: str) -> None:
    assert undefined(name) == UNDEFINED.get(name, []), golden.stale(name)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", OF_MAPS)
def test_a_map_that_is_not_finite_has_no_number_and_the_others_keep_theirs(
    name: str, bad: float
) -> None:
    metric, whole = metric_called(name), case()
    values = whole.heat.clone()
    values[1, 5, 7] = bad
    broken = replace(whole, explanation=replace(whole.explanation, values=values))
    with pytest.warns(NotMeasured, match="does not measure picture 1: .*not finite"):
        found = metric(broken)
    living = metric(part(whole, [0, 2]))
    assert found[1].isnan() and found.dtype == torch.float32
    assert_close(found[[0, 2]], living)
    with pytest.warns(NotMeasured, match="not finite"):
        values, curves = metric.measure(broken)
    assert values[1].isnan() and (curves is None or curves[1].isnan().all())
    assert_close(values[[0, 2]], living)
    assert np.isfinite(metric.summary(values, curves))
    with pytest.warns(NotMeasured, match="picture 0"):
        values, curves = metric.measure(part(broken, [1]))
    assert values.isnan().all() and curves is None


@pytest.mark.parametrize("name", OF_MAPS)
def test_a_signed_map_that_is_not_finite_has_no_number_either(name: str) -> None:
    whole = case()
    native = whole.heat.clone()
    native[2, 0, 0] = torch.inf
    broken = replace(whole, explanation=replace(whole.explanation, native=native))
    with pytest.warns(NotMeasured, match="picture 2"):
        assert metric_called(name)(broken).isnan().tolist() == [False, False, True]


@pytest.mark.parametrize("name", OF_MAPS)
def test_ties_are_broken_by_the_seed_alone(name: str) -> None:
    metric = metric_called(name)
    tied = case().with_heat(maps()["sparse"])
    torch.manual_seed(99)
    first, scaled = metric(tied), case().with_heat(5 * maps()["sparse"])
    assert torch.equal(first.nan_to_num(9), metric(tied).nan_to_num(9))
    if CLASSES[name].scale_free:
        assert_close(metric(scaled), first, equal_nan=True, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", METRICS)
def test_maps_that_know_nothing_have_their_levels(name: str) -> None:
    levels = metric_called(name).null_levels(case_for(name))
    assert set(levels) == set(NULLS)
    made = name not in COSTS
    assert all(v.shape == (3,) and torch.isfinite(v).all() == made for v in levels.values())


@pytest.mark.parametrize("name", METRICS)
def test_a_curve_is_one_per_image_and_starts_where_the_picture_does(name: str) -> None:
    curves = metric_called(name).curves(case_for(name))
    if curves is None:
        pytest.skip("not an area")
    assert curves.ndim == 2 and len(curves) == 3 and torch.isfinite(curves).all()


@pytest.mark.parametrize("name", METRICS)
def test_a_collection_has_one_number_whatever_is_left_out_or_repeated(name: str) -> None:
    metric = metric_called(name)
    whole = case_for(name)
    values, curves = metric(whole), metric.curves(whole)
    assert np.isfinite(metric.summary(values, curves))
    assert_close(metric.summary(values), float(values.mean()), atol=1e-6, rtol=1e-5)
    for rows in ([2, 2, 0], [1]):
        part_of = None if curves is None else curves[rows]
        assert np.isfinite(metric.summary(values[rows], part_of))
    lost = torch.full_like(values, torch.nan)
    gone = None if curves is None else torch.full_like(curves, torch.nan)
    assert np.isnan(metric.summary(lost, gone)) and np.isnan(metric.summary(lost))
    holed = torch.cat([values, lost[:1]])
    beside = None if curves is None or gone is None else torch.cat([curves, gone[:1]])
    assert_close(metric.summary(holed, beside), metric.summary(values, curves))


@pytest.mark.parametrize("name", METRICS)
def test_fields_survive_json_and_names_any_spelling(name: str) -> None:
    metric = create("metric", name)
    assert from_json("metric", to_json(metric)) == metric
    assert entry("metric", name.upper()).name == name
    with pytest.raises(UnknownName, match="no field"):
        create("metric", name, sedd=1)


@pytest.mark.parametrize("name", METRICS)
def test_the_model_and_the_case_are_left_as_they_were(name: str) -> None:
    net, whole = model().module, case_for(name)
    net.train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    images, heat = whole.images.clone(), case().heat.clone()
    state = torch.get_rng_state()
    metric_called(name)(whole)
    assert all(part.training for part in net.modules())
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert torch.equal(whole.images, images) and torch.equal(case().heat, heat)
    assert torch.equal(torch.get_rng_state(), state)
    net.eval()


@dataclass(frozen=True, eq=False)
class Mapless(Explanation):
    """An explanation without a map."""

    def __len__(self) -> int:
        return 3

    def refused_if_empty(self, method: str, model: str) -> "Mapless":
        return self


@pytest.mark.parametrize("name", METRICS)
def test_what_has_no_map_is_refused(name: str) -> None:
    whole = case()
    if name in COSTS:
        pytest.skip("it reads the record of any explanation")
    with pytest.raises(NotExplainable):
        metric_called(name)(Case(whole.model, whole.images, whole.target, Mapless()))


@pytest.mark.parametrize("name", METRICS)
def test_each_metric_reads_its_own_kind_and_refuses_the_other(name: str) -> None:
    if name in COSTS:
        pytest.skip("it reads the record of any explanation")
    with pytest.raises(NotExplainable):
        metric_called(name)(case() if name in OF_SETS else sets())


def test_a_case_with_another_map_keeps_its_pictures() -> None:
    other = case().with_heat(maps()["zero"])
    assert other.heat.sum() == 0 and other.images is case().images
    assert isinstance(other.explanation, Heatmap)


@pytest.mark.parametrize("name", METRICS)
def test_a_picture_that_the_method_refused_has_no_number_and_its_reason_is_told(name: str) -> None:
    whole = case_for(name)
    reasons = [None, "rise on it gives a map of zeros. Try another.", None]
    told = {**whole.explanation.provenance, "refused": reasons}
    marked = replace(whole, explanation=replace(whole.explanation, provenance=told))
    with pytest.warns(NotMeasured, match="measure picture 1: rise on it gives"):
        found = metric_called(name)(marked)
    assert found[1].isnan()
    assert_close(found[[0, 2]], metric_called(name)(part(whole, [0, 2])))
