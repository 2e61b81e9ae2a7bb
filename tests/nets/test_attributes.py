"""Attribute heads: on any backbone, with a map for each word, and through files."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from sightline import Model, Preprocess, create, load
from sightline.errors import BadModel, FileProblem, NotExplainable
from sightline.loading.attribute_files import NETWORKS, AttributeNetFacts
from sightline.nets.attributes import (
    HEADS,
    AttributeNet,
    Heads,
    Vocabulary,
    attribute_net,
    own_reader,
)
from sightline.worlds.miniatures import MINIATURES

NAMES = ("long crest", "white wing bar", "hooked bill")


@pytest.mark.parametrize("kind", ["pooled-cnn", "token-net", "channels-last"])
def test_heads_go_on_any_backbone_and_their_maps_average_to_the_logits(kind: str) -> None:
    mini = MINIATURES[kind]
    backbone = Model(mini(), size=mini.size)
    net = attribute_net(backbone, 5, NAMES)
    images = torch.rand(2, 3, *mini.size)
    found = net(images)
    maps = backbone.trace(images, read=(net.layer,)).maps[net.layer]
    assert_close(found["maps"], maps, rtol=1e-4, atol=1e-5)
    assert found["logits"].shape == (2, 5) and found["attributes"].shape == (2, 3)
    model = Model(net, size=mini.size)
    assert_close(model.outputs(images), found["logits"].detach(), rtol=1e-4, atol=1e-5)
    reader = own_reader(model)
    assert reader is not None and reader.own and tuple(reader.names) == NAMES
    logits = reader.logits(found["maps"].detach())
    assert_close(logits, found["attributes"].detach(), rtol=1e-4, atol=1e-5)
    means = reader.class_maps(found["maps"].detach()).mean((2, 3)) + reader.bias
    assert_close(means, logits, rtol=1e-4, atol=1e-5)


def test_a_network_with_heads_is_explained_in_words_and_left_as_it_was() -> None:
    mini = MINIATURES["pooled-cnn"]
    net = attribute_net(Model(mini(), size=mini.size), 5, NAMES).eval()
    with torch.no_grad():
        net.heads.attributes.bias.fill_(2.0)  # every word is seen
    before = {k: v.clone() for k, v in net.state_dict().items()}
    images = torch.rand(3, 3, *mini.size)
    found = create("explainer", "attribute-words")(Model(net, size=mini.size), images)
    assert all(0 < len(facts) <= 3 for facts in found.facts)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert not any(m._forward_hooks for m in net.modules())


def test_a_head_in_a_file_is_read_for_its_own_model_alone(tmp_path: Path) -> None:
    mini = MINIATURES["pooled-cnn"]
    model = Model(mini(), size=mini.size)
    net = attribute_net(model, 5, NAMES)
    net.heads.usual[1, 2] = 0.5
    words = Vocabulary(attributes=NAMES, layer=net.layer, digest=model.digest, model="a model")
    HEADS.save(tmp_path / "head.safetensors", words, net.heads.tensors)
    reader = HEADS.load(tmp_path / "head.safetensors", model)
    assert_close(reader.weight, net.heads.attributes.weight.detach())
    assert reader.correlation(2).tolist() == [0, 0.5, 0] and not reader.correlation(9).any()
    assert HEADS.read(tmp_path / "head.safetensors") == words
    explain = create(
        "explainer", "attribute-words", weights=tmp_path / "head.safetensors", seen=0.2
    )
    assert len(explain(model, torch.rand(2, 3, *mini.size))) == 2
    other = Model(MINIATURES["token-net"](), size=MINIATURES["token-net"].size)
    with pytest.raises(BadModel, match=r"was trained for a model with weights .* this is TokenNet"):
        HEADS.load(tmp_path / "head.safetensors", other)
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(BadModel, match="holds no attribute head"):
        HEADS.read(tmp_path / "other.safetensors")
    with pytest.raises(BadModel, match="holds no network with attribute heads"):
        NETWORKS.load(tmp_path / "head.safetensors")
    with pytest.raises(FileProblem, match="there is no file"):
        HEADS.read(tmp_path / "none.safetensors")


def test_a_model_without_a_head_and_a_black_box_are_refused_with_what_to_do() -> None:
    mini = MINIATURES["pooled-cnn"]
    with pytest.raises(
        NotExplainable, match=r"none is known. Train one with `python -m .*attributes"
    ):
        create("explainer", "attribute-words")(
            Model(mini(), size=mini.size), torch.rand(1, 3, 32, 32)
        )
    blind = Model.from_function(lambda x: x.mean((2, 3)).numpy(), size=8)
    with pytest.raises(NotExplainable, match=r"reads layers.*part-words needs none"):
        create("explainer", "attribute-words")(blind, torch.rand(1, 3, 8, 8))


def test_a_whole_network_comes_back_from_its_file(tmp_path: Path) -> None:
    base = Model(load("sightline:default", pretrained=False).module, Preprocess(size=128, mean=0.5))
    net = attribute_net(base, 2, NAMES, (32, 32)).eval()
    about = AttributeNetFacts.of(base, "sightline:default", net, ["owl", "hen"], (32, 32))
    NETWORKS.save(tmp_path / "net.safetensors", about, net.state_dict())
    parts = NETWORKS.load(tmp_path / "net.safetensors")
    assert isinstance(parts.module, AttributeNet) and parts.labels == ["owl", "hen"]
    assert parts.transform.size == (32, 32) and parts.transform.mean == (0.5,) * 3
    images = torch.rand(1, 3, 32, 32)
    assert_close(parts.module(images)["attributes"], net(images)["attributes"])
    assert parts.module.heads.names == NAMES


def test_the_shipped_head_is_that_of_the_embedded_network() -> None:
    model = load("sightline:default")
    path = HEADS.shipped_for(model)
    assert path is not None and "long crest" in HEADS.read(path).attributes
    assert HEADS.shipped_for(load("sightline:clever-hans")) is None
    assert HEADS.kind != NETWORKS.kind


def test_names_must_be_as_many_as_attributes() -> None:
    mini = MINIATURES["pooled-cnn"]
    model = Model(attribute_net(Model(mini(), size=mini.size), 5, NAMES), size=mini.size)
    with pytest.raises(BadModel, match="2 names for the 3 attributes"):
        own_reader(model, ("a", "b"))
    assert Heads(4, 2, 1)(torch.ones(1, 4, 2, 2))["attributes"].shape == (1, 1)
