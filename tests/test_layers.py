"""Who may import whom: the order of the architecture, read from the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "sightline"

ORDER = (
    "errors",
    "shapes",
    "formats",
    "ops registry images",
    "preprocess origins truth",
    "target anatomy calling",
    "execution trace",
    "session",
    "targets",
    "model",
    "saving",
    "explanation",
    "refusals admission",
    "explanations",
    "explainer",
    "metric attack recipe",
    "nets",
    "worlds",
    "zoo",
    "explainers",
    "engines",
    "index",
    "metrics attacks",
    "recipes tasks",
    "views",
    "report",
    "survey",
    "run",
    "studio",
    "cli",
    "__main__",
)
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names.split()}
FAMILIES = ("explainers", "metrics", "recipes", "attacks")
FORBIDDEN = {"utils", "helpers", "common", "misc", "core", "base", "manager", "handler"}
LINES = 400
FILES = 15

MODULES = sorted(p for p in PACKAGE.rglob("*.py"))
WRITTEN = sorted(
    p for folder in ("src", "tests", "benchmarks", "docs") for p in (ROOT / folder).rglob("*.py")
)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _imports(tree: ast.AST, package: list[str]) -> Iterator[list[str]]:
    """Our modules that the code imports, as paths below the package; not those for types."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "sightline":
                    yield alias.name.split(".")[1:]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            whole = [*start, *(node.module or "").split(".")] if node.module else start
            if node.level == 0:
                if whole[:1] != ["sightline"]:
                    continue
                whole = whole[1:]
            for alias in node.names:
                yield [*whole, alias.name]
        else:
            yield from _imports(node, package)


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_point_downward(path: Path) -> None:
    place = path.relative_to(PACKAGE).with_suffix("").parts
    if place == ("__init__",):
        return
    own = place[0]
    assert own in RANK, f"{own} has no place in the architecture's order"
    wrong = []
    for target in _imports(ast.parse(path.read_text("utf-8")), list(place[:-1])):
        other = target[0] if target else ""
        if other == own:
            if own in FAMILIES and len(place) > 2 and len(target) > 2 and target[1] != place[1]:
                wrong.append(f"{'.'.join(target)}: another family of {own}")
        elif other in RANK and RANK[other] >= RANK[own]:
            wrong.append(f"{'.'.join(target)}: not below {own}")
    assert not wrong


@pytest.mark.parametrize("path", WRITTEN, ids=_name)
def test_a_file_is_short_enough_to_read(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= LINES


@pytest.mark.parametrize("path", WRITTEN, ids=_name)
def test_no_file_or_folder_has_a_name_that_says_nothing(path: Path) -> None:
    parts = {part.strip("_") for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not parts & FORBIDDEN


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_only_the_command_line_prints(path: Path) -> None:
    if path.relative_to(PACKAGE).parts[0] == "cli":
        return
    calls = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]
    names = {n.func.id for n in calls if isinstance(n.func, ast.Name)}
    assert not names & {"print", "breakpoint", "input"}


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    text = path.read_text("utf-8")
    if path.name == "__init__.py" and path.parent != PACKAGE:
        assert not text.strip(), "the __init__.py of a room stays empty"
    else:
        assert ast.get_docstring(ast.parse(text))


def test_a_room_holds_at_most_fifteen_files() -> None:
    rooms = [p for p in PACKAGE.rglob("*") if p.is_dir() and p.name != "__pycache__"]
    full = {
        _name(room): count
        for room in rooms
        if (count := len([f for f in room.glob("*.py") if f.name != "__init__.py"])) > FILES
    }
    assert not full
