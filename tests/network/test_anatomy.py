"""The network finds out about itself: known answers on miniatures, and it comes back unharmed."""

import random
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sightline.errors import BadModel
from sightline.network.anatomy import Anatomy, study
from sightline.worlds.miniatures import MINIATURES, AttentionPooled, TokenNet

NAMES = sorted(MINIATURES)


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """Nothing is remembered from one test to the next."""
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path))


class Scaled(nn.Module):
    """Normalises in its own forward, without a module; its attribute has an unusual name."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.kernel = inner
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.4))

    def forward(self, images: Tensor) -> Tensor:
        return self.kernel((images - self.mean) / 0.2)


class Normalise(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return (images - 0.4) / 0.2


class Broken(nn.Module):
    """Raises at its `fails`-th call."""

    def __init__(self, inner: nn.Module, fails: int) -> None:
        super().__init__()
        self.inner = inner
        self.fails = fails
        self.calls: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.calls.append(1)
        if len(self.calls) == self.fails:
            raise ValueError("out of luck")
        return self.inner(images)


def renamed(net: nn.Module) -> nn.Module:
    """The same modules under other names, called through a forward that knows none of them."""
    outer = nn.Module()
    for i, (_, part) in enumerate(net.named_children()):
        outer.add_module(f"zz{i}", part)
    forward = net.forward
    outer.forward = lambda images: forward(images)  # pyright: ignore
    return outer


WRAPPERS: dict[str, tuple[Callable[[nn.Module], nn.Module], str]] = {
    "once": (lambda net: nn.Sequential(net), "0."),
    "twice": (lambda net: nn.Sequential(nn.Sequential(net)), "0.0."),
    "normalised before": (lambda net: nn.Sequential(Normalise(), net), "1."),
    "normalised inside": (Scaled, "kernel."),
}


def known(found: Anatomy) -> tuple:
    return found.spatial, str(found.layout), found.head, found.joint, found.partial, found.n_classes


@pytest.mark.parametrize("name", NAMES)
def test_the_answers_on_miniatures_are_the_known_ones(name):
    miniature = MINIATURES[name]
    found = study(miniature(), miniature.size)
    layout = found.layout
    assert layout is not None
    assert found.spatial == miniature.layer
    assert (layout.style, layout.grid) == (miniature.layout.style, miniature.layout.grid)
    assert (layout.prefix, layout.prefix_at) == (miniature.layout.prefix, "front")
    assert layout.verified and layout.score > 0.9
    assert found.head == miniature.head
    assert (found.n_classes, found.input_size, found.reason) == (5, miniature.size, "")
    assert not found.independent
    assert found.partial == (name == "two-exits")
    assert found.joint == (("streams[0]", "streams[1]") if name == "two-streams" else ())
    assert found.spatial not in found.candidates and len(found.candidates) >= 2


def test_modules_that_attend_are_found_fused_or_open():
    def attending(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        found = study(MINIATURES[name](), MINIATURES[name].size)
        return found.attention, found.fused_attention

    blocks = tuple(f"blocks.{i}.attention" for i in range(3))
    assert attending("token-net") == (blocks, blocks)
    assert attending("channels-last") == (
        ("stages.0.block.attention", "stages.2.block.attention"),
        (),
    )
    assert attending("pooled-cnn") == ((), ())


def test_torch_attention_is_fused_and_a_softmax_module_is_its_parents():
    class Torch(AttentionPooled):
        def __init__(self) -> None:
            super().__init__()
            self.torch = nn.MultiheadAttention(16, 2, batch_first=True)
            self.soft = nn.Softmax(-1)

        def forward(self, images: Tensor) -> Tensor:
            tokens = self.features(images).flatten(2).transpose(1, 2)
            tokens = tokens + self.torch(tokens, tokens, tokens)[0]
            tokens = self.soft(tokens @ tokens.transpose(1, 2)) @ tokens
            return self.head(tokens.mean(1))

    found = study(Torch().eval(), (32, 32))
    assert found.fused_attention == ("torch",)
    assert set(found.attention) == {"", "torch"}
    assert "torch.out_proj" in found.silent


@pytest.mark.parametrize("wrapper", sorted(WRAPPERS))
@pytest.mark.parametrize("name", NAMES)
def test_wrapping_and_normalising_change_no_answer(name, wrapper):
    miniature, (wrap, prefix) = MINIATURES[name], WRAPPERS[wrapper]
    plain, wrapped = study(miniature(), miniature.size), study(wrap(miniature()), miniature.size)
    assert known(wrapped)[1:3] == known(plain)[1:3]
    assert wrapped.spatial == f"{prefix}{plain.spatial}"
    assert wrapped.joint == tuple(prefix + layer for layer in plain.joint)
    assert wrapped.partial == plain.partial


@pytest.mark.parametrize("name", NAMES)
def test_names_do_not_matter(name):
    miniature = MINIATURES[name]
    plain, other = study(miniature(), miniature.size), study(renamed(miniature()), miniature.size)
    assert known(other)[1:3] == known(plain)[1:3]
    assert other.layout == plain.layout and len(other.layouts) == len(plain.layouts)


def test_every_call_of_a_reused_module_has_an_address_and_a_bare_name_is_the_last():
    found = study(MINIATURES["pooled-cnn"](), (32, 32))
    grids = {name: layout.grid for name, layout in found.layouts.items() if "relu" in name}
    assert grids == {"relu:0": (16, 16), "relu:1": (8, 8), "relu:2": (8, 8), "relu": (8, 8)}
    assert found.layouts["input"].grid == (32, 32)


@pytest.mark.parametrize("name", NAMES)
def test_any_picture_size_that_the_network_takes_is_read_right(name):
    if name == "token-net":
        pytest.skip("its position table has one size")
    found = study(MINIATURES[name](), (64, 32))
    assert found.spatial == MINIATURES[name].layer
    assert found.layout is not None and found.layout.verified
    assert found.layout.grid == tuple(
        side * 64 // MINIATURES[name].size[0] if i == 0 else side * 32 // MINIATURES[name].size[1]
        for i, side in enumerate(MINIATURES[name].layout.grid or ())
    )


def snapshot(net: nn.Module) -> list:
    parts = list(net.modules())
    return [
        [id(part) for part in parts],
        [part.training for part in parts],
        [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in parts],
        [
            (p.requires_grad, None if p.grad is None else p.grad.sum().item())
            for p in net.parameters()
        ],
        [value.sum().item() for value in net.state_dict().values()],
        [sorted(part.__dict__) for part in parts],
        torch.get_rng_state().sum().item(),
        random.getstate(),
        np.random.get_state()[1].tolist(),  # pyright: ignore
        torch.is_grad_enabled(),
        torch.backends.mha.get_fastpath_enabled(),
    ]


@pytest.mark.parametrize("fails", [None, 1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_the_network_is_unharmed(name, fails):
    net = Broken(MINIATURES[name](), fails or 0).train()
    next(net.inner.children()).eval()
    first, *_, last = net.parameters()
    first.grad, last.requires_grad = torch.ones_like(first), False
    before = snapshot(net)
    try:
        study(net, MINIATURES[name].size)
    except BadModel as error:
        assert "out of luck" in str(error)
    assert snapshot(net) == before
    assert net.calls == [], "an attribute that the forward fills is as before"


def test_a_broken_network_is_an_error_that_says_what_came():
    with pytest.raises(BadModel, match=r"30 x 30 pixels with 3 channels .*size"):
        study(MINIATURES["token-net"](), (30, 30))
    with pytest.raises(BadModel, match="one row of scores per picture"):
        study(nn.Flatten(0), (8, 8))


def test_a_network_that_nothing_can_be_said_about_gets_a_reason():
    class Rounded(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return (images.mean((2, 3)) * 9).round().detach()

    dense = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, 4))
    found = study(dense, (8, 8))
    assert found.spatial is None and found.layout is None
    assert "keeps places of the picture apart" in found.reason
    assert found.n_classes == 4
    found = study(Rounded(), (8, 8))
    assert found.spatial is None and "no gradient" in found.reason


def test_a_scripted_network_is_refused_with_a_reason_and_unharmed():
    net = nn.Sequential(*convolutions(8, 12), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch is about to forget how
        traced = torch.jit.trace(net.train(), torch.rand(1, 3, 32, 32))
    found = study(traced, (32, 32))
    assert found.spatial is None and "scripted" in found.reason
    assert found.n_classes == 12 and traced.training


def test_scores_that_do_not_depend_on_the_picture_are_reported():
    net = MINIATURES["token-net"]()
    nn.init.zeros_(net.head.weight)  # pyright: ignore
    found = study(net, (32, 48))
    assert found.independent and found.spatial == "blocks.1"
    assert "do not depend on the picture" in found.notes[0]


def convolutions(*widths: int) -> list[nn.Module]:
    """3x3 convolutions with stride 2, each followed by a ReLU."""
    parts: list[nn.Module] = []
    for before, after in zip((3, *widths), widths, strict=False):
        parts += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
    return parts


def test_maps_with_one_filter_per_class_are_offered_but_not_the_default():
    features = nn.Sequential(*convolutions(8, 12))
    classifier = nn.Sequential(
        nn.Conv2d(12, 5, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    found = study(nn.Sequential(features, classifier), (32, 32))
    assert (found.spatial, found.class_map, found.head) == ("0", "1.1", "convolutional")


def test_features_of_an_encoder_are_not_class_maps():
    encoder = nn.Sequential(*convolutions(8, 16), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    body = nn.Sequential(*convolutions(8, 16, 16), nn.Conv2d(16, 16, 1), nn.ReLU())
    found = study(nn.Sequential(body, *encoder[4:]), (64, 64))
    assert (found.spatial, found.class_map, found.n_classes) == ("0", None, 16)


def test_pooling_that_changes_nothing_is_skipped():
    features = nn.Sequential(*convolutions(8, 12))
    head = nn.Sequential(nn.Flatten(), nn.Linear(12 * 49, 8), nn.ReLU(), nn.Linear(8, 5))
    net = nn.Sequential(features, nn.AdaptiveAvgPool2d(7), head)
    found = study(net, (28, 28))
    assert (found.spatial, found.head) == ("0", "flattened-mlp")


def test_what_a_module_returns_and_nobody_takes_is_no_layer():
    class Stage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps = nn.Sequential(*convolutions(8, 12))
            self.deeper = nn.Conv2d(12, 16, 3, padding=1)

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            maps = self.maps(images)
            return maps, self.deeper(maps)

    class Taking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stage = Stage()
            self.head = nn.Linear(16, 5)

        def forward(self, images: Tensor) -> Tensor:
            return self.head(self.stage(images)[1].mean((2, 3)))

    found = study(Taking(), (32, 32))
    assert (found.spatial, found.joint, found.partial) == ("stage.deeper", (), False)
    assert {"stage[0]", "stage[1]"} <= set(found.layouts)
    assert "stage[0]" not in found.candidates


def test_a_functional_relu_that_overwrites_the_layer_is_seen():
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(*convolutions(8, 12)[:-1], nn.BatchNorm2d(12))
            self.head = nn.Linear(12, 5)

        def forward(self, images: Tensor) -> Tensor:
            maps = self.features(images)
            return self.head(nn.functional.relu(maps, inplace=True).mean((2, 3)))

    found = study(Dense(), (32, 32))
    assert (found.spatial, found.head) == ("features", "pooled-relu")


def test_a_trunk_behind_a_stem_is_not_taken_for_a_head():
    trunk = nn.Sequential(*convolutions(8, 8, 8)[2:], nn.AdaptiveAvgPool2d(1), nn.Flatten())
    stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1))
    found = study(nn.Sequential(stem, trunk, nn.Linear(8, 5)), (64, 64))
    assert found.spatial == "1.3"


def test_frozen_and_half_precision_networks_are_studied_as_they_are():
    net = TokenNet().requires_grad_(False)
    assert study(net, (32, 48)).spatial == "blocks.1"
    assert not any(p.requires_grad for p in net.parameters())
    assert study(net.to(torch.bfloat16), (32, 48)).spatial == "blocks.1"
    for quiet in (torch.no_grad, torch.inference_mode):
        with quiet():
            assert study(net, (32, 48)).spatial == "blocks.1"


def test_the_answer_is_cached_and_forgotten_with_the_weights(tmp_path: Path):
    net = MINIATURES["channels-last"]()
    found = study(net, (32, 32), cache=tmp_path)
    (file,) = (tmp_path / "anatomy").iterdir()
    assert Anatomy.from_json(found.to_json()) == found == study(net, (32, 32), cache=tmp_path)
    file.write_text(file.read_text().replace('"norm"', '"remembered"'))
    assert study(net, (32, 32), cache=tmp_path).spatial == "remembered"
    file.write_text("{")
    assert study(net, (32, 32), cache=tmp_path) == found
    nn.init.zeros_(net.head.weight)  # pyright: ignore
    assert study(net, (32, 32), cache=tmp_path).independent
    assert len(list((tmp_path / "anatomy").iterdir())) == 2
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert study(net, (32, 32), cache=blocked).independent


def test_grey_pictures_and_a_forward_of_ones_own():
    net = nn.Sequential(*convolutions(8, 12), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net[0] = nn.Conv2d(1, 8, 3, stride=2, padding=1)
    found = study(net, (32, 32), 1, forward=lambda module, x: module(x * 2 - 1)[:, :4])
    assert (found.spatial, found.n_classes, found.channels) == ("3", 4, 1)


def test_the_default_layer_of_a_segmentation_is_not_its_own_answer():
    net = nn.Sequential(*convolutions(8, 12), nn.Conv2d(12, 4, 1), nn.Upsample(scale_factor=4.0))
    found = study(net, (32, 32))
    assert found.spatial != found.class_map and net.get_submodule(found.spatial) is not net[-2]
    assert (found.spatial, found.class_map) == ("3", "5")


@pytest.mark.real
@pytest.mark.parametrize(
    ("weights", "source", "layer", "head"),
    [
        ("mobilenet_v2_imagenet", "torchvision", "features", "pooled-linear"),
        ("squeezenet1_1_imagenet", "torchvision", "features", "convolutional"),
        ("deit_tiny_patch16_224_imagenet", "timm", "blocks.10", "class-token"),
    ],
)
def test_trained_networks_keep_place(real: Path, weights, source, layer, head):
    import timm
    import torchvision
    from safetensors.torch import load_file

    name = weights.removesuffix("_imagenet")
    builders = {"torchvision": torchvision.models.get_model, "timm": timm.create_model}
    net = builders[source](name)
    net.load_state_dict(load_file(real / "weights" / f"{weights}.safetensors"), strict=False)
    found = study(net, (224, 224))
    assert (found.spatial, found.head) == (layer, head)
    assert found.layout is not None and found.layout.verified and found.layout.score > 0.9
