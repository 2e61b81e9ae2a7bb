"""What every registered metric promises, unlisted: a new file is covered once it exists."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from sightline import Case, Explanation, Heatmap, Model, Truth, available, create
from sightline.errors import NotExplainable, UnknownName
from sightline.metric import judged
from sightline.registry import entry, from_json, to_json
from sightline.worlds.miniatures import MINIATURES

METRICS = available("metric")
SIZE = (32, 32)


@cache
def model() -> Model:
    net = MINIATURES["pooled-cnn"]()
    with torch.no_grad():
        net.head.weight *= 8
    return Model(net, size=SIZE)


@cache
def case() -> Case:
    """Three pictures, gradients as their maps, a box and a mask of each."""
    images = torch.rand((3, 3, *SIZE), generator=torch.Generator().manual_seed(1))
    mask = np.zeros(SIZE, dtype=bool)
    mask[4:20, 8:28] = True
    truth = Truth(labels=[0, 1, 2], boxes=[[(8.0, 4.0, 28.0, 20.0)]] * 3, masks=[mask] * 3)
    return judged(create("explainer", "gradient"), model(), images, [0, 3, 4], truth)


def part(whole: Case, rows: list[int]) -> Case:
    return Case(
        whole.model,
        whole.images[rows],
        whole.target.take(rows),
        whole.explanation.take(rows),
        whole.explainer,
        whole.truth.take(rows),
    )


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
    metric = create("metric", name)
    found = metric(case())
    assert found.shape == (3,) and found.dtype == torch.float32 and torch.isfinite(found).all()
    assert metric.direction in ("higher", "lower") and metric.unit


@pytest.mark.parametrize("name", METRICS)
def test_alone_is_as_in_a_batch_in_any_order(name: str) -> None:
    metric, together = create("metric", name), create("metric", name)(case())
    for i in range(3):
        assert_close(metric(part(case(), [i]))[0], together[i])
    assert_close(metric(part(case(), [2, 0])), together[[2, 0]])


@pytest.mark.parametrize("name", METRICS)
def test_chunks_of_three_give_the_same_number(name: str) -> None:
    together = create("metric", name)(case())
    model().batch = 3
    try:
        assert_close(create("metric", name)(case()), together)
    finally:
        model().batch = None


@pytest.mark.parametrize("kind", list(maps()))
@pytest.mark.parametrize("name", METRICS)
def test_degenerate_maps_get_a_finite_number(name: str, kind: str) -> None:
    found = create("metric", name)(case().with_heat(maps()[kind]))
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("name", METRICS)
def test_ties_are_broken_by_the_seed_alone(name: str) -> None:
    metric = create("metric", name)
    tied = case().with_heat(maps()["sparse"])
    torch.manual_seed(99)
    assert torch.equal(metric(tied), metric(tied))
    assert torch.equal(metric(tied), metric(case().with_heat(5 * maps()["sparse"])))


@pytest.mark.parametrize("name", METRICS)
def test_maps_that_know_nothing_have_their_levels(name: str) -> None:
    levels = create("metric", name).null_levels(case())
    assert set(levels) == {"random", "centred blob", "edge map"}
    assert all(v.shape == (3,) and torch.isfinite(v).all() for v in levels.values())


@pytest.mark.parametrize("name", METRICS)
def test_a_curve_is_one_per_image_and_starts_where_the_picture_does(name: str) -> None:
    curves = create("metric", name).curves(case())
    if curves is None:
        pytest.skip("not an area")
    assert len(curves) == 3 and torch.isfinite(curves).all()


@pytest.mark.parametrize("name", METRICS)
def test_fields_survive_json_and_names_any_spelling(name: str) -> None:
    metric = create("metric", name)
    assert from_json("metric", to_json(metric)) == metric
    assert entry("metric", name.upper()).name == name
    with pytest.raises(UnknownName, match="no field"):
        create("metric", name, sedd=1)


@pytest.mark.parametrize("name", METRICS)
def test_the_model_and_the_case_are_left_as_they_were(name: str) -> None:
    net, whole = model().module, case()
    net.train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    images, heat = whole.images.clone(), whole.heat.clone()
    state = torch.get_rng_state()
    create("metric", name)(whole)
    assert all(part.training for part in net.modules())
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert torch.equal(whole.images, images) and torch.equal(whole.heat, heat)
    assert torch.equal(torch.get_rng_state(), state)
    net.eval()


@dataclass(frozen=True, eq=False)
class Mapless(Explanation):
    """An explanation without a map."""

    def __len__(self) -> int:
        return 3

    def take(self, rows: object) -> "Mapless":
        return self


@pytest.mark.parametrize("name", METRICS)
def test_what_has_no_map_is_refused(name: str) -> None:
    whole = case()
    with pytest.raises(NotExplainable):
        create("metric", name)(Case(whole.model, whole.images, whole.target, Mapless()))


def test_a_case_with_another_map_keeps_its_pictures() -> None:
    other = case().with_heat(maps()["zero"])
    assert other.heat.sum() == 0 and other.images is case().images
    assert isinstance(other.explanation, Heatmap)
