"""Coherency, complexity and ADCC: the arithmetic of the tables, and what each refuses."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from sightline import Case, Explainer, Heatmap, Model, create
from sightline.errors import NotExplainable
from sightline.metric import judged
from sightline.metrics.quality.adcc import adcc_dataset, harmonic
from sightline.target import Target
from sightline.worlds.miniatures import MINIATURES

SIZE = (32, 32)


@dataclass(frozen=True, kw_only=True)
class Fixed(Explainer):
    """One map whatever the picture, or the brightness of the picture turned over and over."""

    turning: bool = False

    def explain(self, model: Model, images: Tensor, target: Target) -> Heatmap:
        ramp = torch.linspace(0, 1, images.shape[-1]).expand(len(images), *images.shape[-2:])
        seen = images.mean((1, 2, 3)) > 0.35
        flipped = torch.where(seen[:, None, None], ramp, 1 - ramp)
        return Heatmap((flipped if self.turning else ramp).contiguous())


BLIND_IS_BEST = ("coherency", "sensitivity")


def case(explainer: Explainer, batch: int = 2) -> Case:
    net = MINIATURES["pooled-cnn"]()
    return judged(explainer, Model(net, size=SIZE), torch.rand(batch, 3, *SIZE), 1)


def test_a_method_that_ignores_the_picture_is_coherent_and_one_that_turns_over_is_not() -> None:
    metric = create("metric", "coherency")
    assert_close(metric(case(Fixed())), torch.ones(2))
    assert_close(metric(case(Fixed(turning=True))), torch.zeros(2), atol=1e-6, rtol=0)


def test_coherency_is_what_it_says_step_by_step() -> None:
    whole = case(create("explainer", "gradient"))
    unit = whole.heat.clamp(min=0)
    unit = unit / unit.amax((1, 2), keepdim=True)
    again = create("explainer", "gradient")(whole.model, whole.images * unit[:, None], 1).values
    expected = [
        (1 + torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]) / 2
        for a, b in zip(whole.heat, again, strict=True)
    ]
    found = create("metric", "coherency", fill=0.0)(whole)
    assert_close(found, torch.stack(expected), atol=1e-5, rtol=1e-4)


def test_null_maps_are_made_again_by_themselves_and_not_by_the_method() -> None:
    whole = case(create("explainer", "gradient"))
    ones, zeros = torch.ones(2), torch.zeros(2)
    level = {name: create("metric", name).null_levels(whole) for name in BLIND_IS_BEST}
    for null in ("random", "centred blob"):
        assert_close(level["coherency"][null], ones)
        assert_close(level["sensitivity"][null], zeros)
    assert 0 < level["coherency"]["edge map"].min() < 1
    assert 0 < level["sensitivity"]["edge map"].min() < 1
    forgets = create("metric", "model-randomisation", steps=2).null_levels(whole)
    assert all((found > 0.999).all() for found in forgets.values())
    assert all(create("metric", name).blind_is_best for name in BLIND_IS_BEST)


def test_what_has_no_explainer_cannot_explain_again() -> None:
    whole = case(Fixed())
    bare = Case(whole.model, whole.images, whole.target, whole.explanation)
    for name in ("coherency", "adcc", "sensitivity", "model-randomisation"):
        with pytest.raises(NotExplainable, match="explainer"):
            create("metric", name)(bare)


def test_complexity_is_the_share_that_is_marked() -> None:
    whole, metric = case(Fixed()), create("metric", "complexity")
    quarter = torch.zeros(2, *SIZE)
    quarter[:, :16, :16] = 3.7
    assert_close(metric(whole.with_heat(quarter)), torch.full((2,), 0.25))
    assert_close(metric(whole.with_heat(torch.full((2, *SIZE), 1e-9))), torch.ones(2))
    assert_close(metric(whole.with_heat(quarter - 1)), torch.full((2,), 0.25))
    assert metric(whole.with_heat(-quarter)).isnan().all()


@pytest.mark.parametrize(
    ("drop", "coherency", "complexity", "expected", "within"),
    [
        (0.2, 0.9, 0.3, 0.79162, 1e-5),
        (0.6642, 0.6920, 0.1565, 0.535, 1e-3),  # Grad-CAM on VGG-16, as published
        (0.1569, 0.9668, 0.3290, 0.8085, 1e-3),  # Recipro-CAM on ResNet-50, as published
        (0.0, 1.0, 0.0, 1.0, 0),
        (1.0, 0.9, 0.3, 0.0, 0),
        (0.2, 0.0, 0.3, 0.0, 0),
        (0.2, 0.9, 1.0, 0.0, 0),
    ],
)
def test_the_harmonic_mean_is_that_of_the_tables(
    drop: float, coherency: float, complexity: float, expected: float, within: float
) -> None:
    terms = torch.tensor([[drop, coherency, complexity]], dtype=torch.float64)
    assert_close(float(harmonic(terms)), expected, atol=within, rtol=0)


def test_pictures_or_terms_are_averaged_first() -> None:
    terms = torch.tensor([[0.0, 1.0, 0.2], [0.8, 0.6, 0.5], [torch.nan, 0.5, 0.5]])
    values = harmonic(terms.double()).float()
    one, other = create("metric", "adcc"), create("metric", "adcc", aggregate="dataset")
    assert_close(one.summary(values, terms), float(values[:2].mean()))
    means = terms[:2].double().mean(0)[None]
    assert_close(other.summary(values, terms), float(harmonic(means)))
    assert adcc_dataset(terms) != one.summary(values, terms)


def test_the_three_terms_are_the_three_metrics() -> None:
    whole = case(create("explainer", "gradient"))
    terms = create("metric", "adcc").curves(whole)
    for column, name in enumerate(("average-drop", "coherency", "complexity")):
        assert_close(terms[:, column], create("metric", name)(whole))
    assert_close(create("metric", "adcc")(whole), harmonic(terms.double()).float())
