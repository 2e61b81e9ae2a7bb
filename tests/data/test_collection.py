"""What DATA stands for: folders, tables, globs, sequences; labels and boxes, right and wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sightline as sl
from sightline.data.classes import match
from sightline.data.opening import open_samples
from sightline.errors import BadField, BadImage
from sightline.pictures.reading import Picture
from sightline.sample import Sample
from sightline.worlds import aviary


@pytest.fixture(scope="module")
def model() -> sl.Model:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 3))
    return sl.Model(net, sl.Preprocess(size=8), labels=["tabby cat", "dog", "fish, carp"])


def _draw(path: Path, size: tuple[int, int] = (10, 12)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size[1], size[0]), (90, 120, 30)).save(path)
    return path


def _items(data: object, model: sl.Model, limit: int | None = None) -> list[Sample]:
    return list(match(open_samples(data, limit), model))


def test_class_folders_are_labels_in_any_spelling(model: sl.Model, tmp_path: Path) -> None:
    for name in ("tabby_cat/a.png", "carp/b.png", "strange/c.png", "d.png"):
        _draw(tmp_path / name)
    found = match(open_samples(tmp_path), model)
    labels = {item.name: item.class_index for item in found}
    assert labels == {"carp/b.png": 2, "d.png": None, "strange/c.png": None, "tabby_cat/a.png": 0}
    notes = {item.name: item.meaning.note for item in found}
    assert notes.pop("strange/c.png") == "The label 'strange' is no class of the model."
    assert not any(notes.values())


def test_a_folder_without_labels_says_that_the_top_class_is_the_target(
    model: sl.Model, tmp_path: Path
) -> None:
    _draw(tmp_path / "a.png")
    assert "top class" in match(open_samples(str(tmp_path)), model).notes[0]


def test_a_table_gives_labels_and_boxes(model: sl.Model, tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text(
        "path,label,box\n"
        'a.png,dog,"1,2,5,6"\n'
        "b.png,2,1 2 5 6; 3 3 9 9\n"
        "c.png,,\n"
        "a.png,dog,0 0 4 4\n"
        "d.png,dgo,\n"
        "e.png,dog,1 2 three\n"
    )
    a, b, c, d, e = _items(tmp_path / "all.csv", model)
    assert a.class_index == 1 and a.boxes == ((1, 2, 5, 6), (0, 0, 4, 4))
    assert b.class_index == 2 and b.boxes is not None and len(b.boxes) == 2
    assert (c.class_index, c.boxes, c.error) == (None, None, "")
    assert (d.class_index, d.error) == (None, "") and "did you mean 'dog'" in d.meaning.note
    assert "four numbers" in e.error
    assert a.source == tmp_path / "a.png"


@pytest.mark.parametrize("text", ["a.png,dog,1,2,5,6\n", 'path,label,box\na.png,dog,"1,2,5,6"\n'])
def test_a_table_needs_neither_a_head_nor_quotes(
    text: str, model: sl.Model, tmp_path: Path
) -> None:
    (tmp_path / "all.csv").write_text(text, encoding="utf-8-sig")
    (item,) = _items(tmp_path / "all.csv", model)
    assert (item.name, item.class_index, item.boxes) == ("a.png", 1, ((1, 2, 5, 6),))


def test_a_table_keeps_each_class_of_a_picture_apart(model: sl.Model, tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text(
        "path,label,box\na.png,dog,1 2 5 6\na.png,carp,3 3 9 9\na.png,dog,0 0 4 4\na.png,dgo,\n"
        "a.png,dgo,\n"
    )
    dog, carp, *strange = _items(tmp_path / "all.csv", model)
    assert (dog.class_index, dog.boxes) == (1, ((1, 2, 5, 6), (0, 0, 4, 4)))
    assert (carp.class_index, carp.boxes) == (2, ((3, 3, 9, 9),))
    assert [(item.class_index, item.meaning.text) for item in strange] == [(None, "dgo")]


def test_a_table_may_have_semicolons_gaps_and_floats(model: sl.Model, tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("path;label;box\na.png;2.0;1,2,5,6\nb.png;;\n")
    a, b = _items(tmp_path / "all.csv", model)
    assert (a.class_index, a.boxes, a.error) == (2, ((1, 2, 5, 6),), "") and b.class_index is None
    (tmp_path / "all.csv").write_text("a.png,dog,0 0 inf 4\n")
    assert "four numbers" in _items(tmp_path / "all.csv", model)[0].error


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (b"file,label\na.png,dog\n", BadField, "has the columns file, label; expected path"),
        (b"path,label\na.png,caf\xe9\n", BadImage, "Save it as UTF-8"),
    ],
)
def test_what_is_no_such_table_is_refused(
    text: bytes, error: type[Exception], said: str, model: sl.Model, tmp_path: Path
) -> None:
    (tmp_path / "all.csv").write_bytes(text)
    with pytest.raises(error, match=said):
        match(open_samples(tmp_path / "all.csv"), model)


def test_globs_and_limits(model: sl.Model, tmp_path: Path) -> None:
    for name in "abc":
        _draw(tmp_path / f"{name}.png")
    assert len(_items(str(tmp_path / "*.png"), model)) == 3
    assert [i.name for i in _items(tmp_path, model, 2)] == ["a.png", "b.png"]
    _draw(tmp_path / "dog" / "d.png")
    inside = _items(str(tmp_path / "*" / "*.png"), model)
    assert [(i.name, i.class_index) for i in inside] == [("dog/d.png", 1)]
    assert [i.class_index for i in _items(str(tmp_path / "dog" / "*.png"), model)] == [None]


def test_what_is_empty_has_no_items_and_says_why(model: sl.Model, tmp_path: Path) -> None:
    (tmp_path / "none.csv").write_text("path,label\n")
    for data in (tmp_path, str(tmp_path / "*.png"), tmp_path / "none.csv", []):
        found = match(open_samples(data), model)
        assert found.count == 0 and list(found) == [] and found.notes


@pytest.mark.parametrize("data", ["wds:https://some.where/a.tar", 3, None, {"a.png": "dog"}])
def test_what_is_no_collection_is_refused(data: object, model: sl.Model) -> None:
    with pytest.raises(BadField):
        match(open_samples(data), model)


def test_a_path_that_does_not_exist_is_refused(model: sl.Model, tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="no such file"):
        match(open_samples(tmp_path / "none"), model)


def test_a_sequence_holds_pictures_pairs_tensors_and_what_cannot_be_read(model: sl.Model) -> None:
    grey = np.zeros((8, 8, 3), np.uint8)
    items = _items([grey, (grey, "dog"), (grey, 2), torch.zeros(3, 8, 8), np.zeros(3)], model)
    assert [i.class_index for i in items] == [None, 1, 2, None, None]
    assert items[0].digest() == items[1].digest()
    assert "not one picture" in items[4].error


def test_one_picture_is_one_picture(model: sl.Model) -> None:
    grey = np.zeros((8, 8, 3), np.uint8)
    for data in (
        grey,
        grey[..., 0],
        Image.fromarray(grey),
        torch.zeros(3, 8, 8),
        Picture(grey, "x"),
    ):
        assert [i.error for i in _items(data, model)] == [""]
    assert len(_items(torch.zeros(2, 3, 8, 8), model)) == 2
    assert len(_items(np.stack([grey, grey, grey]), model)) == 3


class _Listed(torch.utils.data.Dataset):
    """Pictures with labels, one of which cannot be read."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, k: int) -> tuple[np.ndarray, int]:
        if k == 1:
            raise OSError("gone")
        return np.zeros((8, 8, 3), np.uint8), k


def test_a_data_set_is_read_entry_by_entry(model: sl.Model) -> None:
    found = _items(_Listed(), model)
    assert [i.class_index for i in found] == [0, None, 2] and "OSError: gone" in found[1].error


def test_labels_of_pairs_are_names_or_numbers(model: sl.Model) -> None:
    grey = np.zeros((8, 8, 3), np.uint8)
    labels = [None, "dog", 2, np.int64(2), torch.tensor(0), 2.5, [1, 2]]
    found = _items([(grey, each) for each in labels], model)
    assert [i.class_index for i in found] == [None, 1, 2, 2, 0, None, None]
    assert ["a class's name or its number" in i.error for i in found] == [False] * 5 + [True] * 2


def test_birds_bring_their_whole_truth_into_the_models_frame() -> None:
    bird = aviary.bundle(1)[0]
    labels = [*aviary.LABELS][::-1]
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64 * 64, len(labels)))
    model = sl.Model(net, sl.Preprocess(size=64), labels=labels)
    (item,) = _items([bird], model)
    truth = item.truth(model.preprocess, item.load())
    assert truth is not None and truth.masks is not None and truth.keypoints is not None
    assert labels[item.class_index or 0] == bird.species
    mask = truth.masks[0]
    assert mask is not None
    assert mask.shape == (64, 64)
    assert mask.mean() == pytest.approx(bird.silhouette.mean(), rel=0.05)
    places = truth.keypoints[0]
    assert places is not None
    row, col = places["eye"]
    assert (row, col) == pytest.approx([(v + 0.5) / 2 - 0.5 for v in bird.keypoints["eye"]])


@pytest.mark.parametrize(
    "box",
    [(12.0, 0.0, 20.0, 5.0), (5.0, 5.0, 5.0, 9.0), (6.0, 2.0, 3.0, 8.0), (-9.0, -9.0, -1.0, 4.0)],
)
def test_a_box_outside_the_picture_is_an_error_of_that_picture(
    box: tuple[float, float, float, float], model: sl.Model
) -> None:
    picture = Picture(np.zeros((10, 12, 3), np.uint8), "x")
    item = Sample(name="x", source=picture, boxes=(box,))
    with pytest.raises(BadField, match="outside the picture of 12 x 10"):
        item.truth(model.preprocess, picture)


def test_a_box_that_sticks_out_is_accepted(model: sl.Model) -> None:
    picture = Picture(np.zeros((10, 12, 3), np.uint8), "x")
    item = Sample(name="x", source=picture, boxes=((-1.0, 3.0, 5.0, 10.5),))
    assert item.truth(model.preprocess, picture) is not None
