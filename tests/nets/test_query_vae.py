"""The query network: shapes, loss, files, and how answers are read off pictures."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from sightline import Model
from sightline.errors import BadModel, FileProblem
from sightline.nets.query_vae import (
    QUESTIONS,
    ConceptReader,
    QueryBlueprint,
    QueryNetwork,
    QueryVAE,
    pixels,
    pooled,
    query_loss,
)
from sightline.ops.pursuit.questions import KnownBits
from sightline.worlds.miniatures import MINIATURES


def blueprint(**fields: object) -> QueryBlueprint:
    told = {"labels": ("a", "b"), "prior": (0.25, 0.75), "questions": ("p?", "q?", "r?")}
    return QueryBlueprint(**{**told, "latent": 4, "width": 8, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize("latent", [0, 4])
def test_decoding_all_classes_is_decoding_each(latent: int) -> None:
    vae = QueryVAE(3, 2, latent, 8)
    places = torch.randn(2, 5, latent)
    found = vae(places)
    assert found.shape == (2, 5, 3)
    for label in range(2):
        assert_close(found[label], vae.decode(places[label], torch.full((5,), label)))


def test_the_loss_is_that_of_the_card() -> None:
    vae = QueryVAE(3, 2, 4, 8).double()
    bits = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]).double()
    labels, noise = torch.tensor([0, 1]), torch.randn(2, 4).double()
    vae.requires_grad_(False)
    mean, spread = vae.encode(bits, labels)
    shares = vae.decode(mean + (spread / 2).exp() * noise, labels).sigmoid()
    missed = divergence = 0.0
    for i in range(2):
        for k in range(3):
            p = float(shares[i, k])
            missed -= float(torch.log(torch.tensor(p if bits[i, k] else 1 - p).double())) / 6
        for d in range(4):
            m, s = float(mean[i, d]), float(spread[i, d])
            divergence += (m * m + 2.718281828459045**s - 1 - s) / 2 / 2
    for beta in (1.0, 3.0):
        found = float(query_loss(vae, bits, labels, noise, beta))
        assert found == pytest.approx(missed + beta * divergence / 3)
    plain = QueryVAE(3, 2, 0, 8)
    assert query_loss(plain, bits.float(), labels, torch.zeros(2, 0)).isfinite()


def test_the_pull_on_z_is_the_gradient_of_what_is_told() -> None:
    vae = QueryVAE(6, 3, 4, 16).double()
    places = torch.randn(3, 5, 4).double().requires_grad_()
    bits = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0])
    for told in ([], [0, 2], [5, 3, 1]):
        known = KnownBits.nothing(6).with_answers(bits, torch.tensor(told, dtype=torch.long))
        density = known.likelihood(vae(places)) - places.square().sum(-1) / 2
        wanted = torch.autograd.grad(density.sum(), places)[0]
        assert_close(vae.pull(places.detach(), known), wanted)


def test_a_file_brings_everything_back(tmp_path: Path) -> None:
    path = tmp_path / "q.safetensors"
    network = QueryNetwork(
        blueprint(order=(2, 0), layers=("relu:2",), digest="d"), QueryVAE(3, 2, 4, 8)
    )
    network = QueryNetwork(network.blueprint, network.vae, ConceptReader(10, 3))
    state = torch.get_rng_state()
    QUESTIONS.save(path, network.blueprint, network.tensors)
    back = QUESTIONS.load(path)
    assert torch.equal(torch.get_rng_state(), state)
    assert back.blueprint == network.blueprint and back.reader is not None
    places = torch.randn(2, 5, 4)
    assert_close(back.vae(places), network.vae(places), atol=1e-3, rtol=1e-2)
    assert not any(p.requires_grad for p in back.vae.parameters())


def test_other_files_are_refused_by_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="no file"):
        QUESTIONS.load(tmp_path / "absent.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(BadModel, match="not a safetensors file"):
        QUESTIONS.load(tmp_path / "text.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(BadModel, match="holds no query network"):
        QUESTIONS.load(tmp_path / "other.safetensors")


def test_a_picture_is_read_as_coarse_pixels_that_are_bright_or_not() -> None:
    image = torch.zeros(1, 3, 4, 8)
    image[..., :2, 4:] = 0.9
    assert pixels(image, (2, 4)).tolist() == [[0, 0, 1, 1, 0, 0, 0, 0]]
    network = QueryNetwork(blueprint(questions=(), grid=(2, 4)), QueryVAE(8, 2, 4, 8))
    assert network.blueprint.bits == 8
    assert network.read(Model(MINIATURES["pooled-cnn"]()), image).sum() == 2


def test_concepts_are_read_off_the_pooled_maps_of_layers() -> None:
    mini = MINIATURES["pooled-cnn"]
    model, images = Model(mini(), size=mini.size), torch.rand(2, 3, *mini.size)
    maps = model.trace(images, read=("relu:0", "relu:2")).maps
    features = pooled([maps["relu:0"], maps["relu:2"]])
    first = maps["relu:0"]
    assert_close(features[:, : first.shape[1]], first.mean((2, 3)))
    assert_close(features[:, first.shape[1] : 2 * first.shape[1]], first.amax((2, 3)))
    reader = ConceptReader(features.shape[1], 3)
    network = QueryNetwork(blueprint(layers=("relu:0", "relu:2")), QueryVAE(3, 2, 4, 8), reader)
    assert_close(network.read(model, images), reader.linear(features).sigmoid())
    with pytest.raises(FileProblem, match="trained on a table"):
        QueryNetwork(blueprint(), QueryVAE(3, 2, 4, 8)).read(model, images)
