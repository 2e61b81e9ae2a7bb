"""Whose class is it? The one rule, by every kind of DATA: names first, own order only where nothing
speaks against it, else unknown, said once and marked in each row."""

import io
import tarfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, Dataset, Subset
from torchvision.datasets import ImageFolder

import sightline as sl
from sightline.data.classes import NUMBER, ORDER, OWN, UNKNOWN, Classes, match
from sightline.data.opening import open_samples
from sightline.errors import SightlineWarning
from sightline.evaluation.table import Table

GREY = Image.new("RGB", (8, 8), (90, 120, 30))


def _model(labels: list[str] | None = None, count: int | None = None) -> sl.Model:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, count or len(labels or ())))
    return sl.Model(net, sl.Preprocess(size=8), labels=labels, name="net")


def _folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
        GREY.save(root / name / "a.png")
    return root


def _labels(data: Any, model: sl.Model) -> list[int | None]:
    return [item.class_index for item in match(open_samples(data), model)]


def _shard(path: Path, *labels: str) -> str:
    stream = io.BytesIO()
    GREY.save(stream, "PNG")
    with tarfile.open(path, "w") as shard:
        for k, label in enumerate(labels):
            for ending, data in (("png", stream.getvalue()), ("cls", label.encode())):
                entry = tarfile.TarInfo(f"{k}.{ending}")
                entry.size = len(data)
                shard.addfile(entry, io.BytesIO(data))
    return f"wds:{path}"


def _kinds(root: Path, *names: str) -> dict[str, Any]:
    """The same labels as each kind of DATA holds them, in the order of torchvision's folders."""
    folder, names = _folders(root / "f", *names), tuple(sorted(names))
    (root / "t.csv").write_text("path,label\n" + "".join(f"f/{n}/a.png,{n}\n" for n in names))
    whole = ImageFolder(folder)
    return {
        "a folder": folder,
        "a glob": str(folder / "*" / "*.png"),
        "a table": root / "t.csv",
        "shards": _shard(root / "a.tar", *names),
        "ImageFolder": whole,
        "a part of a part": Subset(Subset(whole, range(len(names))), range(len(names))),
        "pairs": [(np.asarray(GREY), name) for name in names],
    }


KINDS = ("a folder", "a glob", "a table", "shards", "ImageFolder", "a part of a part", "pairs")


@pytest.mark.parametrize("kind", KINDS)
def test_folders_0_1_2_10_are_the_classes_0_1_2_10(kind: str, tmp_path: Path) -> None:
    data = _kinds(tmp_path, "0", "1", "2", "10")[kind]  # as strings: 0, 1, 10, 2
    assert _labels(data, _model(count=12)) == [0, 1, 10, 2]
    assert _labels(data, _model(["2", "10", "0", "1"])) == [2, 3, 1, 0]  # a name wins over an index
    assert _labels(data, _model([f"bird {k}" for k in range(12)])) == [0, 1, 10, 2]
    assert _labels(data, _model(["0", "1", "2", *"abcdefgh"])) == [0, 1, 10, 2]
    assert _labels(data, _model(["0", "1", "2", "3", "4"])) == [0, 1, None, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_matched_whatever_the_order(kind: str, tmp_path: Path) -> None:
    data = _kinds(tmp_path, "tabby_cat", "DOG", "003.carp", "gnu")[kind]
    model = _model(["dog", "fish, carp", "tabby cat", "horse"])
    assert _labels(data, model) == [1, 0, None, 2]  # 003.carp, DOG, gnu, tabby_cat


@pytest.mark.parametrize("kind", KINDS)
def test_wordnet_names_are_no_order(kind: str, tmp_path: Path) -> None:
    data = _kinds(tmp_path, "n02123045", "n02127052", "n03417042")[kind]
    assert _labels(data, _model(["tench", "goldfish", "shark"])) == [None] * 3
    labels = ["n03417042 garbage truck", "n02127052", "n02123045, tabby"]
    assert _labels(data, _model(labels)) == [2, 1, None]


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_wordnet_names_are_classes_of_imagenets_labels(library: str, tmp_path: Path) -> None:
    if library == "timm":
        from timm.data.imagenet_info import ImageNetInfo

        labels = ImageNetInfo("imagenet-1k").label_descriptions()
    else:
        from torchvision.models import ResNet18_Weights

        labels = ResNet18_Weights.DEFAULT.meta["categories"]
    folder = _folders(tmp_path, "n02123045", "n02127052", "n03417042", "n03126707")
    assert _labels(folder, _model(list(labels))) == [281, 287, 517, 569]
    with pytest.warns(SightlineWarning, match="'n99999999' is no class of the model"):
        _run(_model(list(labels)), _folders(tmp_path / "g", "n99999999"), tmp_path / "run")


class _Counted(Dataset):
    """A data set with pictures and numbers, and names where it is given some."""

    def __init__(self, numbers: list[int], **about: Any) -> None:
        self.numbers = numbers
        vars(self).update(about)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, k: int) -> tuple[Image.Image, int]:
        return GREY, self.numbers[k]


def test_classes_in_another_order_are_found_by_name() -> None:
    model = _model(["cat", "dog", "fish"])
    assert _labels(_Counted([0, 1, 2], classes=["fish", "cat", "dog"]), model) == [2, 0, 1]
    both = {"classes": ["cat", "dog", "fish"], "class_to_idx": {"dog": 0, "fish": 1, "cat": 2}}
    assert _labels(_Counted([0, 1, 2], **both), model) == [1, 2, 0]  # what counts the numbers
    pairs = [("dog", "hound"), ("fish",), ("cat", "tabby")]
    several = _Counted([0, 1, 2], classes=pairs)
    assert _labels(several, _model(["cat, tabby", "dog, hound", "fish"])) == [1, 2, 0]
    digits = _Counted([7, 1], classes=[f"{k} - {w}" for k, w in enumerate("abcdefghij")])
    assert _labels(digits, _model(list("jihgfedcba"))) == [2, 8]
    assert _labels(digits, _model([str(k) for k in range(9, -1, -1)])) == [2, 8]


def test_sums_of_data_sets_keep_the_names_of_each() -> None:
    first, second = (_Counted([0, 1], classes=c) for c in (["dog", "cat"], ["fish", "dog"]))
    model = _model(["cat", "dog", "fish"])
    assert _labels(ConcatDataset([first, second]), model) == [1, 0, 2, 1]
    assert _labels(Subset(ConcatDataset([first, second]), [3, 1]), model) == [1, 0]


def test_numbers_that_the_user_made_are_indices() -> None:
    model = _model(["cat", "dog", "fish"])
    assert _labels(_Counted([0, 2]), model) == [0, 2]
    moved = _Counted([0, 2], classes=["fish", "dog", "cat"], target_transform=lambda k: k)
    assert _labels(moved, model) == [0, 2]
    assert _labels([(np.asarray(GREY), 2), (np.asarray(GREY), "2")], _model(["2", "1", "0"])) == [
        2,
        0,
    ]


def test_the_datas_own_order_counts_only_where_nothing_speaks_against_it(tmp_path: Path) -> None:
    folder = _folders(tmp_path, "cat", "ant", "bee")
    whole = ImageFolder(folder)
    for data in (folder, whole):
        assert _labels(data, _model(count=3)) == [0, 1, 2]  # no names of the model's, as many
        assert _labels(data, _model(["LABEL_0", "LABEL_1", "LABEL_2"])) == [0, 1, 2]
        assert _labels(data, _model(count=4)) == [None] * 3
        assert _labels(data, _model(["eagle", "owl", "wren"])) == [None] * 3
    told = [item.meaning.doubt for item in match(open_samples(folder), _model(count=3))]
    assert told == [ORDER] * 3
    assert [i.meaning.doubt for i in match(open_samples(whole), _model(count=3))] == [OWN] * 3
    counted = _folders(tmp_path / "n", "1", "2", "3")  # counted from one
    assert _labels(counted, _model(count=3)) == [0, 1, 2]
    assert _labels(counted, _model(["a", "b", "c"])) == [0, 1, 2]
    assert _labels(counted, _model(["a", "b", "c", "d"])) == [1, 2, 3]


@pytest.mark.parametrize(
    ("word", "index", "doubt"),
    [
        ("3", None, UNKNOWN),
        ("1", 1, NUMBER),
        ("2.0", 2, NUMBER),
        ("crane", None, UNKNOWN),
        ("ibis, heron", 0, ""),
        ("herron", None, UNKNOWN),
    ],
)
def test_a_word_alone(word: str, index: int | None, doubt: str) -> None:
    found = Classes(_model(["heron, ibis", "crane", "crane"])).word(word)
    assert (found.index, found.doubt) == (index, doubt)
    assert ("may mean the classes 1 (crane), 2 (crane)" in found.note) == (word == "crane")
    assert ("did you mean 'heron'" in found.note) == (word == "herron")


def _run(model: sl.Model, data: Any, out: Path, **more: Any) -> Table:
    metrics = [sl.create("metric", "deletion", steps=2), sl.create("metric", "pointing")]
    return sl.evaluate(model, data, ["gradient"], metrics, out, batch=4, stability=False, **more)


@pytest.mark.parametrize("lazy", [False, True])
def test_an_unknown_label_is_said_once_and_marked_in_each_row(lazy: bool, tmp_path: Path) -> None:
    _folders(tmp_path / "f", "dgo", "cat", "cta")
    rows = "".join(f"f/{n}/a.png,{n},1 1 6 6\n" for n in ("dgo", "cat", "cta"))
    (tmp_path / "t.csv").write_text("path,label,box\n" + rows)
    model = _model(["cat", "dog", "fish"])
    image = np.asarray(GREY)
    data = [(image, n) for n in ("dgo", "cat", "cta")] if lazy else tmp_path / "t.csv"
    with pytest.warns(SightlineWarning) as told:
        table = _run(model, data, tmp_path / "run")
    (said,) = [str(w.message) for w in told]
    assert said.startswith("2 of 3 pictures have a label that is no class of net: 'dgo', 'cta'.")
    assert "did you mean 'dog'" in said and "labels=" in said
    assert said in table.notes
    top = model.label(int(model.outputs(image).argmax()))
    found = {r["index"]: r for r in table.rows if r["method"] == "gradient"}  # pointing, the last
    assert [found[k]["label"] for k in range(3)] == ["dgo", "cat", "cta"]
    assert [found[k]["target"] for k in range(3)] == [top, "cat", top]
    assert [found[k]["prediction"] for k in range(3)] == [top] * 3
    assert ["top class is explained" in found[k]["note"] for k in range(3)] == [True, False, True]
    if not lazy:  # the box is that of the label, and its map was not made
        assert [found[k]["value"] is None for k in range(3)] == [True, False, True]
        assert "needs boxes" in found[2]["error"]
        assert "The label 'cta' is no class of the model" in found[2]["error"]
        assert "'cta' is no class of the model" in found[2]["note"]


def test_one_target_for_all_asks_for_no_label(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label,box\na/a.png,ill,1 1 6 6\n")
    _folders(tmp_path, "a")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = _run(_model(count=1), tmp_path / "t.csv", tmp_path / "run", target=sl.Binary())
    row = next(r for r in table.rows if r["metric"] == "pointing")
    assert row["target"] == "yes" and row["prediction"] in ("yes", "no")
    assert row["value"] is not None and "'ill' is no class of the model" in row["note"]


def test_a_bare_number_is_said_where_classes_have_names(tmp_path: Path) -> None:
    folder = _folders(tmp_path / "f", "0", "2")
    with pytest.warns(SightlineWarning, match="2 of 2 pictures have a bare number .*'0', '2'"):
        table = _run(_model(["cat", "dog", "fish"]), folder, tmp_path / "run")
    assert {r["label"] for r in table.rows} == {"cat", "fish"}
    assert all("taken for an index; the model calls class" in r["note"] for r in table.rows)


def test_an_order_that_is_taken_is_said(tmp_path: Path) -> None:
    folder = _folders(tmp_path / "f", "cat", "dog")
    with pytest.warns(SightlineWarning, match="by the order of the data's names"):
        table = _run(_model(count=2), folder, tmp_path / "run")
    assert [r["label"] for r in table.rows[:: len(table.rows) // 2]] == ["0", "1"]
    assert "'cat' is taken for class 0" in table.rows[0]["note"]


def test_a_label_that_became_known_is_measured_again(tmp_path: Path) -> None:
    _folders(tmp_path, "cat")
    (tmp_path / "t.csv").write_text("path,label,box\ncat/a.png,cat,1 1 6 6\n")
    model = _model(["dog", "fish"])
    with pytest.warns(SightlineWarning):
        first = _run(model, tmp_path / "t.csv", tmp_path / "run")
    (tmp_path / "t.csv").write_text("path,label,box\ncat/a.png,,1 1 6 6\n")
    second = _run(model, tmp_path / "t.csv", tmp_path / "run")
    values = [
        next(r for r in t.rows if r["metric"] == "pointing")["value"] for t in (first, second)
    ]
    assert values[0] is None and values[1] is not None


def test_labels_that_come_later_name_what_was_finished_before(tmp_path: Path) -> None:
    model = _model(count=3)
    first = _run(model, [np.asarray(GREY)], tmp_path / "run")
    lines = (tmp_path / "run" / "cells.jsonl").read_bytes()
    model.labels = ["cat", "dog", "fish"]
    second = _run(model, [np.asarray(GREY)], tmp_path / "run")
    top = int(first.rows[0]["target"])
    assert {(r["target"], r["prediction"]) for r in second.rows} == {(model.labels[top],) * 2}
    assert (tmp_path / "run" / "cells.jsonl").read_bytes() == lines
