"""A layer that is named reaches all that read one, also inside other methods."""

import pytest

import sightline as sl
from sightline import available
from sightline.cli import parse
from sightline.errors import BadField
from sightline.explainer import Explainer
from sightline.explainers.layer_choice import at_layer, method_fields, with_default_layer
from sightline.worlds import analytic

HOLDING = [n for n in available("explainer") if method_fields(type(sl.create("explainer", n)))]
READING = [n for n in HOLDING if any("layer" in e.needs for e in sl.create("explainer", n).whole)]


def layers(method: Explainer) -> set[str | None]:
    """The layers of all that a method runs and that reads one."""
    return {each.layer for each in method.whole if "layer" in each.needs}  # type: ignore[attr-defined]


def test_fields_that_hold_methods_are_those_that_it_runs() -> None:
    for name in available("explainer"):
        method = sl.create("explainer", name)
        assert len(method_fields(type(method))) == len(method.parts), name
    assert {"guided-grad-cam", "sess", "smooth-map"} <= set(READING)


@pytest.mark.parametrize("name", READING)
def test_the_option_layer_reaches_the_method_inside(name: str) -> None:
    model = analytic.pooled_head().model
    (method,) = parse.methods(model, name, layer="maps")
    assert layers(method) == {"maps"}
    assert at_layer([sl.create("explainer", name)], "maps") == [method]


def test_the_option_reaches_one_inside_one_inside_another() -> None:
    inner = sl.create("explainer", "sess", explainer="score-cam")
    (method,) = at_layer([sl.create("explainer", "smooth-map", explainer=inner)], "maps")
    assert layers(method) == {"maps"} and len(method.whole) == 3


def test_a_default_layer_leaves_one_that_was_named() -> None:
    named = sl.create("explainer", "grad-cam", layer="first")
    assert layers(with_default_layer(named, "maps")) == {"first"}
    assert layers(with_default_layer(sl.create("explainer", "sess"), "maps")) == {"maps"}
    plain = sl.create("explainer", "gradient")
    assert with_default_layer(plain, "maps") == plain


def test_a_layer_that_no_method_reads_is_an_error_also_at_the_command_line() -> None:
    with pytest.raises(BadField, match="gradient reads no layer"):
        parse.methods(analytic.pooled_head().model, "gradient", layer="maps")
