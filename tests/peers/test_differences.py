"""Where other libraries answer in silence what ours answers otherwise, refuses or warns about.

Each test shows first what they do, then what we do; `docs/differences.md` says it in words.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close
from torchvision.models import VisionTransformer, resnet18

from sightline import Class, Heatmap, Model, create
from sightline.errors import NotExplainable, ShapeError, SightlineWarning
from sightline.ops.resize import resize

pytestmark = [
    pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
]
QUIET = pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive")


@pytest.fixture(scope="module")
def captum() -> Any:
    return pytest.importorskip("captum.attr")


@pytest.fixture(scope="module")
def grad_cam_library() -> Any:
    return pytest.importorskip("pytorch_grad_cam")


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 12, 3, stride=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 6),
    ).eval()  # fmt: skip


def drawn(batch: int, row: int = 24, col: int = 32) -> Tensor:
    return torch.randn((batch, 3, row, col), generator=torch.Generator().manual_seed(1))


def theirs(
    library: Any, net: nn.Module, layer: nn.Module, images: Tensor, classes: list[int], **more: Any
) -> Tensor:
    """The finished Grad-CAM of pytorch-grad-cam."""
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    targets = [ClassifierOutputTarget(c) for c in classes]
    with library.GradCAM(model=net, target_layers=[layer], **more) as cam:
        return torch.from_numpy(cam(input_tensor=images, targets=targets))


def ours(net: nn.Module, images: Tensor, target: Any, layer: str | None = "3") -> Heatmap:
    return create("explainer", "grad-cam", layer=layer)(Model(net), images, target)


@QUIET
def test_one_target_for_three_images(grad_cam_library: Any) -> None:
    net, images = small(), drawn(3)
    found = theirs(grad_cam_library, net, net[3], images, [1])
    assert found[0].max() > 0 and not found[1:].any()  # paired off: two images have no target
    for target in (1, [1, 1, 1]):
        heat = ours(net, images, target)
        assert (heat.native != 0).flatten(1).any(1).all()
    with pytest.raises(ShapeError, match="2 classes for 3 images"):
        ours(net, images, [1, 1])


def opposed() -> nn.Sequential:
    """Class 0 has only evidence for it, class 1 only evidence against it."""
    net = small()
    with torch.no_grad():
        net[6].weight.abs_()
        net[6].weight[1].mul_(-1)
    return net


def test_a_map_of_nothing_but_evidence_against(grad_cam_library: Any) -> None:
    net, images = opposed(), drawn(2)
    assert not theirs(grad_cam_library, net, net[3], images, [1, 1]).any()
    with pytest.warns(SightlineWarning, match="no evidence for the target is positive in 2 of 2"):
        heat = ours(net, images, 1)
    assert heat.details["empty"].all() and (heat.native <= 0).all() and heat.native.any()
    assert_close((-heat.native).relu(), ours(net, images, -Class(1)).native)


def test_how_strong_a_map_is(grad_cam_library: Any) -> None:
    net, images = opposed(), drawn(1)
    plain, mine = theirs(grad_cam_library, net, net[3], images, [0]), ours(net, images, 0)
    with torch.no_grad():
        net[6].weight[0].mul_(0.001)
        net[6].bias.zero_()
    weak = theirs(grad_cam_library, net, net[3], images, [0])
    assert weak.max() > 0.99 and F.cosine_similarity(plain.flatten(), weak.flatten(), 0) > 0.999
    assert_close(ours(net, images, 0).native, 0.001 * mine.native)


def test_two_layers_are_averaged_after_each_was_stretched(grad_cam_library: Any) -> None:
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    net, images = opposed(), drawn(1)
    layers, targets = [net[1], net[3]], [ClassifierOutputTarget(0)]
    with grad_cam_library.GradCAM(model=net, target_layers=layers) as cam:
        found = cam(input_tensor=images, targets=targets)[0]
    stages = [ours(net, images, 0, layer).native.relu() for layer in ("1", "3")]
    sized = [resize(stretched(stage)[:, None], (24, 32))[0, 0] for stage in stages]
    assert_close(torch.from_numpy(found), stretched(sum(sized) / 2), atol=1e-4, rtol=0)


def stretched(one: Tensor) -> Tensor:
    return (one - one.min()) / (one.max() - one.min())


def test_what_is_left_behind(grad_cam_library: Any) -> None:
    net, images = small().train(), drawn(1)
    kept = torch.ones_like(net[6].weight)
    net[6].weight.grad = kept.clone()
    ours(net, images, 0)
    assert net.training and torch.equal(net[6].weight.grad, kept)
    with grad_cam_library.GradCAM(model=net, target_layers=[net[3]]) as cam:
        cam(input_tensor=images, targets=None)
        raise IndexError("of the user's own code")
    assert not net.training and not torch.equal(net[6].weight.grad, kept)


def transformer() -> VisionTransformer:
    torch.manual_seed(0)
    net = VisionTransformer(
        image_size=32, patch_size=8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32,
        num_classes=6,
    )  # fmt: skip
    nn.init.normal_(net.heads.head.weight)  # torchvision starts it at 0
    return net.eval()


def as_grid(tokens: Tensor) -> Tensor:
    return tokens[:, 1:].transpose(1, 2).unflatten(2, (4, 4))


@QUIET
@pytest.mark.parametrize("layer", ["encoder.layers.encoder_layer_2", "encoder.ln"])
def test_the_last_layers_of_a_transformer(grad_cam_library: Any, layer: str) -> None:
    net, images = transformer(), drawn(1, 32, 32)
    for target in range(6):
        found = theirs(
            grad_cam_library, net, net.get_submodule(layer), images, [target],
            reshape_transform=as_grid,
        )  # fmt: skip
        assert not found.any()  # the class token carries everything from here on
    with pytest.raises(NotExplainable, match="a map of zeros"):
        ours(net, images, 0, layer)
    assert ours(net, images, 0, None).native.any()  # the layer that we choose


def test_tokens_are_no_channels(captum: Any) -> None:
    net, images = transformer(), drawn(2, 32, 32)
    block = net.encoder.layers[1]
    found = captum.LayerGradCam(net, block).attribute(images, target=0)
    assert found.shape == (2, 1, 16)  # a "map" over the 16 features; 17 tokens were the channels
    heat = ours(net, images, 0, "encoder.layers.encoder_layer_1")
    assert heat.native.shape == (2, 4, 4) and heat.values.shape == (2, 32, 32)


def test_the_layer_that_is_taken_where_none_is_named() -> None:
    utilities = pytest.importorskip("torchcam.methods._utils")
    net = transformer()
    assert utilities.locate_candidate_layer(net, (3, 32, 32)) == "conv_proj"
    assert Model(net, size=(32, 32)).spatial.startswith("encoder.layers.encoder_layer")


def test_the_gradient_has_a_sign(captum: Any) -> None:
    net, images = small(), drawn(2)
    found = captum.Saliency(net).attribute(images.clone(), target=1)
    heat = create("explainer", "gradient")(Model(net), images, 1)
    assert found.min() >= 0 and heat.channels.min() < 0
    assert_close(found, heat.channels.abs())
    assert_close(heat.values, found.amax(1))


class HalfSquare(nn.Module):
    """The gradient is the picture itself, so what noise adds to it can be read off."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        return (self.one * images**2 / 2).sum((1, 2, 3))[:, None].expand(-1, 2)


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_how_much_noise_smooth_grad_adds(captum: Any, scale: float) -> None:
    net, images = HalfSquare(), scale * torch.rand(1, 3, 24, 32)
    tunnel = captum.NoiseTunnel(captum.Saliency(net))
    once = tunnel.attribute(images, target=0, nt_samples=1, abs=False)
    assert 0.9 < (once - images).std() < 1.1  # 1, whatever the picture's values are
    torch.manual_seed(0)
    first = tunnel.attribute(images, target=0, abs=False)
    torch.manual_seed(0)
    assert_close(first, tunnel.attribute(images, target=0, abs=False, nt_samples=5, stdevs=1.0))
    heat = create("explainer", "smooth-grad", samples=1)(Model(net), images, 0)
    share = (heat.channels - images).std() / (images.max() - images.min())
    assert 0.135 < share < 0.165


class Steep(nn.Module):
    """A score that jumps between two nodes of the path."""

    def __init__(self) -> None:
        super().__init__()
        self.sharp = nn.Parameter(torch.tensor(400.0))

    def forward(self, images: Tensor) -> Tensor:
        return torch.sigmoid(self.sharp * (images.mean((1, 2, 3)) - 0.3))[:, None].expand(-1, 2)


def test_whether_integrated_gradients_have_converged(captum: Any) -> None:
    net, images = Steep(), torch.rand(1, 3, 12, 16)
    model = Model(net, gives="logits")  # the jump itself, not the log-odds behind it
    peer = captum.IntegratedGradients(net)
    found = peer.attribute(images, target=0)
    again, delta = peer.attribute(
        images, target=0, n_steps=50, method="gausslegendre", return_convergence_delta=True
    )
    assert_close(found, again)
    assert delta.abs() > 0.05  # of a score of 1; without asking nobody says so
    heat = create("explainer", "integrated-gradients", baseline=0.0)(model, images, 0)
    assert heat.details["steps"] < 50 and heat.details["completeness"] < 0.02
    fifty = create(
        "explainer", "integrated-gradients", baseline=0.0, steps=50, nodes="gauss-legendre"
    )(model, images, 0)
    assert_close(fifty.channels, found, atol=1e-6, rtol=1e-4)
    assert fifty.details["completeness"] > 0.05


def test_a_network_in_training_mode(captum: Any) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2))
    net(drawn(2, 8, 8))
    before = net[1].running_mean.clone()
    create("explainer", "integrated-gradients")(Model(net), drawn(1, 8, 8), 0)
    assert torch.equal(net[1].running_mean, before)
    captum.IntegratedGradients(net).attribute(drawn(1, 8, 8), target=0)
    assert not torch.equal(net[1].running_mean, before)


def test_guided_backpropagation_of_a_batch_and_what_it_replaces(grad_cam_library: Any) -> None:
    net, images = small(), drawn(2)
    whole = create("explainer", "guided-backprop")(Model(net), images, 1).channels
    relus = [net[1], net[3]]
    found = grad_cam_library.GuidedBackpropReLUModel(net)(images.clone(), 1)
    assert found.shape == (24, 32, 3)  # of two images, the first
    assert_close(whole[0], torch.from_numpy(found).permute(2, 0, 1), atol=1e-6, rtol=1e-4)
    assert net[1] is net[3] and net[1] not in relus  # two ReLUs became one new object


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = small()

    def forward(self, images: Tensor) -> Tensor:
        first, second, head = self.net[0], self.net[2], self.net[6]
        return head(F.relu(second(F.relu(first(images)))).mean((2, 3)))


def test_guided_backpropagation_through_functional_relus(grad_cam_library: Any) -> None:
    net, images = Functional(), drawn(1)
    plain = create("explainer", "gradient")(Model(net), images, 1).channels[0]
    found = grad_cam_library.GuidedBackpropReLUModel(net)(images.clone(), 1)
    assert_close(torch.from_numpy(found).permute(2, 0, 1), plain, atol=1e-6, rtol=1e-4)
    guided = create("explainer", "guided-backprop")(Model(net), images, 1).channels
    twin = create("explainer", "guided-backprop")(Model(small()), images, 1).channels
    assert_close(guided, twin)
    assert not torch.allclose(guided[0], plain)


PAGE = Path(__file__).parents[2] / "docs" / "differences.md"


def test_the_page_names_tests_that_exist() -> None:
    here = Path(__file__).parent
    written = {name for file in here.glob("test_*.py") for name in written_in(file)}
    rows = [r for r in PAGE.read_text("utf-8").splitlines() if r.startswith("| ")]
    named = set(re.findall(r"`(test_[a-z0-9_]+)`", PAGE.read_text("utf-8")))
    assert named <= written and len(named) > 30
    assert written_in(Path(__file__)) - named == {
        "test_the_page_names_tests_that_exist",
        "test_the_code_of_the_page_is_right",
    }
    told = [r for r in rows if not r.startswith(("| what", "| here |"))]
    assert all("test" in r or "of these" in r or "as for" in r for r in told)


def written_in(file: Path) -> set[str]:
    return set(re.findall(r"^def (test_\w+)", file.read_text("utf-8"), re.MULTILINE))


@QUIET
def test_the_code_of_the_page_is_right(grad_cam_library: Any) -> None:
    torch.manual_seed(0)
    block = re.search(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert block
    place = {"net": resnet18(num_classes=10).eval(), "images": drawn(2, 64, 64)}
    place["net"].fc.weight.data.abs_()  # evidence for every class
    exec(compile(block[1], PAGE.name, "exec"), place)
    found = theirs(grad_cam_library, place["net"], place["net"].layer4, place["images"], [5, 9])
    sized = resize(place["stretched"][:, None], (64, 64))[:, 0]
    for mine, their in zip(sized, found, strict=True):
        assert_close(stretched(mine), their, atol=1e-3, rtol=0)
