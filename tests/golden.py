"""Golden files: what all methods do together, written by one command and reviewed as a diff.

`make golden` writes which network each explainer refuses, how many passes each spends, of which
maps a metric has no number, the passes that `sightline methods` shows, README's table of methods,
the rows that the page of metrics lacks, and the drawing of the house. A new method adds its lines;
a change of any other line is a change of behaviour. Counts and words are equal on all processors: a
count that hangs on rounding is written as null. `python tests/golden.py NAME ...` writes the lines
of these methods.
"""

import importlib.util
import json
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

import house
from sightline import Class, Model, available, create
from sightline.cli.catalogue import groups
from sightline.cli.catalogue.facts import COSTS, costs, measured
from sightline.errors import NotExplainable, SightlineWarning
from sightline.registry import entry
from sightline.worlds.miniatures import MINIATURES

ROOT = Path(__file__).parents[1]
REFUSALS = ROOT / "tests" / "golden" / "refusals.json"
PASSES = ROOT / "tests" / "golden" / "passes.json"
UNDEFINED = ROOT / "tests" / "golden" / "undefined.json"
README = ROOT / "README.md"
METRICS = ROOT / "docs" / "metrics.md"
SHIPPED = Path(str(files("sightline.cli") / COSTS))
NEAR = 0.25  # a shipped count that hangs on rounding is kept while it is as near as this

Counts = list[int | None]  # images forward, images backward, copies behind a layer


def read(path: Path) -> dict[str, Any]:
    """What a golden file holds; nothing where it was never written."""
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def stale(what: str) -> str:
    """What a test says that finds something else than a golden file."""
    return f"{what}: run `make golden` and review the diff"


def refusal(name: str, kind: str) -> str | None:
    """In which words an explainer refuses a network; None where it explains it."""
    from test_contract import network
    from tiny import tiny

    model, images = network(kind)
    try:
        tiny(name)(model, images, [0, 3, 4])
    except NotExplainable as error:
        return str(error)
    return None


def spent(name: str, target: Class, seed: int = 2) -> tuple[int, int, int]:
    """The passes for one picture and the small network, once all that is learned is there."""
    mini = MINIATURES["pooled-cnn"]
    images = torch.rand((1, 3, *mini.size), generator=torch.Generator().manual_seed(seed))
    model, method = Model(mini(), size=mini.size), create("explainer", name)
    method(model, images, target)  # what is learned or checked once is not counted
    told = method(model, images, target).provenance
    return (*told["evaluations"].values(), told["copies"])


def steady(name: str, target: Class) -> Counts | None:
    """The passes of an explainer, None for those that differ between pictures or kernels; None
    for a method that refuses the network."""
    from kernels import without_onednn

    ways: list[tuple[int, Callable[[], AbstractContextManager[Any]]]]
    ways = [(2, nullcontext), (3, nullcontext), (4, nullcontext), (2, without_onednn)]
    found = []
    for seed, around in ways:
        try:
            with around():
                found.append(spent(name, target, seed))
        except NotExplainable:
            return None
    return [each[0] if len({*each}) == 1 else None for each in zip(*found, strict=True)]


def refusals(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Explainer -> network -> words."""
    from test_contract import NETWORKS

    found = {n: {k: refusal(n, k) for k in NETWORKS} for n in names}
    return {n: {k: w for k, w in kinds.items() if w is not None} for n, kinds in found.items()}


def passes(names: Sequence[str], *, probability: bool) -> dict[str, Counts]:
    """Explainer -> passes; behind a softmax those that run copies of the head."""
    known = read(PASSES).get("probability" if probability else "logit", {})
    found = {n: steady(n, Class(1, probability=probability or None)) for n in names}
    return {
        n: _hanging(counts, known.get(n))
        for n, counts in found.items()
        if counts and not (probability and counts[2] == 0)
    }


def _hanging(now: Counts, before: Counts | None) -> Counts:
    """A count that is written as null stays null: another processor may have been the reason."""
    return [None if b is None else n for n, b in zip(now, before or now, strict=True)]


def undefined(names: Sequence[str]) -> dict[str, list[str]]:
    """Metric -> degenerate maps of which it has no number."""
    import test_metric_contract as contract

    return {n: contract.undefined(n) for n in names if n in contract.OF_MAPS}


def shipped(names: Sequence[str]) -> dict[str, dict[str, int] | None]:
    """The passes that `sightline methods` shows."""
    known, hanging = costs(), read(PASSES)["logit"]
    found: dict[str, dict[str, int] | None] = {}
    for name in names:
        now, before = measured(create("explainer", name)), known.get(name)
        if now and before and None in hanging.get(name, [None]) and _near(now, before):
            now = before
        found[name] = now
    return found


def _near(now: dict[str, int], before: dict[str, int]) -> bool:
    return all(abs(now[key] - n) <= NEAR * n for key, n in before.items())


def methods() -> str:
    """README's table: each question, and the methods that answer it."""
    lines = ["| | |", "|---|---|"]
    for key, title in groups.GROUPS.items():
        kind, _, room = key.partition(" ")
        rooms: dict[str, list[str]] = {}
        for name in available(kind):
            rooms.setdefault(entry(kind, name).room, []).append(f"`{name}`")
        shown = [names for each, names in rooms.items() if room in ("", each)]
        lines.append(f"| {title} | {'; '.join(', '.join(names) for names in shown)} |")
    return "\n".join(lines)


_TABLE = re.compile(r"(<!-- methods[^>]*-->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)


def readme() -> str:
    """README with the table of today."""
    text, count = _TABLE.subn(lambda m: f"{m[1]}{methods()}{m[2]}", README.read_text("utf-8"))
    assert count == 1, "README has lost the markers of its table of methods"
    return text


def page() -> str:
    """The page of metrics, with a row for each metric that has none."""
    spec = importlib.util.spec_from_file_location("metrics_page", ROOT / "docs" / "metrics.py")
    assert spec and spec.loader
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    text = METRICS.read_text("utf-8")
    for table, row in generator.missing(text):
        start = text.index(f"<!-- {table} -->")
        end = text.index("\n\n<!-- end -->", start)
        text = f"{text[:end]}\n{row}{text[end:]}"
    return text


def lines(table: dict[str, Any]) -> str:
    """JSON with one line for each method, so that a diff shows the method."""
    rows = [f" {json.dumps(name)}: {json.dumps(told)}" for name, told in sorted(table.items())]
    return "{\n" + ",\n".join(rows) + "\n}"


def _over(known: dict[str, Any], found: dict[str, Any], kind: str = "explainer") -> dict[str, Any]:
    """What is known of registered methods, what was found now above it; nothing empty."""
    both = {**known, **found}
    return {name: both[name] for name in available(kind) if both.get(name, []) not in ({}, [])}


def _learned(names: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """What needs tiny networks in the place of what methods have learned."""
    refused = _over(read(REFUSALS), refusals(names))
    yield REFUSALS, json.dumps(refused, indent=1, ensure_ascii=False)
    known = read(PASSES)
    counted = {
        kind: lines(_over(known.get(kind, {}), passes(names, probability=kind == "probability")))
        for kind in ("logit", "probability")
    }
    yield PASSES, "{\n" + ",\n".join(f'"{kind}": {text}' for kind, text in counted.items()) + "\n}"


def _write(path: Path, text: str) -> None:
    changed = not path.exists() or path.read_text("utf-8") != text
    path.write_text(text, "utf-8")
    print(f"{path.relative_to(ROOT)}: {'changed' if changed else 'as before'}")


def main(wanted: Sequence[str]) -> None:
    """Writes the golden files, all of them or the lines of some methods; says which changed."""
    import learned

    warnings.simplefilter("ignore", SightlineWarning)
    torch.set_num_threads(1)
    explainers, metrics = (
        [name for name in available(kind) if not wanted or name in wanted]
        for kind in ("explainer", "metric")
    )
    _write(README, readme())
    _write(METRICS, page())
    _write(house.PAGE, house.page())
    _write(house.PICTURE, house.drawing())
    _write(UNDEFINED, lines(_over(read(UNDEFINED), undefined(metrics), "metric")) + "\n")
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        learned.install(patch, Path(folder))
        for path, text in _learned(explainers):
            _write(path, text + "\n")
    _write(SHIPPED, lines(_over(read(SHIPPED), shipped(explainers))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
