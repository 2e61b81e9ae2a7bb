"""The baseline that knows where the other pictures have their objects."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import sightline as sl
from sightline import registry
from sightline.evaluation import run as evaluation
from sightline.evaluation.average_location import AVERAGE_LOCATION, average_location, place
from sightline.pictures.preprocess import Preprocess
from sightline.sample import Meaning, Sample, Samples, Truth
from sightline.worlds.miniatures import MINIATURES


@pytest.fixture
def model() -> sl.Model:
    return sl.Model(MINIATURES["pooled-cnn"](), size=(32, 32))


KNOWN = Meaning(text="0", index=0)


def _items(count: int = 4) -> list[Sample]:
    """Noise with the object one column further to the right in each picture."""
    images = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    masks = np.zeros((count, 32, 32), dtype=bool)
    for k, mask in enumerate(masks):
        mask[8:16, k : k + 8] = True
    return [
        Sample(name=f"noise {k}", source=images[k : k + 1], meaning=KNOWN, mask=masks[k])
        for k in range(count)
    ]


def _collection(items: list[Sample]) -> Samples:
    return Samples(name="noise", count=len(items), start=lambda: iter(items), handed=True)


def test_each_picture_is_left_out_of_its_own_map(model: sl.Model) -> None:
    items = _items()
    average = average_location(model, items)
    assert average is not None and average.count == 4
    masks = np.stack([item.mask for item in items]).astype(float)
    for k in range(4):
        expected = np.delete(masks, k, 0).mean(0)
        found = average.map(Truth(masks=[items[k].mask]), None)[0].numpy()
        np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(average.map(None, None)[0].numpy(), masks.mean(0), atol=1e-6)


def test_boxes_are_laid_into_the_models_frame() -> None:
    frame = Preprocess(size=(20, 20), resize=20, mean=0.5, std=0.5).frame((40, 40))
    truth = Truth(boxes=[(4.0, 8.0, 20.0, 24.0)])
    found = place(truth, frame, (20, 20))
    assert found is not None
    expected = np.zeros((20, 20))
    expected[4:12, 2:10] = 1
    np.testing.assert_array_equal(found, expected)
    assert place(Truth(boxes=[None]), frame, (20, 20)) is None


def test_a_part_can_be_the_object_and_one_picture_is_too_few(model: sl.Model) -> None:
    items = _items(3)
    badge = np.zeros((32, 32), dtype=bool)
    badge[:4, :4] = True
    marked = [replace(item, parts={"mark": badge}) for item in items]
    average = average_location(model, marked, "mark")
    assert average is not None
    np.testing.assert_allclose(average.map(None, None)[0].numpy(), badge)
    assert average_location(model, items, "mark") is None
    assert average_location(model, items[:1]) is None


def test_it_is_a_row_beside_the_baselines_and_is_not_computed_twice(
    model: sl.Model, tmp_path: Path
) -> None:
    pictures = _collection(_items())
    average = average_location(model, pictures)
    methods = [registry.create("explainer", "gradient")]
    plan = evaluation.prepared(
        model, methods, ["part-iou"], pictures, tmp_path, stability=False, average=average
    )
    table = evaluation.evaluate(plan, pictures, tmp_path)
    assert table.nulls[-1] == AVERAGE_LOCATION
    values = [r["value"] for r in table.rows if r["method"] == AVERAGE_LOCATION]
    random = [r["value"] for r in table.rows if r["method"] == "random"]
    assert min(values) > 0.5 > np.mean(random)
    kept = (tmp_path / "cells.jsonl").read_bytes()
    evaluation.evaluate(plan, pictures, tmp_path)
    assert (tmp_path / "cells.jsonl").read_bytes() == kept
