"""Both methods of Dabkowski and Gal: the network's one pass, and the descent on one mask."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.testing import assert_close

from kernels import rounded_otherwise
from sightline import Axis, Class, Contrast, Model, Preprocess, Top, create, load
from sightline.artifact import WEIGHTS
from sightline.errors import BadField, BadModel, NotExplainable, SightlineWarning
from sightline.explainers.mask.iterative_saliency import stepped
from sightline.nets.mask_loss import MaskedBatch, MaskLoss
from sightline.nets.masking import MASKS, MaskingBlueprint, MaskingNetwork
from sightline.ops.noise import generator
from sightline.ops.resize import resize
from sightline.registry import from_json, to_json
from sightline.worlds import analytic
from sightline.worlds.aviary import bundle
from sightline.worlds.miniatures import MINIATURES

CNN = MINIATURES["pooled-cnn"]


def model() -> Model:
    net = CNN()
    with torch.no_grad():
        net.head.weight *= 8
    return Model(net, size=CNN.size)


def tiny(folder: Path, for_model: Model) -> Path:
    path = folder / "tiny.safetensors"
    blueprint = MaskingBlueprint.of(for_model, base=4, cell=2)
    MASKS.save(path, blueprint, MaskingNetwork(blueprint).state_dict())
    return path


def birds() -> tuple[Tensor, list[int], Tensor]:
    drawn = bundle(6)
    images = torch.from_numpy(np.stack([bird.image for bird in drawn])).permute(0, 3, 1, 2)
    truth = torch.from_numpy(np.stack([bird.silhouette for bird in drawn]))
    return (images / 255).contiguous(), [bird.label for bird in drawn], truth


def test_the_map_is_the_networks_mask_for_the_class_of_each_image(tmp_path: Path) -> None:
    net, images = model(), torch.rand(3, 3, *CNN.size)
    path = tiny(tmp_path, net)
    heat = create("explainer", "realtime-saliency", weights=path, confidence=1.0)(
        net, images, [0, 3, 4]
    )
    network = MASKS.load(path, net)
    with torch.no_grad():
        masks = network(network.blueprint.maps(net, images), torch.tensor([0, 3, 4]), 1.0)
    assert_close(heat.native, masks[:, 0])
    assert_close(heat.values, resize(masks, CNN.size)[:, 0])


def test_it_costs_no_gradient_and_one_pass_for_the_score_and_one_for_the_layers(
    tmp_path: Path,
) -> None:
    net, images = model(), torch.rand(3, 3, *CNN.size)
    explain = create("explainer", "realtime-saliency", weights=tiny(tmp_path, net))
    net.study(CNN.size)
    heat = explain(net, images, 1)
    assert heat.provenance["evaluations"] == {"forward": 3, "backward": 0}


def test_without_weights_it_names_the_recipe() -> None:
    with pytest.raises(
        NotExplainable, match=r"python -m sightline\.recipes\.saliency_masks --model"
    ):
        create("explainer", "realtime-saliency")(model(), torch.rand(1, 3, *CNN.size), 1)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    path = tiny(tmp_path, model())
    other = Model(CNN(), size=CNN.size)
    with pytest.raises(BadModel, match="was trained for PooledCNN"):
        create("explainer", "realtime-saliency", weights=path)(other, torch.rand(1, 3, 32, 32), 1)


@pytest.mark.usefixtures("learned_parts")
@pytest.mark.parametrize("name", ["realtime-saliency", "iterative-saliency"])
@pytest.mark.parametrize("target", [Contrast(0, 1), Axis(1), -Class(1), [Axis(1), Axis(2)]])
def test_targets_that_are_no_class_are_refused(name: str, target: object) -> None:
    with pytest.raises(NotExplainable, match="masks a class"):
        create("explainer", name)(model(), torch.rand(2, 3, *CNN.size), target)


@pytest.mark.usefixtures("learned_parts")
@pytest.mark.parametrize("name", ["realtime-saliency", "iterative-saliency"])
def test_a_picture_with_another_target_does_not_cost_the_others_theirs(name: str) -> None:
    net, images = model(), torch.rand(2, 3, *CNN.size)
    explain = create("explainer", name)
    with pytest.warns(SightlineWarning, match=r"no result for 1 of 2 pictures. images\[1\]"):
        heat = explain(net, images, [Class(1), Axis(2)])
    assert torch.isnan(heat.values[1]).all() and "masks a class" in heat.refused[1]
    assert_close(heat.values[0], explain(net, images[:1], 1).values[0])


@pytest.mark.parametrize("target", [Top(), Class((1, 2)), [Class(1), Class(2)]])
def test_classes_come_in_several_forms(target: object, tmp_path: Path) -> None:
    net = model()
    explain = create("explainer", "realtime-saliency", weights=tiny(tmp_path, net))
    assert explain(net, torch.rand(2, 3, *CNN.size), target).values.shape == (2, 32, 32)


def test_a_path_becomes_text_so_that_fields_survive_json(tmp_path: Path) -> None:
    method = create("explainer", "realtime-saliency", weights=tmp_path / "m.safetensors")
    assert isinstance(method.weights, str)
    assert from_json("explainer", to_json(method)) == method
    with pytest.raises(BadField, match="confidence"):
        create("explainer", "realtime-saliency", confidence=float("nan"))


def test_the_shipped_network_finds_the_birds_and_stays_small_for_other_species() -> None:
    net, (images, labels, truth) = load("sightline:default"), birds()
    assert (WEIGHTS / "default-masks.safetensors").stat().st_size < 1_000_000
    explain = create("explainer", "realtime-saliency")
    heat = explain(net, images, labels)
    inside = (heat.values * truth).sum((1, 2)) / heat.values.sum((1, 2))
    assert (inside > 2 * truth.float().mean((1, 2))).all()
    other = explain(net, images, [(label + 5) % 14 for label in labels])
    assert other.values.mean() < 0.2 * heat.values.mean()


def test_the_descent_is_its_update_rule_written_out() -> None:
    """Nesterov momentum by hand, the loss's slope from the shared loss, on one small mask."""
    net, images = model(), torch.rand(1, 3, *CNN.size)
    fields = {"cells": 6, "steps": 4, "rate": 0.3, "momentum": 0.7, "area": 5.0, "smooth": 0.1}
    heat = create("explainer", "iterative-saliency", seed=3, **fields)(net, images, 2)
    dice = generator(3, "iterative saliency")
    loss = MaskLoss(area=5.0, smooth=0.1, preserver=0.2)
    shown = MaskedBatch(images, torch.tensor([2]), torch.tensor([True]))
    at, speed = torch.ones(1, 2, 6, 6), torch.zeros(1, 2, 6, 6)
    for _ in range(4):
        at = at.detach().requires_grad_()
        a, b = at.abs().split(1, 1)
        total, _ = loss(net, shown, a / (a + b + 1e-3), dice, alike=True)
        (slope,) = torch.autograd.grad(total.sum(), at)
        speed = 0.7 * speed + slope
        at = at.detach() - 0.3 * (slope + 0.7 * speed)
    a, b = at.abs().split(1, 1)
    assert_close(heat.native[:, None], a / (a + b + 1e-3), atol=1e-6, rtol=1e-4)
    assert heat.loss_terms.shape == (1, 4)


def test_a_step_ends_at_zero_where_it_would_change_sides() -> None:
    at, speed = torch.tensor([1.0, 0.2, 0.2]), torch.tensor([0.0, 0.0, 4.0])
    ahead, faster = stepped(at, speed, torch.tensor([1.0, 5.0, -5.0]), 0.1, 0.9)
    assert_close(faster, torch.tensor([1.0, 0.0, -1.4]))  # 0.9 * speed + slope; none at the end
    assert_close(ahead, torch.tensor([0.81, 1e-6, 0.826]))  # at - 0.1 * (slope + 0.9 * faster)


def test_rounding_does_not_grow_in_the_descent() -> None:
    """Cells that jumped from one side of 0 to the other made a tenth of the map of 1e-7."""
    net, other = model(), model()
    with torch.no_grad():
        for weight in other.module.parameters():
            weight.copy_(rounded_otherwise(weight, 1e-6))
    images = torch.rand(3, 3, *CNN.size)
    explain = create("explainer", "iterative-saliency", rate=1.0, steps=40)
    wanted = explain(net, images, [0, 3, 4]).native
    assert_close(explain(other, images, [0, 3, 4]).native, wanted, atol=1e-3, rtol=0)
    alone = torch.cat([explain(net, images[i : i + 1], [0, 3, 4][i]).native for i in range(3)])
    assert_close(alone, wanted, atol=1e-6, rtol=0)


def test_a_bare_module_and_the_wrapped_one_get_the_same_mask() -> None:
    net = model().module
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    wrapped = Model(net, Preprocess(size=CNN.size, mean=mean, std=std))
    images = torch.rand(1, 3, *CNN.size)
    explain = create("explainer", "iterative-saliency", rate=2.0, steps=20)
    inside = explain(wrapped, images, 2).native
    outside = explain(Model(net), (images - wrapped.mean) / wrapped.std, 2).native
    assert_close(outside, inside, atol=1e-3, rtol=0)


def test_the_descent_lowers_its_loss_and_finds_the_planted_patch() -> None:
    known = analytic.planted_patch()
    long, short = (create("explainer", "iterative-saliency", steps=n)(*known) for n in (200, 1))
    weights = torch.tensor([0.2, 1.0, 11.0, 0.5])
    assert ((long.loss_terms @ weights) < 0.9 * (short.loss_terms @ weights)).all()
    inside = (long.values * known.expected).sum((1, 2)) / long.values.sum((1, 2))
    assert (inside > 4 * known.expected.mean((1, 2))).all()


@pytest.mark.slow
def test_two_seeds_of_the_descent_agree_on_a_bird() -> None:
    net, (images, labels, truth) = load("sightline:default"), birds()
    found = [
        create("explainer", "iterative-saliency", seed=s)(net, images[:1], labels[:1]).native
        for s in (0, 1)
    ]
    assert not torch.equal(*found)
    assert spearmanr(*(f.flatten().tolist() for f in found)).statistic > 0.7
    highest = resize(found[0][:, None], (128, 128)).flatten().argmax()
    assert truth[0].flatten()[highest]


@pytest.mark.parametrize("fields", [{"cells": 0}, {"steps": 0}, {"rate": 0.0}, {"momentum": 1.0}])
def test_bad_fields_are_refused(fields: dict) -> None:
    with pytest.raises(BadField, match="iterative-saliency needs"):
        create("explainer", "iterative-saliency", **fields)
