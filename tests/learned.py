"""Tiny untrained networks in the place of what methods have learned, one file for each model."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sightline import Model
from sightline.artifact import Artifact
from sightline.explainers.words import part_words
from sightline.nets import masking, query_vae
from sightline.nets.attributes import HEADS, Heads, Vocabulary
from sightline.nets.sparse_reconstruction import SparseReconstruction
from sightline.nets.x_features import X_FEATURES, XFeatureFacts, XFeatures, vector_layer

PLACES = (("crest", "box 1 1 5 4"), ("wing", "box 4 3 6 8"))


def _seeded() -> None:
    torch.manual_seed(0)


def masks(folder: Path, model: Model) -> Path:
    blueprint = masking.MaskingBlueprint.of(model, base=4)
    path = folder / f"{blueprint.digest}-{blueprint.layers[0]}.safetensors"
    if not path.exists():
        with torch.random.fork_rng(devices=[]):
            _seeded()
            network = masking.MaskingNetwork(blueprint)
            masking.MASKS.save(path, blueprint, network.state_dict())
    return path


def questions(folder: Path, model: Model) -> Path:
    path = folder / "questions.safetensors"
    if not path.exists():
        five = {"labels": tuple("abcde"), "prior": (0.2,) * 5}
        blueprint = query_vae.QueryBlueprint(**five, grid=(3, 2), side=2, latent=3, width=16)
        with torch.random.fork_rng(devices=[]):
            _seeded()
            asked = query_vae.QueryNetwork(blueprint, query_vae.QueryVAE(6, 5, 3, 16))
            query_vae.QUESTIONS.save(path, blueprint, asked.tensors)
    return path


def attributes(folder: Path, model: Model) -> Path:
    layer = model.spatial
    path = folder / f"{model.digest}-attributes.safetensors"
    if not path.exists():
        image = torch.zeros(1, 3, *(model.size or (32, 32)))
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            _seeded()
            filters = model.trace(image, read=(layer,)).maps[layer].shape[1]
            heads = Heads(filters, model.anatomy.n_classes, 4)
        names = ("red", "long", "spotted", "round")
        words = Vocabulary(attributes=names, layer=layer, digest=model.digest)
        HEADS.save(path, words, heads.tensors)
    return path


def x_features(folder: Path, model: Model) -> Path:
    path = folder / f"{model.digest}-features.safetensors"
    if path.exists():
        return path
    image = torch.zeros(1, model.anatomy.channels, *model.anatomy.input_size)
    with torch.no_grad(), model.unharmed(), torch.random.fork_rng(devices=[]):
        _seeded()
        reading = vector_layer(model, image)
        size = reading.vector(model.trace(image, read=reading.reads)).shape[1]
        classes = range(model.anatomy.n_classes)
        nets = {c: SparseReconstruction(size, 2, (6,)) for c in classes}
    empty = {"reached": {}, "examples": [[], []]}
    about = XFeatureFacts(
        layer=reading.layer,
        pool=reading.pool,
        size=size,
        features=2,
        hidden=(6,),
        digest=model.digest,
        model=model.name,
        classes={c: {"label": model.label(c), **empty} for c in classes},
    )
    X_FEATURES.save(path, about, XFeatures(about=about, nets=nets).tensors)
    return path


FILES: dict[str, Callable[[Path, Model], Path]] = {
    masking.MASKS.kind: masks,
    query_vae.QUESTIONS.kind: questions,
    HEADS.kind: attributes,
    X_FEATURES.kind: x_features,
}


def install(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Methods with learned parts find these, made for whatever model comes."""

    def shipped(kind: Artifact, model: Model) -> Path:
        return FILES[kind.kind](folder, model)

    patch.setattr(Artifact, "shipped_for", shipped)
    patch.setattr(part_words, "default_places", lambda model: PLACES)
