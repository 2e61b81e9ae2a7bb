"""Methods of other libraries as rows of ours: what an adapter returns is what the library returns
when it is called by hand.
"""

from contextlib import redirect_stderr
from io import StringIO

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from torchvision.models import resnet18

import sightline as sl
from sightline import Model
from sightline.errors import BadField, NotExplainable, UnknownName
from sightline.explainers.outside.names import installed

pytestmark = [
    pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients"),
    pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU"),
]
INDEX = 5
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    found = resnet18(num_classes=7).eval()
    for part in found.modules():  # statistics as after training, not those of the first day
        if isinstance(part, nn.BatchNorm2d):
            part.running_var.uniform_(0.5, 2.0)
            part.running_mean.normal_(0, 0.1)
    return found


@pytest.fixture(scope="module")
def model(net: nn.Module) -> Model:
    return Model(net, sl.Preprocess(size=(64, 64), mean=MEAN, std=STD))


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def eaten(images: Tensor) -> Tensor:
    """The picture as a user of the other library would normalise it."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return ((images - mean) / std).requires_grad_()


def close(found: Tensor, expected: Tensor) -> None:
    expected = expected.detach().float()
    assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-4)


def theirs(name: str, model: Model, images: Tensor, **fields: object) -> Tensor:
    heat = sl.create("explainer", name, **fields)(model, images, INDEX)
    assert heat.values.shape == (1, 64, 64) and heat.provenance["parameters"]["version"]
    return heat.native


def test_captum_s_attributions_are_captum_s(
    model: Model, net: nn.Module, images: Tensor, eaten: Tensor
) -> None:
    attr = pytest.importorskip("captum.attr")
    expected = attr.IntegratedGradients(net).attribute(eaten, target=INDEX, n_steps=8)
    found = theirs("captum:integrated-gradients?n_steps=8", model, images)
    close(found, expected.sum(1))
    close(
        theirs("captum:Saliency", model, images), attr.Saliency(net).attribute(eaten, INDEX).sum(1)
    )
    windows = {"sliding_window_shapes": (3, 9, 9), "strides": (3, 4, 4)}
    hidden = attr.Occlusion(net).attribute(eaten, target=INDEX, **windows)
    close(theirs("captum:Occlusion", model, images), hidden.sum(1))
    cam = attr.LayerGradCam(net, net.layer3).attribute(eaten, target=INDEX, relu_attributions=True)
    close(theirs("captum:LayerGradCam?layer=layer3", model, images), cam.sum(1))
    assert net.conv1.weight.requires_grad


@pytest.mark.parametrize("name", ["GradCAM", "ScoreCAM"])
def test_pytorch_grad_cam_s_maps_are_pytorch_grad_cam_s(
    name: str, model: Model, net: nn.Module, images: Tensor, eaten: Tensor
) -> None:
    peers = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with redirect_stderr(StringIO()), getattr(peers, name)(net, [net.layer4]) as cam:
        expected = torch.from_numpy(cam(eaten, [ClassifierOutputTarget(INDEX)]))
    close(theirs(f"grad-cam:{name}?layer=layer4", model, images), expected)


@pytest.mark.parametrize("name", ["GradCAM", "ScoreCAM", "LayerCAM"])
def test_torchcam_s_maps_are_torchcam_s(
    name: str, model: Model, net: nn.Module, images: Tensor, eaten: Tensor
) -> None:
    methods = pytest.importorskip("torchcam.methods")
    with getattr(methods, name)(net, "layer4") as cam:
        (expected,) = cam(INDEX, net(eaten))
    close(theirs(f"torchcam:{name}?layer=layer4", model, images), expected)


def test_zennit_s_relevance_is_zennit_s(
    model: Model, net: nn.Module, images: Tensor, eaten: Tensor
) -> None:
    zennit = pytest.importorskip("zennit")
    from zennit.attribution import Gradient
    from zennit.composites import EpsilonPlusFlat
    from zennit.torchvision import ResNetCanonizer

    assert zennit
    one_hot = torch.eye(7)[[INDEX]]
    with Gradient(net, EpsilonPlusFlat(canonizers=[ResNetCanonizer()])) as attributor:
        _, expected = attributor(eaten, lambda output: output * one_hot)
    close(theirs("zennit:EpsilonPlusFlat", model, images), expected.sum(1))
    assert theirs("zennit:EpsilonGammaBox", model, images).abs().max() > 0
    assert theirs("zennit:IntegratedGradients?n_iter=3", model, images).abs().max() > 0


def test_names_are_forgiving_and_strangers_are_refused() -> None:
    pytest.importorskip("captum")
    assert sl.create("explainer", "captum:integrated_gradients") == sl.create(
        "explainer", "captum:IntegratedGradients"
    )
    with pytest.raises(UnknownName, match="did you mean 'Saliency'"):
        sl.create("explainer", "captum:Salency")
    with pytest.raises(BadField, match="reads no layer"):
        sl.create("explainer", "captum:Saliency?layer=layer4")
    with pytest.raises(NotExplainable, match="unexpected keyword argument 'steps'"):
        tiny = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
        sl.create("explainer", "captum:Saliency?steps=3")(tiny, torch.rand(1, 3, 2, 2), 1)


def test_captum_is_not_asked_to_read_tokens_as_maps() -> None:
    pytest.importorskip("captum")
    vit = sl.load("sightline:default-vit")
    images = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with pytest.raises(NotExplainable, match="its map would be wrong"):
        sl.create("explainer", "captum:LayerGradCam")(vit, images, 1)


def test_a_layer_of_tokens_is_shown_to_the_others_as_maps() -> None:
    pytest.importorskip("pytorch_grad_cam")
    vit = sl.load("sightline:default-vit")
    images = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    ours = sl.create("explainer", "grad-cam")(vit, images, 1).values
    heat = sl.create("explainer", "grad-cam:GradCAM")(vit, images, 1).values
    stretched = (ours - ours.min()) / (ours.max() - ours.min())
    # they stretch the 8 x 8 map before it is enlarged, and once more after
    assert torch.corrcoef(torch.stack([heat.flatten(), stretched.flatten()]))[0, 1] > 0.99


def test_the_usual_ones_of_what_is_installed_can_be_made() -> None:
    names = installed()
    if not names:
        pytest.skip("no other library is installed")
    assert all(sl.create("explainer", name).registered_name == name for name in names)
