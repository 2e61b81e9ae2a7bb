"""DATA at addresses that fsspec knows, and published layouts."""

import io
import pickle
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image

import sightline as sl
from sightline.data.classes import match
from sightline.data.opening import open_samples
from sightline.errors import BadField, BadImage, FileProblem


def _png(level: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (9, 8), (level, 2, 3)).save(stream, "PNG")
    return stream.getvalue()


FILES = {
    "cat/a.png": _png(1),
    "dog/b.png": _png(2),
    "dog/.hidden.png": _png(3),
    "notes.txt": b"no picture",
    "t.csv": b"path,label,box\ncat/a.png,cat,1 2 5 6\nnone.png,dog,\n",
}


@pytest.fixture(params=["memory", "zip", "file"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The same files in memory, in an archive and in a folder."""
    if request.param == "memory":
        system = fsspec.filesystem("memory")
        for name, data in FILES.items():
            system.pipe(f"/photos-{tmp_path.name}/{name}", data)
        return f"memory://photos-{tmp_path.name}/{{}}"
    if request.param == "zip":
        with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
            for name, data in FILES.items():
                archive.writestr(name, data)
        return f"zip://{{}}::{tmp_path}/photos.zip"
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return f"file://{tmp_path}/{{}}"


def test_a_folder_at_an_address_is_a_folder(address: str) -> None:
    samples = open_samples(address.format(""))
    assert [(s.name, s.label) for s in samples] == [("cat/a.png", "cat"), ("dog/b.png", "dog")]
    assert samples[1].load().array[0, 0, 0] == 2
    globbed = open_samples(address.format("*/*.png"))
    assert [s.name for s in globbed] == ["cat/a.png", "dog/b.png"]
    assert [s.digest() for s in globbed] == [s.digest() for s in samples]
    again = pickle.loads(pickle.dumps(samples[0]))  # as it travels to a worker
    assert again.digest() == samples[0].digest() and again.load().size == (8, 9)


def test_tables_and_single_pictures_lie_at_addresses_too(address: str) -> None:
    there, missing = open_samples(address.format("t.csv"))
    assert there.label == "cat" and there.boxes == ((1, 2, 5, 6),) and there.load().size == (8, 9)
    with pytest.raises(BadImage, match="no such file"):
        missing.load()
    assert [s.load().size for s in open_samples(address.format("cat/a.png"))] == [(8, 9)]
    with pytest.raises(BadImage, match="no such file"):
        open_samples(address.format("nothing"))


def test_a_picture_has_one_fingerprint_wherever_it_lies(address: str, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(FILES["cat/a.png"])
    (local,) = open_samples(tmp_path / "x.png")
    assert open_samples(address.format(""))[0].digest() == local.digest()


def test_a_run_over_an_address_is_the_run_over_its_files(address: str, tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))
    model = sl.Model(net, sl.Preprocess(size=8), labels=["dog", "cat"])
    table = sl.evaluate(
        model, address.format(""), ["gradient"], ["complexity"], tmp_path / "run", batch=2
    )
    assert table.pictures == ["cat/a.png", "dog/b.png"]
    assert {row["label"] for row in table.rows} == {"cat", "dog"}


def test_what_cannot_be_opened_says_why() -> None:
    with pytest.raises(BadImage, match="Protocol not known"):
        open_samples("nosuch://a/b")
    with pytest.raises(BadImage, match="is an address; expected a file"):
        open_samples("https://some.where/a.png")


@pytest.mark.parametrize("out", ["s3://bucket/run", Path("s3://bucket/run"), "memory://run"])
def test_results_are_written_to_this_machine(out: str | Path) -> None:
    model = sl.Model(torch.nn.Flatten(), size=(8, 8))
    with pytest.raises(FileProblem, match="is an address; results are written into a folder"):
        sl.evaluate(model, torch.zeros(1, 3, 8, 8), ["gradient"], ["complexity"], out)


def test_the_folders_of_imagenet_v2_are_its_classes_by_number(tmp_path: Path) -> None:
    for name in ("0", "2", "10"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpeg").write_bytes(_png(9))
    samples = open_samples(f"imagenet-v2:{tmp_path}")
    assert [(s.number, s.domain) for s in samples] == [(k, "imagenet-v2") for k in (0, 10, 2)]
    labels = ["n01491361 tiger shark", "n01440764", "n01530575"]
    few = sl.Model(torch.nn.Flatten(), sl.Preprocess(size=8), labels=labels)
    assert [s.class_index for s in match(samples, few)] == [1, 2, None]
    from timm.data.imagenet_info import ImageNetInfo

    words = list(ImageNetInfo("imagenet-1k").label_descriptions())[::-1]
    whole = sl.Model(torch.nn.Flatten(), sl.Preprocess(size=8), labels=words[::-1])
    assert [s.class_index for s in match(samples, whole)] == [0, 10, 2]
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "a.jpeg").write_bytes(_png(9))
    with pytest.raises(BadField, match="expected folders 0 to 999"):
        open_samples(f"imagenet-v2:{tmp_path}")


def test_cifar_10_1_is_read_from_its_arrays(tmp_path: Path) -> None:
    images = np.arange(2 * 32 * 32 * 3, dtype=np.uint8).reshape(2, 32, 32, 3)
    np.save(tmp_path / "cifar10.1_v4_data.npy", images)
    np.save(tmp_path / "cifar10.1_v4_labels.npy", np.array([3, 8], np.int32))
    samples = open_samples(f"cifar10.1:{tmp_path}")
    assert [s.label for s in samples] == ["cat", "ship"]
    assert np.array_equal(samples[1].load().array, images[1])
    model = sl.Model(torch.nn.Flatten(), sl.Preprocess(size=8), labels=["Ship", "cat"])
    assert [s.class_index for s in match(samples, model)] == [1, 0]
    np.save(tmp_path / "cifar10.1_v6_data.npy", images[:1])
    with pytest.raises(FileProblem, match="v6_labels"):
        open_samples(f"cifar10.1:{tmp_path}")
    np.save(tmp_path / "cifar10.1_v6_labels.npy", np.array([3, 8]))
    with pytest.raises(BadField, match=r"Fetch CIFAR-10\.1 again"):
        open_samples(f"cifar10.1:{tmp_path}")
