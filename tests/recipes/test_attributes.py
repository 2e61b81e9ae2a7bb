"""Attributes as a second task: the card's synthetic scenes, the losses, controls, bad tables."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from data import cub_tree
from sightline import Class, Model, create
from sightline.errors import BadField, FileProblem, UnknownName
from sightline.ops.noise import generator
from sightline.pictures.areas import box_mask, decode
from sightline.pictures.reading import encode_png
from sightline.recipe import fit
from sightline.recipes._attribute_data import (
    GRID,
    NONE,
    AttributeTensors,
    birds,
    cub,
    cub_word,
    table,
)
from sightline.recipes._attribute_losses import (
    Answers,
    attribute_loss,
    class_loss,
    foreground_loss,
    positives,
)
from sightline.recipes._attribute_measures import attention, usual
from sightline.recipes.attributes import Attributes, HeadPlan, Study, TrainedHeads, run

WORDS = ("red", "blue", "yellow stripes", "black stripes")
LABELS = ("fire", "coal", "wasp", "night")
SIDE, PATCH = 24, 11
COLOURS = torch.tensor([[0.8, 0.15, 0.15], [0.15, 0.25, 0.85]])
STRIPES = torch.tensor([[0.95, 0.9, 0.2], [0.03, 0.03, 0.03]])
GROUNDS = torch.tensor([[0.4, 0.6, 0.35], [0.65, 0.6, 0.4], [0.55, 0.4, 0.6], [0.35, 0.55, 0.65]])


def scenes(count: int, seed: int, swapped: bool = False) -> AttributeTensors:
    """A patch, red or blue with yellow or black stripes, anywhere on a ground whose colour goes
    with the class in 90 % of the pictures; `swapped`: always that of another class.
    """
    dice = generator(seed, "scenes")
    classes = torch.randint(4, (count,), generator=dice)
    other = (classes + torch.randint(1, 4, (count,), generator=dice)) % 4
    apart = torch.rand(count, generator=dice) < (1.0 if swapped else 0.1)
    ground = torch.where(apart, other, classes)
    noise = 0.08 * torch.randn(count, 3, SIDE, SIDE, generator=dice)
    images = GROUNDS[ground][:, :, None, None] + noise
    masks = torch.zeros(count, SIDE, SIDE, dtype=torch.bool)
    for i in range(count):
        top, left = torch.randint(0, SIDE - PATCH + 1, (2,), generator=dice).tolist()
        patch = COLOURS[classes[i] // 2][:, None, None].repeat(1, PATCH, PATCH)
        lines = torch.arange(PATCH) % 4 < 2
        patch[:, :, lines] = STRIPES[classes[i] % 2][:, None, None]
        images[i, :, top : top + PATCH, left : left + PATCH] = patch + 0.03 * torch.randn(
            3, PATCH, PATCH, generator=dice
        )
        masks[i, top : top + PATCH, left : left + PATCH] = True
    blue, black = classes // 2 == 1, classes % 2 == 1
    attributes = torch.stack([~blue, blue, ~black, black], 1).float()
    return AttributeTensors(images.clamp(0, 1), classes, attributes, LABELS, WORDS, masks)


class Small(nn.Module):
    """Two convolutions without strides, an average, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 12, 3, padding=1),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            nn.Conv2d(12, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
        )
        self.head = nn.Linear(16, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).mean((2, 3)))


PLAN = HeadPlan(epochs=12, batch=16, rate=1e-2, warm_up=40, foreground_weight=0.1)


@cache
def trained(seed: int, epochs: int = 12, count: int = 320) -> dict[str, TrainedHeads]:
    """Each arm's network, and what it reached on pictures with swapped grounds."""
    torch.manual_seed(seed)
    base = Model(Small(), size=(SIDE, SIDE), labels=LABELS)
    data = scenes(count, seed), scenes(count * 5 // 12, 100 + seed, swapped=True)
    return run(Study.of(replace(PLAN, epochs=epochs), base, data), seed)


def test_the_sentence_names_both_true_attributes_and_its_boxes_hold_the_patch() -> None:
    net = trained(0)["attributes and foreground"].network
    model = Model(net, size=(SIDE, SIDE), labels=LABELS)
    exam = scenes(60, 7, swapped=True)
    target = [Class(int(c), probability=False) for c in exam.classes]
    found = create("explainer", "attribute-words")(model, exam.images, target)
    both, overlaps = [], []
    for row, facts in enumerate(found.facts):
        true = {w for w, a in zip(WORDS, exam.attributes[row], strict=True) if a}
        both.append(true <= set(found.carried(row)) and not set(found.carried(row)) - true)
        assert all(w in found.sentences[row] for w in found.carried(row))
        for fact in (f for f in facts if f["word"] in true):
            box = box_mask(tuple(fact["box"]), (SIDE, SIDE))
            mask = exam.masks[row].numpy()
            overlaps.append((box & mask).sum() / (box | mask).sum())
    assert np.mean(both) >= 0.95
    assert np.mean(np.array(overlaps) > 0.5) >= 0.95


def test_all_arms_see_the_same_and_only_the_attribute_arms_know_attributes() -> None:
    results = {name: arm.result for name, arm in trained(0).items()}
    assert list(results) == ["classes alone", "attributes", "attributes and foreground"]
    assert results["attributes"]["attribute_map"] > 0.99 > results["classes alone"]["attribute_map"]
    for result in results.values():
        assert result["accuracy"] > 0.9
        assert 0 < result["foreground_share"] <= 1 and result["seconds"] > 0


@pytest.mark.slow
def test_early_in_training_attributes_move_attention_to_the_object_on_the_mean_of_three_seeds() -> (
    None
):
    runs = [trained(seed, 3, 480) for seed in range(3)]
    means = {
        arm: np.mean([[each[arm].result[key] for each in runs] for key in KEYS], axis=1)
        for arm in runs[0]
    }
    alone, both = means["classes alone"], means["attributes and foreground"]
    assert means["attributes"][1] > alone[1] and both[1] > alone[1]
    assert both[0] >= alone[0] - 0.02


KEYS = ("accuracy", "foreground_share")


def test_the_losses_are_those_of_the_module_s_page() -> None:
    logits = torch.tensor([[0.3, -1.2, 2.0]], dtype=torch.float64)
    wanted = torch.tensor([[1.0, 0.25, 0.5]], dtype=torch.float64)
    weights = torch.tensor([4.0, 2.0, 3.0], dtype=torch.float64)
    share = logits.sigmoid()
    each = -(weights * wanted * share.log() + (1 - wanted) * (1 - share).log())
    expected = (1.0 * each[0, 0] + 0.5 * each[0, 1]) / 1.5  # the certainty of 0.5 is none
    assert_close(attribute_loss(logits, wanted, weights), expected)

    maps = torch.rand(2, 3, GRID, GRID, generator=generator(0, "maps"))
    weight = torch.tensor([[1.0, -0.5, 0.2], [0.3, 0.3, -1.0]])
    cells = torch.zeros(2, GRID, GRID)
    cells[:, 3:9, 2:7] = 1.0
    total = 0.0
    for i, c in enumerate((1, 0)):
        heat = sum(weight[c, d] * maps[i, d] for d in range(3)).clamp(min=0)
        total += 1 - float((heat * cells[i]).sum() / heat.sum())
    found = foreground_loss(maps, weight, Answers(torch.tensor([1, 0]), torch.zeros(2, 0), cells))
    assert float(found) == pytest.approx(total / 2, rel=1e-5)


def test_pictures_without_a_class_or_a_mask_count_for_attributes_alone() -> None:
    maps = torch.rand(2, 3, 4, 4)
    cells = torch.ones(2, GRID, GRID)
    cells[0] = -1
    unknown = Answers(torch.tensor([0, NONE]), torch.zeros(2, 0), cells)
    assert foreground_loss(maps, torch.ones(2, 3), unknown) == 0

    class Fixed(nn.Module):
        def forward(self, images: Tensor) -> dict[str, Tensor]:
            return {"logits": images}

    labels = torch.tensor([[1.0], [float(NONE)]])
    logits = torch.tensor([[0.0, 1.0], [5.0, -5.0]])
    expected = -torch.log_softmax(logits[:1], 1)[0, 1]
    assert_close(class_loss(Fixed(), logits, labels), expected)
    assert class_loss(Fixed(), logits[1:], labels[1:]) == 0


def test_positives_are_weighed_by_how_rare_they_are_up_to_ten() -> None:
    attributes = torch.zeros(40, 4)
    attributes[:10, 0] = attributes[:1, 1] = attributes[:, 3] = 1
    assert positives(attributes) == (3.0, 10.0, 1.0, 1.0)


def test_the_foreground_loss_is_warmed_up_and_the_stages_come_off_again() -> None:
    recipe = Attributes(foreground_weight=0.1, warm_up=10)
    assert [recipe.ramp(s) for s in (0, 10, 15, 20, 99)] == [0, 0, 0.5, 1, 1]
    lessons = scenes(16, 3)
    base = Model(Small(), size=(SIDE, SIDE))
    study = Study.of(PLAN, base, (lessons, lessons))
    from sightline.nets.attributes import attribute_net

    net = attribute_net(base, 4, WORDS, (SIDE, SIDE))
    calls: list[int] = []
    net.register_forward_hook(lambda *_: calls.append(1))
    epochs = [[(study.shown.float(), lessons.packed())]] * 2
    sgd = lambda module: (torch.optim.SGD(module.parameters(), 0.1), lambda step: None)  # noqa: E731
    assert fit(net, epochs, sgd, [recipe], base_loss=class_loss) is net
    assert len(calls) == 2  # one pass serves all three losses of a step


def test_mirrored_pictures_take_their_cells_along() -> None:
    lessons = scenes(6, 1)
    images, labels = Attributes().augment(lessons.images, lessons.packed(), 0)
    turned = [not torch.equal(a, b) for a, b in zip(images, lessons.images, strict=True)]
    assert 0 < sum(turned) < 6
    before, after = Answers.of(lessons.packed()), Answers.of(labels)
    for i, t in enumerate(turned):
        assert_close(after.cells[i], before.cells[i].flip(1) if t else before.cells[i])
        assert_close(images[i], lessons.images[i].flip(2) if t else lessons.images[i])
    assert torch.equal(before.classes, lessons.classes)


def test_attention_of_maps_whose_share_is_known() -> None:
    masks = torch.zeros(3, 4, 4)
    masks[:, :2, :2] = 1
    heat = torch.zeros(3, 4, 4)
    heat[0, :2, :2] = 1.0
    heat[1, 0, 0], heat[1, 3, 3] = 1.0, 3.0  # the third map is empty
    found = attention(heat, masks)
    expected = (1 + 0.25) / 2, (1 + 0) / 2, (1 + 1 / 5) / 2
    assert tuple(found.values()) == pytest.approx(expected)


def test_how_attributes_go_with_classes_is_their_correlation() -> None:
    classes = torch.tensor([0, 0, 1, 1, 2, NONE])
    attributes = torch.tensor([[1.0, 1], [1, 1], [0, 1], [1, 1], [0, 1], [0, 0]])
    found = usual(attributes, classes, 3)
    expected = np.corrcoef(attributes[:5, 0], np.array([1, 1, 0, 0, 0]))[0, 1]
    assert float(found[0, 0]) == pytest.approx(expected, abs=1e-6)
    assert (found[1] == 0).all()  # it never differs


def test_drawn_birds_come_with_odd_ones_that_belong_to_no_class() -> None:
    lessons, exam = birds(14, 32, exam=14).lessons(Model(Small(), size=(32, 32)))
    assert (lessons.classes[:14] >= 0).all() and (lessons.classes[14:] == NONE).all()
    assert exam.odd.tolist() == [False] * 14 + [True] * 7 and (exam.classes >= 0).all()
    crest = list(lessons.names).index("long crest")
    plumed = lessons.labels.index("plumed reedling")
    assert (lessons.attributes[:14, crest] == (lessons.classes[:14] == plumed)).all()
    assert lessons.masks.shape == (21, 32, 32) and len(exam.places) == 21
    with pytest.raises(BadField, match="one of each species"):
        birds(3)


def written(folder: Path, text: str) -> Path:
    for name in ("a", "b", "c", "d", "e"):
        (folder / f"{name}.png").write_bytes(encode_png(np.full((24, 24, 3), 90, np.uint8)))
    (folder / "table.csv").write_text(text)
    return folder / "table.csv"


ROWS = "a.png,owl,1,0\nb.png,hen,0,0.5\nc.png,owl,1,0\nd.png,hen,0,1\ne.png,owl,1,0\n"


def test_a_table_of_pictures_is_split_by_its_lines_or_as_it_says(tmp_path: Path) -> None:
    source = table(written(tmp_path, "image,class,horned,spurred\n" + ROWS), tmp_path)
    assert source.told() == {"kind": "table", "train": 4, "test": 1}
    model = Model(Small(), create_preprocess())
    lessons, exam = source.lessons(model)
    assert list(lessons.labels) == ["hen", "owl"] and list(lessons.names) == ["horned", "spurred"]
    assert lessons.attributes.tolist() == [[1, 0], [0, 0.5], [1, 0], [0, 1]]
    assert lessons.masks is None and len(exam.images) == 1
    boxed = "image,class,horned,x0,y0,x1,y1,split\n" + "".join(
        f"{n}.png,{c},1,2,3,10,12,{s}\n"
        for n, c, s in (("a", "owl", "train"), ("b", "hen", "test"))
    )
    lessons, exam = table(written(tmp_path, boxed), tmp_path).lessons(model)
    assert lessons.masks.sum() == exam.masks.sum() == 8 * 9


def create_preprocess() -> object:
    from sightline import Preprocess

    return Preprocess(size=24)


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("image,horned\na.png,1", BadField, "lacks the column class; it has image, horned"),
        ("image,class\na.png,owl", BadField, "no attribute column"),
        ("image,class,horned\na.png,owl,2", BadField, r"line 2: attribute 'horned' is '2'"),
        ("image,class,horned\na.png,owl,often", BadField, r"expected 0, 1 or a certainty"),
        ("image,class,horned\na.png,ovl,1", UnknownName, r"line 2: no class 'ovl'.*'owl'"),
        ("image,class,horned,split\na.png,owl,1,tests", BadField, "split is train or test"),
        ("image,class,horned,x0,y0,x1,y1\na.png,owl,1,1,2,3,x", BadField, "is not x0, y0, x1, y1"),
        ("image,class,horned\n", BadField, "no lines below its header"),
        ("image,class,horned\na.png,owl,1\nb.png,owl,1", BadField, "no picture to be tested on"),
    ],
)
def test_a_table_with_a_mistake_names_it(
    tmp_path: Path, text: str, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        table(written(tmp_path, text), tmp_path, ["owl", "hen"])


def test_a_table_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="cannot be read"):
        table(tmp_path / "none.csv", tmp_path)


def test_cub_gives_each_picture_what_its_annotator_saw(tmp_path: Path) -> None:
    source = cub(cub_tree.make(tmp_path))
    assert source.labels == ["Grey Owl", "Red Hen"]
    assert source.words == ["hooked seabird bill shape", "red wing color"]
    lessons, exam = source.lessons(Model(nn.Flatten(), create_preprocess()))
    assert lessons.attributes.tolist() == [[1, 0], [0, 1]] and lessons.classes.tolist() == [0, 1]
    assert exam.attributes.tolist() == [[1, 0], [0, 1]] and exam.masks is not None
    assert source.told() == {"kind": "CUB", "train": 2, "test": 2}
    assert cub_word("has_tail_shape::pointed_tail") == "pointed tail shape"
    assert cub_word("has_size::small_(5_-_9_in)") == "small size"
    (tmp_path / "attributes" / "image_attribute_labels.txt").write_text("1 1 1 3 2.0\n")
    with pytest.raises(BadField, match=r"says no attributes of 001.Grey_Owl/b.jpg"):
        cub(tmp_path)


def test_a_region_is_text_that_can_be_read_back() -> None:
    net = trained(0)["attributes"].network
    model = Model(net, size=(SIDE, SIDE), labels=LABELS)
    found = create("explainer", "attribute-words")(model, scenes(2, 5).images)
    fact = json.loads(json.dumps(found.to_json()))["facts"][0][0]
    assert decode(fact["region"]).mean() == pytest.approx(fact["area"])
    assert fact["probability"] > 0.5 and -1 <= fact["contribution"] <= 1
