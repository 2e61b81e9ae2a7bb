"""Every public tensor has a named shape: what a function takes and returns says its axes."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "sightline"
LEFT = ("model", "network", "recipes")
"""Rooms whose signatures are still to be annotated; none may be added."""


def bare(annotation: ast.expr | None) -> bool:
    """Whether a tensor without a shape stands anywhere in the annotation."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    if isinstance(annotation, ast.Subscript):
        inside = annotation.slice
        named = isinstance(inside, ast.Tuple) and isinstance(inside.elts[-1], ast.Constant)
        return not named and bare(inside)  # named: Float[Tensor, "batch row"]
    if isinstance(annotation, (ast.Tuple, ast.List)):
        return any(bare(part) for part in annotation.elts)
    if isinstance(annotation, ast.BinOp):
        return bare(annotation.left) or bare(annotation.right)
    return isinstance(annotation, ast.Name) and annotation.id == "Tensor"


def tensors(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, ast.expr | None]]:
    """The arguments and results of public functions and methods, each with its annotation."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from tensors(node.body, f"{owner}{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            private = node.name.startswith("_") and node.name != "__call__"
            if private or node.name == "forward":  # TorchScript knows no named shape
                continue
            every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            yield from ((f"{owner}{node.name}, {a.arg}", a.annotation) for a in every)
            yield f"{owner}{node.name}, its result", node.returns


def unnamed() -> dict[str, list[str]]:
    """Room or file at the root -> public tensors without a shape; private modules are their
    room's own business."""
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name.startswith("_"):
            continue
        place = path.relative_to(PACKAGE)
        for name, annotation in tensors(ast.parse(path.read_text("utf-8")).body):
            if bare(annotation):
                room = place.with_suffix("").parts[0]
                found.setdefault(room, []).append(f"{place}: {name}")
    return found


def test_every_public_tensor_has_a_named_shape() -> None:
    offenders = [line for room, lines in unnamed().items() if room not in LEFT for line in lines]
    assert not offenders, "\n".join(["name the axes (shapes.py), or AnyTensor:", *offenders])


def test_a_room_that_is_done_leaves_the_list() -> None:
    assert set(LEFT) <= set(unnamed())
