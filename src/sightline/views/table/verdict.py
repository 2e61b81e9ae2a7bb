"""Says in sentences which method a table speaks for, and how sure that is."""

from collections.abc import Sequence

import numpy as np

from ... import registry
from ...engines.standing import Difference, Level, Ranking
from ...engines.table import Table
from ..wording import counted, listed, number, percent


@registry.drawn(Table, "verdict")
def verdict(table: Table) -> str:
    """Which method to use on these pictures, and whether it beats a map that knows nothing."""
    if not table.pictures:
        return "There is no picture in this run, so nothing was measured."
    if not any(np.isfinite(s.row(m)).any() for s in table.scores for m in table.methods):
        return "No method gave a number; the reasons are listed."
    best = table.ranking.methods[0] if table.ranking else table.methods[0]
    choice = [_choice(table.ranking)] if table.ranking else []
    return " ".join([*choice, against_blob(table, best), *_losers(table, best)]).strip()


def headline(table: Table) -> str:
    """What the page says first."""
    ranking, pictures = table.ranking, counted(len(table.pictures), "picture")
    if not table.pictures:
        return "There was no picture to judge methods on."
    if ranking and ranking.lead.interval and ranking.lead.interval[0] > 0:
        first = ranking.methods[0]
        held = [d for d in table.against if d.one == first]
        if held and not any(d.word == "beats" for d in held):
            return (
                f"{first} is ahead of the others on these {pictures}, but has not been shown to"
                " beat a blob in the middle."
            )
        return f"{first} is the method to choose on these {pictures}."
    if ranking:
        first = ranking.methods[0]
        return f"No method is ahead beyond doubt on these {pictures}; {first} comes first."
    found = [d for d in table.against if d.one == table.methods[0]]
    beaten = [d.metric for d in found if d.word == "beats"]
    if not found:
        return f"Nothing could be measured on these {pictures}."
    if not beaten:
        return f"{table.methods[0]} has not been shown to beat a blob in the middle of the picture."
    return f"{table.methods[0]} beats a blob in the middle of the picture on {listed(beaten)}."


def _choice(ranking: Ranking) -> str:
    best, second = ranking.methods[:2]
    share, lead, others = ranking.shares[0], ranking.lead, len(ranking.methods) - 1
    seen = counted(share.count, "picture")
    if lead.value == 0:
        return f"On {seen} {best} and {second} win equally often."
    rivals = second if others == 1 else f"the other {others} methods"
    sentence = (
        f"{best} wins most often on {seen}: {percent(share.value)} of its comparisons with {rivals}"
        f"{_range(share, percent)}"
    )
    if lead.interval is None:
        return f"{sentence}; too few pictures to say whether that is luck."
    if lead.interval[0] > 0:
        return f"{sentence}, ahead of {second}."
    return f"{sentence}; its lead over {second} is within the noise."


def against_blob(table: Table, method: str) -> str:
    """One sentence: what a method gains over a blob in the middle of the picture, by metric."""
    found = [d for d in table.against if d.one == method]
    if not found:
        return f"{method} has no number to hold against the {_BLOB}."
    counts = {d.count for d in found}
    pictures = f" ({counted(counts.pop(), 'picture')})" if len(counts) == 1 else ""
    parts = []
    for word in ("beats", "loses to", "cannot be told from"):
        gains = [gain(d) for d in found if d.word == word]
        if gains:
            other = "it" if parts else f"the {_BLOB}"
            parts.append(f"{word} {other} on {listed(gains)}")
    return f"{method} {listed(parts)}{pictures}."


_BLOB = "centred blob"


def gain(difference: Difference) -> str:
    """`insertion by 0.10 (95 % 0.06 to 0.14)`."""
    if difference.interval == (0, 0):
        return f"{difference.metric} (equal on every picture)"
    if difference.word == "cannot be told from":
        return f"{difference.metric}{_range(difference, number)}"
    amount = number(abs(difference.value))
    sign = 1 if difference.value >= 0 else -1
    ends = sorted(sign * end for end in difference.interval or ())
    told = f" (95 % {number(ends[0])} to {number(ends[1])})" if ends else ""
    return f"{difference.metric} by {amount}{told}"


def _losers(table: Table, besides: str) -> list[str]:
    """The other methods that a blob in the middle beats, said plainly."""
    losing: dict[str, list[str]] = {}
    for d in table.against:
        if d.word == "loses to" and d.one != besides:
            losing.setdefault(d.one, []).append(d.metric)
    if not losing:
        return []
    parts = [f"{method} on {listed(metrics)}" for method, metrics in losing.items()]
    verb = "loses" if len(parts) == 1 else "lose"
    return [f"To the {_BLOB} {verb}: {'; '.join(parts)}."]


def _range(level: Level, told) -> str:
    if level.interval is None:
        return ""
    low, high = level.interval
    return f" (95 % {told(low)} to {told(high)})"


def sentences(table: Table) -> Sequence[str]:
    """What each method gains over the blob, one sentence each."""
    return [against_blob(table, method) for method in table.methods]
