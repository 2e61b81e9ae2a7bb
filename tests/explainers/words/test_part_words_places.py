"""Part words keep their places: with many pictures, on copies, and on another device."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sightline import Class, Model, Preprocess, create, explain
from sightline.errors import BadTarget
from sightline.pictures.reading import Picture

SIDE, COUNT = 16, 19
TARGET = Class(0, probability=False)


def made(name: str = "{}.png") -> tuple[Model, list[Picture], list[tuple[int, ...]]]:
    """Pictures of unequal width, a part of each, and a network whose evidence is its place: a
    part's evidence is the sum of its pixels' numbers, whatever the picture shows."""

    class Numbered(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.arange(SIDE * SIDE).float().reshape(SIDE, SIDE) / 1e3)

        def forward(self, images: Tensor) -> Tensor:
            score = (images.mean(1) * self.weight).sum((1, 2))
            return torch.stack([score, 0 * score], 1)

    pictures, boxes = [], []
    for i in range(COUNT):
        wide = 2 * SIDE + 8 * (i % 3)
        pictures.append(Picture(np.full((2 * SIDE, wide, 3), 255 - i, np.uint8), name.format(i)))
        x0 = (wide - 2 * SIDE) // 2 + 2 * (i % 5)
        boxes.append((x0, 2 * (i % 7), x0 + 6, 2 * (i % 7) + 4))
    return Model(Numbered(), Preprocess(size=SIDE, crop=1.0)), pictures, boxes


def expected(i: int) -> float:
    rows, cols = torch.arange(2) + i % 7, torch.arange(3) + i % 5
    numbers = rows[:, None] * SIDE + cols[None]
    return float(numbers.sum()) / 1e3 * (255 - i) / 255


def evidence(found) -> list[float]:
    assert [len(facts) for facts in found.facts] == [1] * len(found.facts)
    return [facts[0]["evidence"] for facts in found.facts]


def table(path: Path, boxes: list[tuple[int, ...]]) -> Path:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("image", "part", "x0", "y0", "x1", "y1"))
        rows.writerows((f"{i}.png", "part", *box) for i, box in enumerate(boxes))
    return path


@pytest.mark.parametrize("way", ["pictures", "tensor", "copy", "another device"])
@pytest.mark.parametrize("named", ["list", "file", "masks"])
def test_parts_of_many_pictures_stay_in_their_place(
    way: str, named: str, tmp_path: Path, monkeypatch
) -> None:
    model, pictures, boxes = made()
    parts = {"list": {"part": boxes}, "file": table(tmp_path / "parts.csv", boxes)}
    masks = [np.zeros(p.size, bool) for p in pictures]
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    parts["masks"] = {"part": masks}
    explainer = create("explainer", "part-words", named=parts[named], fill=0.0, others=5)
    images = pictures if way == "pictures" else model.prepare(pictures)
    images = images.clone() if way == "copy" else images
    if way == "another device":  # every move is a copy
        move = Tensor.to
        monkeypatch.setattr(Tensor, "to", lambda x, *a, **k: move(x, *a, **k).clone())
    found = explainer(model, images, TARGET)
    assert evidence(found) == pytest.approx([expected(i) for i in range(COUNT)], rel=1e-4)
    both = explain(model, images, [explainer, "gradient"], TARGET)
    assert evidence(both[0]) == pytest.approx(evidence(found), rel=1e-4)
    assert found.frames == both[1].frames and len(found.frames) == COUNT
    monkeypatch.undo()
    if named == "file" and way != "pictures":
        order = [18, 3]
        found = explainer(model, images[order], TARGET)
        assert evidence(found) == pytest.approx([expected(i) for i in order], rel=1e-4)


def test_parts_of_a_changed_picture_are_refused_and_masks_of_the_tensor_are_not() -> None:
    model, _, boxes = made()
    array = np.random.default_rng(0).integers(0, 255, (32, 40, 3), dtype=np.uint8)
    images = model.prepare([Picture(array, "a")]).flip(3)
    with pytest.raises(BadTarget, match=r"changed after `model.prepare`"):
        create("explainer", "part-words", named={"part": boxes[0]})(model, images, TARGET)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[:2, :3] = True
    explainer = create("explainer", "part-words", named={"part": mask}, fill=0.0, others=5)
    weight, shown = model.module.weight.detach(), images[0].mean(0)
    assert evidence(explainer(model, images, TARGET)) == pytest.approx(
        [float((weight * shown)[:2, :3].sum())], rel=1e-4
    )
