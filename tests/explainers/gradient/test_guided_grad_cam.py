"""Guided Grad-CAM: the product of its two parts, each of which may be another method."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from sightline import Model, create
from sightline.errors import BadField, NotExplainable, SightlineWarning, UnknownName
from sightline.ops.resize import resize
from sightline.worlds.miniatures import MINIATURES

CNN = MINIATURES["pooled-cnn"]
NAME = "guided-grad-cam"


@pytest.fixture
def known() -> tuple[Model, Tensor]:
    net = CNN()
    with torch.no_grad():
        net.head.weight.abs_()  # every class has positive evidence
    return Model(net, size=CNN.size), torch.rand(3, 3, *CNN.size)


def test_it_is_the_clipped_unscaled_map_times_the_channels(known: tuple[Model, Tensor]) -> None:
    model, images = known
    heat = create("explainer", NAME)(model, images, [0, 3, 4])
    cam = create("explainer", "grad-cam")(model, images, [0, 3, 4])
    fine = create("explainer", "guided-backprop")(model, images, [0, 3, 4])
    assert_close(heat.channels, cam.values[:, None] * fine.channels)
    assert_close(heat.values, heat.channels.abs().amax(1))
    signed = resize(cam.native[:, None], CNN.size)[:, 0]
    assert_close(heat.native, signed * fine.native)
    assert heat.provenance["evaluations"] == {"forward": 3 + 3, "backward": 3 + 3}
    assert heat.provenance["layer"] == model.spatial


def test_each_part_may_be_another_method_with_parameters_of_its_own(
    known: tuple[Model, Tensor],
) -> None:
    model, images = known
    cam = create("explainer", "hires-cam", layer="first")
    heat = create("explainer", NAME, cam=cam, fine="gradient")(model, images, 1)
    where = cam(model, images, 1)
    plain = create("explainer", "gradient")(model, images, 1)
    assert_close(heat.channels, where.values.clamp(min=0)[:, None] * plain.channels)
    assert heat.provenance["layer"] == "first"
    assert heat.provenance["parameters"]["cam"]["fields"]["layer"] == "first"
    assert heat.provenance["evaluations"] == {"forward": 3, "backward": 6}  # one clean pass for all


def test_a_class_without_evidence_gives_an_empty_picture_and_says_so() -> None:
    net = CNN()
    with torch.no_grad():
        net.head.weight.abs_().neg_()
    model, images = Model(net, size=CNN.size), torch.rand(2, 3, *CNN.size)
    explain = create("explainer", NAME, fine="gradient")
    with pytest.warns(SightlineWarning, match="no evidence for the target is positive"):
        heat = explain(model, images, 1)
    assert heat.values.eq(0).all() and heat.native.ne(0).any() and heat.empty.all()


def test_parts_that_do_not_fit_are_refused(known: tuple[Model, Tensor]) -> None:
    model, images = known
    with pytest.raises(BadField, match="a value for each colour"):
        create("explainer", NAME, fine="occlusion")(model, images, 1)
    with pytest.raises(UnknownName, match="did you mean"):
        create("explainer", NAME, cam="gradcma")
    with pytest.raises(UnknownName, match="no layer named 'nowhere'"):
        create("explainer", NAME, cam=create("explainer", "grad-cam", layer="nowhere"))(
            model, images, 1
        )
    token = MINIATURES["token-net"]
    rollout = create("explainer", NAME, cam="rollout", fine="gradient")
    assert rollout(Model(token(), size=token.size), torch.rand(1, 3, *token.size), 1)
    with pytest.raises(NotExplainable, match="rollout reads attention"):
        rollout(model, images, 1)


def test_fast_makes_the_parts_fast() -> None:
    fast = create("explainer", NAME, cam="score-cam").fast()
    assert fast.cam.clusters == "auto" and fast.fine.registered_name == "guided-backprop"
