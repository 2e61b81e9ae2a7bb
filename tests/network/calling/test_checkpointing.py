"""Gradient checkpointing changes nothing: every method gives what it gives without."""

import threading
from typing import Any

import pytest
import torch
import torch.utils.checkpoint as checkpointing
from torch import Tensor, nn
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from sightline import Model, create
from sightline.network.anatomy import study
from sightline.network.calling.checkpointing import plain_segments

METHODS = (
    "grad-cam", "cam", "ablation-cam", "guided-backprop", "deconvnet", "guided-grad-cam",
    "gradient", "integrated-gradients", "occlusion",
)  # fmt: skip
pytestmark = pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive")


class Segmented(nn.Module):
    """Two stages, each a checkpointed segment where `how` is not None."""

    def __init__(self, how: bool | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.how = how
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU())
        self.second = nn.Sequential(
            nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU()
        )
        self.head = nn.Linear(8, 4)

    def run(self, part: nn.Module, maps: Tensor) -> Any:
        return part(maps) if self.how is None else checkpoint(part, maps, use_reentrant=self.how)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.run(self.second, self.run(self.first, images)).mean((2, 3)))


class Sequenced(Segmented):
    """The same by `checkpoint_sequential`."""

    def forward(self, images: Tensor) -> Tensor:
        stages = nn.Sequential(self.first, *self.second)
        maps = checkpoint_sequential(stages, 2, images, use_reentrant=bool(self.how))
        return self.head(maps.mean((2, 3)))


@pytest.mark.parametrize("make", [Segmented, Sequenced])
@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("name", METHODS)
def test_the_map_is_that_of_the_network_without_segments(name, reentrant, make) -> None:
    images = torch.rand(2, 3, 16, 16)
    plain, segmented = (Model(n.eval(), size=16) for n in (Segmented(None), make(reentrant)))
    explain = create("explainer", name)
    assert_close(explain(segmented, images, 1).native, explain(plain, images, 1).native)
    if "layer" in explain.needs and name != "cam":
        explain = create("explainer", name, layer="second.1")
        assert_close(explain(segmented, images, 1).native, explain(plain, images, 1).native)


@pytest.mark.parametrize("reentrant", [True, False])
def test_the_anatomy_is_that_of_the_network_without_segments(reentrant, monkeypatch) -> None:
    monkeypatch.setenv("SIGHTLINE_CACHE", "")
    found = study(Segmented(reentrant).eval(), (16, 16))
    assert (found.spatial, found.head) == ("second", "pooled-linear")
    assert found == study(Segmented(None).eval(), (16, 16))


def test_timm_s_switch_makes_no_difference() -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model("test_vit", pretrained=False).eval()
    images = torch.rand(1, 3, 160, 160)
    methods = [create("explainer", name) for name in ("grad-cam", "rollout", "gradient")]
    plain = [explain(net, images, 3).native for explain in methods]
    net.set_grad_checkpointing(True)
    for explain, expected in zip(methods, plain, strict=True):
        assert_close(explain(net, images, 3).native, expected)


@pytest.mark.parametrize("reentrant", [True, False])
def test_other_threads_keep_their_segments_and_all_comes_back(reentrant: bool) -> None:
    before, runs, counts = dict(vars(checkpointing)), [], {}

    def segment(x: Tensor) -> Tensor:
        runs.append(threading.current_thread().name)
        return x.sin()

    def train(name: str) -> None:
        x = torch.ones(3, requires_grad=True)
        checkpoint(segment, x, use_reentrant=reentrant).sum().backward()
        assert_close(x.grad, torch.ones(3).cos())
        counts[name] = len(runs)
        runs.clear()

    with plain_segments(), plain_segments():
        train("inside")
        thread = threading.Thread(target=train, args=("beside",))
        thread.start()
        thread.join()
    train("after")
    assert counts == {"inside": 1, "beside": 2, "after": 2}
    with pytest.raises(ZeroDivisionError), plain_segments():
        raise ZeroDivisionError
    assert dict(vars(checkpointing)) == before
