"""Options are spelled and declared once, whatever the verbs that have them."""

import ast
from collections import Counter
from pathlib import Path

from sightline import cli

ROOM = Path(next(iter(cli.__path__)))


def test_a_flag_is_declared_in_one_place() -> None:
    declared: Counter[str] = Counter()
    for path in ROOM.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "typer.Option":
                texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
                declared.update(t for t in texts if isinstance(t, str) and t.startswith("-"))
    assert declared["--model"] == 1  # they are found
    assert not {flag: count for flag, count in declared.items() if count > 1}
