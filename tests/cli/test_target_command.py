"""Targets on a command line: every kind has a spelling, the prediction comes first, and errors name
what can be typed."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

import sightline as sl
from sightline import zoo
from sightline.cli.app import app
from sightline.errors import BadTarget, SightlineError, UnknownName
from sightline.targets.notation import target
from sightline.worlds import aviary

Command = Callable[..., Result]
LABELS = ["tabby, tabby cat", "tiger cat", "garbage truck, dustcart", "binary", "3", "a:b", "box"]

GRADIENT = ("--method", "gradient")


def _net(count: int, labels: list[str] | None = None, bias: float = 2.0) -> sl.Model:
    """Logits: once, twice and four times the mean of a channel; `bias` is added to the first."""
    linear = torch.nn.Linear(3, count)
    with torch.no_grad():
        linear.weight.copy_(torch.eye(count, 3) * torch.tensor([1.0, 2.0, 4.0]))
        linear.bias.copy_(torch.tensor([bias] + [0.0] * (count - 1)))
    parts = (torch.nn.Conv2d(3, 3, 1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), linear)
    with torch.no_grad():
        parts[0].weight.copy_(torch.eye(3)[..., None, None])
        parts[0].bias.zero_()
    return sl.Model(torch.nn.Sequential(*parts), sl.Preprocess(size=8), labels=labels, name="net")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    drawn = np.zeros((8, 8, 3), np.uint8)
    drawn[2:6, 2:6, 0] = 255
    Image.fromarray(drawn).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.fixture
def sightline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[sl.Model], Command]:
    monkeypatch.chdir(tmp_path)

    def with_model(model: sl.Model) -> Command:
        monkeypatch.setattr(zoo, "load", lambda name, *_, **__: model)
        return lambda *words: CliRunner().invoke(app, [str(word) for word in words])

    return with_model


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("top", "Top(0)"),
        ("TOP:1", "Top(1)"),
        ("2", "Class(2)"),
        ("3", "Class(4)"),  # the class of that name
        ("class:3", "Class(3)"),
        ("class:binary", "Class(3)"),
        ("class: Dustcart ", "Class(2)"),
        ("Tabby Cat", "Class(0)"),
        ("garbage_truck", "Class(2)"),
        ("dustcart, garbage truck", "Class(2)"),
        ("tabby, tabby cat", "Class(0)"),
        ("a:b", "Class(5)"),
        ("box", "Class(6)"),
        ("-tiger cat", "-Class(1)"),
        ("-top:1", "-Top(1)"),
        ("binary", "Binary(True)"),
        ("binary:no", "Binary(False)"),
        ("-binary", "-Binary(True)"),
        ("axis:0", "Axis(0)"),
        ("axis:-1", "Axis(-1)"),
        ("contrast:dustcart,tiger cat", "Contrast(2, 1)"),
        ("contrast:tabby, tabby cat,garbage truck, dustcart", "Contrast(0, 2)"),
        ("-contrast:0,2", "-Contrast(0, 2)"),
        ("box:1,2,5.5,6:tiger cat", "Box((1.0, 2.0, 5.5, 6.0), 1)"),
        ("token:5,7", "Token((5, 7))"),
    ],
)
def test_every_kind_of_target_has_a_spelling(text: str, told: str) -> None:
    assert repr(target(_net(7, LABELS), text)) == told


def test_a_picture_may_be_the_target(picture: Path) -> None:
    model = _net(3)
    made = target(model, f"similarity:{picture}")
    images = model.prepare([picture])
    assert float(model.scores(images, made)[0]) == pytest.approx(1)
    assert float(model.scores(1 - images, made)[0]) < 0.99


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("tabbyy", UnknownName, "did you mean 'tabby'"),
        ("tabby, tiger cat", UnknownName, r"0 \(tabby, tabby cat\), 1 \(tiger cat\)"),
        ("text:a striped wing", BadTarget, "has no text encoder"),
        ("axis", BadTarget, "not complete"),
        ("class:", BadTarget, "axis:0"),
        ("-", BadTarget, "not complete"),
        ("", BadTarget, "not complete"),
        ("axis:one", BadTarget, "whole number"),
        ("binary:maybe", BadTarget, "binary:no"),
        ("contrast:tabby", BadTarget, "names two classes"),
        ("contrast:tabby,tigr cat", UnknownName, "did you mean 'tiger cat'"),
        ("box:1,2,3:tabby", BadTarget, "box:x0,y0,x1,y1:LABEL"),
        ("box:1,2,3,4", BadTarget, "box:x0,y0,x1,y1:LABEL"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, error: type[SightlineError], said: str) -> None:
    with pytest.raises(error, match=said):
        target(_net(7, LABELS), text)


def test_words_of_a_model_without_labels_name_what_can_be_typed() -> None:
    with pytest.raises(BadTarget, match="`binary`, `axis:0`, `class:3`"):
        target(_net(3), "tabby")
    with pytest.raises(BadTarget, match="did you mean 'binary'"):
        target(_net(1), "binry")


@pytest.mark.parametrize("words", [("--target", "-tiger cat"), ("--target=-tiger cat",)])
def test_evidence_against_passes_the_option_parser(
    words: tuple[str, ...],
    picture: Path,
    sightline: Callable[[sl.Model], Command],
) -> None:
    model = _net(3, ["tabby", "tiger cat", "lynx"])
    done = sightline(model)(
        "explain", picture, "--model", "x", *words, *GRADIENT, "--metrics", "none"
    )
    assert done.exit_code == 0, done.stderr
    shares = model.probabilities(picture)[0]
    assert done.stdout.startswith(
        f"a.png: Prediction: tabby ({shares[0]:.0%}".replace("%", " %")
        + f"). Explained: evidence against tiger cat ({shares[1]:.0%}".replace("%", " %")
        + ").\n"
    )
    with np.load("sightline-explain/a--gradient.npz", allow_pickle=False) as arrays:
        assert json.loads(str(arrays["provenance"]))["target"].startswith("-Class(1")


def test_the_prediction_comes_first_and_json_keeps_both_apart(
    picture: Path, sightline: Callable[[sl.Model], Command]
) -> None:
    model = _net(3, ["garbage truck", "lynx", "tabby"], bias=8.0)
    words = ("explain", picture, "--model", "x", *GRADIENT, "--metrics", "none")
    told = sightline(model)(*words, "--target", "LYNX").stdout
    assert "a.png: Prediction: garbage truck (over 99 %). Explained: lynx (under 1 %).\n" in told
    assert "a.png: Prediction: garbage truck (over 99 %).\n" in sightline(model)(*words).stdout
    page = Path("sightline-explain/report.html").read_text("utf-8")
    assert "Prediction: <em>garbage truck</em>" in page
    (found,) = json.loads(sightline(model)(*words, "--target", "lynx", "--json").stdout)["pictures"]
    shares = model.probabilities(picture)[0].tolist()
    assert found["prediction"] == {
        "label": "garbage truck",
        "class": 0,
        "probability": pytest.approx(shares[0]),
    }
    assert (found["target"], found["probability"]) == ("lynx", pytest.approx(shares[1]))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "Prediction: class 0 (91 %)."),
        (("--target", "1"), "Prediction: class 0 (91 %). Explained: class 1 (4 %)."),
        (
            ("--target", "contrast:0,2"),
            "Prediction: class 0 (91 %). Explained: class 0 rather than class 2.",
        ),
    ],
)
def test_a_class_without_a_label_is_called_a_class(
    words: tuple[str, ...], told: str, picture: Path, sightline: Callable[[sl.Model], Command]
) -> None:
    command = sightline(_net(3, bias=2.8))  # e^3.05 of e^3.05 + 2
    done = command("explain", picture, "--model", "x", *GRADIENT, "--metrics", "none", *words)
    assert f"a.png: {told}\n" in done.stdout, done.output


@pytest.mark.parametrize(
    ("words", "labels", "told"),
    [
        (("--target", "binary"), None, "Prediction: yes (90 %)."),
        (("--target", "binary:no"), None, "Prediction: yes (90 %). Explained: no (10 %)."),
        (("--target", "binary"), ["tumour"], "Prediction: tumour (90 %)."),
        (
            ("--target=-binary",),
            ["tumour"],
            "Prediction: tumour (90 %). Explained: evidence against tumour (90 %).",
        ),
        (("--target", "axis:0"), None, "Prediction: output 0 = 2.25."),
        (("--target", "axis:0"), ["age"], "Prediction: output 0 (age) = 2.25."),
    ],
)
def test_a_network_with_one_output_is_explained(
    words: tuple[str, ...],
    labels: list[str] | None,
    told: str,
    picture: Path,
    sightline: Callable[[sl.Model], Command],
) -> None:
    command = sightline(_net(1, labels))  # 2 + a quarter of the picture: sigmoid(2.25) = 0.905
    done = command("explain", picture, "--model", "x", *GRADIENT, "--metrics", "deletion", *words)
    if "axis" not in words[-1]:
        assert "deletion" in done.stdout
    assert f"a.png: {told}\n" in done.stdout, done.output
    report = Path("sightline-explain/report.html").read_text("utf-8")
    assert "Prediction: <em>" in report


@pytest.mark.parametrize("verb", ["explain", "evaluate"])
def test_without_a_target_one_output_names_what_to_type(
    verb: str, picture: Path, sightline: Callable[[sl.Model], Command]
) -> None:
    done = sightline(_net(1))(verb, picture, "--model", "x", *GRADIENT, "--metrics", "deletion")
    assert done.exit_code in (1, 2)
    assert "--target binary" in done.stderr and "--target axis:0" in done.stderr


def test_evaluate_takes_the_same_targets(
    picture: Path, sightline: Callable[[sl.Model], Command]
) -> None:
    words = ("evaluate", picture, "--model", "x", "--method", "gradient", "--metrics", "deletion")
    done = sightline(_net(1))(*words, "--target", "-binary", "--no-stability")
    assert done.exit_code == 0, done.stderr
    rows = json.loads(Path("sightline-evaluate/table.json").read_text("utf-8"))["rows"]
    assert {(r["target"], r["prediction"]) for r in rows} == {("evidence against yes", "yes")}
    page = Path("sightline-evaluate/report.html").read_text("utf-8")
    assert "prediction: yes; explained: evidence against yes" in page
    again = sightline(_net(1))("evaluate", "sightline-evaluate/run.toml", "--model", "x")
    assert again.exit_code == 0, again.stderr


def test_two_pictures_to_be_like_are_two_runs(
    picture: Path, tmp_path: Path, sightline: Callable[[sl.Model], Command]
) -> None:
    Image.new("RGB", (8, 8), (0, 255, 90)).save(tmp_path / "b.png")
    command, values = sightline(_net(3, bias=0.1)), []
    for other in ("a.png", "b.png"):
        words = ("evaluate", picture, "--model", "x", *GRADIENT, "--metrics", "evaluations")
        command(*words, "--target", f"similarity:{other}", "--out", "o")
        cells = Path("o/cells.jsonl").read_text("utf-8").splitlines()
        values.append(len(cells))
    assert values[1] == 2 * values[0]


@pytest.mark.parametrize("away", [(), ("--away",)])
def test_attack_leaves_a_class_in_either_spelling(away: tuple[str, ...], tmp_path: Path) -> None:
    bird = aviary.bundle(1)[0]
    Image.fromarray(bird.image).save(tmp_path / "bird.png")
    out = tmp_path / "out"
    words = ["attack", str(tmp_path / "bird.png"), "--target", f"-{bird.species}", *away]
    done = CliRunner().invoke(app, [*words, "--out", str(out), "--set", "steps=1", "--json"])
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)["pictures"]
    assert found["wanted_label"] == bird.species and not found["already"]


@pytest.mark.parametrize("verb", ["explain", "evaluate"])
def test_help_lists_every_spelling(verb: str) -> None:
    told = " ".join(CliRunner().invoke(app, [verb, "--help"], terminal_width=300).output.split())
    for word in ("binary", "axis:0", "contrast:", "top:1", "box:x0", "similarity:", "-tabby"):
        assert word in told
    assert "class:binary" in told
