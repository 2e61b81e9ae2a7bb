"""Flip averaging: the picture and its mirror image count alike."""

import pytest
import torch
from torch.testing import assert_close

from sightline import Model, create
from sightline.errors import NotExplainable
from sightline.targets.structured import Region, Unit
from sightline.worlds import analytic
from sightline.worlds.miniatures import MINIATURES

pytestmark = pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive")
CNN = MINIATURES["pooled-cnn"]


@pytest.mark.parametrize("name", ["grad-cam", "gradient", "rise"])
def test_it_is_the_mean_of_the_map_and_the_mirrored_map_of_the_mirror_image(name: str) -> None:
    model, images = Model(CNN(), size=CNN.size), torch.rand(3, 3, *CNN.size)
    base = create("explainer", name)
    heat = create("explainer", "flip-average", explainer=name)(model, images, [0, 3, 4])
    plain, mirrored = base(model, images, [0, 3, 4]), base(model, images.flip(3), [0, 3, 4])
    assert_close(heat.values, (plain.values + mirrored.values.flip(2)) / 2)
    assert_close(heat.native, (plain.native + mirrored.native.flip(2)) / 2)
    if plain.channels is not None:
        assert_close(heat.channels, (plain.channels + mirrored.channels.flip(3)) / 2)
    spent = [p.provenance["evaluations"] for p in (plain, mirrored)]
    doubled = {k: spent[0][k] + spent[1][k] for k in spent[0]}
    if name == "rise":  # what hides behind a mask needs no clean pass of the mirror image
        doubled["forward"] -= 3
    assert heat.provenance["evaluations"] == doubled


@pytest.mark.parametrize("name", ["grad-cam", "gradient", "occlusion"])
def test_a_symmetric_picture_has_a_symmetric_map(name: str) -> None:
    images = torch.rand(2, 3, *CNN.size)
    images = (images + images.flip(3)) / 2
    heat = create("explainer", "flip-average", explainer=name)(
        Model(CNN(), size=CNN.size), images, 1
    )
    assert_close(heat.native, heat.native.flip(2))
    assert_close(heat.values, heat.values.flip(2))


def test_the_target_is_the_top_class_of_the_clean_picture() -> None:
    known = analytic.linear(batch=4, target=0)
    clean = known.model.outputs(known.images).argmax(1).tolist()
    flipped = known.model.outputs(known.images.flip(3)).argmax(1).tolist()
    assert clean != flipped  # or the test shows nothing
    heat = create("explainer", "flip-average", explainer="gradient")(known.model, known.images)
    assert heat.provenance["target_index"] == clean
    weight = known.model.module.weight.detach()[clean]
    assert_close(heat.channels, (weight + weight.flip(3)) / 2)


def test_a_target_that_names_a_place_is_refused() -> None:
    model, images = Model(CNN(), size=CNN.size), torch.rand(1, 3, *CNN.size)
    explain = create("explainer", "flip-average")
    with pytest.raises(NotExplainable, match="is a place in it"):
        explain(model, images, Unit("first", 0, at=(3, 0)))
    maps = Model(CNN(), size=CNN.size, output=lambda y: y[:, :, None, None].expand(-1, -1, 4, 4))
    with pytest.raises(NotExplainable, match="is a place in it"):
        explain(maps, images, Region(torch.ones(32, 32), 1))
    anywhere = create("explainer", "flip-average", explainer="gradient")
    assert anywhere(model, images, Unit("first", 0)).native.ne(0).any()
