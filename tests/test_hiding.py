"""Hiding: scores of pictures seen through masks are those of the blended pictures."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline import Class, Model, hiding
from sightline.hiding import Changes, HiddenImage, chunked_scores, hidden_images
from sightline.ops.fill import Fill
from sightline.ops.masks import blend, cut_windows, windows
from sightline.worlds.miniatures import MINIATURES

MINI = MINIATURES["pooled-cnn"]
SIZE = MINI.size


def made(batch: int = 2, at_once: int | None = None) -> tuple[Model, Tensor, list[HiddenImage]]:
    model, images = Model(MINI(), size=SIZE), torch.rand(batch, 3, *SIZE)
    filled = Fill("mean").like(images, model)
    return model, images, hidden_images(model, Class((1, 2)[:batch]), images, filled, at_once)


def scored(hidden: HiddenImage, masks: Tensor) -> Tensor:
    """Mask by mask, from the definition."""
    assert hidden.filled is not None
    rows = torch.tensor([hidden.row])
    found = [
        hidden.model.scores(blend(hidden.image, mask[None], hidden.filled), hidden.target, rows)
        for mask in masks
    ]
    return torch.cat(found)


def test_each_image_is_scored_through_each_mask_for_its_own_target() -> None:
    _, _, hidden = made()
    masks = torch.rand(5, 1, *SIZE)
    for each in hidden:
        assert_close(each.scores(masks), scored(each, masks))
        assert_close(each.empty(), scored(each, torch.zeros(1, 1, *SIZE)))


def test_masks_are_laid_for_no_more_pictures_than_run_at_once() -> None:
    model, _, hidden = made(1, at_once=4)
    cells, laid = torch.rand(10, 3), []

    def lay(part: Tensor) -> Tensor:
        laid.append(len(part))
        return part[:, :1, None, None].expand(-1, 1, *SIZE)

    before = model.evaluations["forward"]
    found = hidden[0].scores(cells, lay)
    assert laid == [4, 4, 2] and model.evaluations["forward"] == before + 10
    assert_close(found, scored(hidden[0], cells[:, :1, None, None].expand(-1, 1, *SIZE)))


def test_side_inputs_follow_the_row() -> None:
    class Asked(nn.Module):
        def forward(self, images: Tensor, factor: Tensor) -> Tensor:
            return images.mean((2, 3)) * factor

    model = Model(Asked(), preprocess=None, size=(4, 4)).given(factor=torch.tensor([[1.0], [10.0]]))
    images = torch.rand(2, 3, 4, 4)
    hidden = hidden_images(model, Class(0), images, torch.zeros_like(images))
    masks = torch.ones(3, 1, 4, 4)
    assert_close(hidden[1].scores(masks), 10 * images[1, 0].mean().expand(3))


def test_what_hides_may_be_made_for_each_mask() -> None:
    model, images, _ = made(1)

    def inpaint(pictures: Tensor, masks: Tensor) -> Tensor:
        return pictures * masks + 0.25 * (1 - masks)

    each = HiddenImage(
        model=model, target=Class(1), row=0, image=images, filled=None, inpaint=inpaint
    )
    quarter = hidden_images(model, Class(1), images, torch.full_like(images, 0.25))[0]
    masks = torch.rand(3, 1, *SIZE)
    assert_close(each.scores(masks), quarter.scores(masks))
    assert each.plan(windows(SIZE, (4, 4), (4, 4))) is None


def test_windows_are_scored_alike_with_and_without_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, hidden = made()
    corners = windows(SIZE, (8, 8), (4, 4))
    assert len(corners) >= hiding.FEWEST
    monkeypatch.setattr(hiding, "GAIN", 0.0)
    plan = hidden[1].plan(corners)
    assert plan is not None
    quick = hidden[1].window_scores(corners)
    wanted = scored(hidden[1], cut_windows(corners, SIZE))
    assert_close(quick, wanted, atol=1e-4, rtol=1e-4)
    recorded = torch.ones(1, 1, *SIZE)
    changes = Changes(on=[0] * len(corners), windows=range(len(corners)))
    changed = hidden[1].changed_scores(
        plan, recorded, changes, lambda part: cut_windows(corners[part], SIZE)
    )
    assert_close(changed, wanted, atol=1e-4, rtol=1e-4)
    monkeypatch.setattr(hiding, "GAIN", float("inf"))
    assert_close(hidden[1].window_scores(corners), wanted)


def test_pictures_of_several_images_are_scored_in_one_run() -> None:
    model, images, _ = made()
    rows = torch.tensor([0, 0, 1, 1, 1])
    found = chunked_scores(model, Class((1, 2)), rows, lambda part: images[rows[part]], 2)
    assert_close(found, model.scores(images, Class((1, 2)))[rows])
