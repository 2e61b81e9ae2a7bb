"""Smoothed maps: a plain mean over noisy copies, one at a time, of whatever the method says."""

import pytest
import torch
from torch.testing import assert_close

from sightline import Model, create
from sightline.errors import BadField
from sightline.ops.noise import generator
from sightline.worlds import analytic
from sightline.worlds.miniatures import MINIATURES

pytestmark = pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive")
CNN = MINIATURES["pooled-cnn"]


def test_without_noise_it_is_the_method() -> None:
    model, images = Model(CNN(), size=CNN.size), torch.rand(3, 3, *CNN.size)
    for name in ("grad-cam", "gradient", "occlusion", "integrated-gradients"):
        plain = create("explainer", name)(model, images, [0, 3, 4])
        still = create("explainer", "smooth-map", explainer=name, spread=0.0, samples=3)
        heat = still(model, images, [0, 3, 4])
        assert_close(heat.values, plain.values, atol=1e-6, rtol=1e-4)
        assert_close(heat.native, plain.native, atol=1e-6, rtol=1e-4)
        assert (heat.channels is None) == (plain.channels is None)


@pytest.mark.parametrize("name", ["grad-cam", "gradient"])
def test_it_is_the_mean_over_noisy_copies_one_at_a_time(name: str) -> None:
    model, images = Model(CNN(), size=CNN.size), torch.rand(2, 3, *CNN.size)
    source = generator(3, "smooth-map")
    noise = [torch.randn(images.shape[1:], generator=source) for _ in range(7)]
    base, values, native = create("explainer", name), [], []
    for image, index in zip(images, [4, 2], strict=True):
        deviation = 0.2 * (image.max() - image.min())
        copies = [base(model, (image + deviation * drawn)[None], index) for drawn in noise]
        values.append(torch.stack([c.values[0] for c in copies]).double().mean(0))
        native.append(torch.stack([c.native[0] for c in copies]).double().mean(0))
    explain = create("explainer", "smooth-map", explainer=name, samples=7, spread=0.2, seed=3)
    heat = explain(model, images, [4, 2])
    assert_close(heat.values, torch.stack(values).float(), atol=1e-6, rtol=1e-3)
    assert_close(heat.native, torch.stack(native).float(), atol=1e-6, rtol=1e-3)
    assert heat.provenance["evaluations"] == {"forward": 2 + 14, "backward": 14}


def test_noise_is_in_natural_units_where_colours_have_deviations() -> None:
    known = analytic.linear()
    heat = create("explainer", "smooth-map", explainer="gradient")(*known)
    assert_close(heat.channels, known.model.module.weight[1].detach().expand(2, -1, -1, -1))
    other = create("explainer", "smooth-map", explainer="input-x-gradient", spread=0.05)
    near = other(*known).native  # the noise's mean is not 0 in 50 samples
    assert torch.cosine_similarity(near.flatten(1), known.expected.flatten(1)).min() > 0.99


@pytest.mark.parametrize("batch", [1, 3, 5])
def test_chunks_do_not_matter(batch: int) -> None:
    model, images = Model(CNN(), size=CNN.size), torch.rand(2, 3, *CNN.size)
    explain = create("explainer", "smooth-map", samples=7)
    whole = explain(model, images, [1, 2])
    model.batch = batch
    found = explain(model, images, [1, 2])
    assert_close(found.native, whole.native, atol=1e-6, rtol=1e-4)


def test_bad_fields_are_refused() -> None:
    for fields in ({"samples": 0}, {"spread": -0.1}):
        with pytest.raises(BadField, match="samples >= 1"):
            create("explainer", "smooth-map", **fields)
