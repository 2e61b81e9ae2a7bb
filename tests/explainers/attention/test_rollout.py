"""Rollout: the product of attention matrices, by loops, in every way that attention is written."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Model, create
from sightline.errors import BadField, NotExplainable
from sightline.worlds import analytic
from sightline.worlds.miniatures import MINIATURES


def product(weights: list[Tensor], residual: float = 0.5, heads: str = "mean") -> Tensor:
    """Section 3 of the paper for one image: weights (head, token, token) of each layer, float64."""
    flow = torch.eye(weights[0].shape[-1], dtype=torch.float64)
    for layer in weights:
        w = layer.double()
        joined = {"mean": w.mean(0), "max": w.amax(0), "min": w.amin(0)}[heads]
        mixed = (1 - residual) * joined + residual * torch.eye(len(joined))
        flow = mixed / mixed.sum(1, keepdim=True) @ flow
    return flow


def seen(net: nn.Module, images: Tensor) -> list[Tensor]:
    """The weights that each plain softmax of the network returned."""
    kept: list[Tensor] = []
    handles = [m.register_forward_hook(lambda m, i, o: kept.append(o)) for m in net.attention]
    with torch.no_grad():
        net(images)
    for handle in handles:
        handle.remove()
    return kept


@pytest.mark.parametrize(("residual", "heads"), [(0.5, "mean"), (0.2, "max"), (0.0, "min")])
def test_it_is_the_product_of_all_layers_at_the_class_token(residual: float, heads: str) -> None:
    model, images, target = analytic.attending()
    weights = seen(model.module, images)
    explain = create("explainer", "rollout", residual=residual, heads=heads)
    heat = explain(model, images, target)
    for i in range(2):
        flow = product([w[i] for w in weights], residual, heads)
        assert_close(heat.native[i], flow[0, 1:].view(5, 6).float(), atol=1e-6, rtol=1e-4)
    assert heat.values.shape == (2, 10, 12)


def test_every_class_gets_the_same_map() -> None:
    model, images, _ = analytic.attending()
    explain = create("explainer", "rollout")
    assert torch.equal(explain(model, images, 0).native, explain(model, images, 2).native)


class Tokens(nn.Module):
    """One layer of attention over patches, written in the way that `how` says; pooled without a
    token.
    """

    def __init__(self, how: str, prefix: bool) -> None:
        super().__init__()
        self.how = how
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, 8)) if prefix else None
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.mlp = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8))
        self.head = nn.Linear(8, 5)

    def attend(self, x: Tensor) -> Tensor:
        if self.how == "module":
            return self.attention(x, x, x, need_weights=False)[0]
        mixed = F.linear(x, self.attention.in_proj_weight, self.attention.in_proj_bias)
        q, k, v = (t.unflatten(2, (2, 4)).transpose(1, 2) for t in mixed.chunk(3, 2))
        if self.how == "fused":
            found = F.scaled_dot_product_attention(q, k, v)
        else:
            found = torch.softmax(q @ k.transpose(2, 3) / 2, -1) @ v
        return self.attention.out_proj(found.transpose(1, 2).flatten(2))

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = x if self.token is None else torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        x = x + self.attend(self.norm(x))
        x = x + self.mlp(x)
        return self.head(x[:, 0] if self.token is not None else x.mean(1))


@pytest.mark.parametrize("prefix", [True, False])
def test_fused_plain_and_module_attention_are_the_same(prefix: bool, monkeypatch) -> None:
    monkeypatch.setenv("SIGHTLINE_CACHE", "")  # the three are one network to a fingerprint
    images = torch.rand(2, 3, 16, 24)
    found = []
    for how in ("plain", "fused", "module"):
        torch.manual_seed(3)
        model = Model(Tokens(how, prefix).eval(), size=(16, 24))
        found.append(create("explainer", "rollout")(model, images, 1).native)
    assert found[0].shape == (2, 4, 6)
    assert_close(found[1], found[0])
    assert_close(found[2], found[0])


def test_without_a_token_it_is_the_mean_over_places() -> None:
    torch.manual_seed(3)
    net, images = Tokens("plain", prefix=False).eval(), torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        x = net.norm(net.patches(images).flatten(2).transpose(1, 2))
        weights = net.attention(x, x, x, average_attn_weights=False)[1]
    heat = create("explainer", "rollout")(Model(net, size=(16, 24)), images, 1)
    expected = product([weights[0]]).mean(0).view(4, 6).float()
    assert_close(heat.native[0], expected, atol=1e-6, rtol=1e-4)


def test_shares_of_places_and_prefix_sum_to_one() -> None:
    mini = MINIATURES["token-net"]
    model, images = Model(mini(), size=mini.size), torch.rand(2, 3, *mini.size)
    total = create("explainer", "rollout")(model, images, 1).native.sum((1, 2))
    assert (total > 0).all() and (total < 1).all()  # the rest is at the four prefix tokens


def test_each_refusal_says_what_is_missing() -> None:
    for kind, reason in (
        ("pooled-cnn", "has none"),
        ("channels-last", "attends inside windows"),
        ("attention-pooled", "attends from 1 to 48 tokens"),
    ):
        mini = MINIATURES[kind]
        with pytest.raises(NotExplainable, match=reason):
            create("explainer", "rollout")(
                Model(mini(), size=mini.size), torch.rand(1, 3, *mini.size), 1
            )
    with pytest.raises(BadField, match="residual"):
        create("explainer", "rollout", residual=1.0)
