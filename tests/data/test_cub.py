"""CUB as it is published: pictures, species, parts of the bird and what annotators marked."""

from pathlib import Path

import pytest

import sightline as sl
from data import cub_tree
from sightline.data.classes import match
from sightline.data.opening import open_samples
from sightline.errors import BadField, FileProblem


def test_each_picture_has_its_species_box_points_and_attributes(tmp_path: Path) -> None:
    samples = open_samples(f"cub:{cub_tree.make(tmp_path)}")
    first, second, third, _ = samples
    assert (first.name, first.label, first.number) == ("001.Grey_Owl/a.jpg", "001.Grey_Owl", 0)
    assert first.boxes == ((1.0, 2.0, 9.0, 8.0),)
    assert first.keypoints == {"back": (5.0, 4.0)}  # (row, col), what is visible
    assert second.keypoints == {"back": (1.0, 1.0), "left eye": (2.0, 3.0)}
    assert third.keypoints == {}
    assert first.attributes == {"has_bill_shape::hooked_seabird": 1.0, "has_wing_color::red": 0.0}
    assert third.attributes == {"has_bill_shape::hooked_seabird": 0.0, "has_wing_color::red": 1.0}
    assert first.load().size == (10, 12)


def test_its_split_is_two_parts(tmp_path: Path) -> None:
    cub_tree.make(tmp_path)
    names = [[s.name[-5:] for s in open_samples(f"cub:{tmp_path}:{k}")] for k in ("train", "test")]
    assert names == [["a.jpg", "c.jpg"], ["b.jpg", "d.jpg"]]
    assert open_samples(f"cub:{tmp_path}:test").to_toml()["source"] == f"cub:{tmp_path}:test"


def test_its_species_are_the_models_classes_by_name(tmp_path: Path) -> None:
    model = sl.load("sightline:default", pretrained=False)
    model.labels = ["red hen", "grey owl", *map(str, range(12))]
    found = match(open_samples(f"cub:{cub_tree.make(tmp_path)}"), model)
    assert [sample.class_index for sample in found] == [1, 1, 0, 0]


def test_parts_and_attributes_may_be_missing_or_lie_beside_the_folder(tmp_path: Path) -> None:
    folder = cub_tree.make(tmp_path / "CUB_200_2011")
    (folder / "attributes" / "attributes.txt").rename(tmp_path / "attributes.txt")
    assert len(open_samples(f"cub:{folder}")[0].attributes or {}) == 2
    (folder / "attributes" / "image_attribute_labels.txt").unlink()
    for file in (folder / "parts").iterdir():
        file.unlink()
    (folder / "parts").rmdir()
    first = open_samples(f"cub:{folder}")[0]
    assert first.attributes is None and first.keypoints is None


@pytest.mark.parametrize(
    ("file", "text", "error", "said"),
    [
        ("images.txt", None, FileProblem, "Name the folder that holds images.txt"),
        ("bounding_boxes.txt", "1 1 2 3\n", BadField, "line 1: '1 1 2 3' does not hold 5 values"),
        ("image_class_labels.txt", "1 1\n2 7\n", BadField, "line 2: '2 7'"),
        ("train_test_split.txt", "1 1\n", BadField, "says nothing of picture 2"),
        ("parts/part_locs.txt", "1 9 0 0 1\n", BadField, "line 1"),
    ],
)
def test_a_table_that_is_wrong_is_named(
    file: str, text: str | None, error: type[Exception], said: str, tmp_path: Path
) -> None:
    cub_tree.make(tmp_path)
    if text is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(text)
    with pytest.raises(error, match=said):
        open_samples(f"cub:{tmp_path}")
