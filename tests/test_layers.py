"""Who may import whom, and how files look: the rules of the architecture, read from the source."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import networkx

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "sightline"

# Downward only. Names of one line do not import each other; a dotted name is a part of a room
# that stands lower than the rest of it.
ORDER = (
    "errors",
    "shapes files",
    "ops registry",
    "pictures",
    "sample",
    "network",
    "target",
    "targets",
    "model",
    "explanations.saving",
    "explanation",
    "explainers.contract",
    "explanations",
    "artifact hiding",
    "explainer",
    "metric attack recipe",
    "nets",
    "worlds",
    "data loading",
    "zoo",
    "explainers",
    "jobs stats",
    "evaluate",
    "metrics attacks",
    "recipes",
    "views",
    "pages",
    "explain_pictures",
    "run",
    "cli",
    "__main__",
)
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names.split()}
FAMILIES = ("explainers", "metrics", "recipes", "attacks")
SHARED = ("contract",)  # parts of a family's room that all of its families use
FORBIDDEN = {"utils", "helpers", "common", "misc", "core", "base", "manager", "handler"}
LINES = 400
FILES = 15
BUDGETS = {  # lines of a noun's file, from the plan of the house
    "attack": 80,
    "explainer": 200,
    "explanation": 300,
    "metric": 150,
    "model": 300,
    "recipe": 300,
    "sample": 250,
    "target": 250,
}
LARGE = {"attack", "explanation", "metric", "model", "target"}  # shrinks, never grows

MODULES = sorted(p for p in PACKAGE.rglob("*.py"))
WRITTEN = sorted(
    p for folder in ("src", "tests", "benchmarks", "docs") for p in (ROOT / folder).rglob("*.py")
)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def _imports(tree: ast.AST, package: list[str]) -> Iterator[list[str]]:
    """Our modules that the code imports, inside functions and for types too, as paths below the
    package."""
    for node in ast.iter_child_nodes(tree):
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


def _room(place: list[str]) -> str:
    """The name in the order that a module belongs to; empty where it has none."""
    return next((r for n in (2, 1) if (r := ".".join(place[:n])) in RANK), "")


def _wrong(place: tuple[str, ...], target: list[str]) -> str:
    """Why this import points upward or sideways; empty where it does not."""
    own, other = _room(list(place)), _room(target)
    if own == other:
        families = own in FAMILIES and len(place) > 2 and len(target) > 2
        sideways = families and target[1] != place[1] and target[1] not in SHARED
        return f"another family of {own}" if sideways else ""
    return f"not below {own}" if other and RANK[other] >= RANK[own] else ""


def test_imports_point_downward() -> None:
    offenders = []
    for path in MODULES:
        place = path.relative_to(PACKAGE).with_suffix("").parts
        if place == ("__init__",):
            continue
        if not _room(list(place)):
            offenders.append(f"{_name(path)}: no place in the architecture's order")
            continue
        for target in _imports(_tree(path), list(place[:-1])):
            if reason := _wrong(place, target):
                offenders.append(f"{_name(path)}: {'.'.join(target)}: {reason}")
    assert not offenders


def test_no_modules_import_each_other_in_a_circle() -> None:
    places = {".".join(p.relative_to(PACKAGE).with_suffix("").parts): p for p in MODULES}
    graph = networkx.DiGraph()
    for module, path in places.items():
        for target in _imports(_tree(path), module.split(".")[:-1]):
            graph.add_edges_from(
                (module, name)
                for n in (0, 1)
                if (name := ".".join(target[: len(target) - n])) in places
            )
    graph.remove_nodes_from(["__init__"])  # it may name all, when it is asked
    circles = [sorted(c) for c in networkx.strongly_connected_components(graph) if len(c) > 1]
    assert not circles


def test_files_are_short_enough_to_read() -> None:
    lengths = {_name(path): len(path.read_text("utf-8").splitlines()) for path in WRITTEN}
    assert not {name: lines for name, lines in lengths.items() if lines > LINES}


def test_the_nouns_keep_their_budgets() -> None:
    lengths = {
        noun: len((PACKAGE / f"{noun}.py").read_text("utf-8").splitlines()) for noun in BUDGETS
    }
    over = {noun: n for noun, n in lengths.items() if n > BUDGETS[noun]}
    assert set(over) <= set(LARGE), "over the budget of the architecture"
    assert set(LARGE) <= set(over), "within its budget now: take it out of LARGE"


def test_names_of_files_and_rooms_say_something() -> None:
    parts = {
        p: {part.strip("_") for part in p.relative_to(ROOT).with_suffix("").parts} for p in WRITTEN
    }
    assert not [_name(path) for path, names in parts.items() if names & FORBIDDEN]
    rooms = [p for p in PACKAGE.rglob("*") if p.is_dir() and p.name != "__pycache__"]
    counts = {
        _name(room): len([f for f in room.glob("*.py") if f.name != "__init__.py"])
        for room in rooms
    }
    assert not {room: count for room, count in counts.items() if count > FILES}


def test_only_the_command_line_prints() -> None:
    offenders = []
    for path in MODULES:
        calls = [n for n in ast.walk(_tree(path)) if isinstance(n, ast.Call)]
        names = {n.func.id for n in calls if isinstance(n.func, ast.Name)}
        if path.relative_to(PACKAGE).parts[0] != "cli" and names & {"print", "breakpoint", "input"}:
            offenders.append(_name(path))
    assert not offenders


def test_every_module_says_what_it_is_for() -> None:
    offenders = []
    for path in MODULES:
        if path.name == "__init__.py" and path.parent != PACKAGE:
            if path.read_text("utf-8").strip():
                offenders.append(f"{_name(path)}: the __init__.py of a room stays empty")
        elif not ast.get_docstring(_tree(path)):
            offenders.append(f"{_name(path)}: no docstring")
    assert not offenders


def test_modules_are_found_by_walking_not_by_name() -> None:
    """A room's module as text (`".explainers.outside"`) is a hidden import."""
    rooms = {p.name for p in PACKAGE.iterdir() if p.is_dir()}
    offenders = []
    for path in MODULES:
        texts = [n.value for n in ast.walk(_tree(path)) if isinstance(n, ast.Constant)]
        parts = [t.split(".") for t in texts if isinstance(t, str) and "." in t and " " not in t]
        named = [".".join(p) for p in parts if p[0] == "" and len(p) > 2 and p[1] in rooms]
        offenders += [f"{_name(path)}: {each}" for each in named]
    assert not offenders


def test_networks_read_no_files() -> None:
    """Architectures are nets/; what was learned for them is read and written by artifact.py."""
    readers = {"json", "pathlib", "safetensors", "io", "os"}
    offenders = []
    for path in MODULES:
        if path.relative_to(PACKAGE).parts[0] != "nets":
            continue
        for node in ast.walk(_tree(path)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found = readers & {name.split(".")[0] for name in names}
            if found or (isinstance(node, ast.Name) and node.id == "open"):
                offenders.append(f"{_name(path)}: {found or 'open'}")
    assert not offenders


BLENDING = (
    "hiding",
    "ops.masks",
    "explainers.contract.window_plans",  # proves the plans that hiding uses
    "nets.mask_loss",  # a loss that is differentiated through the masks
)


def test_pictures_are_hidden_in_one_place() -> None:
    """Scores of pictures seen through masks come from hiding.py."""
    offenders = [
        _name(path)
        for path in MODULES
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ImportFrom) and "blend" in [alias.name for alias in node.names]
        if ".".join(path.relative_to(PACKAGE).with_suffix("").parts) not in BLENDING
    ]
    assert not offenders
