"""Which rows of the rollout are shown: those that the head reads, whatever it does with them."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Model, create
from sightline.errors import NotExplainable
from sightline.network.anatomy import study


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path))


READ = {
    "first": lambda x: x[:, 0],
    "both": lambda x: (x[:, 0] + x[:, 1].flip(1)) / 2,
    "places": lambda x: x[:, 2:].mean(1),
    "largest": lambda x: x[:, 2:].amax(1),
    "all": lambda x: x.mean(1),
}


class Heads(nn.Module):
    """Two layers of attention over two prefix tokens and 4 x 6 places, read as `how` says."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.how = how
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.tokens = nn.Parameter(torch.randn(1, 2, 8))
        self.attention = nn.ModuleList(
            nn.MultiheadAttention(8, 2, batch_first=True) for _ in range(2)
        )
        self.norm = nn.LayerNorm(8)
        self.question = nn.Parameter(torch.randn(1, 1, 8))
        self.pool = nn.MultiheadAttention(8, 2, batch_first=True) if how == "pooled" else None
        self.score = nn.Linear(8, 1)
        self.head = nn.Linear(8, 5)
        self.kept: list[Tensor] = []

    def features(self, images: Tensor) -> Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.tokens.expand(len(x), -1, -1), x], 1)
        for layer in self.attention:
            mixed, weights = layer(x, x, x, average_attn_weights=False)
            self.kept.append(weights)
            x = x + mixed
        return self.norm(x)

    def forward(self, images: Tensor) -> Tensor:
        self.kept = []
        x = self.features(images)
        if self.pool is not None:
            mixed, weights = self.pool(self.question.expand(len(x), -1, -1), x, x)
            self.kept.append(weights)
            return self.head(mixed[:, 0])
        if self.how == "weighed":
            return self.head((self.score(x)[..., 0].softmax(1)[..., None] * x).sum(1))
        return self.head(READ[self.how](x))


def rolled(net: Heads, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The product of both layers (batch, token, token), and what was kept."""
    with torch.no_grad():
        net(images)
    eye, flow = torch.eye(26), torch.eye(26)
    for weights in net.kept[:2]:
        flow = (0.5 * weights.mean(1) + 0.5 * eye) @ flow
    return flow, net.kept


@pytest.mark.parametrize(
    ("how", "rows"),
    [
        ("first", slice(0, 1)),
        ("both", slice(0, 2)),
        ("places", slice(2, None)),
        ("largest", slice(2, None)),
        ("all", slice(0, None)),
    ],
)
def test_the_rows_that_the_head_reads_are_shown(how: str, rows: slice) -> None:
    net, images = Heads(how).eval(), torch.rand(2, 3, 16, 24)
    flow, _ = rolled(net, images)
    heat = create("explainer", "rollout")(Model(net, size=(16, 24)), images, 1)
    assert_close(heat.native, flow[:, rows].mean(1)[:, 2:].unflatten(1, (4, 6)))


def test_attention_that_pools_at_the_end_weighs_the_rows() -> None:
    net, images = Heads("pooled").eval(), torch.rand(2, 3, 16, 24)
    flow, kept = rolled(net, images)
    heat = create("explainer", "rollout")(Model(net, size=(16, 24)), images, 1)
    assert_close(heat.native, (kept[2] @ flow)[:, 0, 2:].unflatten(1, (4, 6)))


def test_a_pooling_whose_weights_are_not_attention_s_is_refused() -> None:
    net, images = Heads("weighed").eval(), torch.rand(1, 3, 16, 24)
    with pytest.raises(NotExplainable, match="weighs its tokens by a softmax"):
        create("explainer", "rollout")(Model(net, size=(16, 24)), images, 1)


@pytest.mark.parametrize(("pool", "readers"), [("max", (0, 1)), ("avg", (0, 1)), ("token", (1, 0))])
def test_timm_s_ways_of_pooling_are_measured(pool: str, readers: tuple[float, ...]) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model("test_vit", pretrained=False, global_pool=pool).eval()
    assert study(net, (160, 160)).readers == readers


def test_a_distilled_transformer_is_read_at_both_tokens() -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.models.deit.VisionTransformerDistilled(
        img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=2, num_classes=5
    ).eval()
    assert study(net, (32, 32)).readers == (0.5, 0.5, 0)


class Reduced(Heads):
    """The first layer attends to every second token, as pyramid transformers do."""

    def features(self, images: Tensor) -> Tensor:
        x = super().features(images)
        few = x[:, ::2]
        return x + (x @ few.transpose(1, 2)).softmax(-1) @ few


def test_attentions_that_are_not_square_are_not_left_out() -> None:
    net, images = Reduced("first").eval(), torch.rand(1, 3, 16, 24)
    with pytest.raises(NotExplainable, match="attends from 26 to 13 tokens"):
        create("explainer", "rollout")(Model(net, size=(16, 24)), images, 1)


class Twice(Heads):
    """Two pictures, one encoder."""

    def forward(self, images: Tensor) -> Tensor:
        one, other = images.split(3, 1)
        return self.head(self.features(one)[:, 0] + self.features(other)[:, 1])


def test_streams_side_by_side_are_not_multiplied() -> None:
    net, images = Twice("first").eval(), torch.rand(1, 6, 16, 24)
    with pytest.raises(NotExplainable, match="several streams or exits"):
        create("explainer", "rollout")(Model(net, size=(16, 24)), images, 1)


def test_a_pyramid_of_attention_is_refused() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.PvtConfig(
        image_size=64, hidden_sizes=[8, 16, 16, 32], depths=[1, 1, 1, 2],
        num_attention_heads=[1, 2, 2, 4], num_labels=4,
    )  # fmt: skip
    net = transformers.PvtForImageClassification(config).eval()
    with pytest.raises(NotExplainable, match="rollout"):
        create("explainer", "rollout")(Model(net, size=(64, 64)), torch.rand(1, 3, 64, 64), 1)
