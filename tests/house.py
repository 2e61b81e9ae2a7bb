"""The house as its imports show it: `docs/architecture.md` and its drawing.

`docs/house.toml` lists the floors from the ground up, each room with a sentence. An import points
to a lower floor; `test_layers.py` holds every module to it, and `make golden` draws the house.
"""

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path

import networkx

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "sightline"
PAGE, PICTURE = ROOT / "docs" / "architecture.md", ROOT / "docs" / "images" / "house.svg"
WIDTH, HEIGHT, GAP, AISLE, FLOOR, MARGIN = 164, 30, 16, 120, 50, 24  # px


@dataclass(frozen=True)
class Room:
    """A file or folder of the package. floor: 0 is the ground; imports point to lower floors."""

    name: str
    floor: int
    sentence: str
    uses: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # room -> imports


@cache
def rooms() -> dict[str, Room]:
    """All rooms by name, with whom they import."""
    floors = tomllib.loads((ROOT / "docs" / "house.toml").read_text("utf-8"))["floor"]
    house = {
        name: Room(name, number, sentence)
        for number, floor in enumerate(floors)
        for name, sentence in floor.items()
    }
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).with_suffix("").parts
        own = room_of(place, house)
        if own:
            for target in imports(ast.parse(path.read_text("utf-8")), place[:-1]):
                other = room_of(target, house)
                if other and other != own:
                    house[own].uses[other] += 1
    return house


def room_of(place: tuple[str, ...], house: dict[str, Room]) -> str:
    """The room that a module belongs to: the longest name that fits; empty where there is none."""
    return next((r for n in (2, 1) if (r := ".".join(place[:n])) in house), "")


def imports(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Our modules that the code imports, as paths below the package, those for types included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "sightline":
                    yield tuple(alias.name.split(".")[1:])
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            whole = (*start, *(node.module or "").split(".")) if node.module else start
            if node.level == 0 and whole[:1] != ("sightline",):
                continue
            for alias in node.names:
                yield (*(whole if node.level else whole[1:]), alias.name)


def arrows(house: dict[str, Room]) -> list[tuple[str, str]]:
    """The imports that no longer way implies."""
    graph = networkx.DiGraph((room.name, other) for room in house.values() for other in room.uses)
    return sorted(networkx.transitive_reduction(graph).edges)


def drawing() -> str:
    """The house as SVG: one row a floor, the ground at the bottom, files left of folders."""
    house = rooms()
    middles, width, height = _places(house)
    parts = [
        f'<path d="{_curve(middles[a], middles[b])}" class="arrow"/>' for a, b in arrows(house)
    ]
    for name, (x, y) in middles.items():
        parts.append(
            f'<g class="{"folder" if _is_folder(name) else "file"}">'
            f"<title>{escape(house[name].sentence)}</title>"
            f'<rect x="{x - WIDTH / 2:.1f}" y="{y:.1f}" width="{WIDTH}" height="{HEIGHT}" rx="8"/>'
            f'<text x="{x:.1f}" y="{y + HEIGHT / 2 + 5:.1f}">{escape(name)}</text></g>'
        )
    style = (
        "rect{fill:#fff;stroke:#8b909c}.file rect{fill:#e8f1f4}text{font:14px"
        " system-ui,sans-serif;text-anchor:middle;fill:#1a1c20}.arrow{fill:none;stroke:#0b6e8f;"
        "stroke-opacity:.35;stroke-width:1.3}.paper{fill:#fbfaf7;stroke:none}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}"'
        f' width="{width:.0f}" role="img" aria-label="Rooms of the package, each above those that'
        f' it imports"><style>{style}</style><rect class="paper" width="100%" height="100%"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _is_folder(name: str) -> bool:
    return PACKAGE.joinpath(*name.split(".")).is_dir()


def _places(house: dict[str, Room]) -> tuple[dict[str, tuple[float, float]], float, float]:
    """Where each room stands, (middle, top) in px; and the width and height of the drawing."""
    halves: dict[tuple[int, bool], list[str]] = defaultdict(list)
    for room in house.values():
        halves[room.floor, _is_folder(room.name)].append(room.name)
    most = [max(len(n) for (_, is_), n in halves.items() if is_ == side) for side in (False, True)]
    top, step = max(room.floor for room in house.values()), WIDTH + GAP
    places = {}
    for (floor, folder), names in halves.items():
        for i, name in enumerate(names):
            place = most[0] + i if folder else most[0] - len(names) + i
            x = MARGIN + place * step + WIDTH / 2 + (AISLE if folder else 0)
            places[name] = (x, MARGIN + (top - floor) * FLOOR)
    width = 2 * MARGIN + sum(most) * step - GAP + AISLE
    return places, width, 2 * MARGIN + top * FLOOR + HEIGHT


def _curve(start: tuple[float, float], end: tuple[float, float]) -> str:
    """A line from the lower edge of one box to the upper edge of another below it."""
    (x, y), (to_x, to_y) = (start[0], start[1] + HEIGHT), end
    bend = (to_y - y) / 2
    turns = f"C{x:.1f} {y + bend:.1f} {to_x:.1f} {to_y - bend:.1f}"
    return f"M{x:.1f} {y:.1f}{turns} {to_x:.1f} {to_y:.1f}"


def page() -> str:
    """The text beside the drawing: each room, who lives here and who may enter."""
    house = rooms()
    lines = [
        "# The house",
        "",
        "Made by `make golden` from the imports and [house.toml](house.toml); do not edit.",
        "",
        "Imports point downward only: a room may enter every room of a lower floor, and no other.",
        "`tests/test_layers.py` holds every file to it, imports for types included.",
        "",
        "Files on the left are the nouns; folders on the right hold many of a thing. Lines are",
        "imports, without those that another way implies.",
        "",
        "![Rooms of the package, each above those that it imports](images/house.svg)",
        "",
        "| floor | room | who lives here | who enters |",
        "|---|---|---|---|",
    ]
    users: dict[str, list[str]] = defaultdict(list)
    for room in house.values():
        for other in room.uses:
            users[other].append(room.name)
    for room in sorted(house.values(), key=lambda room: (-room.floor, room.name)):
        who = ", ".join(f"`{name}`" for name in sorted(users[room.name])) or "users"
        lines.append(f"| {room.floor} | `{room.name}` | {room.sentence} | {who} |")
    return "\n".join(lines) + "\n"
