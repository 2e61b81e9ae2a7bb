"""Networks whose scores of a picture depend on its company, or on chance: said, and answered as
alone where that is possible."""

import warnings

import pytest
import torch
from torch import Tensor, nn

import sightline as sl
from sightline import Model, create
from sightline.errors import SightlineWarning


class Net(nn.Module):
    """A small CNN with something in the middle, which may look at the whole batch."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.middle = nn.Conv2d(3, 6, 3, padding=1), middle
        self.second, self.relu = nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.ReLU()
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.second(self.middle(self.first(x)))).mean((2, 3)))


class OverBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / x.flatten(1).norm(dim=1).sum()


class StaysOn(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.3, training=True)


def statistics() -> nn.Module:
    return nn.BatchNorm2d(6, track_running_stats=False)


@pytest.fixture
def images() -> Tensor:
    found = torch.rand((3, 3, 24, 32), generator=torch.Generator().manual_seed(1))
    return found * torch.tensor([1.0, 0.2, 0.6])[:, None, None, None]


@pytest.mark.parametrize("middle", [statistics, OverBatch])
@pytest.mark.parametrize("name", ["rise", "grad-cam", "gradient", "score-cam", "occlusion"])
def test_what_depends_on_company_is_run_alone_and_says_so(
    name: str, middle: type[nn.Module], images: Tensor
) -> None:
    model = Model(Net(middle()))
    with pytest.warns(SightlineWarning, match="depend on the other pictures of a batch") as said:
        heat = create("explainer", name)(model, images, 1)
    assert sum("depend on the other" in str(w.message) for w in said) == 1
    assert any("one at a time" in note for note in heat.provenance["called"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*no evidence for the target")
        alone = create("explainer", name)(model, images[1:2], 1)
        model.batch = 1
        one = create("explainer", name)(model, images[1:2], 1)
    scale = alone.native.abs().max()
    torch.testing.assert_close(heat.native[1] / scale, alone.native[0] / scale, atol=1e-5, rtol=0)
    torch.testing.assert_close(one.native / scale, alone.native / scale, atol=1e-5, rtol=0)


@pytest.mark.parametrize("middle", [statistics, OverBatch])
def test_scores_are_those_of_each_picture_alone(middle: type[nn.Module], images: Tensor) -> None:
    net = Net(middle()).eval()
    model = Model(net)
    with pytest.warns(SightlineWarning, match="depend on the other pictures"):
        found = model.outputs(images)
    with torch.no_grad():
        wanted = torch.cat([net(image[None]) for image in images])
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_chance_is_said_once_and_stands_in_the_provenance(images: Tensor) -> None:
    model = Model(Net(StaysOn()))
    with pytest.warns(SightlineWarning, match="differ from run to run") as said:
        heat = create("explainer", "gradient")(model, images, 1)
        create("explainer", "gradient")(model, images, 2)
    assert sum("differ from run to run" in str(w.message) for w in said) == 1
    assert any("from run to run" in note for note in heat.provenance["called"])
    assert not model.calling.alone


@pytest.mark.parametrize("middle", [nn.Identity, lambda: nn.BatchNorm2d(6), nn.Dropout])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_usual_networks_are_neither(middle: type[nn.Module], dtype: torch.dtype) -> None:
    model = Model(Net(middle()).to(dtype))
    spent = dict(model.evaluations)
    model.outputs(torch.rand(2, 3, 24, 32))
    assert model.calling.conduct.doubts == ()
    assert model.evaluations["forward"] - spent["forward"] == 2  # the check is not counted


def test_a_black_box_with_chance_says_so() -> None:
    draw = torch.Generator().manual_seed(0)

    def noisy(x: Tensor) -> Tensor:
        return x.mean((2, 3)) + torch.rand(len(x), 3, generator=draw)

    model = sl.Model.from_function(noisy, size=(8, 8))
    with pytest.warns(SightlineWarning, match="differ from run to run"):
        model.outputs(torch.rand(2, 3, 8, 8))
