"""Which contests there are, what their folders are called, and that none overwrites another."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import squeezenet1_1
from typer.testing import CliRunner

import sightline as sl
from sightline.cli.app import app
from sightline.errors import BadField
from sightline.evaluation.benchmark import tracks
from sightline.evaluation.benchmark.run import claimed
from sightline.worlds import aviary
from sightline.worlds.miniatures import MINIATURES


def _birds(folder: Path, count: int = 3) -> Path:
    """A table of drawn birds as files with boxes."""
    lines = ["path,label,box"]
    for k, bird in enumerate(aviary.bundle(count)):
        Image.fromarray(bird.image).save(folder / f"{k}.png")
        lines.append(f'{k}.png,{bird.species},"{",".join(map(str, bird.box))}"')
    table = folder / "birds.csv"
    table.write_text("\n".join(lines))
    return table


def test_a_contest_is_called_by_weights_and_architecture_and_not_by_its_labels() -> None:
    labels = "arch=torchvision:squeezenet1_1&labels=/home/me/labels.txt"
    one, two = (f"file:/somewhere/{name}.safetensors?{labels}" for name in ("one", "two"))
    keys = [track.key for track in tracks.given("photos", 3, [one, two, "timm:resnet50"])]
    assert keys == [
        "real-photos-one-torchvision-squeezenet1_1",
        "real-photos-two-torchvision-squeezenet1_1",
        "real-photos-timm-resnet50",
    ]
    moved = one.replace("/somewhere/", "/elsewhere/").replace("/home/me/", "/mnt/")
    assert tracks.given("photos", 3, [moved])[0].key == keys[0]


def test_drawn_birds_are_data_for_any_network() -> None:
    names = ["sightline:default", "timm:resnet18"]
    assert [a.key for a in tracks.given("aviary", 3, names)] == [
        "known-default",
        "known-timm-resnet18-aviary",
    ]
    (planted,) = tracks.given("aviary:planted", 3)
    assert planted.key == "known-clever-hans" and planted.part == "mark"
    other = tracks.given("aviary:planted", 3, ["sightline:default"])[0]
    assert other.key == "known-sightline-default-aviary-planted"
    assert [a.key for a in tracks.known(3)] == [
        "known-default",
        "known-default-vit",
        "known-clever-hans",
        "known-planted",
    ]
    with pytest.raises(BadField, match="no network is named"):
        tracks.given("photos", 3)


def test_two_contests_of_one_name_have_two_folders(tmp_path: Path) -> None:
    track = tracks.given("photos", 3, ["file:a/net.pt?arch=timm:x"])[0]
    nets = [sl.Model(MINIATURES["pooled-cnn"](), size=(32, 32)) for _ in range(2)]
    with torch.no_grad():
        next(nets[1].module.parameters()).add_(1)
    assert nets[0].digest != nets[1].digest
    first = claimed(tmp_path, track, nets[0])
    assert claimed(tmp_path, track, nets[1]) == f"{first}-2"
    assert claimed(tmp_path, track, nets[0]) == first
    assert claimed(tmp_path, replace(track, source="other photos"), nets[0]) == f"{first}-3"


def test_cells_of_the_same_weights_that_no_contest_claimed_are_taken_over(tmp_path: Path) -> None:
    track = tracks.known(3, ["sightline:default"])[0]
    net = sl.Model(MINIATURES["pooled-cnn"](), size=(32, 32))
    folder = tmp_path / track.key
    folder.mkdir()
    (folder / "run.toml").write_text(f'[model]\nweights = "{net.digest}"\n')
    assert claimed(tmp_path, track, net) == track.key
    (folder / "contest.json").unlink()
    (folder / "run.toml").write_text('[model]\nweights = "another"\n')
    assert claimed(tmp_path, track, net) == f"{track.key}-2"


def test_networks_that_share_a_label_file_keep_both_results(tmp_path: Path) -> None:
    torch.manual_seed(0)
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"thing {k}" for k in range(5)))
    names = []
    for name in ("one", "two"):
        weights = squeezenet1_1(num_classes=5).state_dict()
        save_file(weights, tmp_path / f"{name}.safetensors")
        names.append(
            f"file:{tmp_path / name}.safetensors?arch=torchvision:squeezenet1_1&num_classes=5"
            f"&size=64&labels={labels}"
        )
    folder = tmp_path / "photos"
    folder.mkdir()
    _birds(folder)
    (folder / "birds.csv").unlink()
    words = ["benchmark", str(folder), "--model", ",".join(names), "--methods", "gradient"]
    words += ["--limit", "2", "--workers", "1", "--out", str(tmp_path / "o"), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    keys = [c["contest"] for c in told["contests"]]
    assert len(set(keys)) == 2
    assert all((tmp_path / "o" / key / "outcome.json").is_file() for key in keys)
    # without boxes the curves alone are measured
    board = (tmp_path / "o" / "leaderboard.md").read_text("utf-8")
    assert "one, torchvision:squeezenet1_1" in board and "two, torchvision" in board
    assert "`insertion` and `deletion`" in board and "Without a number" not in board
    assert str(tmp_path) not in board and "sightline benchmark photos --model" in board


def test_photographs_are_used_with_a_network_of_drawn_birds_and_that_is_said(
    tmp_path: Path,
) -> None:
    table = _birds(tmp_path)
    words = ["benchmark", str(table), "--model", "sightline:default", "--methods", "gradient"]
    words += ["--limit", "2", "--workers", "1", "--out", str(tmp_path / "o")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "sightline:default was trained on drawn birds" in done.stderr
    folder = tmp_path / "o" / "real-birds-sightline-default"
    outcome = json.loads((folder / "outcome.json").read_text("utf-8"))
    assert outcome["pictures"] == 2 and outcome["data"] == "birds.csv"
    assert [s["label"] for s in outcome["scores"]][:2] == ["pointing", "energy-pointing"]
    assert not (tmp_path / "o" / "known-default").exists()
