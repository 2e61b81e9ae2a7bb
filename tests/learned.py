"""Tiny untrained networks in the place of what methods have learned, one file for each model."""

from pathlib import Path

import torch

from sightline import Model
from sightline.nets import masking, query_vae
from sightline.nets.attributes import Heads, Vocabulary, write_attributes
from sightline.nets.sparse_reconstruction import SparseReconstruction
from sightline.nets.x_features import About, XFeatures, reading_of, write_x_features

PLACES = (("crest", "box 1 1 5 4"), ("wing", "box 4 3 6 8"))


def _seeded() -> None:
    torch.manual_seed(0)


def masks(folder: Path, model: Model) -> Path:
    blueprint = masking.Blueprint.of(model, base=4)
    path = folder / f"{blueprint.digest}-{blueprint.layers[0]}.safetensors"
    if not path.exists():
        with torch.random.fork_rng(devices=[]):
            _seeded()
            masking.write_masking(masking.MaskingNetwork(blueprint), path)
    return path


def questions(folder: Path, model: Model) -> Path:
    path = folder / "questions.safetensors"
    if not path.exists():
        five = {"labels": tuple("abcde"), "prior": (0.2,) * 5}
        blueprint = query_vae.Blueprint(**five, grid=(3, 2), side=2, latent=3, width=16)
        with torch.random.fork_rng(devices=[]):
            _seeded()
            asked = query_vae.QueryNetwork(blueprint, query_vae.QueryVAE(6, 5, 3, 16))
            query_vae.write_query(asked, path)
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
        write_attributes(heads, words, path)
    return path


def x_features(folder: Path, given: Path | str | None, model: Model) -> Path:
    if given is not None:
        return Path(given)
    path = folder / f"{model.digest}-features.safetensors"
    if path.exists():
        return path
    image = torch.zeros(1, model.anatomy.channels, *model.anatomy.input_size)
    with torch.no_grad(), model.unharmed(), torch.random.fork_rng(devices=[]):
        _seeded()
        reading = reading_of(model, image)
        size = reading.vector(model.trace(image, read=reading.reads)).shape[1]
        classes = range(model.anatomy.n_classes)
        nets = {c: SparseReconstruction(size, 2, (6,)) for c in classes}
    empty = {"reached": {}, "examples": [[], []]}
    about = About(
        layer=reading.layer,
        pool=reading.pool,
        size=size,
        features=2,
        hidden=(6,),
        digest=model.digest,
        model=model.name,
        classes={c: {"label": model.label(c), **empty} for c in classes},
    )
    write_x_features(XFeatures(about=about, nets=nets), path)
    return path
