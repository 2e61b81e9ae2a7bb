"""A function of somebody as a method: its row is what the function says, its faults are stated."""

import functools
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sightline as sl
from sightline import registry
from sightline.errors import BadField, NotExplainable, ShapeError, UnknownName
from sightline.evaluation.benchmark.methods import benchmark_methods
from sightline.explainers.outside.function import Outside, fingerprint
from sightline.registry import from_json, to_json
from sightline.worlds import analytic

FILE = """
from pathlib import Path

def brightness(network, pictures, index):
    with (Path(__file__).parent / "asked").open("ab") as asked:
        asked.write(b".")
    return pictures
"""


def my_grad_cam(network: nn.Module, pictures: Tensor, index: int) -> Tensor:
    """Grad-CAM written down once more, with hooks."""
    held: list[Tensor] = []
    handle = network.get_submodule("maps").register_forward_hook(lambda m, i, o: held.append(o))
    score = network(pictures.requires_grad_())[:, index].sum()
    handle.remove()
    (grads,) = torch.autograd.grad(score, held)
    weights = grads.mean((2, 3), keepdim=True)
    return (weights * held[0]).sum(1).relu().detach()


def raising(network: nn.Module, pictures: Tensor, index: int) -> Tensor:
    raise ZeroDivisionError("it went wrong")


def undefined(network: nn.Module, pictures: Tensor, index: int) -> Tensor:
    return pictures * float("nan")


def flat(network: nn.Module, pictures: Tensor, index: int) -> Tensor:
    return torch.ones(1, 1000)


def noise(network: nn.Module, pictures: Tensor, index: int) -> np.ndarray:
    drawn = np.random.rand(1, *pictures.shape[2:]) + torch.rand(1).numpy() + random.random()
    return drawn.astype(np.float64)


def careless(network: nn.Module, pictures: Tensor, index: int) -> Tensor:
    """Leaves everything behind that one can leave behind."""
    network.train()
    network.register_forward_hook(lambda m, i, o: o * 2)
    for weight in network.parameters():
        weight.data.zero_()
    torch.manual_seed(99)
    return pictures


@pytest.fixture(scope="module")
def head() -> analytic.Known:
    return analytic.pooled_head(batch=3)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def _asked(file: Path) -> int:
    """How often the function of the file was called so far."""
    counted = file.parent / "asked"
    return len(counted.read_bytes()) if counted.exists() else 0


def test_a_function_that_copies_grad_cam_gets_exactly_our_row(
    head: analytic.Known, tmp_path: Path
) -> None:
    copied = Outside.of(my_grad_cam, name="copy")
    ours = sl.create("explainer", "grad-cam")(head.model, head.images, head.target)
    theirs = copied(head.model, head.images, head.target)
    torch.testing.assert_close(theirs.values, ours.values)
    metrics = [sl.create("metric", name, steps=4) for name in ("deletion", "insertion")]
    pictures = list(head.images)
    table = sl.evaluate(head.model, pictures, ["grad-cam", copied], metrics, tmp_path, target=1)
    assert table.methods == ["grad-cam", "outside:copy"] and not table.errors
    rows = {m: [r["value"] for r in table.rows if r["method"] == m] for m in table.methods}
    assert len(rows["grad-cam"]) == 6
    assert rows["outside:copy"] == pytest.approx(rows["grad-cam"], abs=1e-6)


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (raising, NotExplainable, "outside:raising raised ZeroDivisionError: it went wrong"),
        (
            undefined,
            NotExplainable,
            "outside:undefined returned NaN or infinite values in 25",
        ),
        (flat, ShapeError, r"outside:flat returned a map of shape \(1, 1000\); expected one map"),
    ],
)
def test_a_function_that_fails_is_a_stated_row(
    head: analytic.Known, tmp_path: Path, function, error: type, words: str
) -> None:
    method = Outside.of(function)
    with pytest.raises(error, match=words):
        method(head.model, head.images, head.target)
    table = sl.evaluate(
        head.model, list(head.images), [method, "gradient"], ["deletion"], tmp_path, target=1
    )
    bad = [r for r in table.rows if r["method"] == method.registered_name]
    assert len(bad) == 3 and all(r["value"] is None for r in bad)
    assert all(words.split("\\")[0][:20] in r["error"] for r in bad)
    assert all(r["value"] is not None for r in table.rows if r["method"] == "gradient")


def test_a_map_larger_than_the_picture_or_of_two_pictures_is_refused(head: analytic.Known) -> None:
    for shape in ((1, 6, 5), (2, 5, 5), (5, 5), (1, 1, 1, 5, 5)):
        method = Outside.of(lambda n, p, i, shape=shape: torch.ones(shape), name="wrong")
        with pytest.raises(ShapeError, match="expected one map"):
            method(head.model, head.images[:1], 1)
    with pytest.raises(ShapeError, match="returned list"):
        Outside.of(lambda n, p, i: [1.0], name="wrong")(head.model, head.images[:1], 1)


def test_a_coarse_map_is_enlarged_and_colours_are_summed(head: analytic.Known) -> None:
    coarse = Outside.of(lambda n, p, i: torch.tensor([[[0.0, 1.0]]]), name="coarse")
    heat = coarse(head.model, head.images, 1)
    assert heat.values.shape == (3, 5, 5) and heat.native.shape == (3, 1, 2)
    assert (heat.values[0, 0].diff() >= 0).all() and heat.values[0, 0, -1] == 1
    colours = Outside.of(lambda n, p, i: p, name="colours")(head.model, head.images, 1)
    torch.testing.assert_close(colours.values, head.images.sum(1))


def test_the_network_is_lent_as_a_copy_and_the_random_state_comes_back(
    head: analytic.Known,
) -> None:
    net = head.model.module
    before = {k: v.clone() for k, v in net.state_dict().items()}
    mode = net.training
    torch.manual_seed(5)
    state = torch.get_rng_state()
    Outside.of(careless)(head.model, head.images, 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert not net._forward_hooks and net.training == mode


def test_a_function_that_draws_numbers_says_the_same_alone_and_in_a_batch(
    head: analytic.Known,
) -> None:
    method = Outside.of(noise)
    together = method(head.model, head.images, 1).values
    torch.manual_seed(7)
    assert torch.equal(method(head.model, head.images[2:], 1).values[0], together[2])
    other = Outside.of(noise, seed=1)(head.model, head.images, 1).values
    assert not torch.equal(other, together)


def test_the_function_may_ask_for_the_model_and_natural_pictures() -> None:
    model = sl.load("sightline:default")
    seen: list[tuple[object, float, float]] = []

    def look(given, pictures, index):
        seen.append((given, float(pictures.min()), float(pictures.max())))
        return pictures

    images = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    Outside.of(look, takes="model")(model, images, 1)
    Outside.of(look)(model, images, 1)
    (mine, low, high), (net, normal, _) = seen
    assert mine is model and low >= 0 and high <= 1
    assert isinstance(net, nn.Module) and net is not model.module and normal < -1


def test_what_is_no_class_is_refused(head: analytic.Known) -> None:
    with pytest.raises(NotExplainable, match="only the index of a class"):
        Outside.of(my_grad_cam)(head.model, head.images, -sl.Class(1))


def test_passes_of_the_function_are_counted(head: analytic.Known) -> None:
    told = Outside.of(my_grad_cam, version="1.2")(head.model, head.images, 1).provenance
    assert told["evaluations"] == {"forward": 6, "backward": 3}  # the clean pass is one of two
    assert told["method"] == "outside:my_grad_cam" and told["parameters"]["version"] == "1.2"


def test_it_survives_json_and_workers_and_a_second_run_asks_nothing(
    head: analytic.Known, file: Path, tmp_path: Path
) -> None:
    (method,) = benchmark_methods([f"outside:{file}:brightness"])
    assert from_json("explainer", to_json(method)) == method
    model = analytic.linear(channels=3).model
    pictures = list(torch.rand(3, 3, 6, 7, generator=torch.Generator().manual_seed(1)))
    options = {"metrics": ["runtime"], "out": tmp_path / "o"}
    first = sl.evaluate(model, pictures, [method, "gradient"], workers=2, **options)
    assert not first.errors and _asked(file) == 3
    again = benchmark_methods([f"outside:{file}:brightness"])
    sl.evaluate(model, pictures, [*again, "gradient"], **options)
    assert _asked(file) == 3


def test_a_changed_function_is_another_method_in_the_ledger(file: Path) -> None:
    known = fingerprint(my_grad_cam)
    assert fingerprint(my_grad_cam) == known != fingerprint(raising)
    assert fingerprint(my_grad_cam, "2") != known
    assert fingerprint(functools.partial(noise, index=1)) != fingerprint(
        functools.partial(noise, index=2)
    )
    held = object.__new__(type("Odd", (), {"__reduce__": None}))  # cannot be written down
    closed = lambda n, p, i: held  # noqa: E731
    assert fingerprint(closed) != fingerprint(closed)
    assert fingerprint(closed, "1") == fingerprint(closed, "1")
    before = sl.create("explainer", f"outside:{file}:brightness")
    other = file.with_name("other.py")
    other.write_text(FILE.replace("return pictures", "return pictures * 2"))
    after = sl.create("explainer", f"outside:{other}:brightness")
    assert before.code != after.code  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("outside:absent.py:f", BadField, "there is no file"),
        ("outside:mine", BadField, "FILE.py:FUNCTION or MODULE:FUNCTION"),
        ("outside:json:nothing", BadField, "json:nothing gives no function: AttributeError"),
        ("outside:math:sqrt", BadField, r"called as function\(network, pictures, index\)"),
        ("outsid:math:sqrt", UnknownName, "did you mean 'outside'"),
        ("captum:Saliency?steps", BadField, r"\?NAME=VALUE&NAME=VALUE"),
    ],
)
def test_a_name_that_means_nothing_is_refused_with_advice(
    name: str, error: type, words: str
) -> None:
    with pytest.raises(error, match=words):
        sl.create("explainer", name)


def test_a_library_that_is_absent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError

    from sightline.errors import MissingExtra
    from sightline.explainers.outside import _peer

    def absent(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(_peer, "version", absent)
    for name, package in (("captum:Saliency", "captum"), ("grad-cam:GradCAM", "grad-cam")):
        with pytest.raises(MissingExtra, match=f"`pip install {package}`"):
            sl.create("explainer", name)


def test_names_stand_wherever_a_method_is_named(file: Path, head: analytic.Known) -> None:
    name = f"outside:{file}:brightness?version=3"
    heat = sl.explain(head.model, head.images, method=name, target=1)
    torch.testing.assert_close(heat.values, head.images.sum(1))
    assert heat.provenance["parameters"]["version"] == "3"
    assert sl.create("explainer", name, seed=4).seed == 4
    with pytest.raises(UnknownName, match="has no field 'sed'"):
        sl.create("explainer", name, sed=4)
    assert not [n for n in sl.available("explainer") if ":" in n]


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("captum:Saliency", True), ("outside:my.py:maps", True), ("grad-cam", False), ("x:y", False)],
)
def test_the_registry_says_which_methods_are_written_elsewhere(name: str, theirs: bool) -> None:
    assert registry.written_elsewhere("explainer", name) is theirs
