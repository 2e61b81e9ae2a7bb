"""XNN: contributions sum to the score, maps are exact behind pooling, and files fit their model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.testing import assert_close

from sameness import assert_same, told
from sightline import Class, Concepts, Contrast, Model, create, registry
from sightline.errors import BadField, BadModel, FileProblem, NotExplainable, ShapeError
from sightline.nets.sparse_reconstruction import SparseReconstruction
from sightline.nets.x_features import (
    X_FEATURES,
    XFeatureFacts,
    XFeatures,
    vector_layer,
)
from sightline.worlds.miniatures import MINIATURES


def small(kind: str = "pooled-cnn", batch: int = 3) -> tuple[Model, Tensor]:
    mini = MINIATURES[kind]
    net = mini()
    with torch.no_grad():
        net.head.weight *= 8
    images = torch.rand((batch, 3, *mini.size), generator=torch.Generator().manual_seed(1))
    return Model(net, size=mini.size, labels=list("abcde"), name=kind), images


def written(model: Model, images: Tensor, path: Path, classes: tuple[int, ...] = (0, 1, 3)) -> Path:
    """X-features that nobody trained, two for each class."""
    reading, told = vector_layer(model, images), {"reached": {}, "examples": [[], []]}
    with torch.no_grad():
        size = reading.vector(model.trace(images, read=reading.reads)).shape[1]
    about = XFeatureFacts(
        layer=reading.layer,
        pool=reading.pool,
        size=size,
        features=2,
        hidden=(6,),
        digest=model.digest,
        model=model.name,
        classes={c: {"label": model.label(c), **told} for c in classes},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        nets = {c: SparseReconstruction(size, 2, (6,)) for c in classes}
    for c, net in nets.items():
        net.settle(torch.zeros(size), torch.ones(size), float(c), 2.0)
    X_FEATURES.save(path, about, XFeatures(about=about, nets=nets).tensors)
    return path


@pytest.mark.parametrize("kind", ["pooled-cnn", "token-net", "channels-last"])
def test_contributions_sum_to_the_read_out_and_the_residual_is_the_rest(
    kind: str, tmp_path: Path
) -> None:
    model, images = small(kind)
    path = written(model, images, tmp_path / "x.safetensors")
    found = create("explainer", "xnn", weights=path)(model, images, [0, 3, 1])
    assert isinstance(found, Concepts) and found.called == ["a", "d", "b"]
    reading = X_FEATURES.read(path).reading
    with torch.no_grad():
        trace = model.trace(images, read=reading.reads)
        vectors = reading.vector(trace)
    nets = X_FEATURES.load(path, model).nets
    for i, c in enumerate((0, 3, 1)):
        assert_close(found.reconstructed[i], nets[c](vectors[i : i + 1]).score[0])
        assert found.offset[i] == c
    own = model.outputs(images)[torch.arange(3), torch.tensor([0, 3, 1])]
    assert_close(found.score, own)
    assert_close(found.reconstructed + found.residual, found.score)
    assert torch.equal(found.offset + found.contributions.sum(1), found.reconstructed)
    assert found.maps is not None and found.maps.shape[:2] == (3, 2)


def test_behind_pooling_the_map_sums_to_gradient_times_activations(tmp_path: Path) -> None:
    model, images = small()
    path = written(model, images, tmp_path / "x.safetensors", (0,))
    found = create("explainer", "xnn", weights=path)(model, images, 0)
    held = X_FEATURES.load(path, model)
    with torch.no_grad():
        vectors = held.about.reading.vector(model.trace(images, read=held.about.reading.reads))
    for i in range(3):
        vector = vectors[i : i + 1].clone().requires_grad_()
        for k in range(2):
            (grad,) = torch.autograd.grad(held.nets[0].encode(vector)[0, k], vector)
            assert_close(found.maps[i, k].sum(), (grad * vector).sum().detach())
    heat = found.heatmap(1)
    assert heat.values.shape == (3, *images.shape[2:]) and (heat.values >= 0).all()


@pytest.mark.parametrize("kind", ["pooled-cnn", "token-net"])
def test_alone_is_as_in_a_batch(kind: str, tmp_path: Path) -> None:
    model, images = small(kind)
    xnn = create("explainer", "xnn", weights=written(model, images, tmp_path / "x.safetensors"))
    found = xnn(model, images, [0, 3, 1])
    assert_same(told(xnn(model, images[1:2], 3)), told(found.take([1])))
    assert_same(told(Concepts.join([found.take([0]), found.take([1, 2])])), told(found))
    found.save(tmp_path / "kept")
    assert_same(told(Concepts.load(tmp_path / "kept")), told(found))


def test_without_weights_the_recipe_and_its_command_are_named() -> None:
    model, images = small()
    with pytest.raises(NotExplainable, match=r"python -m sightline\.recipes\.x_features"):
        create("explainer", "xnn")(model, images)


def test_another_model_a_missing_class_and_a_missing_layer_are_refused(tmp_path: Path) -> None:
    model, images = small()
    path = written(model, images, tmp_path / "x.safetensors", (0, 1))
    xnn = create("explainer", "xnn", weights=path)
    other, _ = small()
    with torch.no_grad():
        other.module.head.bias += 1
    with pytest.raises(BadModel, match="was trained for pooled-cnn with weights"):
        xnn(other, images, 0)
    with pytest.raises(NotExplainable, match="x-features of a, b; asked for d"):
        xnn(model, images, 3)
    about = replace(X_FEATURES.read(path), layer="nowhere")
    lost = tmp_path / "lost.safetensors"
    nets = {c: SparseReconstruction(about.size, 2, (6,)) for c in (0, 1)}
    X_FEATURES.save(lost, about, XFeatures(about=about, nets=nets).tensors)
    with pytest.raises(BadModel, match="reads the layer 'nowhere'"):
        create("explainer", "xnn", weights=lost)(model, images, 0)


def test_a_black_box_and_targets_that_are_no_class_are_refused(tmp_path: Path) -> None:
    model, images = small()
    path = written(model, images, tmp_path / "x.safetensors")
    xnn = create("explainer", "xnn", weights=path)
    box = Model.from_function(lambda x: model.module(x).detach().numpy(), size=model.size)
    with pytest.raises(NotExplainable, match="needs gradients"):
        xnn(box, images, 0)
    for target in (Contrast(0, 1), -Class(0)):
        with pytest.raises(NotExplainable, match="adds up the score of a class"):
            xnn(model, images, target)


def test_files_that_hold_something_else_are_refused(tmp_path: Path) -> None:
    model, images = small()
    with pytest.raises(FileProblem, match="there is no file"):
        create("explainer", "xnn", weights=tmp_path / "none.safetensors")(model, images, 0)
    odd = tmp_path / "odd.safetensors"
    save_file({"a": torch.zeros(1)}, odd)
    with pytest.raises(BadModel, match="holds no set of x-features"):
        create("explainer", "xnn", weights=odd)(model, images, 0)
    odd.write_bytes(b"nothing")
    with pytest.raises(BadModel, match="not a safetensors file"):
        create("explainer", "xnn", weights=odd)(model, images, 0)


def test_features_take_the_names_that_people_give(tmp_path: Path) -> None:
    model, images = small()
    path = written(model, images, tmp_path / "x.safetensors")
    named = create("explainer", "xnn", weights=path, names=("crest", "wing"))
    assert named(model, images, 0).names[2] == ["crest", "wing"]
    assert create("explainer", "xnn", weights=path)(model, images, 0).names[0][1] == "feature 2"
    with pytest.raises(BadField, match="3 names for 2 x-features"):
        create("explainer", "xnn", weights=path, names=("a", "b", "c"))(model, images, 0)
    with pytest.raises(BadField):
        create("explainer", "xnn", examples=-1)


def pieces(**changes: Any) -> Concepts:
    """Concepts of one picture, two features."""
    one = torch.ones(1, 2)
    values = {
        "called": ["<b>owl</b>"],
        "names": [["<i>ears</i>", "eyes"]],
        "values": torch.tensor([[2.0, 0.0]]),
        "weights": one,
        "offset": torch.ones(1),
        "score": torch.tensor([3.1]),
        "maps": torch.rand(1, 2, 4, 4) * torch.tensor([1.0, 0.0])[None, :, None, None],
        "images": torch.rand(1, 3, 20, 30),
        "trained": [{"r2": 0.95, "pictures": 120}],
    }
    return Concepts(**{**values, **changes})


def test_a_panel_says_the_sum_and_escapes_every_name(tmp_path: Path) -> None:
    concepts = pieces()
    html = str(registry.view(Concepts, "panel")(concepts, 0))
    assert "<i>" not in html and "&lt;i&gt;ears" in html and "script" not in html
    assert (
        "adds to the score of &lt;b&gt;owl&lt;/b&gt;: &lt;i&gt;ears" in html and "R² 0.95" in html
    )
    assert "does not appear in it" in html and "concept-doubt" not in html
    assert concepts.save(tmp_path / "a.html").read_text().count("concept-card") > 2
    assert concepts.save(tmp_path / "a.png").stat().st_size > 5000


def test_a_large_residual_a_low_r2_and_no_feature_are_said() -> None:
    panel = registry.view(Concepts, "panel")
    concepts = pieces(score=torch.tensor([9.0]))
    assert "too much for the sum to explain it" in str(panel(concepts, 0))
    concepts = pieces(trained=[{"r2": 0.2, "pictures": 9}])
    assert "follows the score poorly" in str(panel(concepts, 0))
    concepts = pieces(values=torch.zeros(1, 2), names=[["ears", "eyes"]], called=["owl"])
    assert "None of the features of owl is active" in str(panel(concepts, 0))


def test_concepts_of_unequal_length_or_without_numbers_are_refused() -> None:
    with pytest.raises(ShapeError):
        pieces(called=["a", "b"])
    concepts = pieces(score=torch.tensor([float("nan")]))
    with pytest.raises(NotExplainable, match="not finite"):
        concepts.refused_if_empty("xnn", "net")
