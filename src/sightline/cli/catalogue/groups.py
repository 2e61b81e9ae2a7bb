"""The list of all methods as text: a few to start with, then by the question that a group
answers.
"""

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

Record = dict[str, Any]  # Any: whatever JSON holds

GROUPS = {
    "explainer cam": "Where does it look? Class activation maps: quick, as coarse as the layer",
    "explainer attention": "Where does it look? Attention of transformers",
    "explainer gradient": "Which pixels move the score? Gradients: quick, fine, noisy",
    "explainer mask": "Which places does it need? Hiding parts: slow, for any network",
    "explainer structure": "Why? Smallest sufficient regions and masks that are optimised: slow",
    "explainer words": "What does it see, in words?",
    "explainer chain": "Which questions lead to its answer?",
    "explainer wrap": "How does another method's map become steadier?",
    "metric": "Can I trust it? Metrics that judge a map",
    "attack": "Can I trust it? Attacks: small changes that fool the model",
    "recipe": "How do I improve it? Recipes that train a network",
}
_WIDEST, _NARROWEST = 100, 40


def width() -> int:
    """Columns of the terminal, within what reads well; 80 where there is none."""
    return max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size((80, 24)).columns))


def listing(records: Sequence[Record], columns: int) -> Iterator[str]:
    """All methods in lines of at most so many columns."""
    grouped = list(_grouped(records))
    first = [r for _, members in grouped for r in members if r["recommended"]]
    yield from _heading("To start with", columns)
    for record in first:
        yield from _wrapped(f"{record['name']}: {record['question']}", columns, "  ")
    yield ""
    yield from _wrapped(
        "`sightline methods NAME` has all about one. Passes are images sent forward and backward to"
        " explain one picture of 128 px; `copies` run behind a layer only.",
        columns,
        "",
    )
    for title, members in grouped:
        yield from _heading(title, columns)
        for record in members:
            yield from _entry(record, columns)


def details(record: Record, columns: int) -> Iterator[str]:
    """All that is known of one method."""
    kind, passes = record["kind"], _passes(record["passes"])
    yield from _heading(f"{record['name']} ({kind})", columns)
    facts = {
        "Paper": record["paper"],
        "Cost": passes,
        "Better is": record["direction"],
        "Claims": ", ".join(record["claims"]),
    }
    named = [f"{name}: {text}" for name, text in facts.items() if text]
    for text in filter(None, (record["question"], record["caution"], *named)):
        yield from _wrapped(text, columns, "")
    if record["fields"]:
        yield ""
        yield from _wrapped("Parameters with their defaults (--set NAME=VALUE):", columns, "")
    for name, value in record["fields"].items():
        yield from _wrapped(f"{name} = {_value(value)}", columns, "  ")


def _grouped(records: Sequence[Record]) -> Iterator[tuple[str, list[Record]]]:
    """The groups in their order, then what stands in none of them."""
    left = list(records)
    for key, title in GROUPS.items():
        members = [r for r in left if key in (r["kind"], f"{r['kind']} {r['group']}")]
        left = [r for r in left if r not in members]
        if members:
            yield title, members
    if left:
        yield "Others", left


def _entry(record: Record, columns: int) -> Iterator[str]:
    cost = _passes(record["passes"]) or (record["direction"] and f"{record['direction']} is better")
    yield from _wrapped("  ".join(filter(None, (record["name"], cost))), columns, "")
    for text in (record["question"], ", ".join(record["claims"]), record["paper"]):
        if text:
            yield from _wrapped(text, columns, "    ")


def _heading(title: str, columns: int) -> Iterator[str]:
    yield ""
    yield from _wrapped(title, columns, "")
    yield "-" * min(len(title), columns)


def _wrapped(text: str, columns: int, indent: str) -> list[str]:
    """Lines that end between words; a word that is longer than a line stays whole."""
    return textwrap.wrap(
        text,
        columns,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _passes(spent: dict[str, int] | None) -> str:
    if not spent:
        return ""
    copies = f", {spent['copies']} copies" if spent["copies"] else ""
    return f"{spent['forward']} + {spent['backward']} passes{copies}"


def _value(value: Any) -> str:
    """A default as it is typed."""
    if isinstance(value, dict) and "name" in value:
        return str(value["name"])
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)
