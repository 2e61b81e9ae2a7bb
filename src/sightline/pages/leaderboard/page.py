"""The leaderboard as one Markdown page: which methods to use, then a table for each contest with
baselines in their places, and sentences that say what is certain.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...evaluation.benchmark.ranking import BenchmarkRanking, Place, benchmark_ranking
from ...evaluation.benchmark.recommendation import FAMILIES, Recommended, recommended
from ...evaluation.benchmark.run import EXPENSIVE, BenchmarkResult
from ...evaluation.comparison import Level
from ...stats.intervals import FEWEST
from ...views.wording import counted, listed, percent, seconds
from . import sentences

MARK = "†"


@dataclass(frozen=True, kw_only=True)
class BenchmarkRun:
    """How a contest came to be. command: to hold it again. versions: of what its numbers depend
    on."""

    date: str
    command: str
    versions: Mapping[str, str]


def page(held: Sequence[tuple[BenchmarkResult, BenchmarkRun]]) -> str:
    """The whole page, of all contests."""
    outcomes = [outcome for outcome, _ in held]
    found = [(each, benchmark_ranking(each.scores, each.nulls, each.sanity)) for each in outcomes]
    lines = ["# Leaderboard", "", *_opening(held), *_choices(found)]
    lines += [*_summary(found), *_reading()]
    titles = {"known": "Known truth", "real": "Photographs"}
    for track, title in titles.items():
        mine = [pair for pair in found if pair[0].track == track]
        if mine:
            lines += [f"## {title}", ""]
        for outcome, order in mine:
            lines += contest(outcome, order)
    return "\n".join([*lines, *_closing(held)]).rstrip() + "\n"


def _opening(held: Sequence[tuple[BenchmarkResult, BenchmarkRun]]) -> list[str]:
    date = max((made.date for _, made in held), default="no day")
    return [
        f"Written by `sightline benchmark` on {date}: every method's maps are compared with what is"
        " known to be true, and with baselines (maps that ignore the network).",
        "",
    ]


def _choices(found: Sequence[tuple[BenchmarkResult, BenchmarkRanking]]) -> list[str]:
    """The methods to use, the first thing that a reader needs."""
    lines: list[str] = []
    for family, title in FAMILIES.items():
        held = [outcome.title for outcome, _ in found if outcome.family == family]
        if not held:
            continue
        chosen = recommended(found, family)
        shown = [_choice(each) for each in chosen]
        contests = counted(len(held), "contest")
        lines.append(
            f"- **On {title}**: {listed(shown)}."
            if shown
            else f"- **On {title}**: no method passes the rule below in {contests}."
        )
    if not lines:
        return []
    return [
        "## Which methods to use",
        "",
        *lines,
        "",
        "The rule: of our methods that are ranked in every contest of that kind of network, and"
        " in none of them significantly worse than a baseline, the three with the highest mean"
        " share of wins over these contests. The network of nine weights does not count.",
        "",
    ]


def _choice(each: Recommended) -> str:
    alike = "".join(f" = `{name}`" for name in each.equal)
    count = f"{each.passes:,.0f}"
    passes = f", {count} pass{'' if count == '1' else 'es'}" if math.isfinite(each.passes) else ""
    return f"`{each.name}`{alike} ({percent(each.share)} of comparisons won{passes})"


def _summary(found: Sequence[tuple[BenchmarkResult, BenchmarkRanking]]) -> list[str]:
    lines = ["## In short", ""]
    for outcome, order in found:
        told = " ".join([*sentences.first(order), *sentences.blob(order)])
        lines += [f"- **{outcome.title}**, {_pictures(outcome)}: {told}"]
    return [*lines, ""]


def _reading() -> list[str]:
    return [
        "## How to read the tables",
        "",
        "- **wins**: how often a row is better than another one, over all pictures and all metrics"
        " of the contest; a tie is half a win, and 50 % is no better than the rest. The order of"
        " the rows is that of the wins. Methods that are equal on every picture and metric count as"
        " one opponent and share a rank.",
        "- Numbers are means over pictures with half of their 95 % interval (Student's t, widened"
        " where the numbers are skewed); ↑ means that more is better, ↓ that less is. Under"
        f" {FEWEST} pictures there are neither intervals nor verdicts.",
        "- *Significantly* is about differences on the same pictures, after the correction of"
        " Benjamini and Hochberg for all comparisons of one kind in a contest: of the differences"
        " called significant, at most 5 % are expected to be none. The first method is compared"
        " with the others among all pairs of methods.",
        "- Rows in *italics* are baselines: smooth noise, a blob in the middle, the picture's edges"
        " and its brightness, a uniform map, and the average location of the other pictures'"
        " objects, which knows the collection and not the network.",
        "- **passes** and **time** are for one map of one picture; for methods of other libraries"
        " they include one pass of ours that reads the score.",
        f"- {MARK} marks an expensive method: it takes over {EXPENSIVE} passes a map. It is ranked"
        " in a table of its own, among all methods, on the first pictures only.",
        "",
    ]


def contest(outcome: BenchmarkResult, found: BenchmarkRanking) -> list[str]:
    """The section of one contest."""
    return [
        f"### {outcome.title}",
        "",
        f"{outcome.about} {_pictures(outcome).capitalize()} ({outcome.data}); the order counts"
        f" {listed([f'`{s.label}`' for s in outcome.scores])}.",
        "",
        *table(outcome, found.places, found),
        "",
        *_second(outcome, found),
        *(f"- {sentence}" for sentence in sentences.about(found)),
        *_left_out(outcome),
        "",
    ]


def _second(outcome: BenchmarkResult, found: BenchmarkRanking) -> list[str]:
    """The table of the methods with fewer pictures."""
    if not found.apart:
        return []
    counts = sorted({place.pictures for place in found.apart})
    pictures = listed([str(n) for n in counts])
    return [
        f"On {pictures} of the pictures, ranked among all rows on these:",
        "",
        *table(outcome, found.apart, found),
        "",
    ]


def table(outcome: BenchmarkResult, places: Sequence[Place], found: BenchmarkRanking) -> list[str]:
    """Rows in order, as Markdown; those of fewer pictures say of how many rows their rank is."""
    by_label = {s.label: s for s in (*outcome.scores, *outcome.sanity)}
    shown = [s for s in (*outcome.shown, *(s.label for s in outcome.sanity)) if s in by_label]
    arrows = {"higher": "↑", "lower": "↓"}
    heads = [f"{name} {arrows[by_label[name].metric.direction]}" for name in shown]
    lines = [
        f"| | method | wins | {' | '.join(heads)} | passes | time |",
        f"|---:|---|---:|{'---:|' * len(shown)}---:|---:|",
    ]
    ranked = {id(place) for place in found.places}
    return lines + [_row(outcome, place, shown, id(place) not in ranked) for place in places]


def _row(outcome: BenchmarkResult, place: Place, shown: Sequence[str], apart: bool) -> str:
    name = f"*{place.name}*" if place.blind else f"`{place.name}`"
    if place.name in outcome.expensive:
        name += f" {MARK}"
    cost = outcome.costs.get(place.name)
    spent = [f"{cost.passes:,.0f}", seconds(cost.seconds)] if cost else ["", ""]
    cells = [_level(place.levels[metric]) for metric in shown]
    rank = f"{place.rank} of {place.of}" if apart else str(place.rank)
    return f"| {' | '.join([rank, name, _share(place.share), *cells, *spent])} |"


def _share(level: Level) -> str:
    return f"{percent(level.value)}{_half(level, 100.0, 0)}"


def _level(level: Level) -> str:
    if not level.count or not math.isfinite(level.value):
        return ""
    return f"{level.value:.2f}{_half(level, 1.0, 2)}".replace("-", "−")  # noqa: RUF001


def _half(level: Level, scale: float, places: int) -> str:
    if level.interval is None:
        return ""
    low, high = level.interval
    return f" ± {scale * (high - low) / 2:.{places}f}"


def _pictures(outcome: BenchmarkResult) -> str:
    told = counted(outcome.pictures, "picture")
    if outcome.expensive:
        told += f", {outcome.few} for the expensive methods"
    return told


def _left_out(outcome: BenchmarkResult) -> list[str]:
    lines = []
    grouped: dict[str, list[str]] = {}
    for name, reason in outcome.refused.items():
        grouped.setdefault(_general(name, reason), []).append(f"`{name}`")
    if grouped:
        lines.append("- Not measured:")
        lines += [f"  - {listed(names)}: {reason}" for reason, names in grouped.items()]
    if outcome.failed:
        lines.append(f"- Could not be scored: {'; '.join(outcome.failed[:3])}")
        if len(outcome.failed) > 3:
            lines[-1] += f"; and {len(outcome.failed) - 3} more"
    return lines


def _general(name: str, reason: str) -> str:
    """The reason without the method's own name, so that those who share it stand together."""
    told = reason.removeprefix(f"{name} ")
    return told if len(told) < 300 else f"{told[:300]} ..."


def _closing(held: Sequence[tuple[BenchmarkResult, BenchmarkRun]]) -> list[str]:
    weights = [f"`{outcome.model}` ({outcome.weights})" for outcome, _ in held]
    versions = {name: told for _, made in held for name, told in made.versions.items()}
    return [
        "## How this page was made",
        "",
        "```sh",
        *dict.fromkeys(made.command for _, made in held),
        "```",
        "",
        "Contests that are held in one folder share its page. A run that was stopped goes on with"
        " the same command; nothing is computed twice. Each"
        " contest's folder holds its full report (`report.html`, all metrics and worst pictures;"
        " `first-N-pictures.html` with the expensive methods), its numbers (`table.parquet`,"
        " `costs.parquet`) and what was run (`run.toml`). A method of yours joins with"
        " `--methods all,outside:FILE.py:FUNCTION`, those of other libraries with `--methods"
        " all,peers` or by name.",
        "",
        f"Networks and their weights: {listed(weights)}. Versions:"
        f" {', '.join(f'{name} {told}' for name, told in versions.items())}.",
    ]
