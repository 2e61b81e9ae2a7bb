"""The only door: reading layers, editing them, fanning one image out to many copies."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Class, Fan, Model
from sightline.errors import NotExplainable, UnknownName
from sightline.worlds.miniatures import MINIATURES


def small(kind: str = "pooled-cnn") -> tuple[Model, Tensor]:
    mini = MINIATURES[kind]
    return Model(mini(), size=mini.size), torch.rand(2, 3, *mini.size)


def by_hook(module: nn.Module, net: nn.Module, images: Tensor) -> list[Tensor]:
    """What each call of a module returned, cloned on the spot."""
    kept: list[Tensor] = []
    handle = module.register_forward_hook(lambda m, i, o: kept.append(o.detach().clone()))
    with torch.no_grad():
        net(images)
    handle.remove()
    return kept


# reading


def test_a_record_is_not_overwritten_by_the_in_place_relu_behind_it() -> None:
    model, images = small()
    trace = model.trace(images, read=["first", "second"])
    assert trace.maps["first"].min() < 0
    assert_close(trace.maps["first"], by_hook(model.module.first, model.module, images)[0])
    assert_close(trace.output, model.module(images))


def test_calls_of_a_re_used_module_have_numbers_and_the_bare_name_is_the_last() -> None:
    model, images = small()
    found = by_hook(model.module.relu, model.module, images)
    trace = model.trace(images, read=["relu:0", "relu:1", "relu:2", "relu"])
    for i in range(3):
        assert_close(trace.maps[f"relu:{i}"], found[i])
    assert_close(trace.maps["relu"], found[2])
    with pytest.raises(NotExplainable, match="called fewer times"):
        model.trace(images, read=["relu:3"])


def test_items_of_a_tuple_are_read_by_their_place() -> None:
    model, images = small("two-streams")
    fine, coarse = by_tuple(model, images)
    trace = model.trace(images, read=["streams[0]", "streams[1]", "streams"])
    assert_close(trace.maps["streams[0]"], fine)
    assert_close(trace.maps["streams[1]"], coarse)
    assert_close(trace.raw["streams"], fine)  # the first, where nothing is said
    with pytest.raises(NotExplainable, match="not a tensor"):
        model.trace(images, read=["streams[2]"])


def by_tuple(model: Model, images: Tensor) -> tuple[Tensor, Tensor]:
    kept: list[tuple[Tensor, Tensor]] = []
    handle = model.module.streams.register_forward_hook(lambda m, i, o: kept.append(o))
    model.module(images)
    handle.remove()
    return kept[0]


@pytest.mark.parametrize(
    ("kind", "shape"), [("token-net", (24, 4, 6)), ("channels-last", (24, 4, 4))]
)
def test_every_layout_is_seen_as_maps_and_gradients_follow(kind: str, shape: tuple) -> None:
    model, images = small(kind)
    layer = model.spatial
    trace = model.trace(images, read=[layer])
    assert trace.maps[layer].shape == (2, *shape)
    grad = trace.gradient(model.aim(images, 1), layer)
    assert grad.shape == (2, *shape) and grad.abs().sum() > 0


def test_one_pass_serves_many_gradients_and_each_is_computed_once() -> None:
    model, images = small()
    target = model.aim(images, 1)
    trace = model.trace(images, read=["input", "first", "relu"])
    before = model.evaluations["backward"]
    grads = {layer: trace.gradient(target, layer) for layer in trace.maps}
    assert all(trace.gradient(target, layer) is g for layer, g in grads.items())
    assert model.evaluations["backward"] - before == 3 * 2
    assert not torch.equal(trace.gradient(-target, "relu"), grads["relu"])
    mine = images.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model.module(mine)[:, 1].sum(), mine)
    assert_close(grads["input"], expected)
    assert not images.requires_grad


def test_a_mask_multiplies_what_arrives_at_a_layer_in_that_backward_alone() -> None:
    model, images = small()
    trace = model.trace(images, read=["input", "first"])
    score = trace.output[:, 1]
    plain = trace.grad(score, "input")
    only = torch.zeros(1, 8, 1, 1)
    only[:, 3] = 1
    masked = trace.grad(score, "input", mask={"first": only})
    rest = trace.grad(score, "input", mask={"first": 1 - only})
    assert_close(masked + rest, plain)
    assert not torch.allclose(masked, plain)
    assert_close(trace.grad(score, "input"), plain)  # the mask is gone


def test_what_cannot_be_read_says_why() -> None:
    model, images = small()
    with pytest.raises(UnknownName, match=r"no layer named 'scond'; did you mean 'second'"):
        model.trace(images, read=["scond"])
    trace = model.trace(images, read=["head", "relu"])
    assert trace.raw["head"].shape == (2, 5)
    with pytest.raises(NotExplainable, match="has no spatial layout"):
        _ = trace.maps["head"]
    with pytest.raises(UnknownName, match="was not read; read: relu, head"):
        _ = trace.maps["first"]


class Aside(nn.Module):
    """A branch that the output does not need, a layer that never runs, an attention with a hidden
    part.
    """

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.aside = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(3, 6, 3, padding=1)
        self.never = nn.Conv2d(3, 6, 1)
        self.attend = nn.MultiheadAttention(6, 2, batch_first=True)
        self.head = nn.Linear(6, 4)

    def forward(self, images: Tensor) -> Tensor:
        self.aside(images)
        tokens = torch.tanh(self.maps(images)).flatten(2).transpose(1, 2)
        return self.head((tokens + self.attend(tokens, tokens, tokens)[0]).mean(1))


def test_layers_that_never_ran_or_do_not_matter_are_refused() -> None:
    model, images = Model(Aside(), size=(8, 8)), torch.rand(1, 3, 8, 8)
    for layer in ("never", "attend.out_proj"):
        with pytest.raises(NotExplainable, match="did not run by itself"):
            model.trace(images, read=[layer])
    trace = model.trace(images, read=["aside"])
    with pytest.raises(NotExplainable, match="does not depend on layer 'aside'"):
        trace.grad(model.trace(images, read=["aside", "maps"]).output[:, 0], "aside")


class Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.maps, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.maps(images)
        if images.max() > 2:
            raise ValueError("too bright")
        return self.head(maps.mean((2, 3)))


def test_a_forward_that_raises_leaves_no_hook_and_its_own_error() -> None:
    model, images = Model(Broken(), size=(8, 8)), torch.rand(1, 3, 8, 8)
    model.trace(images, read=["maps"])
    for asked in ({"read": ["maps"]}, {"edit": {"maps": lambda m: 2 * m}}):
        with pytest.raises(ValueError, match="too bright"):
            model.trace(images + 2, **asked)
    assert not any(p._forward_hooks or p._forward_pre_hooks for p in model.module.modules())
    assert all("forward" not in p.__dict__ for p in model.module.modules())


def test_scripted_modules_and_inference_tensors_are_refused() -> None:
    _, images = small()
    with pytest.warns(FutureWarning):  # the newest torch says so
        scripted = torch.jit.trace(nn.Conv2d(3, 4, 3), images, check_trace=False)
    net = nn.Sequential(scripted, nn.Flatten(), nn.LazyLinear(3))
    net(images)
    with pytest.raises(NotExplainable, match="scripted module"):
        Model(net, size=(32, 32)).trace(images, read=["1"])
    model, images = small()
    with torch.inference_mode(), pytest.raises(NotExplainable, match="inference_mode"):
        model.trace(images, read=["relu"])


# editing


def test_an_edit_changes_the_maps_and_leaves_prefix_tokens() -> None:
    model, images = small("token-net")
    layer = model.spatial
    before = model.trace(images, read=[layer]).raw[layer].detach()
    seen: list[Tensor] = []
    handle = model.module.blocks[2].register_forward_pre_hook(lambda m, i: seen.append(i[0]))
    model.trace(images, edit={layer: lambda maps: maps * 0})
    handle.remove()
    assert seen[-1][:, 4:].abs().max() == 0
    assert_close(seen[-1][:, :4], before[:, :4])


def test_an_edit_of_a_bare_name_is_of_its_last_call() -> None:
    model, images = small()
    double = {"relu": lambda maps: 2 * maps}
    named = {"relu:2": lambda maps: 2 * maps}
    assert_close(model.trace(images, edit=double).output, model.trace(images, edit=named).output)
    with pytest.raises(NotExplainable, match="did not run"):
        model.trace(images, edit={"relu:7": lambda maps: maps})
    with pytest.raises(NotExplainable, match="has no spatial layout"):
        model.trace(images, edit={"head": lambda maps: maps})


class Joined(nn.Module):
    """What meets copies behind a layer: a residual sum, a concatenation, squeeze-and-excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.maps = nn.Conv2d(6, 6, 3, padding=1)
        self.squeeze, self.after = nn.Conv2d(6, 6, 1), nn.Conv2d(12, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        stem = self.stem(images)
        maps = self.maps(torch.relu(stem))
        gate = torch.sigmoid(self.squeeze(stem.mean((2, 3), keepdim=True)))
        maps = torch.cat([maps.mul_(gate), stem], 1)
        maps = self.after(maps)
        maps += stem.mean(1, keepdim=True)
        return self.head(torch.relu_(maps).mean((2, 3)))


counted: list[int] = []


class Counted(nn.Conv2d):
    """Counts the pictures that it really sees."""

    def forward(self, images: Tensor) -> Tensor:
        counted.append(len(images))
        return super().forward(images)


def knocked_out(maps: Tensor, part: slice) -> Tensor:
    """Copies that each lack one filter."""
    copies = maps.expand(part.stop - part.start, -1, -1, -1).clone()
    for i, k in enumerate(range(part.start, part.stop)):
        copies[i, k % maps.shape[1]] = 0
    return copies


def one_by_one(model: Model, images: Tensor, layer: str, n: int) -> Tensor:
    def without(k: int) -> Callable[[Tensor], Tensor]:
        def edit(maps: Tensor) -> Tensor:
            maps[:, k % maps.shape[1]] = 0
            return maps

        return edit

    each = [model.trace(images, edit={layer: without(k)}).output for k in range(n)]
    return torch.stack(each, 1).flatten(0, 1)


@pytest.mark.parametrize(
    ("kind", "layer"),
    [
        ("joined", "maps"),
        ("joined", "stem"),
        ("pooled-cnn", "relu:1"),
        ("pooled-cnn", "relu"),
        ("pooled-cnn", "third"),
        ("token-net", "blocks.1"),
        ("token-net", "blocks.0.norm1"),
        ("channels-last", "stages.1"),
        ("two-streams", "streams[0]"),
        ("attention-pooled", "features"),
    ],
)
def test_copies_of_two_images_are_what_single_edits_give(kind: str, layer: str) -> None:
    if kind == "joined":
        model, images = Model(Joined(), size=(16, 20)), torch.rand(2, 3, 16, 20)
    else:
        model, images = small(kind)
    trace = model.trace(images, edit={layer: Fan(7, knocked_out)})
    assert trace.rows.tolist() == [0] * 7 + [1] * 7
    assert_close(trace.output, one_by_one(model, images, layer, 7), atol=1e-6, rtol=1e-4)


def test_the_part_before_the_layer_runs_once_per_image() -> None:
    net = Joined()
    net.stem = Counted(3, 6, 3, stride=2, padding=1)
    model, images = Model(net, size=(16, 20)), torch.rand(2, 3, 16, 20)
    model.trace(images, edit={"maps": Fan(40, knocked_out)})  # also tries copies at this layer
    counted.clear()
    before = model.evaluations["forward"]
    model.trace(images, edit={"maps": Fan(40, knocked_out)})
    assert counted == [1, 1]
    assert model.evaluations["forward"] - before == 2


def test_targets_follow_the_copies_of_their_image() -> None:
    model, images = small()
    target = model.aim(images, [1, 4])
    trace = model.trace(images, edit={"relu:1": Fan(3, knocked_out)})
    classes = torch.tensor([1, 1, 1, 4, 4, 4])
    assert_close(target.score(trace), trace.output.gather(1, classes[:, None])[:, 0])
    assert_close(Class((1, 4)).score(trace), target.score(trace))


class Captured(nn.Module):
    """Takes the batch size into a Python number before the layer, and reshapes by it after."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.head = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        batch = len(images)
        maps = F.relu(self.maps(images))
        return self.head(maps.reshape(batch, 6, -1).mean(2))


def test_a_network_that_captured_the_batch_size_is_refused_not_mixed() -> None:
    model, images = Model(Captured(), size=(8, 8)), torch.rand(2, 3, 8, 8)
    with pytest.raises(NotExplainable, match="Choose an earlier layer"):
        model.trace(images, edit={"maps": Fan(3, knocked_out)})
    assert all("forward" not in p.__dict__ for p in model.module.modules())


def test_a_fan_is_the_only_wish_of_its_pass() -> None:
    model, images = small()
    with pytest.raises(NotExplainable, match="only edit"):
        model.trace(images, read=["relu"], edit={"relu:1": Fan(3, knocked_out)})
