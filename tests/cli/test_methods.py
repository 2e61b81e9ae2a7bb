"""`sightline methods`: a few to start with, groups by question, lines that fit 80 columns."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from typer.testing import Result

from sightline import registry
from sightline.cli.catalogue import groups

Command = Callable[..., Result]


@pytest.mark.parametrize("columns", [80, 60])
@pytest.mark.parametrize("names", [(), ("grad-cam", "sag", "pgd", "pointing", "steady-maps")])
def test_no_line_is_longer_than_the_terminal_and_no_word_is_cut(
    columns: int, names: tuple[str, ...], sightline: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = sightline("methods", *names).stdout
    assert max(map(len, text.splitlines())) <= columns
    words = set(text.split())
    for kind in registry.ROOMS:
        for name in names or registry.available(kind):
            if name in registry.available(kind):
                entry = registry.entry(kind, name)
                assert set(entry.question.split()) <= words
                assert {claim.rstrip(",") for claim in entry.claims} <= {
                    word.rstrip(",") for word in words
                }


def test_a_few_come_first_and_every_method_stands_in_a_group(sightline: Command) -> None:
    lines = sightline("methods").stdout.splitlines()
    first = next(k for k, line in enumerate(lines) if line == "To start with")
    where = next(k for k, line in enumerate(lines) if line.startswith("Where does it look?"))
    assert first < where
    shown = [line.split(":")[0].strip() for line in lines[first:where] if line.startswith("  ")]
    wanted = ["grad-cam", "hires-cam", "score-cam", "integrated-gradients", "rise", "sag"]
    assert [name for name in shown if name in wanted] == wanted
    titles = [lines[k - 1] for k, line in enumerate(lines) if line and set(line) == {"-"}]
    assert titles == ["To start with", *groups.GROUPS.values()]  # none is empty, no "Others"
    names = [line.split("  ")[0] for line in lines[where:]]
    for kind in registry.ROOMS:
        for name in registry.available(kind):
            assert names.count(name) == 1, name


def test_one_method_is_shown_in_full(sightline: Command) -> None:
    text = sightline("methods", "gradcam++").stdout
    assert "grad-cam++ (explainer)" in text and "Do not trust" in text
    assert "arXiv:1710.11063" in text and "layer = None" in text
    (told,) = json.loads(sightline("methods", "rise", "--json").stdout)
    assert told["name"] == "rise" and told["group"] == "mask" and told["fields"]["masks"]
    wrong = sightline("methods", "gradcma")
    assert wrong.exit_code == 2 and "did you mean 'grad-cam'" in wrong.stderr


def test_a_reader_who_has_enough_is_no_error() -> None:
    code = (
        "import sys; sys.argv = ['sightline', 'methods']\n"
        "import os; r, w = os.pipe(); os.close(r); os.dup2(w, 1)\n"
        "from sightline.cli.app import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
