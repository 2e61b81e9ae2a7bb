"""Backward rules on operations: module, functional, in-place, re-used calls are one to them."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Model
from sightline.ops.rules import DeconvReLU, Epsilon, GuidedReLU, RecordAttention, Rule, ZPlus

RELUS: dict[str, Callable[[Tensor], Tensor]] = {
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
    "functional": F.relu,
    "functional in place": lambda x: F.relu(x, inplace=True),
    "functional, positional": lambda x: F.relu(x, True),
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
    "torch": torch.relu,
    "torch in place": torch.relu_,
    "clamp": lambda x: x.clamp(min=0),
    "clamp in place": lambda x: x.clamp_(0),
    "with a ceiling": nn.ReLU6(),
    "with a ceiling, in place": nn.ReLU6(inplace=True),
    "with a ceiling, functional": F.relu6,
    "with a ceiling, positional": lambda x: F.hardtanh(x, 0.0, 6.0, True),
    "with a ceiling, written over": lambda x: F.hardtanh_(x, 0.0, 6.0),
}


class Signal(nn.Module):
    """One activation between the picture and weights (3, -4, 5)."""

    def __init__(self, relu: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.relu = relu
        self.weight = nn.Parameter(torch.tensor([3.0, -4.0, 5.0]))

    def forward(self, images: Tensor) -> Tensor:
        return (self.relu(images.mean((2, 3)) * 1) * self.weight).sum(1, keepdim=True)


def signal(relu: Callable[[Tensor], Tensor], *rules: Rule) -> list[float]:
    images = torch.tensor([-1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    model = Model(Signal(relu), size=(1, 1))
    trace = model.trace(images, read=["input"], rules=rules)
    assert trace.output.item() == 7.0  # the forward is the network's own
    return trace.grad(trace.output[:, 0], "input").flatten().tolist()


@pytest.mark.parametrize("how", list(RELUS))
def test_each_way_to_write_a_relu_obeys_the_rule(how: str) -> None:
    assert signal(RELUS[how]) == [0, -4, 5]
    assert signal(RELUS[how], GuidedReLU()) == [0, 0, 5]
    assert signal(RELUS[how], DeconvReLU()) == [3, 0, 5]


class Twice(nn.Module):
    """Two linear layers and one re-used, in-place ReLU."""

    def __init__(self, functional: bool = False) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(12, 9), nn.Linear(9, 3)
        self.relu = nn.ReLU(inplace=True)
        self.functional = functional

    def forward(self, images: Tensor) -> Tensor:
        relu = F.relu if self.functional else self.relu
        return relu(self.second(relu(self.first(images.flatten(1)))))


def test_a_re_used_in_place_relu_is_guided_at_each_call() -> None:
    net, images = Twice(), torch.randn(2, 3, 2, 2)
    trace = Model(net, size=(2, 2)).trace(images, read=["input"], rules=[GuidedReLU()])
    found = trace.grad(trace.output.sum(1), "input").flatten(1)
    hidden = net.first(images.flatten(1))
    back = (net.second(hidden.relu()) > 0).float() @ net.second.weight
    back = (back.clamp(min=0) * (hidden > 0)) @ net.first.weight
    assert_close(found, back.detach())


def test_a_rule_can_be_limited_to_layers() -> None:
    net, images = nn.Sequential(Twice(), nn.Linear(3, 3), nn.ReLU()), torch.randn(4, 3, 2, 2)
    model = Model(net, size=(2, 2))

    def back(*rules: Rule) -> Tensor:
        trace = model.trace(images, read=["input"], rules=rules)
        return trace.grad(trace.output.sum(1), "input")

    assert_close(back(GuidedReLU(inside=("nowhere",))), back())
    assert_close(back(GuidedReLU(inside=("0", "2"))), back(GuidedReLU()))
    assert not torch.allclose(back(GuidedReLU(inside=("0",))), back())


class Convs(nn.Module):
    """A conv of stride 2 that is used twice, with a residual sum, as modules or as functions."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.conv = nn.Conv2d(3, 3, 3, padding=1, bias=how == "biased")
        self.last = nn.Conv2d(3, 2, 3, stride=2, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv(images)
        if self.how == "functional":
            y = F.conv2d(x, self.conv.weight, None, padding=1)
            x = torch.add(x, y)
            maps = F.conv2d(x, self.last.weight, stride=2)
        else:
            y = self.conv(x)
            if self.how == "in place":
                y += x
            else:
                y = x + y
            maps = self.last(y)
        return maps.mean((2, 3))


def relevance(how: str, rule: Rule) -> tuple[Tensor, Tensor]:
    torch.manual_seed(4)
    model, images = Model(Convs(how), size=(7, 9)), torch.rand(2, 3, 7, 9)
    trace = model.trace(images, read=["input"], rules=[rule])
    assert_close(trace.output, model.module(images))
    score = trace.output[:, 0]
    return trace.grad(score, "input", None), score.detach()


@pytest.mark.parametrize("rule", [ZPlus(), Epsilon()])
def test_modules_functions_re_use_and_in_place_sums_are_the_same(rule: Rule) -> None:
    wanted, _ = relevance("module", rule)
    for how in ("functional", "in place"):
        assert_close(relevance(how, rule)[0], wanted)


def scored(net: nn.Module, images: Tensor, rules: list[Rule]) -> tuple[Tensor, Tensor]:
    """Relevance of the picture when the score itself is what arrives."""
    model = Model(net, size=tuple(images.shape[2:]))
    trace = model.trace(images, read=["input"], rules=rules)
    score = trace.output[:, 0]
    return trace.grad(score * score.detach(), "input"), score.detach()


class Residual(nn.Module):
    """A linear residual block without biases: relevance must be conserved through its sum."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.branch = nn.Linear(12, 8, bias=False), nn.Linear(8, 8, bias=False)
        self.last = nn.Linear(8, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images.flatten(1))
        return self.last(x + F.relu(self.branch(x)))


def test_epsilon_gives_each_branch_of_a_sum_its_share_and_conserves_the_score() -> None:
    net, images = Residual(), torch.rand(3, 3, 2, 2)
    found, score = scored(net, images, [Epsilon()])
    assert_close(found.sum((1, 2, 3)), score, atol=1e-4, rtol=1e-3)
    x = net.first(images.flatten(1))
    branch = F.relu(net.branch(x))
    share = net.last.weight * (x + branch)  # relevance of the sum
    left = share * x / (x + branch)
    active = (net.branch(x) > 0) * share / (x + branch)
    right = (active @ net.branch.weight) * x
    lower = ((left + right) / x) @ net.first.weight * images.flatten(1)
    assert_close(found.flatten(1), lower.detach(), atol=1e-3, rtol=1e-2)


def test_z_plus_shares_by_positive_contributions_and_conserves_the_score() -> None:
    conv = nn.Conv2d(3, 4, 3, stride=2, bias=False)
    net = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(4 * 3 * 4, 1, bias=False))
    with torch.no_grad():
        for weight in net.parameters():
            weight += weight.abs().mean()
    images = torch.randn(2, 3, 7, 9)
    found, score = scored(net, images, [ZPlus()])
    assert_close(found.sum((1, 2, 3)), score, atol=1e-4, rtol=1e-3)
    lone, _ = scored(nn.Sequential(conv, nn.Flatten()), images, [ZPlus()])
    first = conv(images)[:, 0, 0, 0]
    patch = images[:, :, :3, :3]
    plus = (patch * conv.weight[0]).clamp(min=0)
    expected = plus / plus.sum((1, 2, 3), keepdim=True) * first.view(-1, 1, 1, 1)
    assert_close(lone[:, :, :3, :3], expected.detach(), atol=1e-5, rtol=1e-4)
    assert lone[:, :, 3:].abs().max() == 0


class Attends(nn.Module):
    """Self-attention of places, written in the way that `how` says."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.layer = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True, norm_first=True)
        self.head = nn.Linear(6, 3)

    def attend(self, x: Tensor) -> Tensor:
        inner = self.layer.self_attn
        if self.how == "module":
            return inner(x, x, x, need_weights=False)[0]
        mixed = F.linear(x, inner.in_proj_weight, inner.in_proj_bias)
        q, k, v = (t.unflatten(2, (2, 3)).transpose(1, 2) for t in mixed.chunk(3, 2))
        if self.how == "fused":
            found = F.scaled_dot_product_attention(q, k, v)
        elif self.how == "softmax":
            found = F.softmax(q @ k.transpose(2, 3) * 3**-0.5, dim=-1) @ v
        else:
            found = (q @ k.transpose(2, 3) * 3**-0.5).softmax(-1) @ v
        return inner.out_proj(found.transpose(1, 2).flatten(2))

    def forward(self, images: Tensor) -> Tensor:
        x = F.pad(images, (0, 0, 0, 0, 0, 3)).flatten(2).transpose(1, 2)
        if self.how == "layer":
            return self.head(self.layer(x).mean(1))
        x = x + self.attend(self.layer.norm1(x))
        return self.head((x + self.layer._ff_block(self.layer.norm2(x))).mean(1))


@pytest.mark.parametrize("how", ["fused", "module", "softmax", "method", "layer"])
def test_attention_is_recorded_however_it_is_written(how: str) -> None:
    net, images = Attends(how).eval(), torch.rand(2, 3, 4, 5)
    record = RecordAttention()
    trace = Model(net, size=(4, 5)).trace(images, rules=[record])
    assert_close(trace.output, net(images), atol=1e-6, rtol=1e-4)
    x = net.layer.norm1(F.pad(images, (0, 0, 0, 0, 0, 3)).flatten(2).transpose(1, 2))
    _, wanted = net.layer.self_attn(x, x, x, average_attn_weights=False)
    assert len(record.weights) == 1
    assert_close(record.weights[0][1], wanted.detach(), atol=1e-6, rtol=1e-4)


def test_masks_and_causality_are_kept_when_attention_is_opened() -> None:
    class Causal(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            x = images.flatten(2).transpose(1, 2)[:, None]
            hidden = torch.ones(6, 6, dtype=torch.bool).tril(2)
            one = F.scaled_dot_product_attention(x, x, x, is_causal=True)
            two = F.scaled_dot_product_attention(one, x, x, attn_mask=hidden)
            bias = torch.linspace(-1, 1, 36).view(6, 6)
            return F.scaled_dot_product_attention(two, x, x, bias, scale=0.3).flatten(1)[:, :4]

    images, record = torch.rand(2, 3, 2, 3), RecordAttention()
    model = Model(Causal(), size=(2, 3))
    trace = model.trace(images, rules=[record])
    assert_close(trace.output, model.module(images))
    assert record.weights[0][1].triu(1).abs().max() == 0
    assert record.weights[1][1].triu(3).abs().max() == 0
    assert all(torch.allclose(w.sum(-1), torch.ones(())) for _, w in record.weights)


def test_rules_leave_nothing_behind_also_when_the_forward_raises() -> None:
    def broken(x: Tensor) -> Tensor:
        raise ValueError("broken")

    images = torch.rand(1, 3, 1, 1)
    for relu in (F.relu, broken):
        model = Model(Signal(relu), size=(1, 1))
        try:
            model.trace(images, read=["input"], rules=[GuidedReLU(), RecordAttention()])
        except ValueError as error:
            assert "(ValueError: broken)" in str(error)
        assert not any(p._forward_hooks or p._forward_pre_hooks for p in model.module.modules())
        x = torch.tensor([-1.0, 2.0], requires_grad=True)
        F.relu(x).sum().backward()
        assert x.grad.tolist() == [0, 1]
