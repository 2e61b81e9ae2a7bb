"""What is shared (reports, JSON, arrays) names no folder of the machine and no address in memory;
what the terminal shows has short names."""

import json
import os
import re
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from sightline.cli.console import json_to_stdout, to_stdout
from sightline.cli.results.names import short

Command = Callable[..., Result]
METHOD = """
import torch

def mean_of_channels(module, images, target):
    return images.mean(1)
"""
OWN = ("command.json", "run.json")  # they make a run again, and so hold what was typed


def _texts(folder: Path) -> dict[str, str]:
    found = {}
    for path in folder.rglob("*"):
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as held:
                texts = [str(held[name]) for name in held if held[name].dtype.kind == "U"]
            found[path.name] = "\n".join(texts)
        elif path.suffix in (".html", ".json", ".jsonl") and path.name not in OWN:
            found[path.name] = path.read_text("utf-8")
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes with names")
def test_what_is_no_regular_file_in_a_folder_is_named(
    flock: Path, tmp_path: Path, sightline: Command
) -> None:
    (tmp_path / "mixed").mkdir()
    os.mkfifo(tmp_path / "mixed" / "pipe.png")
    (tmp_path / "mixed" / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "mixed" / "bird.png").write_bytes((flock / "0.png").read_bytes())
    words = ("--method", "gradient", "--metrics", "none")
    done = sightline("explain", tmp_path / "mixed", *words)
    assert done.exit_code == 1 and "1 of 3 pictures explained" in done.stdout
    assert "pipe.png is a device or a pipe" in done.stderr
    assert "no such file" in done.stderr and "gone.png" in done.stderr


def test_the_table_of_a_run_names_no_folder(
    flock: Path, tmp_path: Path, sightline: Command
) -> None:
    private = tmp_path / "private"
    private.mkdir()
    net = private / "net.safetensors"
    net.write_bytes((files("sightline.nets") / "weights" / "default.safetensors").read_bytes())
    model = f"file:{net}?arch=sightline:default"
    words = ("--method", "gradient,rollout", "--metrics", "complexity", "--limit", 1, "--out", "o")
    done = sightline("evaluate", flock, "--model", model, *words)
    assert done.exit_code == 1 and "rollout" in done.stderr
    for name in ("report.html", "table.json"):
        assert str(private) not in Path("o", name).read_text("utf-8"), name


def test_names_that_are_no_utf8_are_printed(capsys: pytest.CaptureFixture) -> None:
    to_stdout("bird\udcff.png")
    json_to_stdout({"name": "bird\udcff.png"})
    assert "bird\\udcff.png" in capsys.readouterr().out


def test_nothing_that_is_shared_names_a_folder_or_an_address(
    flock: Path, tmp_path: Path, sightline: Command
) -> None:
    private = tmp_path / "private"
    private.mkdir()
    (private / "net.safetensors").write_bytes(
        (files("sightline.nets") / "weights" / "default.safetensors").read_bytes()
    )
    (private / "maps.py").write_text(METHOD)
    (private / "bird.png").write_bytes((flock / "0.png").read_bytes())
    (private / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n123")
    given = (
        private / "bird.png",
        private / "broken.png",
        private / "missing.png",
        "--model",
        f"file:{private}/net.safetensors?arch=sightline:default",
    )
    outside = f"outside:{private}/maps.py:mean_of_channels"
    methods = f"gradient,rollout,sag,{outside}"
    words = ("--method", methods, "--metrics", "none", "--set", "grid=3", "--out", "o")
    done = sightline("explain", *given, *words)
    assert done.exit_code == 1, done.output
    assert "1 of 3 pictures explained." in done.stdout
    assert "and net, sightline:default has none" in done.stderr  # the model's name in short
    attacked = sightline("attack", *given, "--method", "gradient", "--set", "steps=1", "--out", "a")
    assert attacked.exit_code == 1, attacked.output
    texts = {**_texts(Path("o")), **{f"attack {k}": v for k, v in _texts(Path("a")).items()}}
    assert {"report.html", "bird--sag.json", "bird--gradient.npz", "attack attack.json"} <= set(
        texts
    )
    for name, text in texts.items():
        assert str(tmp_path) not in text and "private" not in text, name
        assert not re.search(r" at 0x[0-9a-f]+", text), name


def test_terminal_names_are_short_and_json_has_them_in_full(
    flock: Path, tmp_path: Path, sightline: Command
) -> None:
    long = tmp_path / f"{'long ' * 12}name.png"
    long.write_bytes((flock / "0.png").read_bytes())
    words = ("explain", long, "--method", "gradient", "--metrics", "none", "--out", "o")
    shown = sightline(*words).stdout.splitlines()[0].partition(":")[0]
    assert len(shown) < 40 and shown.endswith("name.png")
    (told,) = json.loads(sightline(*words, "--json").stdout)["pictures"]
    assert told["name"] == long.name


@pytest.mark.parametrize(
    "name",
    [
        "rise",
        "rise(masks=500, grid=7, keep=0.5, agreement=0.9)",
        "bald eagle, American eagle, Haliaeetus leucocephalus",
        "x" * 300,
    ],
)
def test_short_names_are_under_forty_characters(name: str) -> None:
    assert len(short(name)) < 40
    assert short(name) == name or len(name) >= 40
