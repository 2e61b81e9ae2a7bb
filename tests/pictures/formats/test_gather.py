"""Which files count: regular ones; links are followed, and of a served folder none leads out."""

import os
from pathlib import Path

import numpy as np
import pytest

from sightline.errors import BadImage
from sightline.pictures import reading as images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = images.encode_png(np.zeros((4, 4, 3), np.uint8))
    for name in ("own/a/1.png", "own/b/2.png", "far/c/3.png", "far/4.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    own = tmp_path / "own"
    (own / "linked").symlink_to(tmp_path / "far" / "c")
    (own / "file.png").symlink_to(tmp_path / "far" / "4.png")
    (own / "inner.png").symlink_to(own / "a" / "1.png")
    (own / "a" / "loop").symlink_to(own)
    (own / "gone.png").symlink_to(tmp_path / "nothing.png")
    os.mkfifo(own / "pipe.png")
    (own / "folder.png").mkdir()
    return own


def names(found: list[Path], root: Path) -> list[str]:
    return [f.relative_to(root).as_posix() for f in found]


def test_links_are_followed_loops_seen_and_pipes_left_out(folder):
    expected = ["a/1.png", "b/2.png", "file.png", "inner.png", "linked/3.png"]
    assert names(images.gather(folder), folder) == expected
    assert names(images.gather(folder / "*.png"), folder) == ["file.png", "inner.png"]
    assert images.gather(folder / "file.png") == [folder / "file.png"]


def test_two_links_to_one_folder_are_two_classes(tmp_path, folder):
    (tmp_path / "set").mkdir()
    for name in ("first", "second"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "far" / "c")
    found = images.gather(tmp_path / "set")
    assert names(found, tmp_path / "set") == ["first/3.png", "second/3.png"]


def test_of_a_served_folder_nothing_leads_out(folder):
    assert names(images.gather(folder, inside=True), folder) == ["a/1.png", "b/2.png", "inner.png"]
    assert names(images.gather(folder / "*.png", inside=True), folder) == ["inner.png"]
    with pytest.raises(BadImage, match="leads out of its folder"):
        images.gather(folder / "file.png", inside=True)
    for source in (folder / "linked", folder / "*" / "3.png"):
        if "*" in str(source):
            with pytest.raises(BadImage, match="no pictures match"):
                images.gather(source, inside=True)
    assert images.gather(folder / "a" / "1.png", inside=True) == [folder / "a" / "1.png"]


def test_a_pipe_or_device_that_is_named_is_refused_unopened(folder):
    for path in (folder / "pipe.png", Path("/dev/null")):
        with pytest.raises(BadImage, match="device or a pipe"):
            images.gather(path)
        with pytest.raises(BadImage, match="device or a pipe"):
            images.read(path)
