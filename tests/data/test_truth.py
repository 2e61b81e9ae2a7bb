"""What a run says of pictures whose truth cannot be measured: no number, and why."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

import sightline as sl
from sightline.errors import BadField
from sightline.pictures.reading import Picture
from sightline.sample import Sample

METRICS = ["pointing", "energy-pointing", "max-box-acc"]


@pytest.fixture
def model() -> sl.Model:
    """The centre square of a picture at 10 x 10."""
    how = sl.Preprocess(size=10, resize=10, crop="center")
    return sl.Model(nn.Sequential(nn.Flatten(), nn.Linear(300, 2)), how, labels=["cat", "dog"])


def table(model: sl.Model, folder: Path, box: str) -> list[dict[str, Any]]:
    """The rows of occlusion for one picture of 20 x 60 (row, col) with this box."""
    noise = np.random.default_rng(0).integers(0, 255, (20, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "a.png")
    (folder / "all.csv").write_text(f"path,label,box\na.png,dog,{box}\n")
    found = sl.evaluate(model, folder / "all.csv", ["occlusion"], METRICS, folder / "run")
    return [row for row in found.rows if row["method"] == "occlusion"]


def test_a_box_that_the_crop_removed_is_not_measured_and_says_so(
    model: sl.Model, tmp_path: Path
) -> None:
    for row in table(model, tmp_path, "2 2 18 18"):  # columns 20 to 39 are shown
        assert row["value"] is None
        assert row["error"] == (
            f"undefined: {row['metric']} does not measure picture 0: the object has no pixel in"
            " what the model saw (cropped away, outside, or an empty mask)."
        )


@pytest.mark.parametrize("box", ["30 2 22 18", "22 18 30 2", "22 2 22 18"])
def test_a_reversed_or_empty_box_of_a_table_is_refused(
    box: str, model: sl.Model, tmp_path: Path
) -> None:
    for row in table(model, tmp_path, box):
        assert row["value"] is None and "its corners are exchanged" in row["error"]


def test_masks_of_a_sample_follow_the_rule_of_truth(model: sl.Model) -> None:
    picture = Picture(np.zeros((20, 60, 3), np.uint8), "x")
    inside = np.zeros((20, 60), np.uint8)
    inside[4:16, 24:32] = 255  # times 255 once more it would be 1, which is nothing
    truth = Sample(name="x", source=picture, mask=inside).truth(model.preprocess, picture)
    assert truth is not None and truth.masks is not None
    expected = np.zeros((10, 10), bool)
    expected[2:8, 2:6] = True
    assert np.array_equal(truth.masks[0], expected)
    inside[0, 0] = 3
    with pytest.raises(BadField, match="3 values from 0 to 255"):
        Sample(name="x", source=picture, mask=inside).truth(model.preprocess, picture)
