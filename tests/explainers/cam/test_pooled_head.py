"""What the family becomes behind global average pooling and one linear layer, in closed form."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Class, Heatmap, Model, create
from sightline.errors import NotExplainable, SightlineWarning

pytestmark = pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive")
ROWS, COLS, TARGET = 4, 5, 1
AREA = ROWS * COLS


class Pooled(nn.Module):
    """Seven positive filters, then the average and one linear layer with a bias."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(3, 7, 1), nn.Softplus())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(7, classes))
        draw = torch.Generator().manual_seed(5)
        for weight in self.parameters():
            weight.data.normal_(generator=draw)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.pool(self.maps(images)))


@pytest.fixture(scope="module")
def net() -> Pooled:
    return Pooled().eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand((2, 3, ROWS, COLS), generator=torch.Generator().manual_seed(6))


@pytest.fixture(scope="module")
def maps(net: Pooled, images: Tensor) -> Tensor:
    return net.maps(images).detach()


@pytest.fixture(scope="module")
def weight(net: Pooled) -> Tensor:
    return net.head[2].weight[TARGET].detach()


@pytest.fixture(scope="module")
def cam(maps: Tensor, weight: Tensor) -> Tensor:
    return torch.einsum("k,bkij->bij", weight, maps) / AREA


def explain(name: str, net: nn.Module, images: Tensor, **fields: object) -> Heatmap:
    made = create("explainer", name, layer="maps", **fields)
    return made(Model(net, size=(ROWS, COLS)), images, Class(TARGET))


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("cam", {}),
        ("grad-cam", {}),
        ("hires-cam", {}),
        ("xgrad-cam", {}),
        ("recipro-cam", {}),
        ("shap-cam", {"orders": 4}),
    ],
)
def test_these_are_the_class_map_over_the_area(
    name: str, fields: dict, net: Pooled, images: Tensor, cam: Tensor
) -> None:
    heat = explain(name, net, images, **fields)
    assert_close(heat.native, cam)
    spent = heat.provenance["evaluations"]
    assert (
        spent["forward"] == 2 and spent["backward"] <= 2
    )  # one pass for each picture, and no more
    assert heat.provenance["copies"] == 0


def test_the_class_map_sums_to_the_logit_without_its_bias(
    net: Pooled, images: Tensor, cam: Tensor
) -> None:
    found = explain("cam", net, images).native
    logit = net(images)[:, TARGET].detach()
    assert_close(found.sum((1, 2)), logit - net.head[2].bias[TARGET].detach())
    assert_close(explain("cam", net, images, per_place=False).native, cam * AREA)


def test_all_classes_give_what_one_product_of_weights_and_maps_gives(
    net: Pooled, images: Tensor, maps: Tensor
) -> None:
    every = torch.einsum("ck,kij->cij", net.head[2].weight, maps[0]).detach() / AREA
    method = create("explainer", "cam", layer="maps")
    found = method(Model(net, size=(ROWS, COLS)), images[:1].expand(3, -1, -1, -1), [0, 1, 2])
    assert_close(found.native, every)


def test_layer_cam_keeps_the_positive_weights(
    net: Pooled, images: Tensor, maps: Tensor, weight: Tensor
) -> None:
    expected = torch.einsum("k,bkij->bij", weight.clamp(min=0), maps) / AREA
    found = explain("layer-cam", net, images).native
    assert_close(found, expected)
    assert (found >= explain("hires-cam", net, images).native).all()


def test_grad_cam_plus_plus_damps_strong_filters(
    net: Pooled, images: Tensor, maps: Tensor, weight: Tensor
) -> None:
    slope = weight / AREA
    factor = AREA * slope.clamp(min=0) / (2 + slope * maps.sum((2, 3)))
    expected = torch.einsum("bk,bkij->bij", factor, maps)
    assert_close(explain("grad-cam++", net, images).native, expected)


def test_ablation_cam_weighs_by_the_share_of_the_score(
    net: Pooled, images: Tensor, maps: Tensor, weight: Tensor
) -> None:
    score = net(images)[:, TARGET].detach().abs()[:, None]
    alpha = weight * maps.mean((2, 3)) / score
    heat = explain("ablation-cam", net, images, over="score")
    assert_close(heat.native, torch.einsum("bk,bkij->bij", alpha, maps))
    assert heat.provenance["evaluations"] == {"forward": 2, "backward": 2}
    assert heat.provenance["copies"] == 0


@pytest.mark.parametrize("constant", [-7.0, 0.0, 3.0, 1000.0])
def test_a_constant_added_to_all_logits_changes_no_ablation_cam(
    constant: float, net: Pooled, images: Tensor, maps: Tensor, weight: Tensor
) -> None:
    falls = weight * maps.mean((2, 3))
    alpha = falls / falls.abs().sum(1, keepdim=True)
    other = deepcopy(net)
    with torch.no_grad():
        other.head[2].bias.add_(constant)
    found = explain("ablation-cam", other, images).native
    assert_close(found, torch.einsum("bk,bkij->bij", alpha, maps), atol=1e-6, rtol=1e-3)


def test_abs_cam_starts_with_absolute_weights(
    net: Pooled, images: Tensor, maps: Tensor, weight: Tensor
) -> None:
    expected = torch.einsum("k,bkij->bij", weight.abs(), maps) / AREA
    assert_close(explain("abs-cam", net, images, stage="initial").native, expected)


def test_the_first_stage_of_abs_cam_cannot_tell_opposite_classes_apart(images: Tensor) -> None:
    net = Pooled(2).eval()
    net.head[2].weight.data[1] = -net.head[2].weight.data[0]
    model = Model(net, size=(ROWS, COLS))
    method = create("explainer", "abs-cam", layer="maps", stage="initial")
    assert torch.equal(method(model, images, 0).native, method(model, images, 1).native)


def test_fd_cam_s_switching_score_is_twice_the_group_s_share(
    net: Pooled, images: Tensor, maps: Tensor, weight: Tensor
) -> None:
    expected = []
    for own in maps:
        flat = own.flatten(1)
        share, switched = weight * flat.mean(1), []
        for k in range(7):
            like = torch.stack([torch.cosine_similarity(flat[k], flat[j], dim=0) for j in range(7)])
            group = (like > like.quantile(0.95)) | (torch.arange(7) == k)
            switched.append(2 * share[group].sum())
        faithful, telling = unit(torch.stack(switched)), unit(weight / AREA)
        expected.append(torch.einsum("k,kij->ij", faithful.exp() * telling - 0.5, own))
    assert_close(explain("fd-cam", net, images).native, torch.stack(expected))


def unit(values: Tensor) -> Tensor:
    return (values - values.min()) / (values.max() - values.min())


def test_the_gaussian_kernel_blurs_the_class_map(net: Pooled, images: Tensor, cam: Tensor) -> None:
    found = explain("recipro-cam", net, images, kernel="gauss-local").native
    kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])[None, None] / 16
    assert_close(found, nn.functional.conv2d(cam[:, None], kernel, padding=1)[:, 0])


def test_a_softmax_of_two_classes_orders_places_as_the_difference_does(images: Tensor) -> None:
    net = Pooled(2).eval()
    model, method = Model(net, size=(ROWS, COLS)), create("explainer", "recipro-cam", layer="maps")
    found = method(model, images, Class(0, probability=True)).native.flatten(1)
    both = torch.einsum("ck,bkij->cbij", net.head[2].weight, net.maps(images)).detach()
    apart = (both[0] - both[1]).flatten(1)
    assert torch.equal(found.argsort(1), apart.argsort(1))


class Deep(Pooled):
    """The same with a ReLU between the average and the linear layer, some units below it."""

    def forward(self, images: Tensor) -> Tensor:
        pooled = self.pool(self.maps(images))
        return self.head(torch.relu(pooled - pooled.detach().mean(1, keepdim=True)))


def test_cam_refuses_what_is_not_pooling_and_one_linear_layer(net: Pooled, images: Tensor) -> None:
    with pytest.raises(NotExplainable, match="hires-cam"):
        explain("cam", Deep().eval(), images)
    with pytest.raises(NotExplainable, match="a logit as target"):
        create("explainer", "cam", layer="maps")(
            Model(net, size=(ROWS, COLS)), images, Class(1, probability=True)
        )


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(1, 1, 1, bias=False)
        self.head = nn.Linear(16, 1, bias=False)
        self.maps.weight.data.fill_(1)
        self.head.weight.data.zero_()
        self.head.weight.data[0, 0], self.head.weight.data[0, 15] = 5, -1

    def forward(self, images: Tensor) -> Tensor:
        score = self.head(self.maps(images).flatten(1))
        return torch.cat([score, -score], 1)


def test_only_hires_cam_has_the_right_sign_where_places_have_weights_of_their_own() -> None:
    model, image = Model(Flat(), size=(4, 4)), torch.zeros(1, 1, 4, 4)
    image[0, 0, 0, 0] = image[0, 0, 3, 3] = 1

    def native(name: str) -> Tensor:
        return create("explainer", name, layer="maps")(model, image, 0).native[0]

    assert native("hires-cam")[0, 0] == 5 and native("hires-cam")[3, 3] == -1
    assert native("grad-cam")[0, 0] == 0.25 and native("grad-cam")[3, 3] == 0.25
    with pytest.raises(NotExplainable, match="global average pooling"):
        native("cam")


def test_grad_cam_plus_plus_brings_a_small_instance_nearer_to_a_large_one() -> None:
    class Blobs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps = nn.Conv2d(2, 2, 1, bias=False)
            self.maps.weight.data.copy_(torch.eye(2)[:, :, None, None])

        def forward(self, images: Tensor) -> Tensor:
            maps = self.maps(images)  # each filter is listened to where its own blob is
            logit = maps[:, 0, 1:3, 1:3].sum((1, 2)) + maps[:, 1, 5:11, 5:11].sum((1, 2))
            return torch.stack([logit, -logit], 1)

    image = torch.zeros(1, 2, 12, 12)
    image[0, 0, 1:3, 1:3] = 1
    image[0, 1, 5:11, 5:11] = 1
    ratio = {}
    for name in ("grad-cam", "grad-cam++"):
        heat = create("explainer", name, layer="maps")(Model(Blobs(), size=(12, 12)), image, 0)
        ratio[name] = float(heat.native[0, 1, 1] / heat.native[0, 7, 7])
    assert ratio["grad-cam"] == pytest.approx(4 / 36)
    assert ratio["grad-cam++"] == pytest.approx(4 * 38 / (36 * 6))


def test_a_denominator_near_zero_is_held_and_said() -> None:
    net = Pooled()
    net.maps = nn.Sequential(nn.Conv2d(3, 7, 1))
    net.maps[0].bias.data.fill_(-30)
    net.head[2].weight.data.fill_(1)
    with pytest.warns(SightlineWarning, match="is used there instead"):
        heat = explain("grad-cam++", net.eval(), torch.rand(1, 3, ROWS, COLS))
    assert torch.isfinite(heat.native).all()


class Bent(nn.Module):
    """The maps of `Pooled`, and behind the average two linear layers with a few ReLUs between."""

    def __init__(self, units: int, seed: int) -> None:
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(3, 7, 1, bias=False), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(7, units), nn.ReLU(), nn.Linear(units, 3))
        draw = torch.Generator().manual_seed(seed)
        for weight in self.parameters():
            weight.data.normal_(generator=draw)

    def behind(self, maps: Tensor) -> Tensor:
        return self.head(maps.mean((2, 3)))[:, TARGET]

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.maps(images).mean((2, 3)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("units", [2, 4, 16, 64])
@torch.no_grad()
def test_a_few_relus_are_not_taken_for_a_linear_head(units: int, seed: int, images: Tensor) -> None:
    net = Bent(units, seed).eval()
    pictures = torch.cat(
        [torch.zeros_like(images[:1]), images]
    )  # a black one says nothing of ReLUs
    model = Model(net, size=(ROWS, COLS))
    with pytest.raises(NotExplainable, match="a map of zeros"):
        create("explainer", "recipro-cam", layer="maps")(model, pictures[:1], Class(TARGET))
    places = torch.eye(AREA).view(AREA, 1, ROWS, COLS)
    silent = 1 - torch.eye(7)[:, :, None, None]
    for name, fields in (("recipro-cam", {}), ("ablation-cam", {"over": "score"})):
        explain = create("explainer", name, layer="maps", **fields)
        found = explain(model, images, Class(TARGET)).native
        for heat, maps in zip(found, net.maps(images), strict=True):
            score, empty = net.behind(maps[None]), net.behind(0 * maps[None])
            if name == "recipro-cam":
                expected = (net.behind(maps * places) - empty).view(ROWS, COLS)
            else:
                weights = (score - net.behind(maps * silent)) / score.abs()
                expected = torch.einsum("k,kij->ij", weights, maps)
            assert_close(heat, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
