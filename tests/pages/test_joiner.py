"""The modules of the pages: one script without imports, and files that work as they lie."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import sightline
from sightline.pages import shell
from sightline.pages.joiner import joined

STATIC = Path(sightline.__file__).parent / "pages" / "static"
MODULES = sorted(path.name for path in STATIC.glob("*.js"))
VIEWS = ("controls.js", "figures.js", "memory.js", "report.js", "shell.js", "tables.js")
START = "start.js"  # the one file that knows which document it is in


def _joined(**files: str) -> str:
    return joined("a.js", lambda name: files[name.removesuffix(".js")])


def test_modules_stand_after_those_that_they_import() -> None:
    text = _joined(
        a='import { c } from "./c.js";\nimport { b } from "./b.js";\nb(c);\n',
        b='import { c } from "./c.js";\nexport function b(x) { return x + c; }\n',
        c="export const c = 1;\n",
    )
    assert text == "const c = 1;\n\nfunction b(x) { return x + c; }\n\nb(c);"


def test_another_name_of_an_import_is_its_name_in_the_script() -> None:
    text = _joined(
        a='import { render as one } from "./b.js";\nexport function render(x) { one(x); }\n',
        b="/** @param {string} x */\nexport function render(x) { x.render(); } // done\n",
    )
    assert text == "function one(x) { x.render(); } // done\n\nfunction render(x) { one(x); }"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"a": 'import { b } from "./b.js";\n', "b": "const b = 1;\n"}, "does not export"),
        (
            {
                "a": 'import { b } from "./b.js";\nconst c = b;\n',
                "b": "export const b = 1;\nlet c;\n",
            },
            "at their top",
        ),
        ({"a": 'import * as b from "./b.js";\n', "b": ""}, "only `import"),
        (
            {
                "a": 'import { b as x } from "./b.js";\nimport { c } from "./c.js";\n',
                "b": "export function b() {}\n",
                "c": 'import { b } from "./b.js";\nexport const c = b;\n',
            },
            "imported as b and as x",
        ),
    ],
)
def test_what_cannot_be_joined_is_said(files: dict[str, str], reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        _joined(**files)


def test_the_script_of_a_page_has_every_module_and_no_word_of_modules() -> None:
    text = joined(START, shell.asset)
    assert not re.search(r"^(import|export)\b|/\*\*", text, re.MULTILINE)
    for name in MODULES:
        own = re.findall(r"^(?:export )?function (\w+)", (STATIC / name).read_text("utf-8"), re.M)
        assert all(f"function {each}(" in text for each in own if each != "render"), name
    assert len(text) < 26_000


def test_the_script_of_a_page_parses(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node on the path; the tests in a browser run the script")
    script = tmp_path / "page.mjs"
    script.write_text(joined(START, shell.asset), "utf-8")
    found = subprocess.run([node, "--check", script], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_views_render_below_an_element_and_use_no_ids() -> None:
    offenders = []
    for name in MODULES:
        text = (STATIC / name).read_text("utf-8")
        if name != START and re.search(r"\bdocument\b", text):
            offenders.append(f"{name}: reads the document")
        if re.search(r"getElementById|querySelector\w*\(\s*[\"'`][^\"'`]*#|\.id\b", text):
            offenders.append(f"{name}: looks for an id")
        if name in VIEWS and not re.search(
            r"^export function render\(\{ [\w, ]*el \}\)", text, re.M
        ):
            offenders.append(f"{name}: no render({{ model, el }})")
    assert not offenders
