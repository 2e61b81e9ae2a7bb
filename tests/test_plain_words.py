"""Sentences that users read use the field's terms: phrases that readers did not understand are
kept out of every text of the package and of every page."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

PLAIN = {
    r"\bknow(s|ing)? nothing\b": "a baseline, a map that ignores the network",
    r"\bnull levels?\b": "baselines",
    r"\bbeyond doubt\b": "significantly (95 % interval)",
    r"\bdear\b": "expensive",
    r"\btold from\b": "significantly different from, or distinguished from",
    r"\bstrongest tenths\b": "top 10 % of pixels",
    r"\bweaker places\b": "a percentile: the share of the evidence below this point",
    r"\bwhere they truly are\b": "true part locations",
    r"\bforgets where\b": "averaging the gradient discards location",
    r"\banother function of the layer\b": "the head is not average pooling plus one linear layer",
    r"\bmeans? nothing\b": "has no meaning, or what is wrong and what is expected",
    r"\bno number\b|\bwithout a number\b": "not measured, could not be scored",
    r"\bin place (\d|\{)": "ranks 42nd of 43",
    r"\bno two share a patch\b": "largest group of sets that share no patch",
    r"\bmeets every sufficient\b": "every sufficient set contains at least one of these patches",
    r"\bas long as the share\b": "the outline shows how much of the score remains",
    r"\bexpected to tell\b": "expected information",
    r"\bdescribes the class\b": "association with the class",
    r"\bis what hiding\b": "drop when the region is hidden",
    r"\bexact behind\b": "batched copies are exact after",
    r"\bwhy none\b": "why no layer was found",
    r"\bnever ran\b": "did not run",
    r"\beats?\b": "expects, takes",
    r"\bmodel to err\b": "find small changes that fool the model",
    r"; nothing is computed\.": "rebuild without recomputing",
    r"\bhir(e|ed|es|ing)\b(?!-)": "start (a worker)",
    r"\bbur(y|ies|ied)\b": "stop (a worker), or: the worker died",
    r"\bbef(all|alls|ell)\b": "happen",
    r"\bastray\b": "wrong, misled",
    r"\bin silence\b": "without a warning",
    r"\bspeaks? (for|against)\b": "supports, opposes, is evidence for or against",
    r"\bby lot\b": "at random",
    r"\bat hand\b": "available",
    r"\banew\b": "again, or: new, randomised",
    r"\bby habit\b": "by default",
    r"\bread off\b": "read from",
    r", were (it|the)\b": "if it were",
}

ANY = re.compile("|".join(f"(?:{phrase})" for phrase in PLAIN))


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of each string of a source file, docstrings included, or of a whole page."""
    source = path.read_text("utf-8")
    if path.suffix != ".py":
        yield from enumerate(source.splitlines(), 1)
        return
    tree = ast.parse(source)
    parts = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            told = (part.value if isinstance(part, ast.Constant) else "{" for part in node.values)
            yield node.lineno, "".join(map(str, told))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in parts:
                yield node.lineno, node.value


FOLDERS = {"src": ("*.py", "*.j2", "*.js"), "docs": ("*.md", "*.py")}
FILES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(
            path
            for name, kinds in FOLDERS.items()
            for k in kinds
            for path in (ROOT / name).rglob(k)
        ),
    ]
)


def test_no_text_has_a_phrase_that_readers_did_not_understand() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text[:200]}\n    {phrase!r}; write: {PLAIN[phrase]}"
        for path in FILES
        for line, text in ((line, " ".join(text.split())) for line, text in texts(path))
        if ANY.search(text)
        for phrase in PLAIN
        if re.search(phrase, text)
    ]
    assert not found, "\n".join(["readers did not understand (see CONTRIBUTING.md):", *found])


def test_the_search_reads_docstrings_parts_of_messages_and_pages(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text('"""What it\neats."""\nx = 1\ntext = f"in place {x} of"\n', "utf-8")
    seen = [" ".join(text.split()) for _, text in texts(file)]
    assert any(re.search(r"\beats?\b", text) for text in seen)
    assert any(re.search(r"\bin place (\d|\{)", text) for text in seen)
