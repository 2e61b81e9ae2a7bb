"""Boxes and masks given on the picture reach the same place of the tensor, or are refused."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Model, Preprocess, Region, Similarity, create, explain
from sightline.errors import BadTarget, ShapeError
from sightline.pictures.reading import Picture
from sightline.targets.structured import Box

FIRST, SECOND = (30.0, 10.0, 42.0, 22.0), (54.0, 34.0, 66.0, 46.0)


def detections(brightness: Tensor) -> list[dict[str, Tensor]]:
    """Each cell of 4 x 4 pixels is one, whose score is its brightness."""
    rows, cols = brightness.shape[1:]
    row, col = torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij")
    boxes = 4.0 * torch.stack([col, row, col + 1, row + 1], -1).reshape(-1, 4)
    labels = torch.ones(len(boxes), dtype=torch.int64)
    return [{"boxes": boxes, "scores": b.flatten(), "labels": labels} for b in brightness]


class Cells(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Conv2d(3, 1, 4, 4, bias=False)
        nn.init.constant_(self.mean.weight, 1 / 48)

    def forward(self, images: Tensor) -> Tensor:
        return self.mean(images)[:, 0]


def picture(seed: int, rows: int = 48, cols: int = 96) -> Picture:
    array = np.random.default_rng(seed).integers(0, 256, (rows, cols, 3), dtype=np.uint8)
    return Picture(array, f"{seed}.png")


def made(count: int = 2, **sizes: int) -> tuple[Model, Tensor]:
    """The centre of the picture, halved: x' = (x - 24) / 2, y' = y / 2."""
    model = Model(Cells(), Preprocess(size=24, crop=1.0), ["bird", "thing"], output=detections)
    return model, model.prepare([picture(i, **sizes) for i in range(count)])


def cell(images: Tensor, row: int, col: int) -> Tensor:
    return images[:, :, 4 * row : 4 * row + 4, 4 * col : 4 * col + 4].mean((1, 2, 3))


@pytest.mark.parametrize(
    "way",
    [
        lambda x, m: x,
        lambda x, m: x.clone(),
        lambda x, m: torch.cat([x[:1], x[1:]]),
        lambda x, m: x.to(memory_format=torch.channels_last),
    ],
)
def test_a_box_for_all_is_a_box_for_each_whatever_was_done_to_the_tensor(way) -> None:
    model, images = made()
    images = way(images, model)
    expected = cell(images, 1, 1)  # FIRST is (3, 5, 9, 11): cell (1, 1) has most of it
    for target in (
        Box(FIRST, "thing"),
        [Box(FIRST, "thing"), Box(FIRST, "thing")],
        Box((FIRST, FIRST), "thing"),
        Box((3.0, 5.0, 9.0, 11.0), "thing", bound=True),
        Box(np.array(FIRST), 1),  # type: ignore[arg-type]
        Box(FIRST, "thing").bind(model, images),
        Box(FIRST, "thing").bind(model, images).bind(model, images),
    ):
        aimed = model.aim(images, target)
        assert_close(model.scores(images, aimed), expected)
        assert_close(model.scores(images, aimed.bind(model, images)), expected)
    assert_close(model.scores(images[1:], Box(FIRST, "thing")), expected[1:])


def test_boxes_of_their_own_go_with_their_pictures_also_the_seventeenth() -> None:
    model, images = made(18)
    boxes = [FIRST if i % 3 else SECOND for i in range(18)]
    expected = torch.where(
        torch.arange(18) % 3 > 0, cell(images, 1, 1), cell(images, 4, 4)
    )  # SECOND is (15, 17, 21, 23)
    for target in (Box(tuple(boxes), "thing"), [Box(b, "thing") for b in boxes]):
        found = create("explainer", "gradient")(model, images.clone(), target)
        assert_close(torch.tensor(found.provenance["score"]), expected)
    both = explain(model, images.clone(), ["gradient", "input-x-gradient"], Box(FIRST, "thing"))
    for found in both:
        assert_close(torch.tensor(found.provenance["score"]), cell(images, 1, 1))
        assert found.frames == model.frames(images) and len(found.pictures) == 18


def test_on_tensors_that_never_were_pictures_a_box_is_in_their_own_pixels() -> None:
    model, _ = made()
    own = torch.rand(2, 3, 24, 24)
    assert_close(model.scores(own, Box((4.0, 8.0, 8.0, 12.0), "thing")), cell(own, 2, 1))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x + 0.03 * torch.randn(x.shape),
        lambda x: 0.8 * x,
        lambda x: x.flip(3),
        lambda x: x.rot90(1, (2, 3)).contiguous(),
        lambda x: x[:, :, 2:22, 2:22],
        lambda x: nn.functional.interpolate(x, scale_factor=2.0),
    ],
)
def test_a_box_on_a_changed_picture_is_refused_and_bound_is_the_way_out(change) -> None:
    model, images = made()
    torch.manual_seed(0)
    images = change(images)
    with pytest.raises(BadTarget, match=r"changed after `model.prepare`.*bound=True"):
        model.aim(images, Box(FIRST, "thing"))
    assert_close(
        model.scores(images, Box((4.0, 8.0, 8.0, 12.0), "thing", bound=True)), cell(images, 2, 1)
    )


def test_a_box_in_a_transform_of_unknown_geometry_is_refused() -> None:
    model = Model(Cells(), lambda image: torch.ones(3, 24, 24), ["a", "thing"], output=detections)
    images = model.prepare([picture(0)])
    with pytest.raises(BadTarget, match="unknown geometry"):
        model.aim(images, Box(FIRST, "thing"))


@pytest.mark.parametrize(
    ("xyxy", "error", "reason"),
    [
        ((42.0, 10.0, 30.0, 22.0), BadTarget, "x0 < x1"),
        ((30.0, 22.0, 42.0, 10.0), BadTarget, "x0 < x1"),
        ((30.0, 10.0, 30.0, 22.0), BadTarget, "x0 < x1"),
        ((30.0, 10.0, float("nan"), 22.0), BadTarget, "x0 < x1"),
        ((30.0, 10.0, 42.0), BadTarget, "x0, y0, x1, y1"),
        ("everything", BadTarget, "x0, y0, x1, y1"),
        ((FIRST, FIRST, FIRST), ShapeError, "3 boxes for 2 images"),
        ((0.0, 0.0, 20.0, 40.0), BadTarget, "outside what the model sees"),
    ],
)
def test_what_is_no_box_of_the_picture_is_refused(xyxy, error, reason) -> None:
    model, images = made()
    with pytest.raises(error, match=reason):
        model.aim(images, Box(xyxy, "thing"))


# masks


def segmenter(size: int = 24) -> tuple[Model, nn.Conv2d]:
    net = nn.Conv2d(3, 2, 1)
    return Model(net, Preprocess(size=size, crop=1.0), ["bird", "thing"]), net


@pytest.mark.parametrize("way", [lambda x: x, lambda x: x.clone(), lambda x: x[1:]])
def test_a_region_s_mask_of_the_picture_is_that_of_the_model_s_frame(way) -> None:
    model, _ = segmenter()
    images = way(model.prepare([picture(0), picture(1)]))
    shown, inside = np.zeros((48, 96), bool), torch.zeros(24, 24, dtype=torch.bool)
    shown[10:22, 30:42] = True
    inside[5:11, 3:9] = True
    scores = model.trace(images).output[:, 1]
    expected = scores[:, inside].mean(1).detach()
    both = np.stack([shown] * len(images))
    for mask in (shown, torch.from_numpy(shown), inside, shown.astype(float), both):
        aimed = model.aim(images, Region(mask, "thing"))
        assert_close(model.scores(images, aimed), expected)
        assert_close(model.scores(images, aimed.bind(model, images)), expected)
    each = [Region(shown, "thing")] * len(images)
    assert_close(model.scores(images, model.aim(images, each)), expected)


def test_a_mask_of_another_size_is_refused() -> None:
    model, _ = segmenter()
    images = model.prepare([picture(0), picture(1, 48, 90)])
    own = torch.rand(2, 3, 24, 24)
    for where, mask in ((images, (47, 96)), (images, (48, 96)), (own, (48, 96)), (own, (12, 12))):
        with pytest.raises(ShapeError, match=r"\(24, 24\) of the model's input"):
            model.aim(where, Region(np.ones(mask), 1))
    with pytest.raises(ShapeError, match="one for each of 2 images"):
        model.aim(images, Region(np.ones((3, 24, 24)), 1))
    gone = np.zeros((48, 96))
    gone[:, :20] = 1
    with pytest.raises(BadTarget, match="crop removed the region from image 0"):
        model.aim(images[:1], Region(gone, 1))


def test_each_image_may_have_a_mask_of_its_own_also_past_the_first_sixteen() -> None:
    model, _ = segmenter()
    images = torch.rand(18, 3, 24, 24)
    masks = torch.zeros(18, 24, 24)
    for i in range(18):
        masks[i, i : i + 3, :5] = 1
    scores = model.trace(images).output[:, 1].detach()
    expected = torch.stack([scores[i, i : i + 3, :5].mean() for i in range(18)])
    found = create("explainer", "gradient")(model, images, Region(masks, 1))
    assert_close(torch.tensor(found.provenance["score"]), expected)


# embeddings, and what is no class


def test_a_similarity_takes_embeddings_of_numpy_and_lists_as_those_of_torch() -> None:
    model = Model(nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), Preprocess(size=2, crop=None))
    images, to = torch.rand(2, 3, 2, 2), torch.randn(2, 5)
    expected = nn.functional.cosine_similarity(model.outputs(images), to)
    rows = [to[0].numpy(), to[1].numpy()]
    for given in (to, to.numpy(), to.double().numpy(), to.tolist(), rows, list(to)):
        assert_close(model.scores(images, Similarity(given)), expected, rtol=1e-4, atol=1e-5)
    one = nn.functional.cosine_similarity(model.outputs(images), to[:1])
    assert_close(model.scores(images, Similarity(to[:1].numpy())), one, rtol=1e-4, atol=1e-5)
    grey = np.random.default_rng(0).random((4, 4))
    like = nn.functional.cosine_similarity(
        model.outputs(images), model.outputs(model.prepare(grey))
    )
    assert_close(model.scores(images, Similarity(grey)), like, rtol=1e-4, atol=1e-5)
    with pytest.raises(ShapeError, match="3 embeddings for 2 images"):
        model.aim(images, Similarity(np.random.default_rng(0).random((3, 5))))


@pytest.mark.parametrize(
    "target",
    [
        torch.tensor([True, False]),
        torch.tensor(True),
        np.array([True, False]),
        np.True_,
        True,
        [True, False],
        [torch.tensor(True), torch.tensor(False)],
    ],
)
def test_yes_and_no_are_no_classes(target) -> None:
    from sightline import Class

    model = Model(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)))
    images = torch.rand(2, 3, 2, 2)
    for given in (target, Class(target)):
        with pytest.raises(BadTarget):
            model.aim(images, given)
