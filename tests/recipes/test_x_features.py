"""X-features: planted latents are found, the control is worse, and the recipe says so."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from sightline import Model, Preprocess
from sightline.data.batches import of_tensors
from sightline.errors import BadField, NotExplainable, UnknownName
from sightline.nets.sparse_reconstruction import ReconstructionLoss, pull_away, relative_errors
from sightline.nets.x_features import X_FEATURES, VectorLayer, vector_layer
from sightline.recipes import _x_pictures
from sightline.recipes.x_features import XFeaturePlan, classes_of, learn, measures, run
from sightline.worlds.aviary import SPECIES, Aviary
from sightline.worlds.miniatures import MINIATURES

LATENTS, SIGNAL, NOISE, COUNT = 3, 32, 16, 1500
PLANTED = XFeaturePlan(features=3, hidden=(64,), epochs=900, batch=COUNT, rate=1e-2, decay=0.0)


def planted() -> tuple[Tensor, Tensor, Tensor]:
    """One of three latents is active in each sample; activations, scores and the latents."""
    dice = torch.Generator().manual_seed(0)
    active = torch.randint(LATENTS, (COUNT,), generator=dice)
    size = 0.2 + torch.rand(COUNT, generator=dice)
    latents = nn.functional.one_hot(active, LATENTS) * size[:, None]
    mixing = torch.randn(LATENTS, SIGNAL, generator=dice)
    signal = latents @ mixing + 0.01 * torch.randn(COUNT, SIGNAL, generator=dice)
    noise = torch.randn(COUNT, NOISE, generator=dice)
    return torch.cat([signal, noise], 1), latents @ torch.tensor([3.0, 2.0, 1.0]), latents


def matched(features: Tensor, latents: Tensor) -> Tensor:
    """For each latent the best correlation with a feature."""
    both = torch.corrcoef(torch.cat([features, latents], 1).T)
    return both[: features.shape[1], features.shape[1] :].nan_to_num().amax(0)


def test_planted_latents_are_found_one_by_one_and_noise_is_given_up() -> None:
    activations, scores, latents = planted()
    net = learn(PLANTED, activations, scores)
    with torch.no_grad():
        found = net(activations)
    r2 = 1 - (found.score - scores).square().sum() / (scores - scores.mean()).square().sum()
    assert r2 > 0.999
    assert pull_away(found.features) < 1e-6
    assert (matched(found.features, latents) > 0.99).all()
    errors = relative_errors(found, activations)
    assert errors[:SIGNAL].mean() < 0.01 and errors[SIGNAL:].mean() > 0.95
    assert (net.readout >= 0).all()


def test_without_the_pull_away_the_match_is_lost() -> None:
    activations, scores, latents = (each[:500] for each in planted())
    alone = replace(PLANTED, epochs=500, batch=500, loss=ReconstructionLoss(eta=0.0))
    net = learn(alone, activations, scores)
    with torch.no_grad():
        features = net.encode(activations)
    assert pull_away(features) > 1e-2
    assert matched(features, latents).min() < 0.99


class Colours(nn.Module):
    """Three filters that pass red, green and blue, their means, and two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(6, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.maps(images).mean((2, 3)))


@cache
def model() -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Colours().eval()
        net.head.weight.data *= 8
    return Model(net, Preprocess(size=(12, 12)), ["warm", "cold"], name="colours")


def folder(place: Path, names: tuple[str, ...] = ("warm", "cold")) -> Path:
    dice = torch.Generator().manual_seed(1)
    for name in names:
        (place / name).mkdir(parents=True, exist_ok=True)
        for i in range(20):
            pixels = (torch.rand(12, 12, 3, generator=dice) * 255).byte().numpy()
            Image.fromarray(pixels).save(place / name / f"{i:02d}.png")
    return place


SHORT = XFeaturePlan(features=2, hidden=(8,), epochs=3, batch=16)


def test_the_recipe_writes_weights_and_a_log_with_its_control(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = _x_pictures.photographs(model(), str(folder(tmp_path / "pictures")))
    reading = vector_layer(model(), pictures.batch(model(), torch.tensor([0])))
    assert (reading.layer, reading.pool) == (model().spatial, "mean")
    out = tmp_path / "x.safetensors"
    with caplog.at_level("INFO"):
        trained = run(SHORT, _x_pictures.read_vectors(model(), reading, pictures), [0], out)
    assert "min left" in caplog.text and "control" in caplog.text
    log = json.loads(out.with_suffix(".json").read_text())
    told = log["classes"]["warm"]
    assert told["x-features"].keys() - {"trained_on"} == told["control"].keys()
    assert {"r2", "agreement", "kept", "given_up", "pull_away"} <= told["control"].keys()
    assert told["x-features"]["trained_on"] == 32 and told["x-features"]["pictures"] == 8
    assert log["plan"]["loss"] == {"beta": 1.0, "q": 10.0, "eta": 1.0, "concave": True}
    held = X_FEATURES.load(out, model())
    for name, value in trained[0].net.state_dict().items():
        assert torch.equal(held.nets[0].state_dict()[name], value)
    first = held.about.classes[0]["examples"][0]
    assert all(e["name"].startswith(("warm/", "cold/")) and "thumbnail" not in e for e in first)


def test_it_can_be_repeated(tmp_path: Path) -> None:
    pictures = _x_pictures.photographs(model(), str(folder(tmp_path)))
    reading = vector_layer(model(), pictures.batch(model(), torch.tensor([0])))
    seen = _x_pictures.read_vectors(model(), reading, pictures)
    outs = [tmp_path / f"{i}.safetensors" for i in range(2)]
    nets = [run(SHORT, seen, [1], out)[1].net for out in outs]
    assert torch.equal(nets[0].readout, nets[1].readout)


def test_pictures_without_folders_are_sorted_by_what_the_model_says(tmp_path: Path) -> None:
    inside = folder(tmp_path, ("only",)) / "only"
    pictures = _x_pictures.photographs(model(), str(inside))
    reading = vector_layer(model(), pictures.batch(model(), torch.tensor([0])))
    seen = _x_pictures.read_vectors(model(), reading, pictures)
    assert torch.equal(seen.labels, seen.outputs.argmax(1))


def test_the_hardest_pictures_of_other_classes_are_taken() -> None:
    outputs = torch.zeros(40, 2)
    outputs[:, 0] = torch.arange(40.0)
    seen = _x_pictures.ActivationSet(
        vectors=torch.zeros(40, 3),
        outputs=outputs,
        labels=(torch.arange(40) >= 12).long(),
        pictures=of_tensors(torch.zeros(0, 3, 8, 8), torch.zeros(40)),
        model=model(),
        reading=VectorLayer(layer="maps"),
    )
    own, negatives = seen.hard(0, 0.5)
    assert own.tolist() == list(range(12)) and negatives.tolist() == list(range(34, 40))
    with pytest.raises(BadField, match="at least 10 and 5"):
        seen.hard(1, 0.01)


@pytest.mark.parametrize("kind", ["pooled-cnn", "token-net", "channels-last"])
def test_a_vector_is_found_in_every_kind_of_network(kind: str) -> None:
    mini = MINIATURES[kind]
    net = Model(mini(), size=mini.size)
    images = torch.rand(2, 3, *mini.size)
    reading = vector_layer(net, images)
    head = next(m for n, m in reversed(list(net.module.named_modules())) if n == "head")
    with torch.no_grad():
        vector = reading.vector(net.trace(images, read=reading.reads))
        told = head(vector) if vector.shape[1] == head.in_features else None
        assert told is not None
        torch.testing.assert_close(told, net.outputs(images))


def test_a_layer_that_is_not_there_is_named() -> None:
    with pytest.raises(UnknownName, match="no layer named 'mapz'"):
        vector_layer(model(), torch.rand(1, 3, 12, 12), "mapz")


def test_classes_are_labels_numbers_or_all() -> None:
    assert classes_of(model(), ["cold", "0"]) == [1, 0]
    assert classes_of(model(), ["all"]) == [0, 1]
    with pytest.raises(UnknownName):
        classes_of(model(), ["cool"])
    with pytest.raises(BadField, match="class 7"):
        classes_of(model(), ["7"])


def test_birds_are_for_networks_that_know_them() -> None:
    with pytest.raises(BadField, match="--data"):
        _x_pictures.birds(model(), [0], 20)


def test_drawn_birds_are_of_the_species_that_their_labels_say() -> None:
    species = [each.name for each in SPECIES]
    net = Model(Colours().eval(), Preprocess(size=(32, 32)), species)
    pictures = _x_pictures.birds(net, [5, 8], 12)
    labels = pictures.labels.tolist()
    assert labels.count(5) == labels.count(8) == 12 and len(labels) == 48
    aviary = Aviary(seed=_x_pictures.BIRD_SEED, size=32, count=168)
    numbers = [int(name.split()[2]) for name in (s.name for s in pictures.samples)]
    assert [aviary.scene(i).species for i in numbers] == [species[k] for k in labels]
    assert pictures.batch(net, torch.tensor([0, 47])).shape == (2, 3, 32, 32)
    with pytest.raises(BadField, match="at least 10"):
        _x_pictures.birds(net, [5], 9)


def test_a_plan_of_no_steps_is_refused() -> None:
    with pytest.raises(BadField):
        XFeaturePlan(epochs=0)


def test_a_sum_that_is_right_has_an_r2_of_one() -> None:
    activations, scores, _ = planted()
    net = learn(XFeaturePlan(features=2, hidden=(4,), epochs=1, batch=COUNT), activations, scores)
    with torch.no_grad():
        outputs = torch.stack([net(activations).score, torch.zeros(COUNT)], 1)
    seen = _x_pictures.ActivationSet(
        vectors=activations,
        outputs=outputs,
        labels=torch.zeros(COUNT),
        pictures=of_tensors(torch.zeros(0, 3, 8, 8), torch.zeros(0)),
        model=model(),
        reading=VectorLayer(layer="maps"),
    )
    found = measures(net, seen, torch.arange(COUNT), 0)
    assert found["r2"] == 1 and found["agreement"] == 1 and found["error"] == 0


class Folded(Colours):
    """The same with its vector folded into rows that are no places."""

    def __init__(self) -> None:
        super().__init__()
        self.folded = nn.Unflatten(1, (2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.folded(self.maps(images).mean((2, 3))).flatten(1))


def test_a_layer_without_a_vector_is_refused() -> None:
    net = Model(Folded().eval(), size=(12, 12))
    with pytest.raises(NotExplainable, match="neither a map nor one vector"):
        vector_layer(net, torch.rand(1, 3, 12, 12), "folded")
