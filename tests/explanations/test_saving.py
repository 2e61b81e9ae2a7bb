"""Every explanation can be kept: in a folder, in a pickle, as a copy; and so can its model."""

import pickle
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from sameness import assert_same, told
from sightline import Model, Preprocess, create, explain, load
from sightline.errors import FileProblem
from sightline.explanation import Heatmap
from sightline.worlds import aviary
from sightline.worlds.miniatures import MINIATURES
from test_contract import EXPLAINERS, first_kind, together

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive"),
    pytest.mark.filterwarnings("ignore:.*maps with negative values"),
    pytest.mark.filterwarnings("ignore:.*no step lowered the objective"),
    pytest.mark.usefixtures("learned_parts"),
]


@pytest.mark.parametrize("name", EXPLAINERS)
def test_what_is_saved_comes_back(name: str, tmp_path: Path) -> None:
    found = together(name, first_kind(name))
    again = type(found).load(found.save(tmp_path / "kept"))
    assert_same(told(again), told(found))
    assert again.provenance == found.provenance
    assert_same(told(pickle.loads(pickle.dumps(found))), told(found))
    assert_same(told(deepcopy(found)), told(found))


def test_a_folder_is_not_given_the_name_of_a_file(tmp_path: Path) -> None:
    heat = Heatmap(torch.rand(1, 4, 4))
    for name in ("map.npz", "map.PDF", "map.npy"):
        with pytest.raises(FileProblem, match="name of a file"):
            heat.save(tmp_path / name)
    assert heat.save(tmp_path / "run.v1").is_dir()


def test_a_model_can_be_copied_and_pickled() -> None:
    bird = aviary.bundle(1)[0].image
    model = load("sightline:default")
    wanted = explain(model, bird, "grad-cam")
    for other in (deepcopy(model), pickle.loads(pickle.dumps(model))):
        found = explain(other, bird, "grad-cam")
        assert torch.equal(found.values, wanted.values)
        assert found.provenance["weights_digest"] == wanted.provenance["weights_digest"]
        assert other.module is not model.module and other.labels == model.labels
    changed = deepcopy(model)
    with torch.no_grad():
        next(changed.module.parameters()).zero_()
    assert_close(explain(model, bird, "grad-cam").values, wanted.values)
    side = model.given(question=torch.zeros(1))
    assert pickle.loads(pickle.dumps(side)).side.keys() == {"question"}


def test_pictures_of_a_copied_model_find_their_frames() -> None:
    mini = MINIATURES["pooled-cnn"]
    model = deepcopy(Model(mini(), Preprocess(size=mini.size)))
    heat = create("explainer", "gradient")(model, aviary.bundle(1)[0].image)
    assert heat.on_original()[0].shape == aviary.bundle(1)[0].image.shape[:2]


def test_bare_modules_are_let_go() -> None:
    import gc
    import weakref

    images, known = torch.rand(1, 3, 8, 8), []
    for _ in range(6):
        net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2))
        explain(net, images, "gradient", 1)
        known.append(weakref.ref(net))
    del net
    gc.collect()
    assert [each() is None for each in known] == [True, True, False, False, False, False]
