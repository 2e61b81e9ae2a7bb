"""The command line, in process: exit statuses, bad pictures, JSON, and what a stopped run keeps."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import sightline as sl
from sightline import registry
from sightline.cli.app import LATER, app
from sightline.cli.parse import typed
from sightline.worlds import aviary

Command = Callable[..., Result]


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("birds")
    for bird in aviary.bundle(2):
        Image.fromarray(bird.image).save(folder / f"{bird.species.replace(' ', '-')}.png")
    return folder


@pytest.fixture
def mixed(birds: Path, tmp_path: Path) -> Path:
    """Two good pictures and, between them, one that is none."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name, good in zip(("a.png", "c.png"), sorted(birds.iterdir()), strict=True):
        (folder / name).write_bytes(good.read_bytes())
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:300])
    return folder


@pytest.fixture
def sightline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_help_lists_the_verbs_that_work_and_no_other(sightline: Command) -> None:
    told = sightline("--help").output
    for verb in ("demo", "explain", "evaluate", "methods", "inspect"):
        assert f"\n  {verb} " in told
    assert not any(f"\n  {verb} " in told for verb in LATER)


def test_version_is_told(sightline: Command) -> None:
    assert sightline("--version").output == f"sightline {sl.__version__}\n"


@pytest.mark.parametrize("verb", LATER)
def test_a_verb_of_later_says_so(verb: str, sightline: Command) -> None:
    for words in ((verb,), (verb, "--help"), (verb, "x", "--model", "y")):
        result = sightline(*words)
        assert result.exit_code == 2
        assert "not there yet" in result.stderr


def test_help_answers_at_once_and_loads_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['sightline', '--help']\n"
        "from sightline.cli.app import app\n"
        "app(standalone_mode=False)\n"
        "assert not {'torch', 'PIL', 'matplotlib', 'numpy'} & set(sys.modules)"
    )
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < 0.5  # of the processor, so that a busy machine does not matter


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, sightline; assert not {'torch', 'numpy', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_explain_writes_maps_overlays_and_a_report(birds: Path, sightline: Command) -> None:
    result = sightline("explain", birds, "--method", "gradcam,gradient", "--metrics", "deletion")
    assert result.exit_code == 0, result.stderr
    assert "sightline:default" in result.stderr
    out = Path("sightline-explain")
    assert len(list(out.glob("*--grad-cam.png"))) == len(list(out.glob("*--gradient.npz"))) == 2
    with np.load(next(out.glob("*--grad-cam.npz")), allow_pickle=False) as arrays:
        assert arrays["values"].shape == (128, 128)
        assert arrays["native"].ndim == 2
        assert json.loads(str(arrays["provenance"]))["method"] == "grad-cam"
    assert "</html>" in (out / "report.html").read_text("utf-8")
    assert "Report: sightline-explain/report.html" in result.stdout


def test_a_result_that_is_no_map_is_json_a_drawing_and_a_panel(
    birds: Path, sightline: Command
) -> None:
    bird = sorted(birds.iterdir())[0]
    method = ("--method", "sag", "--set", "explainer=grad-cam", "--set", "grid=4")
    result = sightline("explain", bird, *method, "--json")
    assert result.exit_code == 0, result.stderr
    (told,) = json.loads(result.stdout)["pictures"][0]["maps"]
    assert told["method"] == "sag" and not told["error"] and told["forward"] > 10
    assert {Path(told[form]).suffix for form in ("json", "svg", "png")} == {".json", ".svg", ".png"}
    saved = json.loads(Path(told["json"]).read_text("utf-8"))
    assert saved["explanation"] == "Regions" and saved["grid"] == [4, 4]
    assert saved["links"][0]["nodes"]
    assert told["text"].endswith(".") and told["text"] in sightline("explain", bird, *method).stdout
    assert 'class="sag"' in Path("sightline-explain/report.html").read_text("utf-8")


def test_a_bad_picture_is_listed_and_the_run_goes_on(mixed: Path, sightline: Command) -> None:
    result = sightline("explain", mixed, "nosuch.jpg", "--metrics", "none")
    assert result.exit_code == 1
    assert "b.png" in result.stderr and "nosuch.jpg" in result.stderr
    assert "Traceback" not in result.output
    out = Path("sightline-explain")
    assert {p.stem for p in out.glob("*.npz")} == {"a--grad-cam", "c--grad-cam"}
    assert "b.png" in (out / "report.html").read_text("utf-8")


def test_json_is_all_that_stands_on_stdout(mixed: Path, sightline: Command) -> None:
    result = sightline(
        "explain",
        mixed,
        "--json",
        "--metrics",
        "deletion",
        "--method",
        "rise,grad-cam",
        "--set",
        "masks=64",
        "--quiet",  # no line of progress, however slow the machine is
    )
    assert result.exit_code == 1
    assert result.stderr == ""
    told = json.loads(result.stdout)
    assert [p["name"] for p in told["pictures"]] == ["a.png", "b.png", "c.png"]
    first, bad, _ = told["pictures"]
    assert bad["error"] and not bad["maps"]
    assert [m["method"] for m in first["maps"]] == ["rise", "grad-cam"]
    assert first["maps"][0]["forward"] <= 66
    assert set(first["maps"][1]["metrics"]["deletion"]["nulls"]) == {
        "random",
        "centred blob",
        "edge map",
        "uniform map",
    }
    assert Path(first["maps"][1]["overlay"]).exists()


def test_a_method_that_refuses_is_listed_and_the_others_run(
    birds: Path, sightline: Command
) -> None:
    result = sightline("explain", birds, "--method", "rollout,grad-cam", "--metrics", "none")
    assert result.exit_code == 1
    assert "attention" in result.stderr
    assert len(list(Path("sightline-explain").glob("*--grad-cam.npz"))) == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--method", "gradcma"), "grad-cam"),
        (("--method", ","), "names nothing"),
        (("--metrics", "deletoin"), "deletion"),
        (("--model", "sightline:defualt"), "default"),
        (("--model", "file:nowhere.safetensors?arch=timm:resnet18"), "nowhere.safetensors"),
        (("--target", "nosuchbird"), "nosuchbird"),
        (("--target", "500"), "500"),
        (("--layer", "stage9"), "stage"),
        (("--set", "masks"), "FIELD=VALUE"),
        (("--set", "nosuch=1"), "nosuch"),
        (("--method", "rise", "--set", "masks=many"), "masks"),
        (("--method", "rise", "--set", "keep=2"), "keep"),
        (("--method", "rise", "--layer", "stage3"), "layer"),
        (("--device", "abacus"), "abacus"),
        (("--precision", "sloppy"), "sloppy"),
    ],
)
def test_wrong_usage_is_one_clear_error(
    words: tuple[str, ...], told: str, birds: Path, sightline: Command
) -> None:
    result = sightline("explain", birds, *words)
    assert result.exit_code == 2, result.output
    assert told in result.stderr
    assert "Traceback" not in result.output


def test_nothing_to_explain_is_wrong_usage(tmp_path: Path, sightline: Command) -> None:
    (tmp_path / "empty").mkdir()
    for words in (("nosuch.jpg",), ("empty",), ("*.png",), ()):
        assert sightline("explain", *words).exit_code == 2


def test_debug_shows_where_it_happened(birds: Path, sightline: Command) -> None:
    result = sightline("explain", birds, "--method", "nosuch", "--debug")
    assert isinstance(result.exception, sl.errors.UnknownName)


def test_a_folder_that_cannot_be_written_is_one_clear_error(
    birds: Path, tmp_path: Path, sightline: Command
) -> None:
    (tmp_path / "file").write_text("in the way")
    result = sightline("explain", birds, "--out", tmp_path / "file" / "out", "--metrics", "none")
    assert result.exit_code == 1
    assert "could not be written" in result.stderr or "cannot write" in result.stderr


def test_limit_target_and_seed_are_followed(birds: Path, sightline: Command) -> None:
    words = (
        "--limit",
        1,
        "--target",
        "top:1",
        "--method",
        "rise",
        "--set",
        "rise.masks=64",
        "--seed",
        3,
    )
    result = sightline("explain", birds, *words, "--metrics", "none", "--json")
    (picture,) = json.loads(result.stdout)["pictures"]
    assert picture["target"] == picture["top"][1]["label"]
    with np.load(picture["maps"][0]["arrays"], allow_pickle=False) as arrays:
        assert json.loads(str(arrays["provenance"]))["seed"] == 3


def test_two_pictures_of_one_name_do_not_overwrite_each_other(
    mixed: Path, sightline: Command
) -> None:
    other = mixed.parent / "other"
    other.mkdir()
    (other / "a.png").write_bytes((mixed / "c.png").read_bytes())
    sightline("explain", mixed / "a.png", other / "a.png", "--metrics", "none")
    found = {p.name for p in Path("sightline-explain").glob("*.npz")}
    assert found == {"a--grad-cam.npz", "a-2--grad-cam.npz"}


@dataclass(frozen=True, kw_only=True)
class Interrupting(sl.Explainer):
    """Raises what Ctrl-C raises, at its second picture."""

    calls: ClassVar[list[int]] = []

    def explain(self, model, images, target):
        self.calls.append(1)
        if len(self.calls) == 2:
            raise KeyboardInterrupt
        return sl.Heatmap(images.mean(1))


@pytest.fixture
def interrupting() -> Iterator[None]:
    registry.register("interrupting")(Interrupting)
    Interrupting.calls.clear()
    yield
    registry._entries.pop(("explainer", "interrupting"))


@pytest.mark.usefixtures("interrupting")
def test_an_interrupted_run_keeps_everything_finished(birds: Path, sightline: Command) -> None:
    result = sightline("explain", birds, "--method", "interrupting", "--metrics", "none")
    assert result.exit_code == 130
    out = Path("sightline-explain")
    assert len(list(out.glob("*.npz"))) == 1
    assert "</html>" in (out / "report.html").read_text("utf-8")


def test_the_demo_shows_truth_and_says_what_to_type_next(sightline: Command) -> None:
    result = sightline("demo", "--pictures", 1, "--method", "grad-cam")
    assert result.exit_code == 0, result.stderr
    assert "sightline explain" in result.stdout
    page = Path("sightline-demo/report.html").read_text("utf-8")
    assert "pointing" in page and "insertion" in page


def test_methods_lists_every_registered_name_with_paper_and_cost(sightline: Command) -> None:
    told = json.loads(sightline("methods", "--json").stdout)
    for kind in registry.ROOMS:
        assert [r["name"] for r in told if r["kind"] == kind] == registry.available(kind)
    assert all(r["paper"] and r["question"] for r in told)
    assert {r["name"]: r["passes"] for r in told}["grad-cam"] == {
        "forward": 1,
        "backward": 1,
        "copies": 0,
    }
    table = sightline("methods").stdout
    assert "arXiv:1610.02391" in table and "1 + 1" in table


def test_inspect_tells_what_the_explainers_use(sightline: Command) -> None:
    told = json.loads(sightline("inspect", "sightline:default", "--json").stdout)
    assert told["spatial layer"] in told["layouts"]
    assert told["layout"]["grid"] == [16, 16]
    assert told["spatial layer"] in sightline("inspect", "sightline:default").stdout
    assert sightline("inspect", "sightline:nosuch").exit_code == 2


def test_inspect_names_its_facts_in_plain_words(sightline: Command) -> None:
    told = sightline("inspect", "sightline:default-vit").stdout
    assert "tokens, 8 x 8, 1 prefix token\n" in told and "tokens before" not in told
    facts = json.loads(sightline("inspect", "sightline:default-vit", "--json").stdout)
    assert facts["batched copies are exact after"] == "blocks.4"
    assert facts["why no layer was found"] is None and facts["modules that did not run"] == []


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("3", int, 3),
        ("0.5", float, 0.5),
        ("yes", bool, True),
        ("none", int | None, None),
        ("mean", str | float, "mean"),
        ("0.2", str | float, 0.2),
        ("4,5", tuple[int, int], (4, 5)),
        ("(1, 2, 3)", tuple[int, ...], (1, 2, 3)),
        ("stage3", str | None, "stage3"),
    ],
)
def test_settings_are_typed_by_their_field(text: str, hint: object, value: object) -> None:
    assert typed(text, hint) == value
