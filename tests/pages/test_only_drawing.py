"""Views and pages draw what they are given: none of them runs, prepares or reads a model."""

import ast
from pathlib import Path

import sightline

ROOMS = ("views", "pages")
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
