"""Real photographs and pretrained networks: accuracy as published, maps on the object, a report.

They need the shared data folder beside the checkout, which does not come with the project.
"""

import csv
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import sightline as sl
from sightline.cli.app import app
from sightline.metric import Case, Truth

DATA = Path(__file__).parents[2] / "shared" / "data"
pytestmark = [
    pytest.mark.real,
    pytest.mark.usefixtures("two_threads"),
    pytest.mark.skipif(not DATA.is_dir(), reason="the shared data folder is not there"),
]

WEIGHTS = f"file:{DATA}/weights/"
LABELS = f"labels={DATA}/imagenet/class_index.csv"
NETWORKS = {
    "mobilenet_v2": f"{WEIGHTS}mobilenet_v2_imagenet.safetensors?arch=torchvision:mobilenet_v2"
    "&mean=0.5&std=0.5&pad_type=same",
    "squeezenet": f"{WEIGHTS}squeezenet1_1_imagenet.safetensors?arch=torchvision:squeezenet1_1"
    "&mean=0.485,0.456,0.406&std=0.229,0.224,0.225",
    "deit_tiny": f"{WEIGHTS}deit_tiny_patch16_224_imagenet.safetensors"
    "?arch=timm:deit_tiny_patch16_224&size=224&crop=0.875"
    "&mean=0.485,0.456,0.406&std=0.229,0.224,0.225",
}
TOP1 = {"mobilenet_v2": 0.829, "squeezenet": 0.570, "deit_tiny": 0.751}
BLOB = 70  # of 87: what the middle of the picture hits, with no tolerance
HITS = {"mobilenet_v2": BLOB, "squeezenet": 80, "deit_tiny": 80}


@cache
def rows() -> list[dict[str, str]]:
    with (DATA / "imagenet" / "manifest.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@cache
def network(name: str) -> sl.Model:
    return sl.load(NETWORKS[name])


def photos(chosen: list[dict[str, str]]) -> list[Path]:
    return [DATA / "imagenet" / row["file"] for row in chosen]


def in_parts(chosen: list[dict[str, str]], n: int = 16) -> list[list[dict[str, str]]]:
    return [chosen[i : i + n] for i in range(0, len(chosen), n)]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_loaded_network_is_as_accurate_as_it_was_measured(name: str) -> None:
    model, right = network(name), 0
    for part in in_parts(rows()):
        found = model.outputs(photos(part)).argmax(1)
        right += int((found == torch.tensor([int(row["index"]) for row in part])).sum())
    assert abs(right / len(rows()) - TOP1[name]) <= 0.01


def boxes(row: dict[str, str]) -> list[tuple[float, ...]]:
    return [tuple(map(float, box.split())) for box in row["boxes"].split(";")]


@pytest.mark.filterwarnings("ignore::sightline.errors.SightlineWarning")  # one map is all negative
@pytest.mark.parametrize("name", NETWORKS)
def test_default_grad_cam_points_at_the_object_better_than_the_middle(name: str) -> None:
    boxed = [row for row in rows() if row["boxes"]]
    assert len(boxed) == 87
    model, metric, hits = network(name), sl.create("metric", "pointing", tolerance=0.0), 0.0
    explainer = sl.create("explainer", "grad-cam")
    for part in in_parts(boxed):
        images = model.prepare(photos(part))
        target = sl.Class(tuple(int(row["index"]) for row in part))
        heat = explainer(model, images, target)
        truth = Truth(boxes=[boxes(row) for row in part])
        hits += float(metric(Case(model, images, target, heat, explainer, truth)).sum())
    assert hits >= HITS[name]


@pytest.fixture
def sightline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_explain_on_twenty_photographs_with_weights_from_a_file(sightline: Callable) -> None:
    model = f"{NETWORKS['mobilenet_v2']}&{LABELS}"
    words = ("--method", "grad-cam,hires-cam", "--metrics", "none", "--limit", 20, "--json")
    photographs = DATA / "imagenet" / "photos"
    result = sightline("explain", photographs, "--model", model, *words)
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert len(told["pictures"]) == 20
    assert Path(told["report"]).stat().st_size < 10e6
