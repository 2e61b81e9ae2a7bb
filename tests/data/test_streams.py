"""Data sets that are streamed: `hf:` folders on disk and tar shards, right and broken."""

import io
import json
import tarfile
from pathlib import Path

import pytest
import torch
from PIL import Image

import sightline as sl
from sightline.data.classes import match
from sightline.data.opening import open_samples
from sightline.errors import BadField, BadImage, MissingExtra
from sightline.evaluation.plan import BLIND
from sightline.pictures.encoded import Encoded
from sightline.sample import Sample


@pytest.fixture(scope="module")
def model() -> sl.Model:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 3))
    return sl.Model(net, sl.Preprocess(size=8), labels=["tabby cat", "dog", "fish, carp"])


def _picture(level: int) -> Image.Image:
    return Image.new("RGB", (12, 10), (level, 120, 30))


def _png(level: int) -> bytes:
    stream = io.BytesIO()
    _picture(level).save(stream, "PNG")
    return stream.getvalue()


def _shard(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as shard:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            shard.addfile(entry, io.BytesIO(data))
    return path


def _items(data: object, model: sl.Model, limit: int | None = None) -> list[Sample]:
    return list(match(open_samples(data, limit), model))


def test_shards_give_pictures_labels_and_boxes(model: sl.Model, tmp_path: Path) -> None:
    told = {"label": "carp", "box": [1, 2, 5, 6]}
    _shard(
        tmp_path / "a-000.tar",
        {
            "x/one.png": _png(1),
            "x/one.cls": b"1\n",
            "two.jpg": _png(2),
            "two.json": json.dumps(told).encode(),
        },
    )
    _shard(
        tmp_path / "a-001.tar",
        {"three.seg.png": _png(3), "three.cls": b"dgo", "four.txt": b"nothing", "five.png": b"?"},
    )
    one, two, three, four, five = _items(f"wds:{tmp_path}/a-{{000..001}}.tar", model)
    assert (one.name, one.class_index, one.boxes) == ("a-000.tar/x/one", 1, None)
    assert (two.class_index, two.boxes) == (2, ((1, 2, 5, 6),))
    assert one.load().size == (10, 12)
    assert one.digest() != two.digest()
    assert (three.class_index, three.error) == (None, "")
    assert "did you mean 'dog'" in three.meaning.note
    assert "holds no picture, but txt" in four.error
    with pytest.raises(BadImage, match=r"a-001.tar/five"):
        five.load()
    again = match(open_samples(f"webdataset:{tmp_path}/*.tar", 2), model)
    assert [i.name for i in again] == ["a-000.tar/x/one", "a-000.tar/two"]
    assert again.to_toml() == {"source": f"webdataset:{tmp_path}/*.tar", "limit": 2}


@pytest.mark.parametrize("cut", [1024, 1200, 1560])
def test_a_shard_that_breaks_off_is_said_and_the_next_one_is_read(
    cut: int, model: sl.Model, tmp_path: Path
) -> None:
    whole = _shard(tmp_path / "a.tar", {f"{k}.png": _png(k) for k in range(3)})
    whole.write_bytes(whole.read_bytes()[:cut])
    _shard(tmp_path / "b.tar", {"z.png": _png(9)})
    first, broken, last = _items(f"wds:{tmp_path}/*.tar", model)
    assert first.name == "a.tar/0" and first.error == ""
    assert "no whole tar file" in broken.error
    assert last.name == "b.tar/z"


@pytest.mark.parametrize("pattern", ["none-*.tar", "https://some.where/a.tar", "pipe:cat a.tar"])
def test_shards_that_are_not_there_are_refused(
    pattern: str, model: sl.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((BadImage, BadField), match="webdataset:"):
        match(open_samples(f"wds:{pattern}"), model)


def test_a_run_over_a_stream_is_the_run_over_its_files(model: sl.Model, tmp_path: Path) -> None:
    _shard(tmp_path / "a.tar", {f"{k}.png": _png(60 * k) for k in range(3)})
    (tmp_path / "files").mkdir()
    for k in range(3):
        (tmp_path / "files" / f"{k}.png").write_bytes(_png(60 * k))
    ended: list[tuple[int, int]] = []
    metric = sl.create("metric", "deletion", steps=4)
    tables = [
        sl.evaluate(
            model,
            data,
            ["gradient"],
            [metric],
            tmp_path / "run",
            batch=4,
            progress=lambda done, total: ended.append((done, total)),
        )
        for data in (f"wds:{tmp_path}/a.tar", str(tmp_path / "files"))
    ]
    assert [r["value"] for r in tables[0].rows] == [r["value"] for r in tables[1].rows]
    cells = 3 * (1 + len(BLIND))
    assert ended[cells - 1] == (cells, cells)
    lines = (tmp_path / "run" / "cells.jsonl").read_bytes().count(b"\n")
    assert lines == cells  # the same bytes are the same cells, wherever they came from


def test_without_its_library_a_data_set_names_what_to_install(
    model: sl.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sightline.data import hugging_face

    monkeypatch.setattr(hugging_face.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match="pip install datasets"):
        match(open_samples("hf:food101"), model)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_data_set_on_disk_is_streamed_with_the_names_of_its_classes(
    model: sl.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets", reason="the library datasets is not installed")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    (tmp_path / "data").mkdir()
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["dog", "tabby_cat"])}
    )
    for split in ("train", "test"):
        held = {"image": [_picture(1), _picture(2)], "label": [0, 1]}
        made = datasets.Dataset.from_dict(held, features=features)
        made.to_parquet(str(tmp_path / "data" / f"{split}-00000.parquet"))
    found = match(open_samples(f"hf:{tmp_path}"), model)
    assert "the split test is used" in found.notes[0]
    first, second = found
    assert (first.class_index, second.class_index) == (1, 0)
    assert isinstance(first.source, Encoded) and first.load().size == (10, 12)
    assert len(_items(f"hf:{tmp_path}:train", model, 1)) == 1
    with pytest.raises(BadField, match="did you mean 'train'"):
        match(open_samples(f"hf:{tmp_path}:trian"), model)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_class_folders_are_a_data_set_too(model: sl.Model, tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="the library datasets is not installed")
    for name in ("carp", "strange"):
        (tmp_path / "train" / name).mkdir(parents=True)
        _picture(9).save(tmp_path / "train" / name / "a.png")
    found = match(open_samples(f"hf:{tmp_path}"), model)
    assert [i.class_index for i in found] == [2, None]
    assert "'strange' is no class of" in list(found)[1].meaning.note
