"""Fast maps: bfloat16 serves a method where its own map stays what it is, and nothing else does."""

import warnings

import pytest
import torch
from torch import Tensor, nn

from sightline import Heatmap, Model, available, create
from sightline.errors import NotExplainable, SightlineWarning
from sightline.explainers.contract.admission import FAST_MAP, TOPIC, moved_by
from sightline.network import execution

SIZE = (24, 24)


class Offset(nn.Module):
    """Logits far from one another by their biases, which filters move by little: bfloat16 keeps the
    logits to a hundredth of their spread and loses what a filter does."""

    def __init__(self, far: float) -> None:
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.ReLU())
        self.mix = nn.Sequential(nn.Conv2d(12, 12, 3, padding=1), nn.GELU())
        self.head = nn.Linear(12, 4)
        draw = torch.Generator().manual_seed(4)
        for weight in self.parameters():
            weight.data.normal_(generator=draw).mul_(0.3)
        with torch.no_grad():
            self.head.bias.copy_(torch.tensor([300.0, -200.0, 100.0, -400.0]) * far)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.mix(self.maps(images)).mean((2, 3)))


@pytest.fixture
def paying(monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16, whatever this machine thinks of it."""
    monkeypatch.setattr(execution, "bfloat16_pays", lambda device: True)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand((2, 3, *SIZE), generator=torch.Generator().manual_seed(2))


def both(net: nn.Module, name: str, images: Tensor, **fields: object) -> list[Heatmap]:
    """The map of class 0, exact and fast."""
    made = create("explainer", name, **fields)
    models = (Model(net, size=SIZE), Model(net, size=SIZE, precision="fast"))
    return [made(model, images, 0) for model in models]


@pytest.mark.usefixtures("paying")
def test_a_map_that_bfloat16_would_drown_is_made_exactly(images: Tensor) -> None:
    exact, fast = both(Offset(1.0).eval(), "ablation-cam", images, layer="maps")
    assert torch.equal(exact.values, fast.values)
    assert (fast.provenance["precision"], fast.provenance["ran_in"]) == ("fast", "exact")
    assert exact.provenance["evaluations"] == fast.provenance["evaluations"]


@pytest.mark.usefixtures("paying")
def test_the_same_method_runs_in_bfloat16_where_its_map_stays(images: Tensor) -> None:
    exact, fast = both(Offset(0.0).eval(), "ablation-cam", images, layer="maps")
    assert fast.provenance["ran_in"] == "fast" and exact.provenance["ran_in"] == "exact"
    assert 0 < moved_by(exact, fast) <= 2 * FAST_MAP
    assert exact.provenance["evaluations"] == fast.provenance["evaluations"]


@pytest.mark.usefixtures("paying")
@pytest.mark.parametrize("far", [0.0, 1.0])
@pytest.mark.parametrize("name", available("explainer"))
def test_no_fast_map_of_the_first_picture_moves_by_more_than_a_tenth(
    name: str, far: float, images: Tensor
) -> None:
    with warnings.catch_warnings(category=SightlineWarning, action="ignore"):
        try:
            exact, fast = both(Offset(far).eval(), name, images[:1])
        except NotExplainable:
            pytest.skip("it refuses this network")
    if isinstance(exact, Heatmap):
        assert moved_by(exact, fast) <= FAST_MAP


@pytest.mark.usefixtures("paying")
def test_it_is_asked_once_for_a_method_and_again_when_weights_change(images: Tensor) -> None:
    net = Offset(0.0).eval()
    model = Model(net, size=SIZE, precision="fast")
    explain = create("explainer", "ablation-cam", layer="maps")
    explain(model, images, 0)
    asked = model.runner.engine.checks.of(TOPIC)
    assert len(asked) == 1
    explain(model, images.flip(3), 0)
    assert model.runner.engine.checks.of(TOPIC) == asked
    with torch.no_grad():
        net.head.bias.add_(torch.tensor([300.0, -200.0, 100.0, -400.0]))
    assert explain(model, images, 0).provenance["ran_in"] == "exact"


def test_how_far_a_map_moved() -> None:
    one, two = Heatmap(torch.tensor([[[3.0, 4.0]]])), Heatmap(torch.tensor([[[3.0, 4.5]]]))
    assert moved_by(one, two) == pytest.approx(0.1) and moved_by(one, one) == 0
