"""Time and passes are read from the record, per picture, also of some of the pictures."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from sightline import Case, Model, create
from sightline.errors import BadField
from sightline.metric import judged
from sightline.worlds.miniatures import MINIATURES


def case(method: str, batch: int = 3) -> Case:
    mini = MINIATURES["pooled-cnn"]
    model = Model(mini(), size=mini.size)
    return judged(create("explainer", method), model, torch.rand(batch, 3, *mini.size), 1)


def test_a_gradient_is_one_pass_forward_and_one_back_whatever_the_batch() -> None:
    passes = create("metric", "evaluations")
    assert passes(case("gradient")).tolist() == [2, 2, 2]
    assert passes(case("gradient", 20)).tolist() == [2] * 20
    whole = case("gradient")
    few = Case(whole.model, whole.images[:1], whole.target.take([0]), whole.explanation.take([0]))
    assert passes(few).tolist() == [2]


def test_more_work_costs_more() -> None:
    cheap, expensive = case("gradient"), case("rise")
    passes, seconds = create("metric", "evaluations"), create("metric", "runtime")
    assert (passes(expensive) > passes(cheap)).all()
    slower = {**cheap.explanation.provenance, "seconds": 3600.0}
    late = replace(cheap, explanation=replace(cheap.explanation, provenance=slower))
    assert (seconds(late) > seconds(cheap)).all()


def test_passes_behind_a_layer_count_as_the_field_says() -> None:
    whole = case("gradient")
    told = {**whole.explanation.provenance, "copies": 30}
    copied = replace(whole, explanation=replace(whole.explanation, provenance=told))
    assert_close(create("metric", "evaluations")(copied), torch.full((3,), 12.0))
    assert_close(create("metric", "evaluations", copy=0.0)(copied), torch.full((3,), 2.0))
    with pytest.raises(BadField, match="share of a pass"):
        create("metric", "evaluations", copy=2.0)


def test_seconds_are_shared_out_and_a_map_from_nowhere_has_no_cost() -> None:
    whole = case("gradient")
    each = whole.explanation.provenance["seconds"] / 3
    assert_close(create("metric", "runtime")(whole), torch.full((3,), float(each)))
    for name in ("evaluations", "runtime"):
        assert create("metric", name)(whole.with_heat(whole.heat)).isnan().all()
