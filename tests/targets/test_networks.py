"""Grad-CAM through each structured target, on a small network of its kind.

Each network learns for a few seconds on drawn scenes of two squares, a warm one (red or yellow) and
a cold one (green or blue), in two of four corners. So the right place of a map is known.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Axis, Box, Contrast, Heatmap, Model, Region, Similarity, Token, create
from sightline.errors import BadTarget

pytestmark = pytest.mark.filterwarnings("ignore:.*no evidence for the target is positive")
COLOURS = torch.tensor([[0.9, 0.1, 0.1], [0.9, 0.8, 0.1], [0.1, 0.7, 0.2], [0.1, 0.2, 0.9]])
WARM, COLD = 0, 1
SIZE, HALF = (32, 32), 16


class Scenes:
    """Pictures (n, 3, 32, 32), the colour (n, 2) and box (n, 2, 4) of the warm and the cold square,
    the corner (n, 2) that each is in and its mask (n, 2, 32, 32)."""

    def __init__(self, n: int, seed: int) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.images = 0.4 + 0.2 * torch.rand((n, 3, *SIZE), generator=draw)
        self.colour = torch.randint(2, (n, 2), generator=draw) + torch.tensor([0, 2])
        self.corner = torch.stack([torch.randperm(4, generator=draw)[:2] for _ in range(n)])
        offset = torch.randint(2, 7, (n, 2, 2), generator=draw)  # (x, y) inside the corner
        start = torch.stack([self.corner % 2, self.corner // 2], 2) * HALF + offset
        self.boxes = torch.cat([start, start + 8], 2).float()
        self.masks = torch.zeros(n, 2, *SIZE)
        for i, which in product(range(n), (WARM, COLD)):
            x0, y0, x1, y1 = self.boxes[i, which].int().tolist()
            self.images[i, :, y0:y1, x0:x1] = COLOURS[self.colour[i, which]][:, None, None]
            self.masks[i, which, y0:y1, x0:x1] = 1


TEST, LESSONS = Scenes(12, seed=99), [Scenes(32, seed) for seed in range(12)]


class Eye(nn.Module):
    """Pictures to 24 maps of 8 x 8; the layer that all tests look at is `eye.maps`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU(inplace=True))
        self.maps = nn.Sequential(nn.Conv2d(16, 24, 3, stride=2, padding=1), nn.ReLU(inplace=True))

    def forward(self, images: Tensor) -> Tensor:
        return self.maps(self.stem(images - 0.5))


def local(outputs: int) -> nn.Sequential:
    """A head that says something of each place."""
    return nn.Sequential(nn.Conv2d(24, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, outputs, 1))


def train(net: nn.Module, loss: Callable[[Scenes], Tensor]) -> nn.Module:
    adam = torch.optim.Adam(net.parameters(), 0.01)
    for step in range(150):
        adam.zero_grad()
        loss(LESSONS[step % len(LESSONS)]).backward()
        adam.step()
    return net.eval()


def explained(model: Model, target: Any, name: str = "grad-cam") -> Heatmap:
    """The heatmap of the test scenes; that of the fourth is the same alone."""
    explain = create("explainer", name, layer="eye.maps")
    heat = explain(model, TEST.images, target)
    one = target[3] if isinstance(target, list) else target
    alone = explain(model.take([3]), TEST.images[3:4], one)
    assert_close(alone.native[0], heat.native[3], atol=1e-5, rtol=1e-3)
    return heat


def hits(maps: Tensor, which: int, of: Tensor | slice = slice(None)) -> int:
    """In how many pictures the corner with the warm (or cold) square holds most of the map."""
    parts = maps.unflatten(2, (2, -1)).unflatten(1, (2, -1)).sum((2, 4)).flatten(1)
    return int((parts.argmax(1) == TEST.corner[:, which])[of].sum())


# words


class Captioner(nn.Module):
    """Says the warm colour, then the cold one, then stops (word 4); word 5 is the beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.eye, self.start = Eye(), nn.Linear(24, 32)
        self.embed, self.cell = nn.Embedding(6, 16), nn.GRU(16, 32, batch_first=True)
        self.word = nn.Linear(32, 5)

    def forward(self, images: Tensor, said: Tensor) -> Tensor:
        state = torch.tanh(self.start(self.eye(images).mean((2, 3))))
        found, _ = self.cell(self.embed(said), state[None].contiguous())
        return self.word(found)  # (batch, position, word)


def captions(scenes: Scenes) -> Tensor:
    return F.pad(scenes.colour, (0, 1), value=4)


def before(words: Tensor) -> Tensor:
    """What was said before each word, the beginning first."""
    return F.pad(words[:, :-1], (1, 0), value=5)


@pytest.fixture(scope="module")
def captioner() -> Model:
    torch.manual_seed(0)
    net = Captioner()

    def loss(scenes: Scenes) -> Tensor:
        words = captions(scenes)
        return F.cross_entropy(net(scenes.images, before(words)).flatten(0, 1), words.flatten())

    return Model(train(net, loss), size=SIZE, forward=lambda net, images, said: net(images, said))


def words_of(model: Model, words: Tensor, position: int | None = None) -> Tensor:
    targets = [Token(tuple(w), position=position) for w in words.tolist()]
    return explained(model.given(said=before(words)), targets).native


def test_the_map_of_a_word_lies_on_what_it_names(captioner: Model) -> None:
    words = captions(TEST)
    said = captioner.module(TEST.images, before(words)).argmax(2)
    assert (said == words).float().mean() > 0.9
    warm, cold = words_of(captioner, words, 0), words_of(captioner, words, 1)
    assert hits(warm.relu(), WARM) >= 10 and hits(cold.relu(), COLD) >= 10


def test_the_map_of_a_caption_is_the_sum_of_the_maps_of_its_words(captioner: Model) -> None:
    words = captions(TEST)
    parts = [words_of(captioner, words, position) for position in range(3)]
    assert_close(words_of(captioner, words), sum(parts), atol=1e-6, rtol=1e-3)


def test_the_words_before_are_given_and_count(captioner: Model) -> None:
    words = captions(TEST)
    other = words.clone()
    other[:, 0] = 1 - other[:, 0]  # the other warm colour was said first
    maps = []
    for said in (before(words), before(other)):
        heat = explained(captioner.given(said=said), Token((0, 2), position=1))
        scores = captioner.module(TEST.images, said).log_softmax(2)[:, 1, 2].detach()
        assert_close(torch.tensor(heat.provenance["score"]), scores, atol=1e-5, rtol=1e-4)
        maps.append(heat.native)
    assert not torch.allclose(*maps)


# questions


class Answerer(nn.Module):
    """Which colour is the warm (question 0) or the cold (question 1) square?"""

    def __init__(self) -> None:
        super().__init__()
        self.eye, self.question = Eye(), nn.Embedding(2, 24)
        self.head = nn.Sequential(nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 4))

    def forward(self, images: Tensor, question: Tensor) -> Tensor:
        return self.head(self.eye(images).mean((2, 3)) * self.question(question).sigmoid() * 2)


@pytest.fixture(scope="module")
def answerer() -> Model:
    torch.manual_seed(0)
    net = Answerer()

    def loss(scenes: Scenes) -> Tensor:
        asked = torch.arange(32) % 2
        answer = scenes.colour.gather(1, asked[:, None])[:, 0]
        return F.cross_entropy(net(scenes.images, asked), answer)

    return Model(train(net, loss), size=SIZE)


def test_the_question_moves_the_map(answerer: Model) -> None:
    for which in (WARM, COLD):
        model = answerer.given(question=torch.full((12,), which))
        answers = TEST.colour[:, which]
        assert (model.outputs(TEST.images).argmax(1) == answers).float().mean() > 0.9
        assert hits(explained(model, answers.tolist()).native.relu(), which) >= 10


def test_the_answer_moves_the_map(answerer: Model) -> None:
    model = answerer.given(question=torch.zeros(12, dtype=torch.long))
    answers = TEST.colour[:, WARM]
    right = explained(model, answers.tolist()).native
    moved = right - explained(model, (1 - answers).tolist()).native
    assert (moved.norm(dim=(1, 2)) > 0.5 * right.norm(dim=(1, 2))).all()
    contrast = explained(model, [Contrast(a, 1 - a) for a in answers.tolist()]).native
    assert_close(contrast, moved, atol=1e-6, rtol=1e-3)
    assert hits(contrast.relu(), WARM) >= 10
    asked = torch.arange(12) % 2
    each = TEST.colour.gather(1, asked[:, None])[:, 0]
    half = explained(answerer.given(question=asked), each.tolist()).native[::2]
    assert_close(half, right[::2], atol=1e-6, rtol=1e-3)  # each picture keeps its question


# boxes


class Detector(nn.Module):
    """Each place of the grid says how much it is the middle of either kind, and of which box."""

    def __init__(self) -> None:
        super().__init__()
        self.eye, self.head = Eye(), local(6)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.eye(images))


def detections(raw: Tensor) -> list[dict[str, Tensor]]:
    """The four best of each kind; raw: (image, kind or side, row, col)."""
    middle = torch.stack(torch.meshgrid(*[torch.arange(8.0) * 4 + 2] * 2, indexing="xy")).flatten(1)
    found = []
    for one in raw.flatten(2):
        sides = 16 * one[2:].sigmoid()  # to the left, top, right, bottom
        boxes = torch.cat([middle - sides[:2], middle + sides[2:]]).T
        best = [one[kind].topk(4).indices for kind in (WARM, COLD)]
        scores = torch.cat([one[kind][best[kind]].sigmoid() for kind in (WARM, COLD)])
        labels = torch.tensor([WARM] * 4 + [COLD] * 4)
        found.append({"boxes": boxes[torch.cat(best)], "scores": scores, "labels": labels})
    return found


def places(scenes: Scenes) -> Tensor:
    """Row and column of the grid where each square has its middle, as one index (n, 2)."""
    middle = ((scenes.boxes[..., :2] + scenes.boxes[..., 2:]) / 8).long()
    return middle[..., 1] * 8 + middle[..., 0]


@pytest.fixture(scope="module")
def detector() -> Model:
    torch.manual_seed(0)
    net = Detector()

    def loss(scenes: Scenes) -> Tensor:
        raw, at = net(scenes.images).flatten(2), places(scenes)
        wanted = torch.zeros_like(raw[:, :2]).scatter(2, at[..., None], 1.0)
        found = F.binary_cross_entropy_with_logits(raw[:, :2], wanted, pos_weight=torch.tensor(8.0))
        sides = 16 * raw[:, 2:].gather(2, at[:, None].expand(-1, 4, -1)).sigmoid()
        middle = torch.stack([at % 8, at // 8], 1) * 4 + 2
        box = torch.cat([middle - sides[:, :2], middle + sides[:, 2:]], 1).transpose(1, 2)
        return found + 0.05 * (box - scenes.boxes).abs().mean()

    return Model(train(net, loss), size=SIZE, output=detections, labels=["warm", "cold"])


@pytest.mark.parametrize("which", [WARM, COLD])
def test_the_map_of_a_box_lies_in_the_box(detector: Model, which: int) -> None:
    targets = [Box(tuple(b), which) for b in TEST.boxes[:, which].tolist()]
    heat = explained(detector, targets, "hires-cam")
    assert min(heat.provenance["score"]) > 0.3
    assert hits(heat.native.relu(), which) >= 10
    blunt = explained(detector, targets)  # the mean forgets where, and a box is local
    shown = ~blunt.details["empty"]
    assert shown.any() and hits(blunt.native.relu(), which, shown) >= shown.sum() - 1


def test_the_score_of_a_box_follows_its_detection_when_the_picture_changes(detector: Model) -> None:
    target = [Box(tuple(b), "warm") for b in TEST.boxes[:, WARM].tolist()]
    aimed = detector.aim(TEST.images, target)
    hidden = TEST.images.masked_fill(TEST.masks[:, :1] > 0, 0.5)
    gone = detector.scores(hidden, aimed, rows=torch.arange(12))
    assert (gone < 0.5 * detector.scores(TEST.images, aimed)).all()
    with pytest.raises(BadTarget, match="outside what the model sees of image 0"):
        detector.aim(TEST.images[:1], Box((-9.0, -9.0, -5.0, -5.0), "cold"))


# embeddings


class Embedder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.eye, self.out = Eye(), nn.Linear(24, 16)

    def forward(self, images: Tensor) -> Tensor:
        return self.out(self.eye(images).mean((2, 3)))


def singles() -> Tensor:
    """A picture of each colour alone, in the middle."""
    found = torch.full((4, 3, *SIZE), 0.5)
    found[:, :, 12:20, 12:20] = COLOURS[:, :, None, None]
    return found


@pytest.fixture(scope="module")
def embedder() -> Model:
    torch.manual_seed(0)
    net = Embedder()

    def loss(scenes: Scenes) -> Tensor:
        one, other = net(scenes.images), net(singles())
        likeness = F.cosine_similarity(one[:, None], other[None], dim=2)
        there = torch.zeros(32, 4).scatter(1, scenes.colour, 1.0)
        return F.binary_cross_entropy_with_logits(10 * (likeness - 0.3), there)

    return Model(train(net, loss), size=SIZE)


@pytest.mark.parametrize("which", [WARM, COLD])
def test_likeness_is_the_square_that_both_pictures_show(embedder: Model, which: int) -> None:
    like = singles()[TEST.colour[:, which]]
    heat = explained(embedder, [Similarity(one[None]) for one in like])
    expected = F.cosine_similarity(embedder.outputs(TEST.images), embedder.outputs(like))
    assert_close(torch.tensor(heat.provenance["score"]), expected, atol=1e-5, rtol=1e-4)
    assert hits(heat.native.relu(), which) >= 10
    explain = create("explainer", "grad-cam", layer="eye.maps")
    together = explain(embedder, TEST.images, Similarity(like))
    assert_close(together.native, heat.native, atol=1e-6, rtol=1e-3)


# regions


class Segmenter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.eye, self.head = Eye(), local(3)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"out": F.interpolate(self.head(self.eye(images)), SIZE, mode="bilinear")}


@pytest.fixture(scope="module")
def segmenter() -> Model:
    torch.manual_seed(0)
    net = Segmenter()

    def loss(scenes: Scenes) -> Tensor:
        kinds = (scenes.masks[:, WARM] + 2 * scenes.masks[:, COLD]).long()
        return F.cross_entropy(net(scenes.images)["out"], kinds, torch.tensor([1.0, 6.0, 6.0]))

    return Model(train(net, loss), size=SIZE, output=lambda returned: returned["out"])


@pytest.mark.parametrize("which", [WARM, COLD])
def test_the_map_of_a_region_lies_in_the_region(segmenter: Model, which: int) -> None:
    masks = TEST.masks[:, which]
    heat = explained(segmenter, [Region(mask, which + 1) for mask in masks])
    logits = segmenter.module(TEST.images)["out"][:, which + 1].detach()
    expected = (logits * masks).sum((1, 2)) / masks.sum((1, 2))
    assert_close(torch.tensor(heat.provenance["score"]), expected, atol=1e-5, rtol=1e-4)
    assert hits(heat.native.relu(), which) >= 10


# poses


class Pose(nn.Module):
    """Where is the warm square? Its middle, x and y, each in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.eye, self.head = Eye(), nn.Linear(24 * 64, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.eye(images).flatten(1))


@pytest.fixture(scope="module")
def pose() -> Model:
    torch.manual_seed(0)
    net = Pose()

    return Model(train(net, lambda s: F.mse_loss(net(s.images), middles(s))), size=SIZE)


def middles(scenes: Scenes) -> Tensor:
    return (scenes.boxes[:, WARM, :2] + 4) / 16 - 1


@pytest.mark.parametrize("axis", [0, 1])
def test_an_axis_of_a_pose_is_read_off_the_square(pose: Model, axis: int) -> None:
    values = pose.outputs(TEST.images)
    assert (values - middles(TEST)).abs().mean() < 0.15
    shares = explained(pose, Axis(axis), "hires-cam").native
    without_bias = values[:, axis] - pose.module.head.bias[axis].detach()
    assert_close(shares.sum((1, 2)), without_bias, atol=1e-5, rtol=1e-4)
    assert hits(shares.abs(), WARM) >= 10
    heat, against = explained(pose, Axis(axis)), explained(pose, -Axis(axis))
    assert heat.native.any() and torch.equal(heat.native, -against.native)
