"""Learned weights: written once, found, checked and loaded in one way."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sightline import Model, load
from sightline.artifact import WEIGHTS, Artifact
from sightline.errors import BadModel, FileProblem, NotExplainable
from sightline.loading.attribute_files import NETWORKS
from sightline.nets.attributes import HEADS
from sightline.nets.masking import MASKS
from sightline.nets.query_vae import QUESTIONS
from sightline.nets.x_features import X_FEATURES
from sightline.worlds.miniatures import MINIATURES

KINDS = (HEADS, MASKS, QUESTIONS, X_FEATURES, NETWORKS)


@pytest.fixture(scope="module")
def embedded() -> Model:
    return load("sightline:default")


@pytest.mark.parametrize("kind", [k for k in KINDS if k.shipped], ids=lambda k: k.kind)
def test_what_comes_with_the_package_loads_for_the_embedded_model_and_no_other(
    kind: Artifact, embedded: Model
) -> None:
    path = kind.shipped_for(embedded)
    assert path == WEIGHTS / kind.shipped and kind.read(path).digest == embedded.digest
    kind.load(path, embedded)
    mini = MINIATURES["token-net"]
    other = Model(mini(), size=mini.size)
    assert kind.shipped_for(other) is None
    with pytest.raises(BadModel, match=rf"{embedded.digest}; this is TokenNet.*`{kind.recipe}`"):
        kind.load(path, other)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.kind)
def test_a_missing_wrong_or_damaged_file_is_refused_with_the_recipe(
    kind: Artifact, tmp_path: Path
) -> None:
    path = tmp_path / "some.safetensors"
    with pytest.raises(FileProblem, match=f"there is no file.*{kind.noun}; `{kind.recipe}` makes"):
        kind.load(path)
    save_file({"a": torch.zeros(1)}, path, {"kind": "nothing known"})
    with pytest.raises(BadModel, match=f"holds no {kind.noun}.*`{kind.recipe}` makes one"):
        kind.read(path)
    path.write_text("no tensors")
    with pytest.raises(BadModel, match="not a safetensors file"):
        kind.read(path)


def test_a_file_without_its_tensors_is_damaged(embedded: Model, tmp_path: Path) -> None:
    facts = MASKS.read(WEIGHTS / MASKS.shipped)
    path = MASKS.save(tmp_path / "new" / "m.safetensors", facts, {"last.bias": torch.zeros(2)})
    with pytest.raises(BadModel, match="is damaged"):
        MASKS.load(path, embedded)


def test_a_given_file_comes_first_and_none_is_a_refusal_that_says_what_to_run(
    embedded: Model, tmp_path: Path
) -> None:
    given = tmp_path / "mine.safetensors"
    assert MASKS.require(given, embedded, "a method") == given
    assert MASKS.require(None, embedded, "a method") == WEIGHTS / MASKS.shipped
    box = Model(nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten()), size=(4, 4), name="mine")
    assert MASKS.find(None, box) is None
    with pytest.raises(NotExplainable, match=r"needs a masking network .* mine.*saliency_masks -"):
        MASKS.require(None, box, "a method")


def test_writing_what_was_read_gives_the_same_file(tmp_path: Path) -> None:
    for kind in (HEADS, MASKS, QUESTIONS):
        shipped = WEIGHTS / kind.shipped
        again = kind.save(tmp_path / kind.shipped, kind.read(shipped), load_file(shipped))
        assert kind.read(again) == kind.read(shipped)
        before, after = load_file(shipped), load_file(again)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert all(before[name].dtype == after[name].dtype for name in before)
