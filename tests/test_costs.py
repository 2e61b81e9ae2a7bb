"""What each method spends on one picture, so that speed cannot rot: images forward, images
backward, and copies run behind a layer only.

Fewer is better; a change of these numbers is a change of the method.
"""

import pytest
import torch

from sightline import Class, Model, available, create
from sightline.errors import NotExplainable
from sightline.worlds.miniatures import MINIATURES

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive"),
    pytest.mark.filterwarnings("ignore:.*no step lowered the objective"),
    pytest.mark.filterwarnings("ignore:.*maps with negative values"),
    pytest.mark.usefixtures("learned_parts"),
]
FILTERS, LIVE, PLACES = 16, 12, 64  # of the last layer of the small network; LIVE: not all zero

# behind pooling and one linear layer: arithmetic
POOLED = {
    "ablation-cam": (1, 1, 0),
    "abs-cam": (1 + LIVE, 1, 0),
    "attribute-words": (None, 0, 0),
    "cam": (1, 1, 0),
    "deconvnet": (2, 1, 0),
    "eigen-cam": (1, 0, 0),
    "fd-cam": (1, 1, 0),
    "fixed-chain": (1, 0, 0),
    "flip-average": (2, 2, 0),
    "grad-cam": (1, 1, 0),
    "grad-cam++": (1, 1, 0),
    "gradient": (1, 1, 0),
    "guided-backprop": (2, 1, 0),
    "guided-grad-cam": (2, 2, 0),
    "hires-cam": (1, 1, 0),
    "igos": (None, None, 0),
    "igos++": (None, None, 0),
    "information-pursuit": (1, 0, 0),
    "input-x-gradient": (1, 1, 0),
    "integrated-gradients": (None, None, 0),
    "iterative-saliency": (None, None, 0),
    "layer-cam": (1, 1, 0),
    "meaningful-perturbation": (None, None, 0),
    "occlusion": (None, 0, 0),
    "part-words": (None, 0, 0),
    "random-chain": (1, 0, 0),
    "realtime-saliency": (None, 0, 0),  # its own test counts: these parts are made on the way
    "recipro-cam": (1, 1, 0),
    "rise": (None, 0, 0),
    "sag": (None, None, 0),
    "score-cam": (1 + 1 + LIVE, 0, 0),
    "sess": (1 + 122, 122, 0),
    "shap-cam": (1, 1, 0),
    "smooth-grad": (1 + 50, 50, 0),
    "smooth-map": (1 + 50, 50, 0),
    "xgrad-cam": (1, 1, 0),
    "xnn": (None, None, 0),
}
# the same behind a softmax: copies of the part behind the layer
BENT = {
    "ablation-cam": (2, 0, LIVE),
    "fd-cam": (2, 1, 2 * FILTERS),
    "recipro-cam": (2, 0, PLACES + 1),
    "shap-cam": (2, 0, 64 * (PLACES + 1)),
}


def spent(name: str, target: Class) -> tuple[int, int, int]:
    mini = MINIATURES["pooled-cnn"]
    images = torch.rand((1, 3, *mini.size), generator=torch.Generator().manual_seed(2))
    model, method = Model(mini(), size=mini.size), create("explainer", name)
    method(model, images, target)  # what is learned or checked once is not counted
    told = method(model, images, target).provenance
    return (*told["evaluations"].values(), told["copies"])


@pytest.mark.parametrize("name", available("explainer"))
def test_a_method_spends_what_is_written_here(name: str) -> None:
    try:
        found = spent(name, Class(1))
    except NotExplainable:
        assert name not in POOLED
        return
    assert name in POOLED, f"{name} has no line; it spent {found}"
    wanted = POOLED[name]
    assert all(w is None or f == w for f, w in zip(found, wanted, strict=True)), found


@pytest.mark.parametrize("name", BENT)
def test_behind_a_head_that_bends_only_copies_of_it_are_run(name: str) -> None:
    assert spent(name, Class(1, probability=True)) == BENT[name]
