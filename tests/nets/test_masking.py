"""The masking network: found for any model with readable layers, never NaN, bound to one model."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.testing import assert_close

from sightline import Model, load
from sightline.errors import BadModel, FileProblem, NotExplainable
from sightline.nets.masking import (
    MASKS,
    MaskingBlueprint,
    MaskingNetwork,
    share,
)
from sightline.worlds import analytic
from sightline.worlds.miniatures import MINIATURES

CNN = MINIATURES["pooled-cnn"]


def made(name: str = "pooled-cnn", cell: int = 4) -> tuple[Model, MaskingNetwork, Tensor]:
    mini = MINIATURES[name]
    model = Model(mini(), size=mini.size)
    network = MaskingNetwork(MaskingBlueprint.of(model, base=4, cell=cell)).eval()
    return model, network, torch.rand(2, 3, *mini.size)


@pytest.mark.parametrize(
    ("name", "cell", "layers", "grid"),
    [
        ("pooled-cnn", 4, ("relu:2",), (8, 8)),
        ("pooled-cnn", 2, ("relu:2", "relu:0"), (16, 16)),
        ("pooled-cnn", 1, ("relu:2", "relu:0", None), (32, 32)),
        ("token-net", 4, ("blocks.1", None), (8, 12)),
        ("channels-last", 4, ("norm", "stages.0"), (8, 8)),
        ("attention-pooled", 2, ("features", "features.1"), (12, 16)),
    ],
)
def test_layers_are_found_at_each_resolution_that_the_model_has(
    name: str, cell: int, layers: tuple[str | None, ...], grid: tuple[int, int]
) -> None:
    model, network, images = made(name, cell)
    assert network.blueprint.layers == layers
    with torch.no_grad():
        masks = network(network.blueprint.maps(model, images), torch.tensor([0, 3]))
    assert masks.shape == (2, 1, *grid) and 0 <= masks.min() and masks.max() <= 1


def test_the_embedded_network_is_read_at_an_eighth_and_a_quarter() -> None:
    blueprint = MaskingBlueprint.of(load("sightline:default"))
    assert blueprint.layers == ("stage3", "stage1") and blueprint.grids[-1] == (32, 32)


def test_the_mask_is_the_share_of_the_first_channel_and_no_nan_where_both_are_zero() -> None:
    channels = torch.tensor([[-3.0, 0.0, 0.0], [1.0, 2.0, 0.0]]).view(1, 2, 1, 3).requires_grad_()
    found = share(channels, 1e-6)
    assert_close(found.flatten(), torch.tensor([0.75, 0.0, 0.0]))
    assert torch.isfinite(torch.autograd.grad(found.sum(), channels)[0]).all()


def test_the_gate_is_the_sigmoid_of_the_evidence_minus_the_confidence() -> None:
    model, network, images = made()
    maps = network.blueprint.maps(model, images)
    classes = torch.tensor([1, 4])
    for confidence in (0.0, 6.0):
        expected = torch.zeros_like(maps[0])
        for b in range(2):
            for i in range(8):
                for j in range(8):
                    x = maps[0][b, :, i, j]
                    gate = torch.sigmoid(x @ network.embedding[classes[b]] - confidence)
                    expected[b, :, i, j] = gate * x
        with torch.no_grad():
            a, b = network.last(expected).abs().split(1, 1)
            found = network(maps, classes, confidence)
        assert_close(found, a / (a + b), atol=1e-5, rtol=1e-4)


def test_existence_is_told_by_the_mean_evidence() -> None:
    model, network, images = made()
    deepest = network.blueprint.maps(model, images)[0]
    classes = torch.tensor([2, 0])
    mean = torch.stack([deepest[i].mean((1, 2)) @ network.embedding[classes[i]] for i in (0, 1)])
    found = network.existence(deepest, classes)
    assert_close(found, torch.stack([-mean / 2, mean / 2], 1))
    assert_close(found.softmax(1)[:, 1], mean.sigmoid())


def test_embeddings_start_with_the_inverse_root_of_the_width() -> None:
    torch.manual_seed(0)
    network = MaskingNetwork(MaskingBlueprint.of(load("sightline:default")))
    assert_close(float(network.embedding.detach().std()), 144**-0.5, atol=0.004, rtol=0)


def test_a_picture_alone_is_as_in_a_batch() -> None:
    model, network, images = made("token-net")
    classes = torch.tensor([1, 2])
    with torch.no_grad():
        whole = network(network.blueprint.maps(model, images), classes, 6.0)
        for i in range(2):
            maps = network.blueprint.maps(model, images[i : i + 1])
            assert_close(network(maps, classes[i : i + 1], 6.0)[0], whole[i])


def test_it_comes_back_from_its_file_in_half_precision(tmp_path: Path) -> None:
    model, network, images = made("channels-last")
    path = tmp_path / "folder" / "masks.safetensors"
    MASKS.save(path, network.blueprint, network.state_dict())
    again = MASKS.load(path, model)
    assert again.blueprint == network.blueprint == MASKS.read(path)
    assert load_file(path)["embedding"].dtype == torch.float16
    assert not again.training and not any(p.requires_grad for p in again.parameters())
    maps, classes = network.blueprint.maps(model, images), torch.tensor([0, 1])
    with torch.no_grad():
        assert_close(again(maps, classes), network(maps, classes), atol=5e-3, rtol=1e-2)


def test_reading_leaves_the_random_numbers_alone(tmp_path: Path) -> None:
    model, network, _ = made()
    MASKS.save(tmp_path / "m.safetensors", network.blueprint, network.state_dict())
    state = torch.get_rng_state()
    MASKS.load(tmp_path / "m.safetensors", model)
    assert torch.equal(torch.get_rng_state(), state)


def test_another_classifier_is_refused_with_both_named(tmp_path: Path) -> None:
    model, network, _ = made()
    path = tmp_path / "m.safetensors"
    MASKS.save(path, network.blueprint, network.state_dict())
    other = CNN()
    with torch.no_grad():
        other.head.bias += 1
    stranger = Model(other, size=CNN.size, name="stranger")
    with pytest.raises(
        BadModel, match=f"trained for PooledCNN with weights {model.digest}.*stranger"
    ):
        MASKS.load(path, stranger)


def test_other_files_are_refused(tmp_path: Path) -> None:
    model, _, _ = made()
    with pytest.raises(FileProblem, match="no file"):
        MASKS.load(tmp_path / "none.safetensors", model)
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(BadModel, match="holds no masking network"):
        MASKS.load(tmp_path / "a.safetensors", model)
    (tmp_path / "b.safetensors").write_text("nothing")
    with pytest.raises(BadModel, match="not a safetensors file"):
        MASKS.load(tmp_path / "b.safetensors", model)


def test_models_without_layers_or_classes_are_refused() -> None:
    box = Model.from_function(lambda x: x.mean((2, 3)).numpy(), size=(8, 8))
    with pytest.raises(NotExplainable, match="black box"):
        MaskingBlueprint.of(box)
    with pytest.raises(NotExplainable, match="no spatial layer"):
        MaskingBlueprint.of(analytic.two_paths().model, (6, 6))
