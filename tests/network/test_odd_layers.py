"""Maps of one row or one column, or with a third axis, heads that take the largest place, networks
that cut their graph: each has a default layer, and its map is the one computed by hand.
"""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from cams import CAMS
from sightline import Model, create
from sightline.errors import NotExplainable
from sightline.network.anatomy import study
from sightline.worlds.miniatures import MINIATURES

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive"),
    pytest.mark.filterwarnings("ignore:.*maps with negative values"),
]


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path))


class Strided(nn.Module):
    """Two convolutions whose strides make one place of 8 x 8 pixels; average, then linear."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU())
        self.last = nn.Sequential(nn.Conv2d(8, 12, 4, stride=4), nn.ReLU())
        self.head = nn.Linear(12, 5)

    def maps(self, images: Tensor) -> Tensor:
        return self.last(self.first(images))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.maps(images).mean((2, 3)))


@pytest.mark.parametrize(("size", "grid"), [((8, 80), (1, 10)), ((480, 8), (60, 1))])
def test_one_row_or_column_of_places_is_a_map(size, grid) -> None:
    net, images = Strided().eval(), torch.rand(2, 3, *size)
    found = study(net, size)
    assert (found.spatial, found.layout.grid, found.layout.verified) == ("last", grid, True)
    assert found.head == "pooled-linear" and found.candidates == ("last.0", "first", "first.0")
    heat = create("explainer", "cam")(Model(net, size=size), images, 2)
    maps, weight = net.maps(images).detach(), net.head.weight[2].detach()
    assert_close(heat.native, torch.einsum("k,bkrc->brc", weight, maps) / 10 / (grid[0] // 10 or 1))
    assert heat.values.shape == (2, *size)


@pytest.mark.parametrize("name", CAMS)
@pytest.mark.parametrize("layer", [None, "last"])
def test_every_cam_draws_maps_of_one_row(name: str, layer: str | None) -> None:
    net, images = Strided().eval(), torch.rand(1, 3, 8, 80)
    found = create("explainer", name, layer=layer)(Model(net), images, 2)
    assert found.native.shape == (1, 1, 10) and found.native.any()
    alike = create("explainer", name)(Model(net), images.transpose(2, 3).flip(0), 2)
    assert alike.native.shape == (1, 10, 1)


def test_the_default_layer_is_that_of_square_pictures() -> None:
    import torchvision

    torch.manual_seed(0)
    net = torchvision.models.resnet18(weights=None).eval()
    assert study(net, (32, 320)).spatial == study(net, (320, 320)).spatial == "layer4"
    assert study(net, (32, 320)).layout.grid == (1, 10)


def test_tokens_of_one_row_and_channels_last_are_maps_too(tmp_path) -> None:
    class Row(Strided):
        def __init__(self, last: str) -> None:
            super().__init__()
            self.norm, self.kind = nn.LayerNorm(12), last

        def forward(self, images: Tensor) -> Tensor:
            maps = self.maps(images).permute(0, 2, 3, 1)
            maps = self.norm(maps if self.kind == "nhwc" else maps.flatten(1, 2))
            return self.head(maps.mean((1, 2)) if self.kind == "nhwc" else maps.mean(1))

    for style in ("nhwc", "tokens"):
        found = study(Row(style).eval(), (8, 80), cache=tmp_path / style)
        assert (found.spatial, found.layout.style, found.layout.grid) == ("norm", style, (1, 10))


class Squeezed(nn.Module):
    """A gate between convolutions, and places in raster order: neither is a map."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU())
        self.gate = nn.Conv2d(8, 8, 1)
        self.flat = nn.Identity()
        self.head = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.body(images)
        maps = maps * self.gate(maps.mean((2, 3), keepdim=True)).sigmoid()
        return self.head(self.flat(maps.flatten(2)[..., None]).mean((2, 3)))


def test_weights_of_filters_and_lists_of_places_are_not_lines() -> None:
    found = study(Squeezed().eval(), (32, 32))
    assert not {"gate", "flat"} & set(found.layouts)
    assert found.spatial == "body"


class Spectral(nn.Module):
    """Conv3d over (band, row, col) of a picture with many bands; `last`: the bands come last."""

    def __init__(self, last: bool) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.last = last
        self.body = nn.Sequential(nn.Conv3d(1, 4, 3, stride=2, padding=1), nn.ReLU())
        self.head = nn.Linear(4, 3)

    def maps(self, images: Tensor) -> Tensor:
        return self.body(images.permute(0, 2, 3, 1)[:, None] if self.last else images[:, None])

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.maps(images).mean((2, 3, 4)))


@pytest.mark.parametrize("last", [False, True])
def test_maps_with_a_third_axis_are_seen_step_by_step(last: bool) -> None:
    net, images = Spectral(last).eval(), torch.rand(2, 10, 16, 24)
    model = Model(net, size=(16, 24))
    heat = create("explainer", "cam")(model, images, 1)
    found = model.study((16, 24), 10)
    assert (found.spatial, found.layout.style) == ("body", "nchwd" if last else "ncdhw")
    maps = net.maps(images).detach()
    maps = maps if not last else maps.permute(0, 1, 4, 2, 3)
    expected = torch.einsum("k,bkdrc->brc", net.head.weight[1].detach(), maps) / maps[0, 0].numel()
    assert_close(heat.native, expected)
    assert_close(heat.native.sum((1, 2)), net(images)[:, 1].detach() - net.head.bias[1].detach())


@pytest.mark.parametrize("name", CAMS)
def test_every_cam_draws_maps_with_a_third_axis(name: str) -> None:
    images = torch.rand(1, 10, 16, 24)
    for layer in (None, "body.0" if name != "cam" else "body"):  # a ReLU follows
        found = create("explainer", name, layer=layer)(Spectral(False).eval(), images, 1)
        assert found.native.shape == (1, 8, 12) and found.native.any()


class Largest(Strided):
    """The largest place of each filter, then linear; no module has a name for it."""

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.maps(images).amax((2, 3)))


def test_a_head_that_takes_the_largest_place_has_a_layer() -> None:
    net, images = Largest().eval(), torch.rand(2, 3, 64, 96)
    found = study(net, (64, 96))
    assert (found.spatial, found.head, found.partial) == ("last", "max-pool", False)
    heat = create("explainer", "hires-cam")(Model(net, size=(64, 96)), images, 2)
    maps, weight = net.maps(images).detach(), net.head.weight[2].detach()
    expected = torch.zeros(2, 8, 12)
    for row in range(2):
        for k, places in enumerate(maps[row].flatten(1)):
            top = int(places.argmax())
            expected[row].view(-1)[top] += weight[k] * places[top]
    assert_close(heat.native, expected)


def test_an_output_that_takes_the_largest_place_has_a_layer() -> None:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU())
    net, images = nn.Sequential(body, nn.Conv2d(8, 3, 1)).eval(), torch.rand(2, 3, 32, 48)
    model = Model(net, size=(32, 48), output=lambda y: y.amax((2, 3)))
    assert (model.anatomy.spatial, model.anatomy.class_map) == ("0", "1")
    heat = create("explainer", "hires-cam")(model, images, 1)
    logits = model.outputs(images)[:, 1]
    assert_close(heat.native.sum((1, 2)), logits - net[1].bias[1].detach())
    assert ((heat.native != 0).sum((1, 2)) == 1).all()


class Frozen(Strided):
    """Features as people freeze them: no graph inside, or none behind either."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.features, self.how = nn.Sequential(self.first, self.last), how
        self.head = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 5))

    def forward(self, images: Tensor) -> Tensor:
        if self.how == "detached":
            return self.head(self.features(images).detach().mean((2, 3)))
        quiet = torch.no_grad if self.how == "no_grad" else torch.inference_mode
        with quiet():
            maps = self.features(images)
        return self.head(maps.clone().mean((2, 3)))


@pytest.mark.parametrize("how", ["no_grad", "inference_mode", "detached"])
def test_a_network_that_cuts_its_graph_has_the_layer_of_one_that_does_not(how, tmp_path) -> None:
    found = study(Frozen(how).eval(), (32, 48), cache=tmp_path)
    assert (found.spatial, found.cuts[0], found.partial) == ("features", "features", False)
    assert "exchanging maps" in found.notes[0]


@pytest.mark.parametrize("how", ["no_grad", "inference_mode", "detached"])
@pytest.mark.parametrize("name", ["eigen-cam", "score-cam", "ablation-cam", "recipro-cam"])
def test_methods_without_gradients_answer_as_without_the_cut(name: str, how: str) -> None:
    images, plain = torch.rand(2, 3, 32, 48), Frozen("").eval()
    plain.forward = lambda x: plain.head(plain.features(x).mean((2, 3)))
    found = create("explainer", name)(Frozen(how).eval(), images, 1)
    expected = create("explainer", name, layer="features")(plain, images, 1)
    assert found.provenance["layer"] == "features"
    assert_close(found.native, expected.native, rtol=1e-3, atol=1e-5)


def test_the_layer_where_the_graph_begins_has_gradients() -> None:
    images, plain = torch.rand(2, 3, 32, 48), Frozen("").eval()
    plain.forward = lambda x: plain.head(plain.features(x).mean((2, 3)))
    for how in ("no_grad", "inference_mode"):
        found = create("explainer", "grad-cam")(Frozen(how).eval(), images, 1)
        expected = create("explainer", "grad-cam")(plain, images, 1)
        assert_close(found.native, expected.native)
    with pytest.raises(NotExplainable, match=r"cuts the graph after it .* Use eigen-cam"):
        create("explainer", "grad-cam")(Frozen("detached").eval(), images, 1)


def test_a_class_token_behind_a_cut_is_not_taken_for_a_map(tmp_path) -> None:
    mini = MINIATURES["token-net"]
    net = mini()
    forward = net.forward
    net.forward = lambda images: forward(images).detach()
    found = study(net, mini.size, cache=tmp_path)
    assert (found.spatial, str(found.layout)) == (mini.layer, "tokens 4x6 after 4 prefix tokens")


def test_a_layer_that_the_target_does_not_use_is_said_to_be_that() -> None:
    class Unused(Strided):
        def __init__(self) -> None:
            super().__init__()
            self.side = nn.Conv2d(12, 4, 1)

        def forward(self, images: Tensor) -> Tensor:
            self.side(self.maps(images))
            return self.head(self.maps(images).mean((2, 3)))

    images = torch.rand(1, 3, 32, 48)
    with pytest.raises(NotExplainable, match="does not depend on layer 'side'"):
        create("explainer", "grad-cam", layer="side")(Unused().eval(), images, 1)


def test_where_there_is_no_layer_none_is_asked_for() -> None:
    dense = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    with pytest.raises(NotExplainable, match="Use a method that reads no layer"):
        create("explainer", "grad-cam")(dense, torch.rand(1, 3, 8, 8), 1)
