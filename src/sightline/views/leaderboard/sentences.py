"""What a contest's order allows to say, in sentences: who is first, who cannot be told from it, and
who loses to a map that knows nothing.
"""

from collections.abc import Sequence

from ...engines.benchmark.standings import Standings
from ...engines.standing import Difference, Level
from ...engines.table import BLOB
from ..wording import counted, listed, number, percent

FAMOUS = (
    "gradient",
    "input-x-gradient",
    "integrated-gradients",
    "smooth-grad",
    "guided-backprop",
    "grad-cam",
    "grad-cam++",
    "score-cam",
    "eigen-cam",
    "occlusion",
    "rise",
    "rollout",
)
"""Methods that people reach for first; those of other libraries count among them."""

_NULLS = {"random": "a random map", "image itself": "the picture's own brightness"}

SHOWN = 6  # names in one sentence


def famous(name: str) -> bool:
    """Whether people would expect this row to do well."""
    return name in FAMOUS or (":" in name and not name.startswith("outside:"))


def about(found: Standings) -> list[str]:
    """All sentences of one contest, the plainest first."""
    if not any(not place.blind for place in found.places):
        return ["No method has a number here; the reasons are listed."]
    return [first(found), *blob(found), *others(found), *by_metric(found)]


def first(found: Standings) -> str:
    """Who wins most often, and who cannot be told from it."""
    methods = [place for place in found.places if not place.blind]
    best = methods[0]
    sentence = f"{_name(best.name)} wins most often, {percent(best.share.value)} of its comparisons"
    sentence += _range(best.share)
    if best.share.interval is None:
        return f"{sentence}; too few pictures to say whether that is luck."
    level = list(found.level_with_first)
    if not level:
        return f"{sentence}, ahead of all others beyond doubt."
    return f"{sentence}; {_names(level)} cannot be told from it on these pictures."


def blob(found: Standings) -> list[str]:
    """Where the centred blob stands, and which methods are behind it beyond doubt."""
    place = next((p for p in found.places if p.name == BLOB), None)
    leads = found.against.get(BLOB)
    if place is None or leads is None:
        return []
    standing = f"The {BLOB}, which knows nothing of the network, is in place {place.rank}"
    standing += f" of {len(found.places)}."
    behind = [d.one for d in leads if d.word == "loses to"]
    level = [d.one for d in leads if d.word == "cannot be told from"]
    parts = [standing]
    if behind:
        parts.append(
            f"**{counted(len(behind), 'method')} {_verb(behind, 'loses', 'lose')} to it beyond"
            f" doubt: {_names(behind)}.**"
        )
    else:
        parts.append("No method loses to it beyond doubt.")
    if level:
        parts.append(f"{_names(level, capital=True)} cannot be told from it.")
    return [" ".join(parts)]


def others(found: Standings) -> list[str]:
    """The same for the other null maps, where someone loses to them."""
    lines = []
    for null, leads in found.against.items():
        behind = [d.one for d in leads if d.word == "loses to"]
        if null != BLOB and behind:
            verb = _verb(behind, "loses", "lose")
            lines.append(f"To {_who(null)} {verb} beyond doubt: {_names(behind)}.")
        if null != BLOB and leads and not any(d.word == "beats" for d in leads):
            lines.append(f"No method beats {_who(null)} beyond doubt.")
    return lines


def by_metric(found: Standings) -> list[str]:
    """Where famous methods lose to the centred blob by a single metric."""
    lines = []
    for metric, nulls in found.by_metric.items():
        losing = [d for d in nulls.get(BLOB, ()) if d.word == "loses to" and famous(d.one)]
        if losing:
            told = [f"{_name(d.one)} by {_gap(d)}" for d in losing[:SHOWN]]
            rest = len(losing) - SHOWN
            told += [f"{rest} more of the well-known"] if rest > 0 else []
            lines.append(f"By `{metric}` alone the {BLOB} beats {listed(told)}.")
        elif nulls.get(BLOB) and not any(d.word == "beats" for d in nulls[BLOB]):
            lines.append(f"By `{metric}` alone no method beats the {BLOB} beyond doubt.")
    return lines


def _who(null: str) -> str:
    return _NULLS.get(null, f"the {null}")


def _gap(difference: Difference) -> str:
    low, high = sorted(-end for end in difference.interval or (0.0, 0.0))
    return f"{number(-difference.value)} (95 % {number(low)} to {number(high)})"


def _range(level: Level) -> str:
    if level.interval is None:
        return ""
    low, high = (round(100 * end) for end in level.interval)
    return f" (95 % interval {low} to {high} %)"


def _name(name: str) -> str:
    return f"`{name}`"


def _names(names: Sequence[str], capital: bool = False) -> str:
    """The names, well-known ones first; many are counted."""
    ordered = sorted(names, key=lambda n: not famous(n))
    shown, rest = ordered[: 2 * SHOWN], len(ordered) - 2 * SHOWN
    told = [_name(name) for name in shown] + ([f"{rest} more"] if rest > 0 else [])
    return listed(told)


def _verb(names: Sequence[str], one: str, many: str) -> str:
    return one if len(names) == 1 else many
