"""What a contest's order allows to say, in sentences: who ranks first, who is not significantly
different from it, and who is significantly worse than a baseline.
"""

from collections.abc import Sequence

from ... import registry
from ...errors import UnknownName
from ...evaluation.benchmark.ranking import BenchmarkRanking, Place
from ...evaluation.comparison import Difference, Level
from ...evaluation.table import BLOB
from ...stats.intervals import FEWEST
from ...views.wording import counted, listed, number, percent

_BASELINES = {
    "random": "a random map",
    "image itself": "the picture's own brightness",
    "average location": "the average location of the other pictures' objects",
}

SHOWN = 6  # names in one sentence


def famous(name: str) -> bool:
    """Whether people would expect this row to do well."""
    try:
        return registry.entry("explainer", name).cls.well_known
    except UnknownName:  # a baseline, or a method with parameters in its label
        return False


def about(found: BenchmarkRanking) -> list[str]:
    """All sentences of one contest, the plainest first."""
    if not _methods(found.places) and not found.apart:
        return ["No method could be scored here; the reasons are listed."]
    return [
        *first(found),
        *equal(found),
        *apart(found),
        *blob(found),
        *others(found),
        *by_metric(found),
    ]


def first(found: BenchmarkRanking) -> list[str]:
    """Who ranks first, and who is not significantly different from it."""
    methods = _methods(found.places)
    if not methods:
        return []
    best = methods[0]
    sentence = (
        f"{_name(best.name)} ranks first: it wins {percent(best.share.value)} of its comparisons"
        f"{_range(best.share)}"
    )
    if best.pictures < FEWEST:
        return [f"{sentence}; {counted(best.pictures, 'picture')} are too few for a verdict."]
    if not found.level_with_first:
        return [f"{sentence}, significantly more than every other method."]
    level = [n for n in distinct(found, [best.name, *found.level_with_first]) if n != best.name]
    if not level:
        return [f"{sentence}, significantly more than every method that is not equal to it."]
    verb = "is" if len(level) == 1 else "are"
    return [f"{sentence}; {_names(level)} {verb} not significantly different from it."]


def equal(found: BenchmarkRanking) -> list[str]:
    """Which methods are the same on this network."""
    if not found.equal:
        return []
    groups = "; ".join(" = ".join(_name(n) for n in group) for group in found.equal)
    return [f"Equal on every picture and metric of this contest, so counted once: {groups}."]


def apart(found: BenchmarkRanking) -> list[str]:
    """Where the methods with fewer pictures stand, on these."""
    shown = [
        f"{_name(p.name)} ranks {ordinal(p.rank)} of {p.of} on {counted(p.pictures, 'picture')}"
        for p in found.apart[:SHOWN]
    ]
    rest = len(found.apart) - len(shown)
    shown += [f"{rest} more stand in the second table"] if rest > 0 else []
    return [f"With fewer pictures: {listed(shown)}."] if shown else []


def blob(found: BenchmarkRanking) -> list[str]:
    """Where the centred blob stands, and which methods are significantly worse."""
    place = next((p for p in found.places if p.name == BLOB), None)
    leads = found.against.get(BLOB)
    if place is None or leads is None:
        return []
    standing = (
        f"The {BLOB}, a baseline that ignores the network, ranks {ordinal(place.rank)}"
        f" of {place.of}."
    )
    if leads and all(d.word == "too few pictures" for d in leads):
        return [standing]
    worse = distinct(found, [d.one for d in leads if d.word == "worse"])
    same = distinct(found, [d.one for d in leads if d.word == "not significantly different"])
    parts = [standing]
    if worse:
        verb = "is" if len(worse) == 1 else "are"
        parts.append(
            f"**{counted(len(worse), 'method')} {verb} significantly worse: {_names(worse)}.**"
        )
    else:
        parts.append("No method is significantly worse.")
    if same:
        parts.append(f"Not significantly different from it: {_names(same)}.")
    return [" ".join(parts)]


def others(found: BenchmarkRanking) -> list[str]:
    """The same for the other baselines, where a method is worse."""
    lines = []
    for null, leads in found.against.items():
        tested = [d for d in leads if d.word != "too few pictures"]
        worse = distinct(found, [d.one for d in tested if d.word == "worse"])
        if null != BLOB and worse:
            lines.append(f"Significantly worse than {_baseline(null)}: {_names(worse)}.")
        if null != BLOB and tested and not any(d.word == "better" for d in tested):
            lines.append(f"No method is significantly better than {_baseline(null)}.")
    return lines


def by_metric(found: BenchmarkRanking) -> list[str]:
    """Where well-known methods are significantly worse than the centred blob by a single metric."""
    lines = []
    for metric, nulls in found.by_metric.items():
        leads = [d for d in nulls.get(BLOB, ()) if d.word != "too few pictures"]
        names = distinct(found, [d.one for d in leads if d.word == "worse"])
        losing = [d for d in leads if d.one in names and famous(d.one)]
        if losing:
            shown = [f"{_name(d.one)} by {_gap(d)}" for d in losing[:SHOWN]]
            rest = len(losing) - SHOWN
            shown += [f"{rest} more of the well-known"] if rest > 0 else []
            lines.append(
                f"By `{metric}` alone the {BLOB} is significantly better than {listed(shown)}."
            )
        elif leads and not any(d.word == "better" for d in leads):
            lines.append(f"By `{metric}` alone no method is significantly better than the {BLOB}.")
    return lines


def distinct(found: BenchmarkRanking, names: Sequence[str]) -> list[str]:
    """The names, of methods that are equal on the contest only the best known."""
    left = list(names)
    for group in found.equal:
        inside = [name for name in left if name in group]
        ours = [n for n in inside if not _elsewhere(n) and famous(n)]
        shown = (ours or inside or [""])[0]
        left = [name for name in left if name not in group or name == shown]
    return left


def _elsewhere(name: str) -> bool:
    return registry.written_elsewhere("explainer", name)


def ordinal(rank: int) -> str:
    """`1st`, `2nd`, `3rd`, `11th`."""
    last = {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank}{'th' if rank % 100 in (11, 12, 13) else last}"


def _methods(places: Sequence[Place]) -> list[Place]:
    return [place for place in places if not place.blind]


def _baseline(null: str) -> str:
    return _BASELINES.get(null, f"the {null}")


def _gap(difference: Difference) -> str:
    low, high = sorted(-end for end in difference.interval or (0.0, 0.0))
    return f"{number(-difference.value)} (95 % interval {number(low)} to {number(high)})"


def _range(level: Level) -> str:
    if level.interval is None:
        return ""
    low, high = (round(100 * end) for end in level.interval)
    return f" (95 % interval {low} to {high} %)"


def _name(name: str) -> str:
    return f"`{name}`"


def _names(names: Sequence[str]) -> str:
    """The names, well-known ones first; many are counted."""
    ordered = sorted(names, key=lambda n: not famous(n))
    shown, rest = ordered[: 2 * SHOWN], len(ordered) - 2 * SHOWN
    return listed([_name(name) for name in shown] + ([f"{rest} more"] if rest > 0 else []))
