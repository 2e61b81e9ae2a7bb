"""The private copy: equal to the original, folded where it may be, stale when weights change."""

import copy
import warnings

import pytest
import timm
import torch
import torchvision
from torch import nn

from sightline.network import execution, pace
from sightline.network.execution import ExecutionCopy
from sightline.network.folding import difference
from sightline.network.pace import bfloat16_pays, measure_batch
from sightline.network.weight_changes import Watch


def run(module, images):
    return module(images)


def lively(net, seed=0):
    """Statistics and weights of norms drawn at random: fresh ones hide errors of folding."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in net.modules():
            if part._buffers.get("running_mean") is not None:
                part.running_mean.normal_(0, 0.1, generator=generator)
                part.running_var.uniform_(0.5, 1.5, generator=generator)
                if part.weight is not None:
                    part.weight.uniform_(0.5, 1.5, generator=generator)
                    part.bias.normal_(0, 0.1, generator=generator)
    return net.eval()


def built(name):
    torch.manual_seed(0)
    source, name = name.split(":")
    if source == "timm":
        return lively(timm.create_model(name, num_classes=10))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torchvision's own, about initialisation
        extra = {"init_weights": False} if name == "googlenet" else {}
        return lively(getattr(torchvision.models, name)(weights=None, num_classes=10, **extra))


def images(n=2, size=64):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(1))


def norms(net):
    return [n for n, part in net.named_modules() if part._buffers.get("running_mean") is not None]


class Block(nn.Module):
    """One convolution and one norm, wired by `wiring`, and a linear head."""

    def __init__(self, wiring, conv=None, norm=None):
        super().__init__()
        self.conv = conv or nn.Conv2d(3, 6, 3, padding=1)
        self.norm = norm or nn.BatchNorm2d(6)
        self.after = nn.Conv2d(6, 6, 1)
        self.identity = nn.Identity()
        self.head = nn.Linear(6, 4)
        self.wiring = wiring

    def forward(self, x):
        return self.head(self.wiring(self, x).mean((2, 3)))


def folded(net, size=16):
    copy = ExecutionCopy.of(lively(net), images(size=size), run)
    assert copy is not None
    with torch.no_grad():
        assert difference(net(images(5, size)), copy.module(images(5, size))) < 1e-4
    return copy.folded_norms


FOLDED = {
    "torchvision:resnet18": 20,
    "torchvision:mobilenet_v2": 52,
    "torchvision:densenet121": 59,  # the rest are norms before convolutions
    "torchvision:googlenet": 57,
    "torchvision:shufflenet_v2_x0_5": 56,
    "timm:resnet18": 20,
    "timm:efficientnet_b0": 49,
    "timm:tf_efficientnet_b0": 49,  # convolutions with padding computed in `forward`
    "timm:regnetx_002": 44,
    "timm:mobilenetv3_small_100": 34,
    "timm:nf_resnet26": 0,  # standardised weights, no norms
    "timm:repvgg_a0": 44,  # three branches, one of them a norm alone
}


@pytest.mark.parametrize(("name", "expected"), FOLDED.items())
def test_a_copy_folds_what_it_can_and_gives_the_same_scores(name, expected):
    net = built(name)
    copy = ExecutionCopy.of(net, images(), run)
    assert copy is not None and len(copy.folded_norms) == expected
    with torch.no_grad():
        assert difference(net(images(3, 96)), copy.module(images(3, 96))) < 1e-4


@pytest.mark.parametrize("name", ["torchvision:resnet18", "timm:mobilenetv3_small_100"])
def test_a_folded_norm_still_gives_its_maps_and_a_folded_convolution_is_named(name):
    net = built(name)
    copy = ExecutionCopy.of(net, images(), run)
    assert copy is not None
    layers = [*norms(net), *copy.folded_convolutions]
    theirs, ours = recorded(net, layers), recorded(copy.module, layers)
    for layer in layers:
        equal = difference(theirs[layer], ours[layer]) < 1e-4
        assert equal is copy.serves(["fc", layer, f"{layer}:0"]), layer


def recorded(net, layers):
    found = {}

    def keep(module, given, output):
        found[names[module]] = output.clone()  # a ReLU may follow in place

    names = {net.get_submodule(layer): layer for layer in layers}
    hooks = [module.register_forward_hook(keep) for module in names]
    with torch.no_grad():
        net(images())
    for hook in hooks:
        hook.remove()
    return found


def test_all_the_norms_of_a_wrapper_are_named_too():
    net = Block(lambda net, x: net.norm(net.conv(x)), conv=nn.Sequential(nn.Conv2d(3, 6, 3)))
    copy = ExecutionCopy.of(lively(net), images(), run)
    assert copy is not None and copy.folded_convolutions == {"conv", "conv.0"}


WIRINGS = {
    "a second consumer": lambda net, x: net.norm(y := net.conv(x)) + y,
    "a consumer of a view": lambda net, x: (
        net.norm(y := net.conv(x)) + y.flatten(2).amax(2)[..., None, None]
    ),
    "a second convolution": lambda net, x: net.after(y := net.conv(x)) + net.norm(y),
    "a convolution called twice": lambda net, x: net.norm(net.conv(x)) + net.conv(x.flip(3)),
    "a norm called twice": lambda net, x: net.norm(net.norm(net.conv(x))),
    "something between": lambda net, x: net.norm(net.conv(x).relu()),
    "something between, in place": lambda net, x: net.norm(net.conv(x).relu_()),
    "a weight used elsewhere": lambda net, x: net.norm(net.conv(x)) + net.conv.weight.mean(),
    "a norm's weight used elsewhere": lambda net, x: net.norm(net.conv(x)) * net.norm.weight.mean(),
    "no norm at all": lambda net, x: net.conv(x),
}


@pytest.mark.parametrize("wiring", WIRINGS.values(), ids=WIRINGS)
def test_a_pair_is_left_alone_where_anything_else_is_involved(wiring):
    assert folded(Block(wiring)) == frozenset()


@pytest.mark.parametrize(
    "wiring",
    [
        lambda net, x: net.norm(net.conv(x)),
        lambda net, x: net.norm(net.identity(net.conv(x))),
        lambda net, x: net.after(net.norm(net.conv(x)).relu_()),
    ],
)
def test_a_plain_pair_is_folded(wiring):
    assert folded(Block(wiring)) == {"norm"}


class Standardised(nn.Conv2d):
    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        weight = weight / weight.std((1, 2, 3), keepdim=True)
        return nn.functional.conv2d(x, weight, self.bias, padding=self.padding)


class Padded(nn.Conv2d):
    def forward(self, x):
        return super().forward(nn.functional.pad(x, (1, 0, 1, 0)))


CONVS = {
    "standardised": (lambda: Standardised(3, 6, 3, padding=1), False),
    "padding in forward": (lambda: Padded(3, 6, 3), True),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 6, 3)), False),
    "no bias": (lambda: nn.Conv2d(3, 6, 3, bias=False), True),
    "grouped": (lambda: nn.Conv2d(3, 6, 3, groups=3), True),
    "transposed": (lambda: nn.ConvTranspose2d(3, 6, 3), False),
}


@pytest.mark.parametrize(("conv", "expected"), CONVS.values(), ids=CONVS)
def test_only_a_convolution_that_uses_its_weight_as_it_is_is_folded(conv, expected):
    net = Block(lambda net, x: net.norm(net.conv(x)), conv=conv())
    assert folded(net) == ({"norm"} if expected else set())


class Shifted(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x) + 1


NORMS = {
    "no weights": (lambda: nn.BatchNorm2d(6, affine=False), True),
    "large epsilon": (lambda: nn.BatchNorm2d(6, eps=0.1), True),
    "frozen": (lambda: torchvision.ops.FrozenBatchNorm2d(6), True),
    "activation inside": (lambda: timm.layers.BatchNormAct2d(6, act_layer=nn.SiLU), True),
    "no statistics": (lambda: nn.BatchNorm2d(6, track_running_stats=False), False),
    "something of its own": (lambda: Shifted(6), False),
    "group norm": (lambda: nn.GroupNorm(2, 6), False),
}


@pytest.mark.parametrize(("norm", "expected"), NORMS.values(), ids=NORMS)
def test_only_a_norm_that_is_affine_in_evaluation_is_folded(norm, expected):
    net = Block(lambda net, x: net.norm(net.conv(x)), norm=norm())
    assert folded(net) == ({"norm"} if expected else set())


def test_a_layer_with_a_hook_is_not_folded():
    net = Block(lambda net, x: net.norm(net.conv(x)))
    hook = net.conv.register_forward_hook(lambda module, given, output: output * 2)
    assert folded(net) == frozenset()
    hook.remove()


def test_the_users_network_is_left_as_it_was():
    net = built("torchvision:resnet18")
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert ExecutionCopy.of(net, images(), run) is not None
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())


def test_the_gradients_of_the_copy_are_those_of_the_network():
    net = built("torchvision:resnet18").double()
    copy = ExecutionCopy.of(net, images().double(), run)
    assert copy is not None and not any(p.requires_grad for p in copy.module.parameters())
    found = []
    for module in (net, copy.module):
        given = images().double().requires_grad_()
        found.append(torch.autograd.grad(module(given)[:, 3].sum(), given)[0])
    assert difference(*found) < 1e-6


class Locked(nn.Linear):
    def __deepcopy__(self, memo):
        raise TypeError("cannot pickle a lock")


class Elsewhere(nn.Module):
    """Calls its layer through a closure, which a deep copy does not replace."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)
        self.call = lambda x: self.head(x.mean((2, 3)))

    def forward(self, x):
        return self.call(x)


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.head(x.mean((2, 3))) + torch.rand(1)


REFUSED = {
    "cannot be copied": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), Locked(3, 2)),
    "still uses the weights": Elsewhere(),
    "differs by": Noisy(),
    "no weights": nn.Flatten(),
}


@pytest.mark.parametrize(("reason", "net"), REFUSED.items())
def test_a_network_that_has_no_equal_copy_is_given_up_with_the_reason(reason, net):
    copy, why = ExecutionCopy.attempt(net.eval(), images(), run)
    assert copy is None and reason in why


def test_a_network_that_needs_contiguous_maps_gets_them():
    net = nn.Sequential(nn.Conv2d(3, 6, 3), Flat(), nn.Linear(6 * 14 * 14, 2)).eval()
    copy = ExecutionCopy.of(net, images(size=16), run)
    assert copy is not None and copy.module[0].weight.is_contiguous()


class Flat(nn.Module):
    def forward(self, x):
        return x.view(len(x), -1)


def small():
    return lively(nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), Flat()))


def through_data(net):
    net[0].weight.data.mul_(2)


def in_place(net):
    with torch.no_grad():
        net[0].bias.add_(1)


def loaded(net):
    net.load_state_dict(small().state_dict())


def replaced(net):
    net[2] = nn.Sigmoid()


def new_weight(net):
    net[0].weight = nn.Parameter(net[0].weight.detach().clone())


def statistics(net):
    net.train()(images(size=16))
    net.eval()


def hooked(net):
    net[2].register_forward_hook(lambda module, given, output: output * 0)


CHANGES = [through_data, in_place, loaded, replaced, new_weight, statistics, hooked]


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_is_stale_after_a_change(change):
    net = small()
    watch = Watch.over(net)
    assert watch.unchanged(net)
    change(net)
    assert not watch.unchanged(net)


def test_the_mode_gradients_and_a_twin_are_no_change_but_a_twin_is_another_network():
    net = small()
    net[0].weight.data[0] = float("nan")
    watch = Watch.over(net)
    net.train()
    net.requires_grad_(False)
    net[0].weight.grad = torch.ones_like(net[0].weight)
    assert watch.unchanged(net)
    assert not watch.unchanged(copy.deepcopy(net))


def test_bfloat16_is_refused_without_hardware_or_above_the_error(monkeypatch):
    net = small()
    exact = ExecutionCopy.of(net, images(size=16), run)
    assert exact is not None
    monkeypatch.setattr(execution, "bfloat16_pays", lambda device: False)
    assert "not faster" in exact.fast(images(size=16), run)[1]
    monkeypatch.setattr(execution, "bfloat16_pays", lambda device: True)
    fast, why = exact.fast(images(size=16), run)
    assert fast is not None and not why and fast.module[0].weight.dtype is torch.bfloat16
    assert fast.module(images(size=16)).dtype is torch.float32
    assert exact.module[0].weight.dtype is torch.float32
    assert exact.agrees(fast, "input", images(size=16), run)
    assert exact.agrees(fast, "0", images(size=16), run)
    assert not exact.agrees(fast, "nowhere", images(size=16), run)
    monkeypatch.setattr(execution, "FAST_COSINE", 1.0)
    assert not exact.agrees(fast, "input", images(size=16), run)
    monkeypatch.setattr(execution, "FAST_TOLERANCE", 1e-9)
    assert "standard deviation" in exact.fast(images(size=16), run)[1]


def test_the_hardware_probe_answers_once():
    assert bfloat16_pays("cpu") is bfloat16_pays("cpu")


def test_a_batch_size_is_measured():
    assert measure_batch(small(), (3, 16, 16)) in pace.BATCHES
