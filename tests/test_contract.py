"""What every registered explainer promises, unlisted: a new file is covered once it exists."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import golden
from refusals import REFUSED
from sameness import assert_same, told
from sightline import Model, available, create
from sightline.errors import BadImage, BadTarget, NotExplainable, ShapeError, UnknownName
from sightline.explainer import Explainer, part_method
from sightline.explanation import Explanation, Heatmap
from sightline.registry import entry, from_json, to_json
from sightline.worlds.miniatures import MINIATURES
from tiny import tiny

# Untrained networks may hold nothing but evidence against a class: the map is rightly empty.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*(no evidence for the target is pos|no step lowered)"),
    pytest.mark.filterwarnings("ignore:.*maps with negative values"),
    pytest.mark.usefixtures("learned_parts"),
]

EXPLAINERS = available("explainer")
MAPPED = [name for name in EXPLAINERS if issubclass(entry("explainer", name).cls.gives, Heatmap)]
WORDS = ("attribute-words", "part-words")  # what these have learned is made for the tests:
LEARNED = ("realtime-saliency", "xnn", "information-pursuit", "random-chain", "fixed-chain", *WORDS)
NETWORKS = ("pooled-cnn", "token-net", "channels-last", "black-box")


def loud(net: nn.Module) -> nn.Module:
    """Scores that differ clearly between classes, as those of a trained network."""
    with torch.no_grad():
        net.head.weight *= 8
    return net


@cache
def network(kind: str) -> tuple[Model, Tensor]:
    """A model of this kind and three pictures; whoever changes it must put it back."""
    mini = MINIATURES["pooled-cnn" if kind == "black-box" else kind]
    net = loud(mini())
    images = torch.rand((3, 3, *mini.size), generator=torch.Generator().manual_seed(1))
    if kind == "black-box":
        return Model.from_function(lambda x: net(x).detach().numpy(), size=mini.size), images
    return Model(net, size=mini.size), images


def pairs(*kinds: str) -> list[tuple[str, str]]:
    """Every explainer with every network that it does not refuse."""
    return [(n, k) for n in EXPLAINERS for k in kinds or NETWORKS if (n, k) not in REFUSED]


def mapped(*kinds: str) -> list[tuple[str, str]]:
    """The same for those that give a heatmap."""
    return [(name, kind) for name, kind in pairs(*kinds) if name in MAPPED]


def first_kind(name: str) -> str:
    return next(kind for kind in NETWORKS if (name, kind) not in REFUSED)


@cache
def together(name: str, kind: str) -> Explanation:
    """What the explainer says about the three pictures, class by class; computed once."""
    model, images = network(kind)
    return tiny(name)(model, images, [0, 3, 4])


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("name", EXPLAINERS)
def test_refusals_are_those_of_the_table(name: str, kind: str) -> None:
    if (name, kind) in REFUSED:
        assert golden.refusal(name, kind) == REFUSED[name, kind], golden.stale(name)
    else:
        together(name, kind)  # where this raises, run `make golden` and review the diff


def test_some_network_is_accepted_by_each() -> None:
    assert all(first_kind(name) for name in EXPLAINERS)


@pytest.mark.parametrize(("name", "kind"), pairs())
def test_a_result_is_of_the_kind_that_its_method_says(name: str, kind: str) -> None:
    found = together(name, kind)
    assert isinstance(found, entry("explainer", name).cls.gives) and len(found) == 3
    assert_same(told(type(found).join([found.take([0]), found.take([1, 2])])), told(found))


@pytest.mark.parametrize(("name", "kind"), [p for p in pairs() if p[0] not in MAPPED])
def test_what_is_no_map_is_the_same_alone_and_in_a_batch(name: str, kind: str) -> None:
    model, images = network(kind)
    explain, found = tiny(name), together(name, kind)
    assert_same(told(explain(model, images[1:2], 3)), told(found.take([1])))
    swapped = explain(model, images[[2, 0]], [4, 0])
    assert_same(told(swapped), told(found.take([2, 0])))


@pytest.mark.parametrize(("name", "kind"), mapped())
def test_maps_are_float32_finite_detached_and_as_large_as_the_picture(name: str, kind: str) -> None:
    model, images = network(kind)
    heat = together(name, kind)
    assert heat.values.shape == (3, *images.shape[2:])
    assert heat.values.dtype == torch.float32 and heat.values.device == model.device
    for tensor in (heat.values, heat.native, heat.channels):
        if tensor is not None:
            assert torch.isfinite(tensor).all() and not tensor.requires_grad
    assert heat.native is not None and heat.native.flatten(1).abs().amax(1).gt(0).all()
    assert len(heat.native) == 3 and heat.native.dtype == torch.float32
    if heat.channels is not None:
        assert heat.channels.shape == images.shape


@pytest.mark.parametrize(("name", "kind"), mapped())
def test_alone_is_as_in_a_batch_in_any_order(name: str, kind: str) -> None:
    model, images = network(kind)
    explain, heat = tiny(name), together(name, kind)
    alone = explain(model, images[1:2], 3)
    swapped = explain(model, images[[2, 0]], [4, 0])
    scale = heat.native.abs().max()
    assert_close(alone.native[0] / scale, heat.native[1] / scale, atol=1e-5, rtol=1e-4)
    assert_close(swapped.native / scale, heat.native[[2, 0]] / scale, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", EXPLAINERS)
def test_the_same_seed_gives_the_same_answer_whatever_the_global_state(name: str) -> None:
    kind = first_kind(name)
    model, images = network(kind)
    torch.manual_seed(99)
    np.random.seed(99)
    again = tiny(name)(model, images, [0, 3, 4])
    assert told(again) == told(together(name, kind))


@pytest.mark.parametrize("name", EXPLAINERS)
def test_split_into_chunks_of_three_gives_the_same_answer(name: str) -> None:
    kind = first_kind(name)
    model, images = network(kind)
    model.batch = 3
    try:
        again = tiny(name)(model, images, [0, 3, 4])
    finally:
        model.batch = None
    if name not in MAPPED:
        assert_same(told(again), told(together(name, kind)))
        return
    wanted = together(name, kind).native
    scale = wanted.abs().max()
    assert_close(again.native / scale, wanted / scale, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", EXPLAINERS)
def test_a_constant_picture_gives_no_nan(name: str) -> None:
    model, images = network(first_kind(name))
    try:
        heat = tiny(name)(model, torch.full_like(images[:1], 0.5), 1)
    except NotExplainable:
        return
    assert torch.isfinite(heat.values).all() if name in MAPPED else len(heat) == 1


@pytest.mark.parametrize("name", EXPLAINERS)
def test_fields_survive_json_and_names_any_spelling(name: str) -> None:
    method = create("explainer", name)
    assert from_json("explainer", to_json(method)) == method
    assert entry("explainer", name.title().replace("-", "_")).name == name
    assert hash(method) == hash(create("explainer", name))
    with pytest.raises(UnknownName, match="no field 'sed'"):
        create("explainer", name, sed=1)


@pytest.mark.parametrize("name", EXPLAINERS)
def test_fast_is_the_same_kind_of_method(name: str) -> None:
    method = tiny(name)
    assert type(method.fast()) is type(method)


@pytest.mark.parametrize("name", EXPLAINERS)
def test_wrong_input_raises_before_the_method_runs(name: str) -> None:
    model, images = network(first_kind(name))
    explain = tiny(name)
    with pytest.raises(ShapeError, match=r"images\[None\]"):
        explain(model, images[0])
    with pytest.raises(BadTarget, match="class 5 does not exist"):
        explain(model, images, 5)
    with pytest.raises(ShapeError, match="2 classes for 3 images"):
        explain(model, images, [0, 1])
    with pytest.raises(BadImage, match="NaN"):
        explain(model, images * float("nan"))
    with pytest.raises(BadTarget):
        explain(model, images, 1.5)


@pytest.mark.parametrize("name", EXPLAINERS)
def test_one_target_serves_all_images_and_the_top_class_is_fixed_on_the_clean_ones(
    name: str,
) -> None:
    model, images = network(first_kind(name))
    explain = tiny(name)
    wanted = model.outputs(images).argmax(1).tolist()
    top = explain(model, images)
    assert top.provenance["target_index"] == wanted
    same = explain(model, images, wanted)
    assert told(top) == told(same)
    assert explain(model, images, 2).provenance["target_index"] == [2, 2, 2]


@pytest.mark.parametrize("name", EXPLAINERS)
def test_provenance_says_what_was_done(name: str) -> None:
    kind = first_kind(name)
    facts = together(name, kind).provenance
    assert facts["method"] == name
    assert facts["parameters"] == to_json(tiny(name))["fields"]
    assert facts["target_index"] == [0, 3, 4] and len(facts["score"]) == 3
    assert facts["evaluations"]["forward"] >= 3
    assert facts["versions"]["torch"] and facts["weights_digest"]


class Raising(nn.Module):
    """Passes pictures on; once armed, its second call raises. The count is outside."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        count: list[int] = []
        self.count = lambda: count

    def forward(self, images: Tensor) -> Tensor:
        count = self.count()
        if count:
            count[0] += 1
            if count[0] > 2:
                raise RuntimeError("the network broke")
        return self.net(images)


def harm(module: nn.Module) -> list[Any]:
    """Everything about a module, and the world around it, that must not change."""
    found: list[Any] = [torch.get_rng_state().tolist(), np.random.get_state()[2]]
    for name, part in module.named_modules():
        hooks = [
            dict(h) for h in (part._forward_hooks, part._forward_pre_hooks, part._backward_hooks)
        ]
        found.append((name, id(part), part.training, hooks, sorted(part.__dict__)))
    for name, p in module.named_parameters():
        grad = None if p.grad is None else p.grad.tolist()
        found.append((name, id(p), p.requires_grad, grad, p.tolist()))
    found += [(name, id(b), b.tolist()) for name, b in module.named_buffers()]
    return found


@contextmanager
def unharmed(module: nn.Module) -> Iterator[None]:
    """In a state that users leave networks in: partly frozen, partly training, with gradients and a
    hook.
    """
    parts = list(module.modules())
    modes = [part.training for part in parts]
    module.train()
    parts[-1].eval()
    weights = list(module.parameters())
    weights[0].requires_grad_(False)
    weights[-1].grad = torch.ones_like(weights[-1])
    handle = parts[-1].register_forward_hook(lambda *_: None)
    before = harm(module)
    try:
        yield
        assert harm(module) == before
    finally:
        handle.remove()
        weights[0].requires_grad_(True)
        weights[-1].grad = None
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode


@pytest.mark.parametrize(("name", "kind"), pairs("pooled-cnn", "token-net", "channels-last"))
def test_the_model_and_the_pictures_come_back_unharmed(name: str, kind: str) -> None:
    model, images = network(kind)
    with unharmed(model.module):
        mine = images.clone()
        tiny(name)(model, mine, 1)
        assert torch.equal(mine, images) and not mine.requires_grad and mine.grad is None


@pytest.mark.parametrize(("name", "kind"), pairs("pooled-cnn", "token-net", "channels-last"))
def test_a_forward_that_raises_leaves_the_model_unharmed(name: str, kind: str) -> None:
    mini = MINIATURES[kind]
    net = Raising(loud(mini()))
    model, images = Model(net, size=mini.size), network(kind)[1][:2]
    explain = tiny(name)
    explain(model, images, 1)
    with unharmed(net):
        explain(model, images, 1)
        net.count().append(1)
        with pytest.raises(RuntimeError, match="the network broke"):
            for _ in range(3):
                explain(model, images, 1)
        net.count().clear()
    assert len(explain(model, images, 1)) == 2


@pytest.mark.parametrize("name", EXPLAINERS)
def test_it_runs_inside_no_grad_and_autocast_and_refuses_inference_mode(name: str) -> None:
    kind = first_kind(name)
    model, images = network(kind)
    explain = tiny(name)
    with torch.no_grad():
        assert told(explain(model, images, [0, 3, 4])) == told(together(name, kind))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        heat = explain(model, images, [0, 3, 4])
    if name in MAPPED:
        assert heat.values.dtype == torch.float32 and torch.isfinite(heat.values).all()
    with torch.inference_mode(), pytest.raises(NotExplainable, match="inference_mode"):
        explain(model, images, [0, 3, 4])


@pytest.mark.parametrize("name", [n for n, k in mapped("pooled-cnn", "token-net")])
def test_a_bfloat16_network_is_explained_in_float32(name: str) -> None:
    kind = first_kind(name)
    mini = MINIATURES[kind]
    model = Model(loud(mini()).to(torch.bfloat16), size=mini.size)
    heat = tiny(name)(model, network(kind)[1][:1], 0)
    assert heat.values.dtype == torch.float32 and torch.isfinite(heat.values).all()


@pytest.mark.parametrize(("name", "kind"), mapped("pooled-cnn", "token-net", "channels-last"))
def test_five_classes_have_a_native_map_each(name: str, kind: str) -> None:
    model, images = network(kind)
    explain = tiny(name)
    if "layer" not in explain.needs:
        pytest.skip("reads no layer")
    heat = explain(model, images[:1].expand(5, -1, -1, -1), list(range(5)))
    assert heat.native.flatten(1).std(1).gt(0).all()


class Functional(nn.Module):
    """The twin of a pooled CNN whose activations are functions, not modules."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        for part in ("first", "second", "third", "norm", "head"):
            setattr(self, part, getattr(net, part))

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.relu(self.second(torch.relu(self.first(images))))
        maps = nn.functional.relu(maps + self.norm(self.third(maps)))
        return self.head(maps.mean((2, 3)))


def reading(method: Explainer, layer: str) -> Explainer:
    """The method, and each that it holds, reading this layer where it reads one."""
    changes: dict[str, Any] = {"layer": layer} if "layer" in method.needs else {}
    for name, held in ((f.name, getattr(method, f.name)) for f in fields(method)):
        if isinstance(held, Explainer) or held in EXPLAINERS:
            changes[name] = reading(part_method(held), layer)
    return replace(method, **changes)


@pytest.mark.parametrize("name", [n for n, _ in mapped("pooled-cnn") if n not in LEARNED])
def test_functional_activations_are_as_good_as_modules(name: str) -> None:
    model, images = network("pooled-cnn")
    explain = reading(tiny(name), "second")  # both have it; not so the last ReLU
    twin = Model(Functional(model.module), size=(32, 32))
    try:
        expected = explain(model, images, 1).native
    except NotExplainable as reason:  # what lies behind that layer is not for this method
        with pytest.raises(NotExplainable, match=str(reason)[:40]):
            explain(twin, images, 1)
        return
    assert_close(explain(twin, images, 1).native, expected)
