"""What every test gets: one thread, fixed seeds, a private cache, and the real pictures where they
are.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Threads that wait must not spin: on a busy machine that made the same test six times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

_CACHE = tempfile.TemporaryDirectory(prefix="sightline-tests-")
os.environ["SIGHTLINE_CACHE"] = _CACHE.name  # nobody's own cache is read or written

# Two threads gain nothing on networks of a few weights, and lose much on a machine that is shared.
torch.set_num_threads(1)

_REAL = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same numbers for each test, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real photographs and networks."""
    if not (_REAL / "imagenet").is_dir():
        pytest.skip("the shared data folder is not here")
    return _REAL


@pytest.fixture
def two_threads() -> Iterator[None]:
    """For networks that are large enough to use them."""
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.fixture
def learned_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tiny untrained networks for methods with learned parts, made for whatever model comes."""
    from sightline.explainers.chain import _asking
    from sightline.explainers.mask import realtime_saliency
    from sightline.explainers.words import attribute_words, part_words
    from sightline.nets import query_vae
    from sightline.nets.attributes import Heads, Vocabulary, write_attributes
    from sightline.nets.masking import Blueprint, MaskingNetwork, write_masking

    def masks_for(model: Any) -> Path:
        blueprint = Blueprint.of(model, base=4)
        path = tmp_path / f"{blueprint.digest}-{blueprint.layers[0]}.safetensors"
        if not path.exists():
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                write_masking(MaskingNetwork(blueprint), path)
        return path

    monkeypatch.setattr(realtime_saliency, "shipped_for", masks_for)

    def questions_for(model: Any) -> Path:
        path = tmp_path / "questions.safetensors"
        if not path.exists():
            five = {"labels": tuple("abcde"), "prior": (0.2,) * 5}
            blueprint = query_vae.Blueprint(**five, grid=(3, 2), side=2, latent=3, width=16)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                asked = query_vae.QueryNetwork(blueprint, query_vae.QueryVAE(6, 5, 3, 16))
                query_vae.write_query(asked, path)
        return path

    monkeypatch.setattr(_asking, "shipped_for", questions_for)

    def head_for(model: Any) -> Path:
        layer = model.spatial
        path = tmp_path / f"{model.digest}-attributes.safetensors"
        if not path.exists():
            image = torch.zeros(1, 3, *(model.size or (32, 32)))
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                filters = model.trace(image, read=(layer,)).maps[layer].shape[1]
                heads = Heads(filters, model.anatomy.n_classes, 4)
            names = ("red", "long", "spotted", "round")
            words = Vocabulary(attributes=names, layer=layer, digest=model.digest)
            write_attributes(heads, words, path)
        return path

    monkeypatch.setattr(attribute_words, "shipped_for", head_for)
    places = (("crest", "box 1 1 5 4"), ("wing", "box 4 3 6 8"))
    monkeypatch.setattr(part_words, "unnamed", lambda model: places)
