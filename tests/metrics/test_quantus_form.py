"""The form in which Quantus calls its metrics, without Quantus: what goes in, what comes out, and
what is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from sightline import Class, Heatmap, Model, create
from sightline.errors import BadField, NotExplainable, NotMeasured, ShapeError, UnknownName
from sightline.metric import Case
from sightline.metrics._quantus import QuantusForm, quantus_form
from sightline.worlds.miniatures import MINIATURES

SIZE, PICTURES = (32, 32), 3


def network() -> nn.Module:
    net = MINIATURES["pooled-cnn"]()
    with torch.no_grad():
        net.head.weight *= 8
    return net.eval()


def batch() -> dict[str, Any]:
    dice = np.random.default_rng(1)
    return {
        "x_batch": dice.random((PICTURES, 3, *SIZE)).astype(np.float32),
        "y_batch": np.array([0, 3, 4]),
        "a_batch": dice.random((PICTURES, *SIZE)).astype(np.float32),
    }


def case(net: nn.Module, given: dict[str, Any]) -> Case:
    images, heat = (torch.from_numpy(given[name]) for name in ("x_batch", "a_batch"))
    return Case(Model.of(net), images, Class((0, 3, 4)), Heatmap(heat))


def brightness(model: nn.Module, inputs: Any, targets: Any, scale: float = 1.0) -> np.ndarray:
    assert isinstance(inputs, np.ndarray) and targets.shape == (len(inputs),)
    return scale * inputs.mean(1, keepdims=True)


def test_it_is_the_metric_as_a_list_of_floats() -> None:
    net, given = network(), batch()
    for name in ("deletion", "insertion", "complexity", "average-drop"):
        found = quantus_form(name)(model=net, device="cpu", batch_size=2, **given)
        assert isinstance(found, list) and all(isinstance(each, float) for each in found)
        assert_close(torch.tensor(found), create("metric", name)(case(net, given)))


def test_axes_channels_and_tensors_mean_the_same() -> None:
    net, given, form = network(), batch(), quantus_form("deletion", steps=4)
    plain = form(model=net, **given)
    last = {**given, "x_batch": np.moveaxis(given["x_batch"], 1, 3)}
    assert form(model=net, channel_first=False, **last) == plain
    last["a_batch"] = given["a_batch"][..., None]
    assert form(model=net, channel_first=False, **last) == plain
    tensors = {k: torch.from_numpy(v) for k, v in given.items()}
    assert form(model=net, channel_first=True, **tensors) == plain
    thirds = np.stack([given["a_batch"] / 4, given["a_batch"] / 2, given["a_batch"] / 4], 1)
    assert_close(form(model=net, **{**given, "a_batch": thirds}), plain)
    assert QuantusForm(create("metric", "deletion", steps=4)) == form


def test_the_score_is_a_probability_or_a_logit_as_asked() -> None:
    net, given, form = network(), batch(), quantus_form("deletion", steps=4)
    assert form(model=net, softmax=True, **given) == form(model=net, **given)
    logits = form(model=net, softmax=False, **given)
    aimed = case(net, given)
    aimed = Case(aimed.model, aimed.images, aimed.target.with_probability(False), aimed.explanation)
    assert_close(torch.tensor(logits), create("metric", "deletion", steps=4)(aimed))
    assert logits != form(model=net, **given)


def test_a_function_makes_the_maps_and_makes_them_again() -> None:
    net, given = network(), batch()
    maps = given.pop("a_batch")
    form = quantus_form("complexity")
    made = form(model=net, explain_func=brightness, **given)
    plain = given["x_batch"].mean(1)
    assert_close(made, form(model=net, a_batch=plain, **given))
    twice = {"explain_func": brightness, "explain_func_kwargs": {"scale": 2.0}}
    assert_close(form(model=net, **twice, **given), made)
    again = quantus_form("model-randomisation", steps=2)(model=net, **twice, **given)
    assert_close(again, [1.0] * PICTURES)  # it never looks at the model
    with pytest.raises(NotExplainable, match="explains again"):
        quantus_form("sensitivity")(model=net, a_batch=maps, **given)
    with pytest.raises(NotExplainable, match="give a_batch or explain_func"):
        form(model=net, **given)


def test_masks_are_the_truth() -> None:
    net, given = network(), batch()
    masks = np.zeros((PICTURES, 1, *SIZE), dtype=int)
    masks[1:, :, 4:20] = 1
    with pytest.warns(NotMeasured, match="picture 0: the object has no pixel"):
        found = quantus_form("energy-pointing")(model=net, s_batch=masks, **given)
    assert np.isnan(found[0])
    inside = given["a_batch"][:, 4:20].sum((1, 2)) / given["a_batch"].sum((1, 2))
    assert_close(found[1:], inside[1:].tolist(), atol=1e-5, rtol=1e-5)
    with pytest.raises(BadField, match=r"s_batch .* 4 values from 0 to 1\.5.*mask > 0\.5"):
        quantus_form("energy-pointing")(model=net, s_batch=masks + masks[:, :, ::-1] / 2, **given)


def test_what_it_cannot_take_is_refused_in_words() -> None:
    net, given, form = network(), batch(), quantus_form("complexity")
    with pytest.raises(UnknownName, match="softmax"):
        form(model=net, softmx=True, **given)
    with pytest.raises(BadField, match="move it there first"):
        form(model=net, device="cuda", **given)
    with pytest.raises(BadField, match="not passed on"):
        form(model=net, model_predict_kwargs={"a": 1}, **given)
    with pytest.raises(BadField, match="already an object"):
        quantus_form(create("metric", "deletion"), steps=3)
    with pytest.raises(ShapeError, match="one map per picture"):
        form(model=net, **{**given, "a_batch": given["a_batch"][:2]})
    with pytest.raises(ShapeError, match="channel_first=False"):
        form(model=net, **{**given, "x_batch": given["x_batch"][0]})
