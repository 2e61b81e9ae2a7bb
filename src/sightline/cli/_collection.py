"""A run over pictures: one after another, writing what is finished, going on after a bad one."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import typer

from .. import report, survey
from ..errors import BadTarget, FileProblem, UnknownName
from ..images import Picture
from ..metric import Truth
from ..report import Item
from ..survey import Look, Plan
from ..views.wording import NARROW, percent
from . import _written
from ._habits import DONE, INTERRUPTED, WITH_ERRORS, progress, say, tell, tell_json

JSON = dict[str, Any]  # Any: whatever JSON holds


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """A picture to come: its name, how to read it, and what is known to be true of it."""

    name: str
    read: Callable[[], Picture]
    truth: Truth | None = None
    known: dict[str, Any] = field(default_factory=dict)  # fields of the report's Item


@dataclass(kw_only=True, eq=False)
class Collected:
    """What a run has finished so far, in order; `items` for the report, `records` for `--json`."""

    items: list[Item] = field(default_factory=list)
    records: list[JSON] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def status(self) -> int:
        """The exit status: interrupted, finished with errors, or done."""
        return INTERRUPTED if self.interrupted else WITH_ERRORS if self.errors else DONE

    def add(self, look: Look, files: JSON) -> None:
        """Takes in what was found in one picture and the files that hold it."""
        self.items.append(look.item)
        self.records.append(_record(look.item, files))
        self.errors += look.errors


def collect(
    plan: Plan, sources: Sequence[Source], out: Path, *, quiet: bool, debug: bool
) -> Collected:
    """Explain every source; overlays and arrays go into `out`; Ctrl-C keeps what is finished."""
    done, taken = Collected(), set()
    total = len(sources) * max(1, len(plan.explainers))
    try:
        with progress("explaining", total, quiet=quiet) as advance:
            stepping = replace(plan, step=advance)
            for source in sources:
                stem = _unused(Path(source.name).stem, taken)
                try:
                    found = survey.look(stepping, source.read(), source.truth)
                    named = {"name": source.name, **source.known}
                    found = replace(found, item=replace(found.item, **named))
                    done.add(found, _written.results(found.results, out, stem))
                except (BadTarget, UnknownName):
                    raise
                except FileProblem as error:
                    done.add(_failed(source, error), {})
                    break
                except Exception as error:
                    if debug:
                        traceback.print_exc()
                    done.add(_failed(source, error), {})
    except KeyboardInterrupt:
        done.interrupted = True
    return done


def missing(done: Collected, reasons: Sequence[tuple[str, str]]) -> None:
    """Lists sources that hold no picture."""
    for name, reason in reasons:
        done.add(Look(item=Item(name=name, error=reason)), {})


def conclude(done: Collected, page: report.Report, out: Path, *, model: str, as_json: bool) -> None:
    """Writes the report of what is finished, and says what there is: JSON or lines.

    Raises: typer.Exit with the status, where it is not 0.
    """
    path = report.write(page, out / "report.html")
    if as_json:
        tell_json({"report": str(path), "model": model, "pictures": done.records})
    else:
        for line in _summary(done, path):
            tell(line)
        if page.next_steps:
            tell("\nNext:")
        for step in page.next_steps:
            tell(f"  {step.replace('`', '')}")
        for error in done.errors:
            say(f"not explained: {error}")
    if done.interrupted:
        say("interrupted; everything finished is kept")
    if done.status:
        raise typer.Exit(done.status)


def _summary(done: Collected, page: Path) -> list[str]:
    lines = []
    for record in (r for r in done.records if not r["error"]):
        lines.append(f"{record['name']}: {record['told']}")
        lines += [f"  {_line(m)}" for m in record["maps"] if not m["error"]]
    count = sum(not r["error"] for r in done.records)
    return [*lines, f"{count} of {len(done.records)} pictures explained.", f"Report: {page}"]


def _line(entry: JSON) -> str:
    numbers = [
        f"{name} {m['value']:z.2f}"
        + (f" (random {m['nulls']['random']:z.2f})" if "random" in m["nulls"] else "")
        for name, m in entry["metrics"].items()
    ]
    return "  ".join([f"{entry['method']:<22}", *numbers, entry.get("text", "")]).rstrip()


def _unused(stem: str, taken: set[str]) -> str:
    name, count = stem, 1
    while name in taken:
        count += 1
        name = f"{stem}-{count}"
    taken.add(name)
    return name


def _failed(source: Source, error: Exception) -> Look:
    known = (
        error
        if type(error).__module__.startswith("sightline")
        else f"{type(error).__name__}: {error}"
    )
    return Look(item=Item(name=source.name, error=str(known)))


def _told(item: Item) -> str:
    """The prediction first, then what was explained where that is something else."""
    said = [_sentence("Prediction", *item.predicted)] if item.predicted else []
    other = [_sentence("Explained", item.target, item.probability)] if item.asked else []
    return " ".join([*said, *other])


def _sentence(word: str, label: str, share: float | None) -> str:
    told = "" if share is None else f" ({percent(share).replace(NARROW, ' ')})"
    return f"{word}: {label}{told}."


def _predicted(item: Item) -> JSON | None:
    said = item.prediction
    if said is None:
        return None
    return {"label": said.label, "class": said.index, "probability": said.share}


def _record(item: Item, files: JSON) -> JSON:
    return {
        "name": item.name,
        "error": item.error,
        "told": _told(item),
        "prediction": _predicted(item),
        "target": item.target,
        "probability": item.probability,
        "top": [{"label": label, "probability": share} for label, share in item.top],
        "maps": [
            {
                "method": m.method.name,
                "error": m.error,
                **files.get(m.method.name, {}),
                "layer": m.layer,
                "forward": m.passes[0],
                "backward": m.passes[1],
                "seconds": m.seconds,
                "metrics": {
                    x.name: {"value": x.value, "direction": x.direction, "nulls": dict(x.nulls)}
                    for x in m.metrics
                },
            }
            for m in (*item.maps, *item.panels)
        ],
    }
