"""Says in sentences which method is best in a table, and how certain that is."""

from collections.abc import Sequence

import numpy as np

from ... import registry
from ...evaluation.comparison import Difference, Level, Ranking
from ...evaluation.table import BLOB, Table
from ...stats.intervals import FEWEST
from ...views.wording import counted, listed, number, percent


@registry.drawn(Table, "verdict")
def verdict(table: Table) -> str:
    """Which method to use on these pictures, and whether it is better than a centred blob."""
    if not table.pictures:
        return "There is no picture in this run, so nothing was measured."
    if not any(np.isfinite(s.row(m)).any() for s in table.scores for m in table.methods):
        return "No method could be scored; the reasons are listed."
    best = table.ranking.methods[0] if table.ranking else table.methods[0]
    choice = [_choice(table.ranking), *groups(table)] if table.ranking else []
    return " ".join([*choice, against_blob(table, best), *_losers(table, best)]).strip()


def headline(table: Table) -> str:
    """What the page says first."""
    ranking, pictures = table.ranking, counted(len(table.pictures), "picture")
    if not table.pictures:
        return "There was no picture to compare methods on."
    if ranking:
        return _first_place(table, ranking, pictures)
    found = [d for d in table.against if d.one == table.methods[0]]
    better = [d.metric for d in found if d.word == "better"]
    if not found:
        return f"No method could be scored on these {pictures}."
    if all(d.word == "too few pictures" for d in found):
        return f"{table.methods[0]} on {pictures}: too few for a verdict."
    if not better:
        return f"{table.methods[0]} is not significantly better than a {BLOB}."
    return f"{table.methods[0]} is significantly better than a {BLOB} on {listed(better)}."


def _first_place(table: Table, ranking: Ranking, pictures: str) -> str:
    first, word = ranking.methods[0], ranking.lead.word
    if word == "too few pictures":
        return f"{first} ranks first on these {pictures}, which are too few for a verdict."
    if word != "better":
        return f"No method is significantly ahead on these {pictures}; {first} ranks first."
    against = [d for d in table.against if d.one == first]
    if against and not any(d.word == "better" for d in against):
        return (
            f"{first} is significantly ahead of the others on these {pictures}, but not"
            f" significantly better than a {BLOB}."
        )
    return f"{first} is the method to choose on these {pictures}."


def _choice(ranking: Ranking) -> str:
    best, second = ranking.methods[0], ranking.rival
    share, lead, others = ranking.shares[0], ranking.lead, len(ranking.methods) - 1
    pictures = counted(share.count, "picture")
    if lead.value == 0:
        return f"On {pictures} {best} and {second} win equally often."
    rivals = second if others == 1 else f"the other {others} methods"
    sentence = (
        f"{best} ranks first on {pictures}: it wins {percent(share.value)} of its comparisons with"
        f" {rivals}{_range(share, percent)}"
    )
    if lead.word == "too few pictures":
        return f"{sentence}; under {FEWEST} pictures no difference is tested."
    ahead = "significantly" if lead.word == "better" else "not significantly"
    return f"{sentence}, {ahead} more than {second}."


def groups(table: Table) -> list[str]:
    """Which methods are the same here, and which have too few pictures to be ranked."""
    if table.ranking is None:
        return []
    alike = [" = ".join(group) for group in table.ranking.groups]
    lines = [f"Equal here on every picture and metric, so counted once: {'; '.join(alike)}."]
    apart = [f"{name} ({counted(n, 'picture')})" for name, n in table.ranking.apart]
    missing = f"Not ranked, because fewer pictures could be scored: {listed(apart)}."
    return [*(lines if alike else []), *([missing] if apart else [])]


_WORDS = {
    "better": "is significantly better than",
    "worse": "is significantly worse than",
    "not significantly different": "is not significantly different from",
}


def against_blob(table: Table, method: str) -> str:
    """One sentence: what a method gains over a blob in the middle of the picture, by metric."""
    found = [d for d in table.against if d.one == method]
    if not found:
        return f"{method} has no score to compare with the {BLOB}."
    counts = {d.count for d in found}
    pictures = f" ({counted(counts.pop(), 'picture')})" if len(counts) == 1 else ""
    parts = []
    for word, words in _WORDS.items():
        gains = [gain(d) for d in found if d.word == word]
        if gains:
            other = "it" if parts else f"the {BLOB}"
            parts.append(f"{words} {other} on {listed(gains)}")
    untested = [gain(d) for d in found if d.word == "too few pictures"]
    if untested:
        other = "it" if parts else f"the {BLOB}"
        few = f"too few pictures for a test against {other} on {listed(untested)}"
        parts.append(f"has {few}")
    return f"{method} {listed(parts)}{pictures}."


def gain(difference: Difference) -> str:
    """`insertion by 0.10 (95 % interval 0.06 to 0.14)`."""
    if difference.interval == (0, 0):
        return f"{difference.metric} (equal on every picture)"
    if difference.word == "not significantly different":
        return f"{difference.metric}{_range(difference, number)}"
    amount = number(abs(difference.value))
    if difference.word == "too few pictures":
        side = "better" if difference.value >= 0 else "worse"
        return f"{difference.metric} ({amount} {side})"
    sign = 1 if difference.value >= 0 else -1
    ends = sorted(sign * end for end in difference.interval or ())
    shown = f" (95 % interval {number(ends[0])} to {number(ends[1])})" if ends else ""
    return f"{difference.metric} by {amount}{shown}"


def _losers(table: Table, besides: str) -> list[str]:
    """The other methods that are significantly worse than a blob in the middle."""
    losing: dict[str, list[str]] = {}
    for d in table.against:
        if d.word == "worse" and d.one != besides:
            losing.setdefault(d.one, []).append(d.metric)
    if not losing:
        return []
    parts = [f"{method} on {listed(metrics)}" for method, metrics in losing.items()]
    return [f"Significantly worse than the {BLOB}: {'; '.join(parts)}."]


def _range(level: Level, shown) -> str:
    if level.interval is None:
        return ""
    low, high = level.interval
    return f" (95 % interval {shown(low)} to {shown(high)})"


def sentences(table: Table) -> Sequence[str]:
    """What each method gains over the blob, one sentence each."""
    return [against_blob(table, method) for method in table.methods]
