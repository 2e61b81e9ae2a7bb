"""Score-CAM: its toy network, its three weightings as loops, dead filters, clusters."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Class, Model, create
from sightline.errors import BadField
from sightline.explainers.cam.confidence import score
from sightline.explainers.cam.confidence._clusters import clustered
from sightline.ops.resize import resize
from sightline.ops.similarity import stretched as normalised
from sightline.worlds import analytic
from sightline.worlds.miniatures import MINIATURES

pytestmark = pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive")
CNN = MINIATURES["pooled-cnn"]


with_gradient: list[bool] = []


class Regions(nn.Module):
    """Filters are the picture inside patches that tile it; the logit is its mean over a region."""

    def __init__(self) -> None:
        super().__init__()
        patches = torch.zeros(3, 6, 9)
        patches[0, :, :2] = patches[1, :, 2:5] = patches[2, :, 5:] = 1
        self.patches = nn.Conv2d(3, 3, 1, bias=False)
        self.maps = nn.ReLU()
        with torch.no_grad():
            self.patches.weight.copy_(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(3, 3, 1, 1))
        self.register_buffer("where", patches)
        self.cut = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        with_gradient.append(torch.is_grad_enabled())
        maps = self.cut(self.maps(self.patches(images) * self.where))
        whole = maps.sum(1)
        return torch.stack([whole[:, :, :4].mean((1, 2)), whole[:, :, 4:].mean((1, 2))], 1)


def loops(net: nn.Module, image: Tensor, index: int, weights: str) -> Tensor:
    """Definition 3 for one image, filter by filter, in float64."""
    kept: list[Tensor] = []
    handle = net.relu.register_forward_hook(lambda m, i, o: kept.append(o.clone()))
    with torch.no_grad():
        net(image[None].float())
        handle.remove()
        maps, net = kept[-1][0].double(), net.double()
        maps = torch.stack([m for m in maps if m.max() > m.min()])
        scores = []
        for k in range(len(maps)):
            mask = resize(maps[k][None, None], image.shape[1:])[0, 0]
            mask = (mask - mask.min()) / (mask.max() - mask.min())
            output = net((image.double() * mask)[None])
            scores.append((output.softmax(1) if weights == "prob" else output)[0, index].item())
        empty = net(torch.zeros_like(image, dtype=torch.float64)[None])[0, index].item()
    net.float()
    found = torch.tensor(scores, dtype=torch.float64)
    found = {"linear": found - empty, "softmax": found.softmax(0), "prob": found}[weights]
    return torch.einsum("k,krc->rc", found, maps).float()


@pytest.mark.parametrize("weights", ["linear", "softmax", "prob"])
def test_the_three_weightings_are_their_definitions(weights: str) -> None:
    net, images = CNN(), torch.rand(2, 3, *CNN.size)
    heat = create("explainer", "score-cam", weights=weights)(Model(net, size=CNN.size), images, 2)
    for i in range(2):
        assert_close(heat.native[i], loops(net, images[i], 2, weights), atol=1e-5, rtol=1e-4)


def test_filters_are_ranked_by_how_much_of_the_region_they_show() -> None:
    model, images = Model(Regions(), size=(6, 9)), torch.ones(1, 3, 6, 9)
    assert model.anatomy.layouts["cut"]
    with_gradient.clear()
    native = create("explainer", "score-cam", layer="cut")(model, images, 0).native[0]
    shares = torch.tensor([2 / 4, 2 / 4, 0.0])  # of the region, columns 0 to 3, inside each patch
    assert_close(native[0], shares.repeat_interleave(torch.tensor([2, 3, 4])))
    assert not any(with_gradient)


def test_dead_filters_are_skipped_exactly_and_cost_nothing() -> None:
    model, images, target = analytic.pooled_head()  # four filters, one of them always 0
    heat = create("explainer", "score-cam")(model, images, target)
    clean, empty, live = 1, 1, 3
    assert heat.provenance["evaluations"]["forward"] == 2 * (clean + empty + live)
    assert torch.isfinite(heat.native).all()


class Alike(nn.Module):
    """Two hundred filters that are ten patterns, each many times over at another strength."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 10, 5, stride=4, padding=2)
        self.many = nn.Conv2d(10, 200, 1, bias=False)
        self.relu = nn.ReLU()
        self.head = nn.Linear(200, 4)
        with torch.no_grad():
            self.many.weight.zero_()
            for k in range(200):
                self.many.weight[k, k % 10] = 0.5 + 0.01 * k

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.relu(self.many(self.first(images))).mean((2, 3)))


def test_clusters_of_like_filters_share_one_evaluation() -> None:
    model, images = Model(Alike(), size=(32, 32)), torch.rand(2, 3, 32, 32)
    exact = create("explainer", "score-cam")(model, images, 1)
    few = create("explainer", "score-cam", clusters=10)(model, images, 1)
    assert few.provenance["evaluations"]["forward"] <= 2 * (1 + 1 + 10)
    assert_close(few.native, exact.native, atol=1e-4, rtol=1e-3)
    fast = create("explainer", "score-cam").fast()
    assert fast.clusters == "auto"
    found = fast(model, images, 1)
    assert found.provenance["evaluations"]["forward"] <= 2 * (1 + 1 + 64 + 32)
    assert_close(found.native, exact.native, atol=1e-4, rtol=1e-3)


class Unalike(nn.Module):
    """Four hundred filters, each with a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 400, 4, stride=4)
        self.head = nn.Linear(400, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head((self.maps(images) ** 2).mean((2, 3)))


def test_fast_falls_back_to_every_filter_where_clusters_do_not_agree(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(score, "ALIKE", 1.1)  # nothing is good enough
    model, images = Model(Unalike(), size=(32, 32)), torch.rand(1, 3, 32, 32)
    exact = create("explainer", "score-cam", layer="maps")(model, images, 1)
    fast = create("explainer", "score-cam", layer="maps").fast()(model, images, 1)
    assert_close(fast.native, exact.native, atol=1e-5, rtol=1e-4)
    assert exact.provenance["evaluations"]["forward"] == 1 + 1 + 400
    # the probes are not scored again; only the trial of 64 clusters is lost (256 more do not pay)
    assert fast.provenance["evaluations"]["forward"] == 1 + 1 + 400 + 64


def test_fast_takes_every_filter_where_filters_are_few_or_tokens() -> None:
    for kind in ("pooled-cnn", "token-net"):
        mini = MINIATURES[kind]
        model, images = Model(mini(), size=mini.size), torch.rand(1, 3, *mini.size)
        exact = create("explainer", "score-cam")
        assert torch.equal(exact.fast()(model, images, 1).native, exact(model, images, 1).native)
    tokens = create("explainer", "score-cam", clusters=2)(model, images, 1)
    assert tokens.provenance["evaluations"]["forward"] > 20


def test_k_means_finds_groups_that_are_there() -> None:
    centres = 10 * torch.randn(6, 8)
    points = centres.repeat(20, 1) + 0.01 * torch.randn(120, 8)
    label, found = clustered(points, 6, seed=0)
    assert len(set(label.tolist())) == 6
    assert (found[label] - points).norm(dim=1).max() < 0.2
    again, _ = clustered(points, 6, seed=0)
    assert torch.equal(again, label)


def test_a_constant_map_normalises_to_zero() -> None:
    maps = torch.stack([torch.full((3, 4), 2.0), torch.arange(12.0).view(3, 4)])
    found = normalised(maps)
    assert found[0].eq(0).all() and found[1].min() == 0 and found[1].max() == 1


def test_a_picture_without_live_filters_is_refused() -> None:
    model, images, target = analytic.pooled_head()
    with pytest.raises(Exception, match="a map of zeros"):
        create("explainer", "score-cam")(model, torch.full_like(images, 0.5), target)


def test_a_number_of_clusters_is_at_least_one() -> None:
    with pytest.raises(BadField, match="clusters"):
        create("explainer", "score-cam", clusters=0)


def test_a_target_in_probability_stays_one() -> None:
    model, images = Model(CNN(), size=CNN.size), torch.rand(1, 3, *CNN.size)
    explain = create("explainer", "score-cam")
    logit = explain(model, images, 1).native
    assert not torch.allclose(explain(model, images, Class(1, probability=True)).native, logit)
