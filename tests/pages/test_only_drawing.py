"""Views and pages draw what they are given: none of them runs, prepares or reads a model."""

import ast
from pathlib import Path

import sightline

ROOMS = ("views", "pages")
MEASURED = {"overlap", "mean_overlap", "peak_part", "part_shares"}
OF_MODELS = {"prepare", "trace", "gradients", "probabilities", "forward", "frames", "aim"}


def test_no_view_and_no_page_calls_a_model() -> None:
    package = Path(sightline.__file__).parent
    offenders = []
    for path in (p for room in ROOMS for p in (package / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if called and node.func.attr in OF_MODELS:
                offenders.append(f"{path.relative_to(package)}:{node.lineno} {node.func.attr}")
    assert not offenders


def test_what_maps_say_is_measured_before_it_is_drawn() -> None:
    """Only `evidence` measures maps; what draws them reads its numbers from the record."""
    package = Path(sightline.__file__).parent
    paths = [p for room in ROOMS for p in (package / room).rglob("*.py") if p.name != "evidence.py"]
    named = {
        str(path.relative_to(package)): {
            alias.name
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.ImportFrom) and node.module and "evidence" in node.module
            for alias in node.names
        }
        for path in paths
    }
    assert not {path: names & MEASURED for path, names in named.items() if names & MEASURED}
    assert [path for path, names in named.items() if "measure" in names] == ["pages/report/page.py"]


SUMS = "pages/report/summary.py"  # sums up the records of pictures, by the rules of stats/ alone


def test_pages_take_no_statistics_but_their_constants() -> None:
    package = Path(sightline.__file__).parent
    offenders = []
    for path in (p for room in ROOMS for p in (package / room).rglob("*.py")):
        if path == package / SUMS:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "stats":
                names = [alias.name for alias in node.names if not alias.name.isupper()]
                offenders += [f"{path.relative_to(package)}: {name}" for name in names]
    assert not offenders
