"""What Python programmers try without reading: numbers, slices and loops over an explanation, a
layer and a device by name, a bare module with a path."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import sightline as sl
from sightline.errors import BadField, BadImage, OutOfRange, SightlineError, UnknownName
from sightline.explainers.layer_choice import at_layer
from sightline.explanation import Explanation
from sightline.explanations.chain import Chain
from sightline.explanations.concepts import Concepts


def _heat() -> sl.Heatmap:
    told = {"target_label": ["a", "b", "c"], "method": "gradient"}
    values = torch.arange(3.0).view(3, 1, 1).expand(3, 2, 2)
    return sl.Heatmap(values, details={"note": ["x", "y", "z"]}, provenance=told)


def _regions() -> sl.Regions:
    return sl.Regions(grid=(2, 2), minimal=[[[(0, 0)]], [[(0, 1)]], [[(1, 0), (1, 1)]]])


def _words() -> sl.Words:
    return sl.Words.nothing(3, (4, 4), None)


KINDS: dict[str, Callable[[], Explanation]] = {
    "heatmap": _heat,
    "regions": _regions,
    "words": _words,
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_every_kind_is_read_by_number_slice_and_loop(make: Callable[[], Explanation]) -> None:
    found = make()
    assert len(found) == 3
    for each in (found[0], found[-1], found[np.int64(1)], found[torch.tensor(2)]):
        assert type(each) is type(found) and len(each) == 1
    assert [len(part) for part in (found[1:], found[::-1], found[:0])] == [2, 3, 0]
    assert [len(each) for each in found] == [1, 1, 1]
    for beyond in (3, -4, 99):
        with pytest.raises(IndexError, match=r"no picture .*its pictures are 0 to 2"):
            found[beyond]
    assert issubclass(OutOfRange, SightlineError)


def test_a_number_takes_the_picture_of_that_number() -> None:
    heat = _heat()
    assert [float(heat[i].values.mean()) for i in (0, 1, -1)] == [0, 1, 2]
    assert [one.provenance["target_label"] for one in heat] == [["a"], ["b"], ["c"]]
    assert heat[::-1].details["note"] == ["z", "y", "x"] and heat[-2].note == ["y"]
    assert _regions()[2].minimal == [[frozenset({(1, 0), (1, 1)})]]


@pytest.mark.parametrize("which", ["a", 1.5, [0, 1], None])
def test_what_is_no_number_names_the_remedy(which: object) -> None:
    with pytest.raises(BadField, match=r"whole number or a slice; got .*take\(\["):
        _heat()[which]


def test_every_kind_of_explanation_is_tried() -> None:
    kinds = {sl.Heatmap, sl.Regions, sl.Words, Chain, Concepts}
    assert all("__getitem__" not in vars(kind) for kind in kinds)  # one rule for all


def _net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1, stride=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    ).eval()


def test_a_layer_is_given_to_the_methods_that_read_one() -> None:
    net, images = _net(), torch.rand(1, 3, 8, 8)
    one = sl.explain(net, images, "grad-cam", 1, layer="0")
    assert one.provenance["layer"] == "0"
    assert torch.equal(
        one.values, sl.create("explainer", "grad-cam", layer="0")(net, images, 1).values
    )
    cam, plain = sl.explain(net, images, ["layer-cam", "gradient"], 1, layer="0")
    assert (cam.provenance["layer"], plain.provenance["layer"]) == ("0", None)


def test_a_layer_reaches_the_method_inside_another() -> None:
    (found,) = at_layer([sl.create("explainer", "guided-grad-cam")], "2")
    assert found.whole[1].layer == "2"  # type: ignore[attr-defined]


def test_a_layer_that_nobody_reads_or_that_is_not_there_is_an_error() -> None:
    net, images = _net(), torch.rand(1, 3, 8, 8)
    with pytest.raises(BadField, match=r"layer='0' was given, and gradient reads no layer"):
        sl.explain(net, images, "gradient", layer="0")
    with pytest.raises(BadField, match="none of gradient, rise reads a layer"):
        sl.explain(net, images, ["gradient", "rise"], layer="0")
    with pytest.raises(UnknownName, match="no layer named 'nowhere'"):
        sl.explain(net, images, "grad-cam", layer="nowhere")


def test_a_device_that_is_not_there_is_an_error_before_any_work() -> None:
    net, images = _net(), torch.rand(1, 3, 8, 8)
    for name, told in (("gpu", "no device named 'gpu'"), ("meta", "no device named 'meta'")):
        with pytest.raises(BadField, match=told):
            sl.explain(net, images, "gradient", device=name)
    if not torch.cuda.is_available():
        with pytest.raises(BadField, match=r"offers no cuda; expected .* cpu.*`auto`"):
            sl.load("sightline:default", device="cuda")
        with pytest.raises(BadField, match="offers no cuda:1"):
            sl.Model(net).to(torch.device("cuda:1"))


def test_a_device_is_taken_and_left_as_it_was() -> None:
    net, images = _net(), torch.rand(1, 3, 8, 8)
    heat = sl.explain(net, images, "gradient", 1, device="auto")
    assert next(net.parameters()).device.type == "cpu"
    assert torch.allclose(
        heat.values.cpu(), sl.explain(net, images, "gradient", 1).values, atol=1e-4
    )
    assert sl.load("sightline:default", device="cpu").device == torch.device("cpu")
    model = sl.Model(net)
    assert model.to("cpu") is model


def test_a_network_on_two_devices_is_not_moved_in_silence() -> None:
    net = _net()
    net.add_module("far", nn.Linear(1, 1, device="meta"))
    with pytest.raises(BadField, match=r"several devices \(cpu, meta\)"):
        sl.explain(sl.Model(net), torch.rand(1, 3, 8, 8), "gradient", device="cpu")


def test_a_bare_module_with_a_path_says_what_is_missing(tmp_path) -> None:
    path = tmp_path / "dog.png"
    Image.new("RGB", (8, 8)).save(path)
    for picture in (path, str(path), Image.new("RGB", (8, 8)), np.zeros((8, 8, 3), np.uint8)):
        with pytest.raises(
            BadImage, match=r"bare module has no preprocessing. Wrap it in `sl.Model\(net"
        ):
            sl.explain(_net(), picture, "gradient")
