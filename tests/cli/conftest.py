"""Drawn birds as files, and the command line in process."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from sightline.cli.app import app
from sightline.worlds import aviary

Command = Callable[..., Result]


@pytest.fixture(scope="session")
def flock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures, 0.png to 3.png."""
    folder = tmp_path_factory.mktemp("flock")
    for k, bird in enumerate(aviary.bundle(4)):
        Image.fromarray(bird.image).save(folder / f"{k}.png")
    return folder


@pytest.fixture
def sightline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `sightline WORDS` in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])
