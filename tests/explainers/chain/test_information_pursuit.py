"""Chains of real pictures: what is read, asked and compared, and what is refused."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import sightline as sl
from sameness import told
from sightline import Model, create
from sightline.errors import BadField, BadModel, FileProblem, NotExplainable
from sightline.explainers.chain.knowledge import ExactTable, Sampled, knowledge_of
from sightline.explanations.chain import Chain
from sightline.nets.query_vae import (
    QUESTIONS,
    ConceptReader,
    QueryBlueprint,
    QueryNetwork,
    QueryVAE,
    pixels,
)
from sightline.ops.pursuit.questions import KnownBits
from sightline.worlds.aviary import bundle
from sightline.worlds.miniatures import MINIATURES

FEW = {"samples": 48, "chains": 16, "burn_in": 5}


def network(seed: int = 0, loud: float = 2.0, **fields: object) -> QueryNetwork:
    """An untrained network of five classes whose answers differ clearly between them."""
    facts = {"labels": tuple("abcde"), "prior": (0.2,) * 5, "grid": (4, 4), "latent": 3}
    blueprint = QueryBlueprint(**{**facts, "width": 16, **fields})  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        vae = QueryVAE(blueprint.bits, 5, blueprint.latent, blueprint.width)
        for weight in vae.parameters():
            weight *= loud
    return QueryNetwork(blueprint, vae.requires_grad_(False))


@pytest.fixture
def patches(tmp_path: Path) -> Path:
    path = tmp_path / "patches.safetensors"
    QUESTIONS.save(path, network().blueprint, network().tensors)
    return path


@pytest.fixture
def small() -> tuple[Model, Tensor]:
    mini = MINIATURES["pooled-cnn"]
    images = torch.rand(3, 3, *mini.size, generator=torch.Generator().manual_seed(1))
    return Model(mini(), size=mini.size), images


def test_a_chain_of_patches_is_what_the_picture_shows(
    patches: Path, small: tuple[Model, Tensor]
) -> None:
    model, images = small
    images = (images.mean((1, 2), keepdim=True).expand_as(images) - 0.5) * 9 + 0.5
    images = images.clamp(0, 1)
    chain = create("explainer", "information-pursuit", weights=patches, **FEW)(model, images)
    assert isinstance(chain, Chain) and len(chain) == 3
    bits = pixels(images, (4, 4))
    for row, asked in enumerate(chain.asked):
        assert len(set(asked)) == len(asked) <= 4
        for number, answer in zip(asked, chain.answers[row], strict=True):
            top, left = chain.corner(number)
            seen = bits[row].view(4, 4)[top : top + 3, left : left + 3].flatten()
            assert answer == "".join(str(int(b)) for b in seen)
    assert chain.model_class == model.outputs(images).argmax(1).tolist()
    assert chain.agrees == [
        a == b for a, b in zip(chain.prediction, chain.model_class, strict=True)
    ]
    assert chain.question(0, 0).startswith("rows ")


def test_alone_is_as_in_a_batch_with_any_order_and_a_seed_repeats(
    patches: Path, small: tuple[Model, Tensor]
) -> None:
    model, images = small
    for name in ("information-pursuit", "random-chain", "fixed-chain"):
        method = create("explainer", name, weights=patches, **FEW)
        together = method(model, images)
        assert told(method(model, images)) == told(together)
        assert told(method(model, images[1:2])) == told(together.take([1]))
    other = create("explainer", "information-pursuit", weights=patches, seed=1, **FEW)
    assert told(other(model, images)) != told(together)


def test_without_z_sampling_is_the_exact_table() -> None:
    plain = network(latent=0)
    exact = knowledge_of(plain)
    assert isinstance(exact, ExactTable)
    sampled = Sampled(network=plain, samples=1, chains=1, burn_in=0)
    known = KnownBits.nothing(16).with_answers(torch.ones(16), torch.tensor([0, 5, 6]))
    for state in (KnownBits.nothing(16), known):
        found, _ = sampled.answers(state, sampled.start(), 0 if state is not known else 1)
        wanted, _ = exact.answers(state, exact.start(), 0)
        assert_close(found, wanted, atol=1e-6, rtol=1e-5)


def test_sampling_comes_near_the_integral_over_z() -> None:
    one = network(latent=1, seed=4, loud=1.5)
    places = torch.linspace(-6, 6, 2001)[None, :, None].expand(5, -1, -1)
    known = KnownBits.nothing(16).with_answers(torch.ones(16), torch.tensor([1, 2, 3, 9]))
    logits = one.vae(places)
    weights = (known.likelihood(logits) - places[..., 0] ** 2 / 2).softmax(1)
    wanted = torch.einsum("cn,cnb->cb", weights, logits.sigmoid())
    sampled = Sampled(network=one, samples=24000, chains=1000, burn_in=100, cap=1e9, step=0.02)
    questions = sampled.questions
    found, _ = sampled.answers(known, sampled.start()[:, :1000], 1)
    last = torch.stack([found[:, :, a] for a in range(512) if a >> 8], -1).sum(-1)
    assert_close(last, wanted[:, questions.reads[:, 8]], atol=0.02, rtol=0)


def test_chains_start_where_the_last_ones_ended() -> None:
    sampled = Sampled(network=network(), **FEW)
    known = KnownBits.nothing(16).with_answers(torch.ones(16), torch.tensor([0, 1]))
    _, memory = sampled.answers(known, sampled.start()[:, :16], 1)
    first, after = sampled.answers(known, memory, 2)
    again, same = sampled.answers(known, memory.clone(), 2)
    assert torch.equal(first, again) and torch.equal(after, same)
    cold, _ = sampled.answers(known, sampled.start()[:, :16], 2)
    assert not torch.equal(first, cold) and memory.shape == (5, 16, 3)


def test_the_shares_of_answers_sum_to_one() -> None:
    sampled = Sampled(network=network(), **FEW)
    found, memory = sampled.answers(KnownBits.nothing(16), sampled.start(), 0)
    assert found.shape == (5, 4, 512) and memory.shape == (5, 16, 3)
    assert_close(found.sum(-1), torch.ones(5, 4))


def test_without_weights_the_recipe_is_named(small: tuple[Model, Tensor]) -> None:
    with pytest.raises(NotExplainable, match=r"sightline\.recipes\.query_chains"):
        create("explainer", "information-pursuit")(*small)


def test_weights_for_other_classes_or_another_model_are_refused(
    tmp_path: Path, small: tuple[Model, Tensor]
) -> None:
    model, images = small
    other = tmp_path / "other.safetensors"
    blueprint = QueryBlueprint(labels=("a", "b"), prior=(0.5, 0.5), grid=(4, 4), latent=2, width=8)
    QUESTIONS.save(other, blueprint, QueryNetwork(blueprint, QueryVAE(16, 2, 2, 8)).tensors)
    with pytest.raises(BadModel, match=r"knows 2 classes and .* has 5"):
        create("explainer", "information-pursuit", weights=other)(model, images)
    strange = network(grid=None, questions=("p?", "q?"), layers=("relu:0",), digest="0" * 16)
    strange = QueryNetwork(strange.blueprint, strange.vae, ConceptReader(8, 2))
    QUESTIONS.save(other, strange.blueprint, strange.tensors)
    with pytest.raises(BadModel, match="was trained for weights 0000"):
        create("explainer", "information-pursuit", weights=other)(model, images)
    net = model.module
    box = Model.from_function(lambda x: net(x).detach().numpy(), size=model.size)
    with pytest.raises(NotExplainable, match="black box"):
        create("explainer", "information-pursuit", weights=other)(box, images)


def test_true_answers_come_from_a_table_by_the_pictures_names(
    tmp_path: Path, small: tuple[Model, Tensor]
) -> None:
    from PIL import Image

    model, _ = small
    Image.new("RGB", (32, 32), "grey").save(tmp_path / "one.png")
    asked = network(grid=None, questions=("p?", "q?"), digest="0" * 16)
    weights, table = tmp_path / "w.safetensors", tmp_path / "answers.csv"
    QUESTIONS.save(weights, asked.blueprint, QueryNetwork(asked.blueprint, asked.vae).tensors)
    method = create(
        "explainer", "information-pursuit", weights=weights, answers=table, least=0.0, **FEW
    )
    model = Model(model.module, preprocess=sl.Preprocess(size=32))
    table.write_text("file,p?,q?\none.png,1,\n")
    chain = method(model, [tmp_path / "one.png"])
    assert chain.asked == [[0]] and chain.answers == [["yes"]] and chain.question(0, 0) == "p?"
    for text, said in (
        ("file,p?\none.png,1\n", "no column 'q"),
        ("file,p?,q?\ntwo.png,1,0\n", "no row for one.png"),
        ("file,p?,q?\none.png,1,maybe\n", "holds 'maybe'"),
    ):
        table.write_text(text)
        with pytest.raises(FileProblem, match=said):
            method(model, [tmp_path / "one.png"])
    with pytest.raises(NotExplainable, match="came as tensors"):
        table.write_text("file,p?,q?\none.png,1,0\n")
        method(model, torch.rand(1, 3, 32, 32))
    QUESTIONS.save(weights, network().blueprint, network().tensors)
    with pytest.raises(BadField, match="leave `answers` out"):
        method(model, [tmp_path / "one.png"])


def test_the_embedded_network_s_birds_are_asked_out_of_the_box() -> None:
    model = sl.load("sightline:default")
    images = torch.from_numpy(bundle(1)[0].image).permute(2, 0, 1)[None].float() / 255
    chain = create("explainer", "information-pursuit", samples=64, chains=16)(model, images)
    assert chain.agrees == [True] and 4 <= len(chain.asked[0]) <= 12
    assert chain.classes[chain.prediction[0]] == bundle(1)[0].species
    assert chain.gains[0][0] == pytest.approx(0.68, abs=0.02) and chain.asked[0][0] < 55
    assert all(0.5 <= s <= 1 for s in chain.sureness[0])


def test_fast_asks_with_a_twentieth_of_the_samples() -> None:
    method = create("explainer", "information-pursuit").fast()
    assert (method.samples, method.chains) == (600, 64)


def test_a_chain_survives_its_file_and_is_plain_data(
    patches: Path, small: tuple[Model, Tensor], tmp_path: Path
) -> None:
    chain = create("explainer", "information-pursuit", weights=patches, **FEW)(*small)
    back = Chain.load(chain.save(tmp_path / "chain"))
    assert told(back) == told(chain)
    assert told(Chain.join([chain.take([0]), chain.take([1, 2])])) == told(chain)
    assert (chain.save(tmp_path / "chain.html")).read_text().count("<section") == 3
