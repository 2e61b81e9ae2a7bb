"""Class scores times 10 and 100, and shifted by a constant: what each method does about it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sightline import Heatmap, Model, available, create
from sightline.errors import NotExplainable
from sightline.registry import entry
from sightline.worlds.miniatures import MINIATURES

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive"),
    pytest.mark.filterwarnings("ignore:.*no step lowered the objective"),
    pytest.mark.filterwarnings("ignore:.*maps with negative values"),
    pytest.mark.usefixtures("learned_parts"),
]

# Whose map is another one, up to a factor, when all scores are multiplied; the others claim that it
# is not. A constant on all scores changes no method's map: probabilities do not move either.
SCALED = {
    "abs-cam": "weighs by probabilities",
    "grad-cam++": "damps by gradient times activation, which has a unit",
    "igos": "scores probabilities",
    "igos++": "scores probabilities",
    "iterative-saliency": "asks for margins of 1 and 5",
    "meaningful-perturbation": "scores probabilities",
    "occlusion": "scores probabilities",
    "realtime-saliency": "has learned from one network's scores",
    "rise": "scores probabilities",
    "sess": "weighs windows by probabilities",
}
# hundreds of passes each; said above, measured on the rest
SLOW = ("sess", "iterative-saliency", "igos", "igos++", "meaningful-perturbation")
MAPS = [
    n
    for n in available("explainer")
    if n not in SLOW and entry("explainer", n).cls.gives is Heatmap
]


def native(name: str, change: Callable[[Tensor], Tensor]) -> Tensor | None:
    mini = MINIATURES["pooled-cnn"]
    net = mini()
    with torch.no_grad():
        net.head.weight *= 8
    images = torch.rand((2, 3, *mini.size), generator=torch.Generator().manual_seed(4))
    try:
        heat = create("explainer", name)(Model(net, size=mini.size, output=change), images, 1)
    except NotExplainable:
        return None
    assert heat.native is not None
    return heat.native / heat.native.abs().amax((1, 2), keepdim=True)


@pytest.mark.parametrize("name", MAPS)
def test_a_factor_and_a_constant_do_what_is_said(name: str) -> None:
    plain = native(name, lambda y: y)
    if plain is None:
        pytest.skip("it refuses this network")
    shifted = native(name, lambda y: y + 5)
    assert shifted is not None and (shifted - plain).abs().max() < 5e-3
    apart = 0.0
    for factor in (10, 100):
        found = native(name, lambda y, f=factor: f * y)
        assert found is not None
        apart = max(apart, float((found - plain).abs().max()))
    assert (apart > 5e-3) == (name in SCALED and name != "realtime-saliency")
    assert ("scale-invariant" in entry("explainer", name).claims) <= (name not in SCALED)
