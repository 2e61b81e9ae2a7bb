"""Our class activation maps against those of three libraries: the raw maps, before any stretching.

Where a library computes something else, a test shows what it computes and in which case it agrees.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from torchvision.models import resnet18

from sightline import Class, Model, create
from sightline.errors import NotExplainable

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive"),
    pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients"),
]
TARGETS = [5, 2]
GRADIENT_ONES = {
    "grad-cam": ("GradCAM", "GradCAM"),
    "hires-cam": ("HiResCAM", None),
    "xgrad-cam": ("XGradCAM", "XGradCAM"),
    "layer-cam": ("LayerCAM", "LayerCAM"),
}


@pytest.fixture(scope="module")
def grad_cam_library() -> Any:
    return pytest.importorskip("pytorch_grad_cam")


@pytest.fixture(scope="module")
def torchcam() -> Any:
    return pytest.importorskip("torchcam.methods")


def small(stride: int = 2) -> nn.Sequential:
    """The layer `maps` ends in a ReLU; behind it the network still bends."""
    torch.manual_seed(0)
    net = nn.Sequential()
    net.add_module("stem", nn.Conv2d(3, 12, 5, stride=stride, padding=2))
    net.add_module("bend", nn.ReLU())
    net.add_module("maps", nn.Sequential(nn.Conv2d(12, 16, 3, stride=stride, padding=1), nn.ReLU()))
    net.add_module("behind", nn.Sequential(nn.Conv2d(16, 20, 3), nn.ReLU()))
    net.add_module("pool", nn.AdaptiveAvgPool2d(2))
    net.add_module("flat", nn.Flatten())
    net.add_module("head", nn.Linear(80, 8))
    return net.eval().double()


def residual() -> nn.Module:
    """In-place ReLUs, each used twice in a block."""
    torch.manual_seed(0)
    net = resnet18(num_classes=8).eval().double()
    for part in net.modules():  # statistics as after training, not those of the first day
        if isinstance(part, nn.BatchNorm2d):
            part.running_var.uniform_(0.5, 2.0)
            part.running_mean.normal_(0, 0.1)
    return net


NETS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "small": (small, "maps"),
    "resnet18": (residual, "layer3"),
}


@pytest.fixture(scope="module", params=list(NETS))
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, str, Tensor]:
    make, layer = NETS[request.param]
    return make(), layer, drawn(48, 64)


def drawn(row: int, col: int, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn((batch, 3, row, col), generator=generator).double()


def ours(name: str, net: nn.Module, layer: str, images: Tensor, **fields: Any) -> Tensor:
    targets = [Class(t, probability=False) for t in TARGETS[: len(images)]]
    return create("explainer", name, layer=layer, **fields)(Model(net), images, targets).native


def raw(peer: Any, net: nn.Module, layer: str, images: Tensor) -> Tensor:
    """What pytorch-grad-cam computes before it clips and stretches."""
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    targets = [ClassifierOutputTarget(t) for t in TARGETS[: len(images)]]
    kept = []
    with peer(model=net, target_layers=[net.get_submodule(layer)]) as cam:
        inner = cam.get_cam_image
        cam.get_cam_image = lambda *given: kept.append(inner(*given)) or kept[-1].copy()
        cam(input_tensor=images, targets=targets)
    return torch.as_tensor(kept[0])


def extracted(peer: Any, net: nn.Module, layer: str, images: Tensor, *more: str) -> Tensor:
    """What torchcam computes before it stretches; it has clipped already, but for its CAM."""
    with peer(net, layer, *more) as cam:
        scores = net(images)
        return cam(TARGETS, scores, normalized=False)[0].detach()


def close(found: Tensor, expected: Tensor) -> None:
    found, expected = found.double(), expected.double()
    scale = expected.abs().amax()
    assert_close(found / scale, expected / scale, atol=1e-4, rtol=0)


def same_shape(found: Tensor, expected: Tensor) -> None:
    """Equal up to one positive factor for each image."""
    for a, b in zip(found, expected, strict=True):
        close(a / a.abs().amax(), b / b.abs().amax())


def alike(found: Tensor, expected: Tensor) -> float:
    """The lowest cosine of the batch."""
    pairs = found.double().flatten(1), expected.double().flatten(1)
    return float(torch.cosine_similarity(*pairs, dim=1).min())


def far(found: Tensor, expected: Tensor) -> None:
    assert alike(found, expected) < 0.99


@pytest.mark.parametrize("name", GRADIENT_ONES)
def test_the_gradient_maps_are_those_of_pytorch_grad_cam(
    grad_cam_library: Any, case: tuple[nn.Module, str, Tensor], name: str
) -> None:
    peer = getattr(grad_cam_library, GRADIENT_ONES[name][0])
    close(ours(name, *case), raw(peer, *case))


@pytest.mark.parametrize("name", [n for n, peers in GRADIENT_ONES.items() if peers[1]])
def test_the_gradient_maps_are_those_of_torchcam(
    torchcam: Any, case: tuple[nn.Module, str, Tensor], name: str
) -> None:
    peer = getattr(torchcam, str(GRADIENT_ONES[name][1]))
    close(ours(name, *case).relu(), extracted(peer, *case))


def test_grad_cam_is_captum_s(case: tuple[nn.Module, str, Tensor]) -> None:
    captum = pytest.importorskip("captum.attr")
    net, layer, images = case
    peer = captum.LayerGradCam(net, net.get_submodule(layer))
    close(ours("grad-cam", *case), peer.attribute(images, target=TARGETS)[:, 0].detach())


@pytest.mark.parametrize("name", ["xgrad-cam", "layer-cam", "hires-cam"])
def test_they_agree_on_a_layer_with_negative_values(grad_cam_library: Any, name: str) -> None:
    case = small(), "stem", drawn(48, 64)
    close(ours(name, *case), raw(getattr(grad_cam_library, GRADIENT_ONES[name][0]), *case))


def test_several_layers_of_layer_cam_are_joined_as_in_torchcam_where_the_least_value_is_zero(
    torchcam: Any,
) -> None:
    net, images = small(), drawn(48, 64)

    def both() -> tuple[Tensor, Tensor]:
        with torchcam.LayerCAM(net, ["maps", "bend"]) as cam:
            stages = cam(TARGETS, net(images))
            theirs = cam.fuse_cams(stages, (48, 64)).detach()
        explain = create("explainer", "layer-cam", layer="maps", also=("bend",))
        return explain(Model(net), images, TARGETS).values, theirs

    mine, theirs = both()
    assert (mine - theirs).abs().max() > 1e-2  # they take the least value off first
    with torch.no_grad():
        net.stem.bias.sub_(0.5)
        net.maps[0].bias.sub_(0.2)
    assert all((extracted(torchcam.LayerCAM, net, n, images) == 0).any() for n in ("maps", "bend"))
    close(*both())


def scaled(net: nn.Sequential, factor: float) -> nn.Sequential:
    with torch.no_grad():
        net.head.weight.mul_(factor)
        net.head.bias.mul_(factor)
    return net


def test_grad_cam_plus_plus_is_pytorch_grad_cam_s_where_gradients_are_large(
    grad_cam_library: Any,
) -> None:
    case = scaled(small(), 1e4), "maps", drawn(48, 64)
    close(ours("grad-cam++", *case), raw(grad_cam_library.GradCAMPlusPlus, *case))


@pytest.mark.parametrize("factor", [1.0, 1e-2])
def test_where_gradients_are_small_its_constant_takes_over(
    grad_cam_library: Any, factor: float
) -> None:
    case = scaled(small(), factor), "maps", drawn(48, 64)
    theirs, mine = raw(grad_cam_library.GradCAMPlusPlus, *case), ours("grad-cam++", *case)
    maps, grads = layer_and_gradient(*case)
    damping = maps.sum((2, 3), keepdim=True) * grads
    assert (grads.abs() < 1e-2 * factor).all()  # so 2 G^2 is no more than 2e-4
    paper = (grads.relu() / (2 + damping.clamp(min=0))).sum((2, 3), keepdim=True)
    close(mine, (paper * maps).sum(1))
    constant = grads**2 / (2 * grads**2 + damping * grads**2 + 1e-6) * grads.relu()
    close(theirs, (constant.sum((2, 3), keepdim=True) * maps).sum(1))
    if factor < 1:
        cubed = (grads.relu() ** 3).sum((2, 3), keepdim=True) / 1e-6
        assert alike(theirs, (cubed * maps).sum(1)) > 0.9999
        far(mine, theirs)


def layer_and_gradient(net: nn.Sequential, layer: str, images: Tensor) -> tuple[Tensor, Tensor]:
    at = [name for name, _ in net.named_children()].index(layer) + 1
    maps = net[:at](images).detach().requires_grad_()
    score = sum(row[t] for row, t in zip(net[at:](maps), TARGETS, strict=True))
    return maps.detach(), torch.autograd.grad(score, maps)[0]


@pytest.mark.parametrize("factor", [1.0, 1e4])
def test_torchcam_s_grad_cam_plus_plus_never_divides(torchcam: Any, factor: float) -> None:
    case = scaled(small(), factor), "maps", drawn(48, 64)
    maps, grads = layer_and_gradient(*case)
    theirs = extracted(torchcam.GradCAMpp, *case)
    close(theirs, ((grads.relu() ** 3).sum((2, 3), keepdim=True) * maps).sum(1))
    far(ours("grad-cam++", *case).relu(), theirs)


def test_eigen_cam_is_pytorch_grad_cam_s_up_to_its_sign(
    grad_cam_library: Any, case: tuple[nn.Module, str, Tensor]
) -> None:
    mine, theirs = ours("eigen-cam", *case), raw(grad_cam_library.EigenCAM, *case)
    sign = (mine * theirs).sum((1, 2), keepdim=True).sign()
    close(mine, sign * theirs)


def test_cam_is_torchcam_s_times_the_number_of_places(torchcam: Any) -> None:
    net, images = residual(), drawn(64, 96)
    theirs = extracted(torchcam.CAM, net, "layer4", images, "fc")
    close(ours("cam", net, "layer4", images, per_place=False), theirs)
    close(ours("cam", net, "layer4", images) * theirs[0].numel(), theirs)


def test_behind_a_head_that_is_no_average_torchcam_s_cam_answers_and_ours_refuses(
    torchcam: Any,
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(),
        nn.Linear(8, 8),
    ).eval().double()  # fmt: skip
    images = drawn(24, 32)
    theirs = extracted(torchcam.CAM, net, "1", images, "4").sum((1, 2))
    logits = net(images).gather(1, torch.tensor(TARGETS)[:, None])[:, 0]
    assert not torch.allclose(theirs, logits, rtol=0.5)  # the sum says nothing about the score
    with pytest.raises(NotExplainable, match="global average pooling and one linear layer"):
        ours("cam", net, "1", images)


def positive(net: nn.Sequential, images: Tensor, by: float = 5.0) -> nn.Sequential:
    """The same with a bias that makes the targets' logits positive (or, by < 0, negative)."""
    with torch.no_grad():
        net.head.bias.add_(by)
        chosen = net(images).gather(1, torch.tensor(TARGETS)[:, None])
    assert (chosen * by > 0).all()
    return net


def test_ablation_cam_is_pytorch_grad_cam_s_where_the_logit_is_positive_and_the_least_value_zero(
    grad_cam_library: Any,
) -> None:
    images = drawn(48, 64)
    net = positive(small(), images)
    assert net[:3](images).min() == 0
    case = net, "maps", images
    close(ours("ablation-cam", *case, over="score"), raw(grad_cam_library.AblationCAM, *case))


def test_a_negative_logit_turns_its_ablation_cam_over(grad_cam_library: Any) -> None:
    images = drawn(48, 64)
    net = positive(small(), images, by=-5.0)
    theirs = raw(grad_cam_library.AblationCAM, net, "maps", images)
    close(ours("ablation-cam", net, "maps", images, over="score"), -theirs)
    upright = ours("ablation-cam", positive(small(), images), "maps", images)
    close(ours("ablation-cam", net, "maps", images), upright)
    same_shape(-theirs, upright)  # a constant added to the logit is no evidence


def test_its_ablation_cam_writes_minus_ten_million_and_for_each_filter_as_much_more(
    grad_cam_library: Any,
) -> None:
    images = drawn(48, 64)
    case = positive(small(), images), "stem", images  # the ReLU behind it makes 0 of both
    close(ours("ablation-cam", *case, over="score"), raw(grad_cam_library.AblationCAM, *case))
    net = small()
    net.bend = nn.GELU()  # the least value is not 0
    case = positive(net, images), "bend", images
    theirs = raw(grad_cam_library.AblationCAM, *case)
    mine = ours("ablation-cam", *case, over="score")
    far(mine, theirs)
    maps = net[:2](images).detach()
    for i, target in enumerate(TARGETS):
        low = float(maps[i].min())
        close(mine[i], ablated(net, maps[i], target, [0.0] * 12))
        close(theirs[i], ablated(net, maps[i], target, [low - (k + 1) * 1e7 for k in range(12)]))


def ablated(net: nn.Sequential, maps: Tensor, target: int, fills: list[float]) -> Tensor:
    """The map with filter k silenced by writing `fills[k]` into it."""

    def score(maps: Tensor) -> float:
        with torch.no_grad():
            return float(net[2:](maps[None])[0, target])

    total = torch.zeros_like(maps[0])
    for k, fill in enumerate(fills):
        silent = maps.clone()
        silent[k] = fill
        total += (1 - score(silent) / score(maps)) * maps[k]
    return total


def test_score_cam_with_a_softmax_is_both_libraries_where_a_map_needs_no_resizing(
    grad_cam_library: Any, torchcam: Any
) -> None:
    case = small(stride=1), "maps", drawn(12, 16)
    mine = ours("score-cam", *case, weights="softmax")
    close(mine, raw(grad_cam_library.ScoreCAM, *case))
    close(mine.relu(), extracted(torchcam.ScoreCAM, *case))


def masked_scores(net: nn.Module, image: Tensor, masks: Tensor, target: int) -> Tensor:
    with torch.no_grad():
        return net(image * masks[:, None])[:, target]


def stretched(maps: Tensor) -> Tensor:
    low = maps.flatten(1).amin(1)[:, None, None]
    return (maps - low) / (maps.flatten(1).amax(1)[:, None, None] - low)


def test_score_cam_s_libraries_resize_each_in_their_own_way(
    grad_cam_library: Any, torchcam: Any
) -> None:
    """Aligned corners, and stretching before resizing; the paper stretches what was resized."""
    net, layer, images = scaled(small(), 10.0), "maps", drawn(48, 64)
    resize = nn.functional.interpolate
    size = {"size": (48, 64), "mode": "bilinear"}
    found = {
        "ours": ours("score-cam", net, layer, images, weights="softmax"),
        "aligned": raw(grad_cam_library.ScoreCAM, net, layer, images),
        "early": extracted(torchcam.ScoreCAM, net, layer, images),
    }
    for i in range(2):
        maps = net[:3](images[i : i + 1])[0].detach()
        masks = {
            "ours": stretched(resize(maps[None], **size, align_corners=False)[0]),
            "aligned": stretched(resize(maps[None], **size, align_corners=True)[0]),
            "early": resize(stretched(maps)[None], **size, align_corners=False)[0],
        }
        for way, mask in masks.items():
            weights = masked_scores(net, images[i : i + 1], mask, TARGETS[i]).softmax(0)
            close(found[way][i], torch.einsum("k,krc->rc", weights, maps))


@pytest.mark.parametrize(("factor", "filters"), [(1.0, 16), (1e5, 1)])
def test_the_softmax_of_raw_scores_takes_all_filters_or_one_by_their_scale(
    grad_cam_library: Any, factor: float, filters: int
) -> None:
    case = scaled(small(stride=1), factor), "maps", drawn(12, 16)
    theirs = raw(grad_cam_library.ScoreCAM, *case)
    maps = case[0][:3](case[2]).detach()
    for found, each in zip(theirs, maps, strict=True):
        likest = torch.cosine_similarity(found.flatten()[None], each.flatten(1), dim=1).argmax()
        few = each[likest] if filters == 1 else each.mean(0)
        assert alike(found[None], few[None]) > 0.999
    same_shape(ours("score-cam", *case), ours("score-cam", small(stride=1), "maps", case[2]))
