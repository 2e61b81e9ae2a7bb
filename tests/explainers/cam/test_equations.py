"""The family against its equations written as loops, in float64, behind a head that bends."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from itertools import permutations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Class, Heatmap, Model, create
from sightline.explainers.cam._weighted import LayerView
from sightline.ops.resize import resize

pytestmark = pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive")
LAYER, TARGET = "maps", 2


class Net(nn.Module):
    """Six filters of 3 x 4 places, one of them dead, then two layers that bend."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.ReLU())
        self.next = nn.Conv2d(6, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)
        draw = torch.Generator().manual_seed(11)
        for weight in self.parameters():
            weight.data.normal_(generator=draw)
        self.maps[0].weight.data[4], self.maps[0].bias.data[4] = 0, -1
        self.maps[0].weight.data *= 0.3

    def behind(self, maps: Tensor) -> Tensor:
        return self.head(torch.tanh(self.next(maps) / 4).mean((2, 3)))

    def forward(self, images: Tensor) -> Tensor:
        return self.behind(self.maps(images))


@pytest.fixture(scope="module")
def net() -> Net:
    return Net().eval().double()


@pytest.fixture(scope="module")
def images() -> Tensor:
    drawn = torch.rand((2, 3, 12, 16), generator=torch.Generator().manual_seed(12))
    return drawn.double()


def ours(name: str, net: nn.Module, images: Tensor, **fields: object) -> Heatmap:
    method = create("explainer", name, layer=LAYER, **fields)
    return method(Model(net, size=(12, 16)), images, Class(TARGET))


def parts(net: Net, image: Tensor) -> tuple[Tensor, Tensor, float]:
    """Maps (filter, row, col), the gradient there and the score of one picture."""
    maps = net.maps(image[None]).detach().requires_grad_()
    score = net.behind(maps)[0, TARGET]
    (grads,) = torch.autograd.grad(score, maps)
    return maps[0].detach(), grads[0], score.item()


def score(net: Net, maps: Tensor) -> float:
    with torch.no_grad():
        return float(net.behind(maps[None])[0, TARGET])


def probability(net: Net, picture: Tensor) -> float:
    with torch.no_grad():
        return float(net(picture[None]).softmax(1)[0, TARGET])


def weighted(maps: Tensor, weights: Sequence[float]) -> Tensor:
    found = torch.zeros_like(maps[0])
    for k, weight in enumerate(weights):
        found += weight * maps[k]
    return found


def stretched(values: Tensor) -> Tensor:
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else torch.zeros_like(values)


def by_grad_plus_plus(net: Net, image: Tensor) -> Tensor:
    maps, grads, _ = parts(net, image)
    weights = []
    for k in range(len(maps)):
        total, found = maps[k].sum(), 0.0
        for g in grads[k].flatten().tolist():
            if g > 0:  # exp(s): G^2 / (2 G^2 + sum A * G^3), times relu(G)
                found += g**2 / (2 * g**2 + float(total) * g**3) * g
        weights.append(found)
    return weighted(maps, weights)


def by_xgrad(net: Net, image: Tensor) -> Tensor:
    maps, grads, _ = parts(net, image)
    weights = []
    for k in range(len(maps)):
        total = float(maps[k].sum())
        weights.append(float((grads[k] * maps[k]).sum()) / total if total else 0.0)
    return weighted(maps, weights)


def by_layer(net: Net, image: Tensor) -> Tensor:
    maps, grads, _ = parts(net, image)
    found = torch.zeros_like(maps[0])
    for k, r, c in torch.cartesian_prod(*(torch.arange(n) for n in maps.shape)).tolist():
        found[r, c] += max(float(grads[k, r, c]), 0.0) * maps[k, r, c]
    return found


def by_ablation(net: Net, image: Tensor, over: str = "score") -> Tensor:
    maps, _, whole = parts(net, image)
    falls = []
    for k in range(len(maps)):
        without = maps.clone()
        without[k] = 0
        falls.append(whole - score(net, without))
    size = abs(whole) if over == "score" else sum(abs(fall) for fall in falls)
    return weighted(maps, [fall / size for fall in falls])


def by_recipro(net: Net, image: Tensor) -> Tensor:
    maps, _, _ = parts(net, image)
    found = torch.zeros_like(maps[0])
    for r in range(maps.shape[1]):
        for c in range(maps.shape[2]):
            alone = torch.zeros_like(maps)
            alone[:, r, c] = maps[:, r, c]
            found[r, c] = score(net, alone) - score(net, torch.zeros_like(maps))
    return found


def by_gauss_copy(net: Net, image: Tensor) -> Tensor:
    maps, _, _ = parts(net, image)
    found, kernel = torch.zeros_like(maps[0]), [1, 2, 1]
    rows, cols = maps.shape[1:]
    for r in range(rows):
        for c in range(cols):
            around = torch.zeros_like(maps)
            for i in (-1, 0, 1):
                for j in (-1, 0, 1):
                    if 0 <= r + i < rows and 0 <= c + j < cols:
                        share = kernel[i + 1] * kernel[j + 1] / 16
                        around[:, r + i, c + j] = share * maps[:, r, c]
            found[r, c] = score(net, around) - score(net, torch.zeros_like(maps))
    return found


def by_fd(net: Net, image: Tensor) -> Tensor:
    maps, grads, whole = parts(net, image)
    faithful = []
    for k in range(len(maps)):
        like = []
        for j in range(len(maps)):
            a, b = maps[k].flatten(), maps[j].flatten()
            both = float(a.norm() * b.norm())
            like.append(float(a @ b) / both if both else 0.0)
        limit = float(torch.tensor(like).quantile(0.95))
        group = [j for j in range(len(maps)) if j == k or like[j] > limit]
        on, off = torch.zeros_like(maps), maps.clone()
        on[group], off[group] = maps[group], 0
        faithful.append(score(net, on) + whole - score(net, off))
    telling = stretched(grads.mean((1, 2)))
    weights = stretched(torch.tensor(faithful).double()).exp() * telling - 0.5
    return weighted(maps, weights.tolist())


def by_eigen(net: Net, image: Tensor) -> Tensor:
    maps, _, _ = parts(net, image)
    points = maps.flatten(1).T - maps.flatten(1).T.mean(0)
    direction = torch.ones(points.shape[1], dtype=torch.float64)
    for _ in range(2000):  # power iteration
        direction = points.T @ (points @ direction)
        direction = direction / direction.norm()
    found = points @ direction
    energy = maps.flatten(1).square().sum(0)
    sign = 1.0 if float((found * (energy - energy.mean())).sum()) > 0 else -1.0
    return (sign * found).view(maps.shape[1:])


def by_absolute(net: Net, image: Tensor) -> Tensor:
    maps, grads, _ = parts(net, image)
    shares = torch.stack([float(g.abs().mean()) * m for g, m in zip(grads, maps, strict=True)])
    large = [resize(s[None, None], image.shape[1:])[0, 0] for s in shares]
    top, found = max(float(m.max()) for m in large), torch.zeros_like(maps[0])
    for k, mask in enumerate(large):
        found += probability(net, image * mask / top) * shares[k] / top
    return found


ORACLES: dict[str, tuple[Callable[[Net, Tensor], Tensor], dict]] = {
    "grad-cam++": (by_grad_plus_plus, {}),
    "xgrad-cam": (by_xgrad, {}),
    "layer-cam": (by_layer, {}),
    "ablation-cam": (partial(by_ablation, over="falls"), {}),
    "ablation-cam over the score": (by_ablation, {"over": "score"}),
    "recipro-cam": (by_recipro, {}),
    "recipro-cam copies": (by_gauss_copy, {"kernel": "gauss-copy"}),
    "fd-cam": (by_fd, {}),
    "eigen-cam": (by_eigen, {}),
    "abs-cam": (by_absolute, {}),
}


@pytest.mark.parametrize("name", list(ORACLES))
def test_it_is_its_equation(name: str, net: Net, images: Tensor) -> None:
    oracle, fields = ORACLES[name]
    heat = ours(name.split()[0], net, images, **fields)
    for i in range(len(images)):
        expected = oracle(net, images[i]).float()
        assert_close(heat.native[i], expected, atol=1e-5, rtol=1e-4)
        shown = heat.native[i] if "recipro" in name else heat.native[i].relu()
        assert_close(heat.values[i], resize(shown[None, None], (12, 16))[0, 0])


@pytest.mark.parametrize("constant", [-40.0, 40.0])
def test_a_constant_in_all_logits_changes_no_ablation_cam(
    constant: float, net: Net, images: Tensor
) -> None:
    plain, other = ours("ablation-cam", net, images), deepcopy(net)
    with torch.no_grad():
        other.head.bias.add_(constant)
    moved = ours("ablation-cam", other, images)
    assert_close(moved.native, plain.native, atol=1e-4, rtol=1e-3)
    paper = [ours("ablation-cam", each, images, over="score").native for each in (net, other)]
    assert not torch.allclose(*paper, rtol=0.3)


def test_xgrad_sums_to_what_hires_sums_to(net: Net, images: Tensor) -> None:
    sums = [ours(n, net, images).native.sum((1, 2)) for n in ("xgrad-cam", "hires-cam")]
    assert_close(*sums, atol=1e-4, rtol=1e-4)


def test_copies_are_run_behind_the_layer_only(net: Net, images: Tensor) -> None:
    heat = ours("ablation-cam", net, images)
    assert heat.provenance["evaluations"]["forward"] == 4  # the clean pass and the prefix of each
    live = net.maps(images).flatten(2).any(2)
    assert not live[:, 4].any()
    assert heat.provenance["copies"] == int(live.sum())  # dead filters are not run


def test_abs_cam_stretched_by_filter_is_score_cam_with_normalised_masks(
    net: Net, images: Tensor
) -> None:
    heat = ours("abs-cam", net, images, norm="filter")
    for i in range(len(images)):
        maps, _, _ = parts(net, images[i])
        expected = torch.zeros_like(maps[0])
        for k in range(len(maps)):
            large = resize(maps[k][None, None], (12, 16))[0, 0]
            if large.max() > large.min():
                low, spread = large.min(), large.max() - large.min()
                share = probability(net, images[i] * (large - low) / spread)
                expected += share * (maps[k] - low) / spread
        assert_close(heat.native[i], expected.float(), atol=1e-5, rtol=1e-4)


def test_the_single_stage_of_abs_cam_only_rescales_the_first(net: Net, images: Tensor) -> None:
    first = ours("abs-cam", net, images, stage="initial").native
    single = ours("abs-cam", net, images, stage="single").native
    ratio = (single / first).flatten(1)
    assert_close(ratio, ratio[:, :1].expand_as(ratio))


# Shapley values


def by_all_orders(net: Net, maps: Tensor, players: Sequence[tuple[int, int]]) -> Tensor:
    """The mean marginal of each player over every order, other places staying as they are."""
    found, worth = torch.zeros_like(maps[0]), {}
    orders = list(permutations(players))
    for order in orders:
        shown = maps.clone()
        for r, c in players:
            shown[:, r, c] = 0
        before, seen = score(net, shown), frozenset()
        for r, c in order:
            shown[:, r, c] = maps[:, r, c]
            seen = seen | {(r, c)}
            after = worth[seen] if seen in worth else worth.setdefault(seen, score(net, shown))
            found[r, c] += (after - before) / len(orders)
            before = after
    return found


def test_shares_sum_to_the_score_minus_that_of_an_empty_layer(net: Net, images: Tensor) -> None:
    for fields in ({"orders": 4}, {"orders": 8, "seed": 3}, {"orders": 4, "baseline": "mean"}):
        found = ours("shap-cam", net, images, **fields).native.sum((1, 2))
        for i in range(len(images)):
            maps, _, whole = parts(net, images[i])
            empty = torch.zeros_like(maps)
            if "baseline" in fields:
                empty = maps.mean((1, 2), keepdim=True).expand_as(maps)
            assert float(found[i]) == pytest.approx(whole - score(net, empty), abs=1e-4)


class Eight(Net):
    """Two by four places."""

    def __init__(self) -> None:
        super().__init__()
        self.maps[0].stride = (6, 4)


@pytest.mark.slow
def test_sampled_shares_agree_with_all_orders_within_three_standard_errors() -> None:
    net = Eight().eval().double()
    image = torch.rand((1, 3, 12, 16), generator=torch.Generator().manual_seed(2)).double()
    maps, _, _ = parts(net, image[0])
    assert maps.shape[1:] == (2, 4)
    players = [(r, c) for r in range(2) for c in range(4)]
    exact = by_all_orders(net, maps, players).float()
    heat = ours("shap-cam", net, image, orders=2000)
    assert ((heat.native[0] - exact).abs() <= 3 * heat.standard_error[0] + 1e-6).all()
    assert (heat.low < heat.native).all() and (heat.native < heat.high).all()


def test_a_place_that_nothing_looks_at_has_no_share(images: Tensor) -> None:
    class Blind(Net):
        def behind(self, maps: Tensor) -> Tensor:
            seen = torch.ones_like(maps)
            seen[:, :, 1, 2] = 0
            pooled = torch.tanh((maps * seen).mean((2, 3)))
            return self.head(torch.cat([pooled, pooled[:, :2]], 1))

    heat = ours("shap-cam", Blind().eval(), images.float(), orders=6)
    assert (heat.native[:, 1, 2] == 0).all() and (heat.standard_error[:, 1, 2] == 0).all()
    assert (heat.native.flatten(1) != 0).sum(1).min() > 6


def test_places_that_are_alike_have_shares_alike() -> None:
    net = Net().eval()
    net.behind = lambda maps: net.head(torch.tanh(maps.mean((2, 3)))[:, [0, 1, 2, 3, 5, 0, 1, 2]])
    image = torch.full((1, 3, 12, 16), 0.7)
    heat = ours("shap-cam", net, image, orders=64)
    spread = (heat.native.amax() - heat.native.amin()) / 2
    assert spread <= 3 * heat.standard_error.amax() + 1e-6


# groups, layers, heads


def test_a_filter_and_its_duplicate_weigh_the_same(net: Net, images: Tensor) -> None:
    double = Net().eval()
    double.maps[0].weight.data[1] = double.maps[0].weight.data[0]
    double.maps[0].bias.data[1] = double.maps[0].bias.data[0]
    double.next.weight.data[:, 1] = double.next.weight.data[:, 0]
    model = Model(double, size=(12, 16))
    view = LayerView(model, images.float(), Class(TARGET), LAYER)
    weights = create("explainer", "fd-cam").weigh(view)
    assert_close(weights[:, 0], weights[:, 1])


def test_stages_are_joined_by_the_larger_scaled_value(net: Net, images: Tensor) -> None:
    method = create("explainer", "layer-cam", layer="maps", also=("next",))
    heat = method(Model(net, size=(12, 16)), images, Class(TARGET))
    expected = []
    for layer in ("maps", "next"):
        own = create("explainer", "layer-cam", layer=layer)
        raw = own(Model(net, size=(12, 16)), images, Class(TARGET)).native.relu()
        scaled = torch.tanh(2 * raw / raw.amax((1, 2), keepdim=True))
        expected.append(resize(scaled[:, None], (12, 16))[:, 0])
    assert_close(heat.values, torch.maximum(*expected))


def test_eigen_cam_finds_a_single_pattern_with_its_right_sign_whatever_the_head() -> None:
    pattern = torch.rand(1, 3, 12, 16)
    net = Net().eval()
    net.maps = nn.Conv2d(3, 6, 1, bias=False)
    net.maps.weight.data.fill_(0.1)
    net.maps.weight.data[3] = 0.4
    found = ours("eigen-cam", net, pattern).native
    wanted = pattern.sum(1) - pattern.sum(1).mean()
    assert_close(found / found.norm(), wanted / wanted.norm(), atol=1e-4, rtol=1e-3)
    net.head.weight.data.normal_()
    assert torch.equal(ours("eigen-cam", net, pattern).native, found)
