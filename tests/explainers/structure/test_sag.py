"""Sets of patches that are enough: planted truths, an exhaustive oracle, and every ending."""

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sightline as sl
from sightline.errors import BadField, NotExplainable
from sightline.explainers.structure.graphs._inpainting import inpainted
from sightline.explainers.structure.graphs._lattice import LatticeLimits, lattice
from sightline.explainers.structure.graphs._patches import Patches, indices, joined
from sightline.explainers.structure.graphs._search import Bounds, SearchResult, search
from sightline.explainers.structure.graphs.sag import SAG
from sightline.explanations.regions import diverse

A, C = joined((3, 10, 17)), joined((30, 31, 32))
Value = Callable[[int], float]


def either(held: int) -> float:
    """The card's planted truth: all of A, or all of C."""
    return max((held & A).bit_count() / 3, (held & C).bit_count() / 3) ** 2


class Counting:
    """Values of sets, and how often each was asked for."""

    def __init__(self, value: Value) -> None:
        self.value = value
        self.asked: list[int] = []

    def __call__(self, sets: Sequence[int]) -> list[float]:
        self.asked += sets
        return [round(float(self.value(each)), 6) for each in sets]


def found(value: Value, *, cells: int = 49, **bounds: Any) -> SearchResult:
    limits = {"beam": 6, "successors": cells, "ways": 6, "roots": 10, "size": cells // 2}
    limits |= bounds
    return search(Counting(value), range(cells), Bounds(**limits), 0.9)


def oracle(value: Value, cells: int, level: float = 0.9) -> set[int]:
    """Every minimal set of a score that never falls when a patch is added, by trying them all."""
    enough = [held for held in range(1 << cells) if value(held) >= level]
    return {a for a in enough if not any(b != a and a & b == b for b in enough)}


@pytest.mark.parametrize("width", [6, 15])
def test_a_disjunction_of_two_sets_is_found_whole(width: int) -> None:
    assert set(found(either, beam=width).minimal) == {A, C}


def test_a_beam_of_three_misses_one_of_two_equal_sets_and_tells_of_ties() -> None:
    result = found(either, beam=3)
    assert result.minimal == [A] and result.tied > 0


def test_every_minimal_set_is_enough_and_none_without_one_of_its_patches() -> None:
    for held in found(either).minimal:
        assert either(held) >= 0.9
        assert all(either(held & ~(1 << p)) < 0.9 for p in indices(held))


def test_a_conjunction_is_one_set() -> None:
    whole = joined((5, 20, 33, 40))
    value: Value = lambda held: ((held & whole).bit_count() / 4) ** 2  # noqa: E731
    assert found(value).minimal == [whole]


def test_a_saturated_sum_has_the_sets_of_the_exhaustive_oracle() -> None:
    weights = [0.5, 0.4, 0.3, 0.3, 0.2, 0.1, 0.05, 0.0, 0.0]

    def value(held: int) -> float:
        return round(min(1.0, sum(weights[p] for p in indices(held))), 6)

    truth = oracle(value, 9)
    assert set(found(value, cells=9, size=9, roots=99, beam=130).minimal) == truth
    assert set(found(value, cells=9, size=9, roots=99, beam=6).minimal) <= truth
    assert len(truth) > 5


def test_leaks_are_reduced_to_a_fixed_point() -> None:
    """Where a patch spoils what another gives, it goes, however late that shows."""

    def value(held: int) -> float:
        return 1.0 if held & 1 and not held & 4 else 0.95 if held & 7 == 7 else 0.0

    for minimal in found(value, cells=4, size=4).minimal:
        assert all(value(minimal & ~(1 << p)) < 0.9 for p in indices(minimal))


def test_nothing_needed_and_nothing_found_are_told_apart() -> None:
    assert found(lambda held: 1.0).minimal == [0]
    none = found(lambda held: held.bit_count() / 100)
    assert none.minimal == [] and none.best.bit_count() == 24


def test_fast_tries_only_what_promised_most_and_still_finds_both() -> None:
    full, fast = Counting(either), Counting(either)
    limits = Bounds(beam=6, successors=49, ways=6, roots=10, size=6)
    search(full, range(49), limits, 0.9)
    quick = search(fast, range(49), Bounds(**{**limits.__dict__, "tried": 12}), 0.9)
    assert set(quick.minimal) <= {A, C} and quick.minimal
    assert len(set(fast.asked)) < 0.7 * len(set(full.asked))


def test_the_largest_choice_without_overlap_is_both_planted_sets() -> None:
    sets = [[divmod(i, 7) for i in indices(s)] for s in (A, C, joined((3, 30, 5)))]
    assert diverse(sets, 0) == [0, 1]
    assert diverse(sets, 1) == [0, 1, 2]


def test_the_graph_of_the_planted_sets_falls_to_44_and_11_percent() -> None:
    graph = lattice(Counting(either), [A, C], 7, LatticeLimits(floor=0.4, children=3, nodes=60))
    values = [round(node["confidence"], 2) for node in graph["nodes"]]
    assert values == [1.0] * 2 + [0.44] * 6 + [0.11] * 6
    assert len(graph["edges"]) == 6 + 12  # each single patch is reached in two ways: no tree
    assert [node["root"] for node in graph["nodes"]] == [True] * 2 + [False] * 12
    bounded = lattice(Counting(either), [A], 7, LatticeLimits(floor=0.4, children=2, nodes=60))
    assert sum(edge["from"] == 0 for edge in bounded["edges"]) == 2


class Planted(nn.Module):
    """Two classes on a 7 x 7 grid of patches of 3 pixels, each seen at its middle: the card's
    disjunction, and a constant."""

    def __init__(self, sharp: float = 40.0) -> None:
        super().__init__()
        self.sharp = nn.Parameter(torch.tensor(sharp))

    def forward(self, images: Tensor) -> Tensor:
        seen = images[:, 0, 1::3, 1::3].flatten(1)
        sets = [seen[:, indices(s)].mean(1) for s in (A, C)]
        logit = self.sharp * (torch.stack(sets).amax(0) - 0.8)
        return torch.stack([logit, torch.zeros_like(logit)], 1)


def planted(**fields: Any) -> tuple[sl.Model, Tensor, SAG]:
    model = sl.Model(Planted(), size=(21, 21))
    made: dict[str, Any] = {"explainer": "rise", "fill": 0.0, "successors": 49, **fields}
    return model, torch.ones(1, 3, 21, 21), SAG(**made)


def test_both_planted_sets_are_found_through_a_network_and_nothing_is_measured_twice() -> None:
    model, images, method = planted()
    before = model.evaluations["forward"]
    regions = method(model, images, 0)
    spent = model.evaluations["forward"] - before
    sets = {joined(r * 7 + c for r, c in each) for each in regions.minimal[0]}
    assert sets == {A, C} and regions.outcome == ["sufficient"]
    assert spent <= regions.evaluations[0] + 512 + 2  # the masks of the ranking, the whole picture
    assert regions.provenance["evaluations"]["forward"] >= regions.evaluations[0]


def test_the_necessary_set_breaks_both_and_agrees() -> None:
    model, images, method = planted()
    regions = method(model, images, 0)
    (needed,) = regions.necessary
    held = joined(r * 7 + c for r, c in needed)
    assert held.bit_count() == 2 and held & A and held & C
    assert regions.agree == [True] and regions.remaining[0] < 0.4


def test_a_memory_measures_each_set_once() -> None:
    model, images, _ = planted()
    patches = Patches(
        model=model,
        target=model.aim(images, 0).with_probability(True),
        row=0,
        image=images,
        hidden=torch.zeros_like(images),
        grid=(7, 7),
        whole=1.0,
    )
    before = model.evaluations["forward"]
    first = patches.confidence([A, C, A, A | C])
    again = patches.confidence([C, A])
    assert model.evaluations["forward"] - before == 3
    assert first == [first[0], again[0], again[1], first[3]]


def test_a_picture_of_another_class_is_explained_all_the_same() -> None:
    model, images, method = planted()
    dimmed = images * 0.79  # 40 * (0.79 - 0.8): the other class is first
    regions = method(model, dimmed, 0)
    assert regions.minimal[0]
    assert "The model predicts 1" in regions.notes[0][0]
    assert "explain 0" in regions.notes[0][0]


def test_a_tie_for_the_first_place_is_told() -> None:
    model, images, method = planted()
    regions = method(model, images * 0.8, 0)
    assert regions.notes[0][0] == "0 and 1 share the highest probability."


def test_an_unlikely_class_is_told() -> None:
    model, images, method = planted()
    regions = method(model, images * 0.7, 0)
    assert any(
        "has a probability of only 1.8% on the whole picture" in note for note in regions.notes[0]
    )


def test_no_set_within_the_bounds_shows_the_best_one() -> None:
    model, images, method = planted(coverage=2 / 49)
    regions = method(model, images, 0)
    assert regions.outcome == ["none"] and regions.minimal == [[]] and regions.agree == [None]
    assert "found no set of up to 2 patches that keeps 90%" in " ".join(regions.notes[0])
    assert regions.graph.number_of_nodes() >= 1
    assert max(len(cells) for cells in regions.graph) == 2


def test_a_fill_that_is_enough_is_told() -> None:
    model, images, method = planted(fill=1.0)
    regions = method(model, images, 0)
    assert regions.outcome == ["fill"] and regions.minimal == [[frozenset()]]
    assert "Try another `fill`" in regions.notes[0][-1]
    assert list(regions.graph) == [()]


def test_a_score_that_is_not_positive_is_a_stated_outcome() -> None:
    model, images, method = planted()
    regions = method(model, images, -sl.Class(0))
    assert regions.outcome == ["none"] and regions.graph.number_of_nodes() == 1
    assert "a score that is not positive have no meaning" in regions.notes[0][-1]


def test_each_picture_of_a_batch_has_the_answer_that_it_has_alone() -> None:
    model, images, method = planted()
    batch = torch.cat([images, images * 0.79, images * 0.7])
    together = method(model, batch, 0)
    for row in range(3):
        alone = method(model, batch[row : row + 1], 0)
        assert alone.minimal[0] == together.minimal[row]
        assert alone.links[0] == together.links[row]
        assert alone.notes[0] == together.notes[row]


def test_the_result_survives_json() -> None:
    model, images, method = planted()
    regions = method(model, images, 0)
    told = json.loads(json.dumps(regions.to_json()))
    again = sl.Regions(**{k: told[k] for k in ("grid", "minimal", "links", "necessary")})
    assert again.minimal == regions.minimal and again.agree == regions.agree
    assert list(again.graph.edges(data=True)) == list(regions.graph.edges(data=True))


@pytest.mark.parametrize("fill", ["inpaint", "wide-blur", "mean", 0.25])
def test_other_fills_run(fill: str | float) -> None:
    model, images, method = planted(fill=fill, beam=2, successors=8, coverage=0.1)
    stripes = images.clone()
    stripes[..., ::4] = 0
    assert method(model, stripes, 0).graph.number_of_nodes() >= 1


def test_inpainting_keeps_what_is_known_and_spreads_it_into_holes() -> None:
    image = torch.linspace(0, 1, 16).expand(1, 3, 16, 16).clone()
    known = torch.ones(1, 1, 16, 16)
    known[..., 6:10, 6:10] = 0
    filled = inpainted(image, known)
    assert torch.equal(filled * known, image * known)
    hole = filled[0, 0, 6:10, 6:10]
    assert hole.min() > 0.2 and hole.max() < 0.8
    nothing = inpainted(image, torch.zeros(1, 1, 16, 16))
    assert torch.equal(nothing, torch.zeros_like(nothing))
    uneven = inpainted(image[..., :15, :13], known[..., :15, :13])
    assert uneven.shape == (1, 3, 15, 13) and torch.isfinite(uneven).all()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"fill": "purple"}, "inpaint"),
        ({"sufficient": 0.3}, "destroyed < sufficient"),
        ({"beam": 0}, "at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(BadField, match=words):
        SAG(**fields)


def test_a_ranking_that_cannot_treat_the_model_is_named() -> None:
    net = Planted()
    box = sl.Model.from_function(lambda x: net(x).detach().numpy(), size=21)
    with pytest.raises(NotExplainable, match="igos needs gradients"):
        SAG()(box, torch.ones(1, 3, 21, 21), 0)
    assert SAG(explainer="rise", coverage=0.1)(box, torch.ones(1, 3, 21, 21), 0).outcome


def test_sets_of_all_sizes_agree_with_pairs_tried_by_hand() -> None:
    model, images, method = planted()
    regions = method(model, images, 0)
    for cells, share in zip(regions.minimal[0], regions.confidences[0], strict=True):
        mask = torch.zeros(1, 1, 7, 7)
        for r, c in cells:
            mask[0, 0, r, c] = 1
        shown = nn.functional.interpolate(mask, size=(21, 21), mode="bilinear") * images
        whole, part = (model.probabilities(x)[0, 0] for x in (images, shown))
        assert share == pytest.approx(float(part / whole), abs=2e-6)
    pairs = itertools.combinations(indices(A | C), 2)
    assert not any(joined(pair) in {A, C} for pair in pairs)


def test_a_black_box_is_told_which_ranking_it_can_have() -> None:
    def answers(images: Tensor) -> Tensor:
        level = images[:, :, :8, :8].mean((1, 2, 3))
        return torch.stack([8 * level, 2 + 0 * level], 1)

    model = sl.Model.from_function(answers, size=16)
    images = torch.zeros(1, 3, 16, 16)
    images[:, :, :8, :8] = 1
    with pytest.raises(NotExplainable, match="explainer=rise"):
        sl.create("explainer", "sag")(model, images)
    ranked = sl.create("explainer", "rise", masks=64, grid=2)
    found = sl.create("explainer", "sag", explainer=ranked, grid=2, fill=0.0)(model, images)
    assert found.minimal == [[{(0, 0)}]]


def test_a_grid_that_could_never_be_searched_is_refused() -> None:
    with pytest.raises(BadField, match="32 x 32"):
        sl.create("explainer", "sag", grid=128)
