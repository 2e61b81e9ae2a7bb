"""An encoder that runs twice, two encoders that are joined late: the map is that of all streams, or
it is said of which.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from cams import CAMS
from sightline import Model, create
from sightline.errors import NotExplainable, SightlineWarning
from sightline.network.anatomy import study
from sightline.worlds.miniatures import MINIATURES

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive"),
    pytest.mark.filterwarnings("ignore:.*maps with negative values"),
]


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path))


def encoder(channels: int, width: int = 6, stride: int = 2) -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(channels, 5, 3, stride=stride, padding=1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(5, width, 3, stride=2, padding=1), nn.ReLU()),
    )


class Siamese(nn.Module):
    """Before (channels 0 to 2) and after (3 to 5) through one encoder; averages side by side."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.encoder = encoder(3)
        self.head = nn.Linear(12, 4)

    def streams(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.encoder(part) for part in images.split(3, 1))

    def joined(self, streams: tuple[Tensor, ...]) -> Tensor:
        return torch.cat([s.mean((2, 3)) for s in streams], 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.joined(self.streams(images)))


class Depth(Siamese):
    """Colour and depth through encoders of their own."""

    def __init__(self, stride: int = 2) -> None:
        super().__init__()
        self.colour, self.depth = encoder(3), encoder(1, stride=stride)

    def streams(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.colour(images[:, :3]), self.depth(images[:, 3:])


class Mirrored(Siamese):
    """The picture and its mirror image through one encoder."""

    def streams(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.encoder(images), self.encoder(images.flip(3))


class Subtracted(Siamese):
    """What changed: the difference of the maps, then one average."""

    def joined(self, streams: tuple[Tensor, ...]) -> Tensor:
        return (streams[0] - streams[1]).mean((2, 3)).repeat(1, 2)


NETWORKS: dict[str, tuple[type[Siamese], int, str]] = {
    "siamese": (Siamese, 6, "encoder:0 + encoder:1"),
    "subtracted": (Subtracted, 6, "encoder:0 + encoder:1"),
    "colour and depth": (Depth, 4, "colour + depth"),
}


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("name", ["cam", "hires-cam"])
def test_the_map_of_all_streams_sums_to_the_logit_without_its_bias(name: str, kind: str) -> None:
    make, channels, joint = NETWORKS[kind]
    net, images = make().eval(), torch.rand(2, channels, 24, 32)
    heat = create("explainer", name)(net, images, 1)
    assert (heat.provenance["layer"], heat.provenance["partial"]) == (joint, False)
    due = net(images)[:, 1].detach() - net.head.bias[1].detach()
    assert_close(heat.native.sum((1, 2)), due)
    weights = net.head.weight[1].detach().chunk(2)
    signs = (1, 1) if kind != "subtracted" else (1, -1)
    if kind == "subtracted":
        weights = (weights[0] + weights[1],) * 2
    expected: Any = sum(
        sign * torch.einsum("k,bkrc->brc", w, maps.detach()) / maps[0, 0].numel()
        for sign, w, maps in zip(signs, weights, net.streams(images), strict=True)
    )
    assert_close(heat.native, expected)


@pytest.mark.parametrize("name", [n for n in CAMS if n != "eigen-cam"])
def test_every_cam_moves_when_either_stream_is_replaced(name: str) -> None:
    model, images = Model(Siamese().eval(), size=(24, 32)), torch.rand(1, 6, 24, 32)
    explain = create("explainer", name)
    found = explain(model, images, 1).native
    for part in (slice(0, 3), slice(3, 6)):
        other = images.clone()
        other[:, part] = other[:, part].flip(2)
        assert (explain(model, other, 1).native - found).abs().max() > 0.01 * found.abs().max()


def test_falls_behind_two_streams_are_those_of_filters_silenced_one_by_one() -> None:
    """Ablation-CAM where the head is no straight line: each filter of each stream by hand."""
    net, images = Siamese().eval(), torch.rand(1, 6, 24, 32)
    net.head = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4))
    heat = create("explainer", "ablation-cam", over="score")(net, images, 1)
    with torch.no_grad():
        streams = net.streams(images)
        score = net(images)[0, 1]
        expected = torch.zeros(6, 8)
        for i, maps in enumerate(streams):
            for k in range(maps.shape[1]):
                silenced = [m.clone() for m in streams]
                silenced[i][:, k] = 0
                fall = score - net.head(net.joined(tuple(silenced)))[0, 1]
                expected += fall / score.abs() * maps[0, k]
    assert_close(heat.native[0], expected)


def test_the_anatomy_names_the_calls_and_earlier_layers_in_all_their_calls() -> None:
    found = study(Siamese().eval(), (24, 32), 6)
    assert found.joint == ("encoder:0", "encoder:1") and found.aligned and not found.partial
    assert "encoder.0:0 + encoder.0:1" in found.together
    assert found.every_call("encoder.0") == "encoder.0:0 + encoder.0:1"
    assert not found.carries("encoder:0") and found.carries("encoder:0 + encoder:1")
    found = study(MINIATURES["pooled-cnn"](), (32, 32))
    assert found.every_call("relu") == "relu" and found.carries("relu:0") and not found.aligned


def test_a_name_of_a_module_that_runs_twice_means_both_runs() -> None:
    net, images = Siamese().eval(), torch.rand(1, 6, 24, 32)
    both = create("explainer", "hires-cam", layer="encoder.0")(net, images, 1)
    assert both.provenance["layer"] == "encoder.0:0 + encoder.0:1"
    apart = [
        create("explainer", "grad-cam", layer=f"encoder.0:{i}", keep_sign=True) for i in range(2)
    ]
    told = "'encoder:1' carries only a part .* passes through 'encoder:0'"
    with pytest.warns(SightlineWarning, match=told):
        one = create("explainer", "grad-cam", layer="encoder:1")(net, images, 1)
    assert one.provenance["partial"]
    assert apart[0](net, images, 1).provenance["partial"]


@pytest.mark.parametrize("name", ["cam", "hires-cam"])
def test_a_sum_of_one_stream_is_refused(name: str) -> None:
    net, images = Siamese().eval(), torch.rand(1, 6, 24, 32)
    with pytest.raises(NotExplainable, match=r"`layer='encoder:0 \+ encoder:1'` reads them"):
        create("explainer", name, layer="encoder:1")(net, images, 1)


@pytest.mark.parametrize("net", [Mirrored(), Depth(stride=1)], ids=["mirrored", "two grids"])
def test_streams_that_do_not_lie_on_one_grid_are_not_added_and_it_is_said(net: Siamese) -> None:
    channels = 4 if isinstance(net, Depth) else 3
    images = torch.rand(1, channels, 24, 32)
    known = study(net.eval(), (24, 32), channels)
    mirrored = isinstance(net, Mirrored)  # what sees the mirror image is no layer of the picture
    assert len(known.joint) == (0 if mirrored else 2) and not known.aligned
    rest = r"\." if mirrored else "; the rest passes"
    with pytest.warns(SightlineWarning, match=f"carries only a part of the score{rest}"):
        heat = create("explainer", "grad-cam")(net, images, 1)
    assert heat.provenance["partial"] and heat.provenance["layer"] == known.spatial
    for name in ("cam", "hires-cam"):
        with pytest.raises(NotExplainable, match="sums to the score, but"):
            create("explainer", name)(net, images, 1)


def test_layers_of_unequal_size_are_not_read_together() -> None:
    images = torch.rand(1, 4, 24, 32)
    with pytest.raises(NotExplainable, match="6 x 8 and 12 x 16 places"):
        create("explainer", "grad-cam", layer="colour + depth")(Depth(stride=1), images, 1)
