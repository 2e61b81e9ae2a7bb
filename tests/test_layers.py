"""Who may import whom, and how files look: the rules of the architecture, read from the source."""

import ast
from functools import cache
from pathlib import Path

import networkx

import golden
import house
from house import PACKAGE, ROOT

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

MODULES = sorted(p for p in PACKAGE.rglob("*.py"))
WRITTEN = sorted(
    p for folder in ("src", "tests", "benchmarks", "docs") for p in (ROOT / folder).rglob("*.py")
)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def _wrong(place: tuple[str, ...], target: tuple[str, ...]) -> str:
    """Why this import points upward or sideways; empty where it does not."""
    rooms = house.rooms()
    own, other = house.room_of(place, rooms), house.room_of(target, rooms)
    if own == other:
        families = own in FAMILIES and len(place) > 2 and len(target) > 2
        sideways = families and target[1] != place[1] and target[1] not in SHARED
        return f"another family of {own}" if sideways else ""
    upward = other and rooms[other].floor >= rooms[own].floor
    return f"not below {own}" if upward else ""


def test_imports_point_downward() -> None:
    offenders = []
    for path in MODULES:
        place = path.relative_to(PACKAGE).with_suffix("").parts
        if place == ("__init__",):
            continue
        if not house.room_of(place, house.rooms()):
            offenders.append(f"{_name(path)}: no place in the architecture's order")
            continue
        for target in house.imports(_tree(path), place[:-1]):
            if reason := _wrong(place, target):
                offenders.append(f"{_name(path)}: {'.'.join(target)}: {reason}")
    assert not offenders


def test_the_drawing_of_the_house_is_current() -> None:
    assert house.PAGE.read_text("utf-8") == house.page(), golden.stale("the house")
    assert house.PICTURE.read_text("utf-8") == house.drawing(), golden.stale("the house")


def test_no_modules_import_each_other_in_a_circle() -> None:
    places = {".".join(p.relative_to(PACKAGE).with_suffix("").parts): p for p in MODULES}
    graph = networkx.DiGraph()
    for module, path in places.items():
        for target in house.imports(_tree(path), tuple(module.split(".")[:-1])):
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
    assert not over


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
