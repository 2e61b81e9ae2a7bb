"""Pictures of any name, and things that only have the name of a picture: each is a row, and no name
costs a run its table.
"""

import io
import json
import os
import sys
import tarfile
import tomllib
from pathlib import Path

import pyarrow.parquet
import pytest
import torch
from PIL import Image

import sightline as sl
from sightline.data.classes import match
from sightline.data.opening import open_samples
from sightline.errors import BadImage
from sightline.evaluation.table import Table
from sightline.pictures.reading import Picture, gather, read

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")

STRANGE = os.fsdecode(b"caf\xe9")
SHOWN = "caf\\udce9"


@pytest.fixture(scope="module")
def model() -> sl.Model:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    return sl.Model(net, sl.Preprocess(size=8), labels=["cat", "dog"])


def _draw(path: Path, level: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 9), (level, 120, 30)).save(path)
    return path


def _evaluate(model: sl.Model, data: object, out: Path) -> Table:
    return sl.evaluate(model, data, ["gradient"], ["complexity"], out, batch=4)


@pytest.mark.filterwarnings("ignore::sightline.errors.SightlineWarning")
def test_a_name_that_is_not_utf8_has_a_printable_form_in_every_file(
    model: sl.Model, tmp_path: Path
) -> None:
    data, out = tmp_path / STRANGE, tmp_path / "out"
    for k, name in enumerate((f"{STRANGE}.png", f"{STRANGE}/b.png", "cat/c.png")):
        _draw(data / name, 40 * k)
    (data / "cat" / f"{STRANGE}.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    table = _evaluate(model, data, out)
    names = [f"{SHOWN}.png", f"{SHOWN}/b.png", f"cat/{SHOWN}.png", "cat/c.png"]
    assert sorted(table.pictures) == sorted(names)
    (error,) = table.errors
    assert error.startswith(f"cat/{SHOWN}.png, gradient: ")
    assert set(pyarrow.parquet.read_table(out / "table.parquet")["picture"].to_pylist()) == {*names}
    told = json.loads((out / "table.json").read_text("utf-8"))
    assert {row["label"] for row in told["rows"]} == {"", SHOWN, "cat"}
    assert SHOWN in (out / "report.html").read_text("utf-8")
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    assert tomllib.loads(before["run.toml"].decode())["data"]["source"].endswith(SHOWN)
    sl.evaluate(model, run=out / "run.toml", out=out)  # finds the folder by its bytes
    for name in ("cells.jsonl", "table.parquet", "table.json", "run.toml"):
        assert (out / name).read_bytes() == before[name]


def test_pictures_of_one_name_stay_apart(model: sl.Model, tmp_path: Path) -> None:
    _draw(tmp_path / "a" / f"{STRANGE}.png", 10)
    _draw(tmp_path / "a" / f"{SHOWN}.png", 200)  # another file, printed alike
    table = _evaluate(model, tmp_path / "a", tmp_path / "o")
    assert sorted(table.pictures) == [f"{SHOWN}.png", f"{SHOWN}.png (2)"]
    lines = (tmp_path / "o" / "cells.jsonl").read_bytes().splitlines()
    assert len({json.loads(line[9:])["cell"] for line in lines}) == len(table.rows)
    paths = [_draw(tmp_path / folder / "x.png", level) for folder, level in (("p", 9), ("q", 99))]
    assert _evaluate(model, paths, tmp_path / "s").pictures == [str(path) for path in paths]
    pictures = [read(path) for path in (*paths, paths[0])]
    named = [Picture(p.array, "x") for p in pictures]
    assert _evaluate(model, named, tmp_path / "t").pictures == ["x", "x (2)", "x"]
    (tmp_path / "a.csv").write_text(
        "path,label\np/x.png,cat\np/x.png,dog\nnone.png,cat\nnone.png,dog\n"
    )
    names = ["p/x.png", "p/x.png", "none.png", "none.png"]  # a picture, asked about two classes
    assert _evaluate(model, tmp_path / "a.csv", tmp_path / "u").pictures == names


def test_pipes_and_devices_named_like_pictures_are_errors_at_once(
    model: sl.Model, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    _draw(data / "cat" / "a.png")
    os.mkfifo(data / "cat" / "pipe.png")
    (data / "cat" / "device.png").symlink_to("/dev/zero")
    (data / "cat" / "gone.png").symlink_to("nowhere")
    (data / "all.csv").write_text("path,label\ncat/a.png,cat\ncat/pipe.png,cat\n/dev/zero,\n")
    said = "is a device or a pipe; expected a picture in a regular file"
    for k, (source, pipes, count) in enumerate(
        [
            (data, 2, 4),
            (str(data / "*" / "*.png"), 2, 4),
            (str(data / "**" / "*.png"), 2, 4),
            (data / "all.csv", 2, 3),
            ([data / "cat" / "a.png", data / "cat" / "pipe.png"], 1, 2),
        ]
    ):
        table = _evaluate(model, source, tmp_path / str(k))
        assert len(table.pictures) == count
        assert sum(said in error for error in table.errors) == pipes
        assert sum("no such file" in error for error in table.errors) == count - pipes - 1
    with pytest.raises(BadImage, match=said):
        match(open_samples(data / "cat" / "pipe.png"), model)
    os.mkfifo(tmp_path / "shard.tar")
    for pattern in ("shard.tar", "*.tar"):
        with pytest.raises(BadImage, match="is a device or a pipe"):
            match(open_samples(f"webdataset:{tmp_path}/{pattern}"), model)


def test_a_shard_may_hold_any_name(model: sl.Model, tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (9, 9)).save(stream, "PNG")
    with tarfile.open(tmp_path / "a.tar", "w") as shard:
        entry = tarfile.TarInfo(f"{STRANGE}.png")
        entry.size = len(stream.getvalue())
        shard.addfile(entry, io.BytesIO(stream.getvalue()))
    table = _evaluate(model, f"webdataset:{tmp_path}/a.tar", tmp_path / "o")
    assert table.pictures == [f"a.tar/{SHOWN}"] and not table.errors


def test_linked_class_folders_are_followed_and_loops_seen(model: sl.Model, tmp_path: Path) -> None:
    away, data = tmp_path / "away", tmp_path / "data"
    _draw(away / "a.png")
    _draw(data / "dog" / "b.png")
    (data / "cat").symlink_to(away)
    (away / "loop").symlink_to(data)
    (data / "dog" / "loop").symlink_to(data)
    wanted = ["cat/a.png", "dog/b.png"]
    for source in (data, str(data / "*" / "*.png"), str(data / "**" / "*.png")):
        found = list(match(open_samples(source), model))
        assert sorted(item.name for item in found)[:2] == wanted and len(found) < 5
        assert {item.class_index for item in found} == {0, 1}
    assert [p.name for p in gather(data / "**" / "[ab].png")].count("b.png") <= 2
