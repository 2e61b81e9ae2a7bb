"""What the pages promise: every method documented, every command real, every example running."""

import doctest
import importlib.util
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import torch
from typer.testing import CliRunner

import golden
import sightline
from sightline import registry
from sightline.cli.app import app
from sightline.cli.catalogue.facts import costs, measured

ROOT = Path(__file__).parents[1]
NAMES = [(kind, name) for kind in registry.ROOMS for name in registry.available(kind)]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_method_says_its_question_its_paper_and_when_not_to_trust_it() -> None:
    silent = []
    for kind, name in NAMES:
        entry = registry.entry(kind, name)
        if not (entry.question.endswith(("?", ".")) and entry.paper and entry.caution):
            silent.append(f"{kind} {name}: {entry.question!r}, {entry.paper!r}, {entry.caution!r}")
    assert not silent


def test_every_method_has_a_page_and_stands_in_the_index(generator: ModuleType) -> None:
    pages = generator.pages(costs=False)
    for kind, name in NAMES:
        entry = registry.entry(kind, name)
        page = pages[f"{name}.md"]
        assert name in pages["index.md"]
        assert all(each.partition(":")[2] in page for each in entry.paper.split())
        assert "not trust" in page
        for claim in entry.claims:
            assert claim in page
    assert "![three birds" in pages["grad-cam.md"]
    assert "![" not in pages["xnn.md"] and "trained for a network first" in pages["xnn.md"]


def test_a_page_lists_what_each_parameter_and_each_result_means(generator: ModuleType) -> None:
    pages = generator.pages(costs=False)
    assert "\n- `grid`: rows and columns of patches.\n" in pages["sag.md"]
    assert "\n- `beam`, `successors`: sets kept of each size, " in pages["sag.md"]
    assert (
        "\n- `values` and `native`: signed, summed over colours.\n" in pages["input-x-gradient.md"]
    )
    assert "\n- `details` (one of each per image): `objective`" in pages["igos.md"]
    assert ";.\n" not in "".join(pages.values()) and "..\n" not in "".join(pages.values())


def test_every_claim_is_explained(generator: ModuleType) -> None:
    claims = {c for kind, name in NAMES for c in registry.entry(kind, name).claims}
    assert claims <= set(generator.CLAIMS)


def test_the_readme_names_every_method_and_no_other() -> None:
    assert golden.README.read_text("utf-8") == golden.readme(), golden.stale("README.md")
    names = [name for kind in registry.ROOMS for name in registry.available(kind)]
    assert sorted(re.findall(r"`([^`]+)`", golden.methods())) == sorted(names)


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each line of the page's shell examples."""
    for block in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        yield from (shlex.split(line, comments=True) for line in block.splitlines())


def test_the_commands_of_the_pages_exist() -> None:
    helped = cache(lambda verb: CliRunner().invoke(app, [verb, "--help"]))
    missing = []
    for page, words in [(p, words) for p in PAGES for words in commands(p)]:
        if words[:1] == ["make"] and f"\n{words[1]}:" not in (ROOT / "Makefile").read_text("utf-8"):
            missing.append(f"{page.name}: {words}")
        if words[:1] == ["sightline"]:
            known = helped(words[1])
            options = [w for w in words[2:] if w.startswith("--") and w not in known.output]
            if known.exit_code or options:
                missing.append(f"{page.name}: {words}: {options}")
    assert not missing


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert tried > 5
    assert not failed


@pytest.mark.parametrize("name", sorted(set(sightline.__all__) - {"__version__", "errors"}))
def test_what_the_root_exports_is_documented_and_its_examples_run(name: str) -> None:
    exported = getattr(sightline, name)
    assert exported.__doc__
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for example in doctest.DocTestFinder(recurse=False).find(exported, name):
        runner.run(example)
    assert not runner.summarize(verbose=False).failed


def test_the_method_of_the_contributing_page_works_as_printed() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    block = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert block
    place = {
        "__name__": "sightline.explainers.gradient.scratch",
        "__package__": "sightline.explainers.gradient",
    }
    try:
        exec(compile(block[1], "CONTRIBUTING.md", "exec"), place)
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2, bias=False))
        images = torch.rand(1, 3, 2, 2)
        heat = place["GradientInput"]()(net, images, target=1)
        assert torch.isclose(heat.values.sum(), net(images)[0, 1])
    finally:
        registry._entries.pop(("explainer", registry._spelling("gradient-x-input")), None)


def test_the_contributing_page_is_short() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines()) <= 45


CHEAP = 40


def test_the_passes_that_are_shipped_are_those_of_today() -> None:
    known = costs()
    assert sorted(known) == registry.available("explainer"), golden.stale("cli/costs.json")
    checked = 0
    for name, told in known.items():
        if told and sum(told.values()) <= CHEAP:
            made = registry.create("explainer", name)
            assert measured(made) == told, golden.stale(name)
            checked += 1
    assert checked > 10
