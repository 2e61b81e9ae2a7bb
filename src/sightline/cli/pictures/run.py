"""A run over pictures: one after another, keeping what is finished, going on after a bad one."""

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

import typer

from ... import explain_pictures as survey
from ...errors import BadTarget, FileProblem, MissingExtra, SightlineError, UnknownName
from ...evaluate.benchmark.tracks import short_name
from ...evaluate.plan import told as told_method
from ...evaluate.plan import told_model
from ...explain_pictures import Look, Plan
from ...files.display import without_folders
from ...metric import Truth
from ...network.costs import watched
from ...pages.record import PictureEntry
from ...pictures.reading import Picture
from ...views.wording import NARROW, counted, percent
from ..console import (
    DONE,
    INTERRUPTED,
    WITH_ERRORS,
    finite,
    goes_on,
    progress,
    say,
    tell,
    tell_json,
)
from ..results import folders, names, output_files, pages, store
from ..results.folders import Command
from ..results.store import Run, Store
from ..waiting import estimate
from ..waiting.bar import shown
from ..waiting.meter import Meter

JSON = dict[str, Any]  # Any: whatever JSON holds
_LASTING = (MissingExtra, FileProblem)  # errors that may be gone when the command is given again


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """A picture to come: its name and how to read it, a digest of its content, and what is known to
    be true of it. path: what its files are called by, and what tells it from another of its name.
    finished: what is said of the picture once its maps are there.

    Both functions may raise a SightlineError or an OSError.
    """

    name: str
    read: Callable[[], Picture]
    digest: Callable[[], str]
    path: PurePath
    truth: Truth | None = None
    known: dict[str, Any] = field(default_factory=dict)  # fields of the report's PictureEntry
    finished: Callable[[PictureEntry], PictureEntry] = lambda item: item


@dataclass(frozen=True, kw_only=True, eq=False)
class Telling:
    """What a report says besides its pictures, and how a command answers.

    remarks: filled while the command runs. absent: (source, reason) for what holds no picture.
    """

    title: str
    remarks: Sequence[str] = ()
    caution: str = ""
    next_steps: tuple[str, ...] = ()
    absent: Sequence[tuple[str, str]] = ()
    as_json: bool = False
    quiet: bool = False
    debug: bool = False


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the results of a command go. out: None for a folder of its own."""

    command: Command
    out: Path | None
    overwrite: bool = False


@dataclass(kw_only=True, eq=False)
class Collected:
    """What a command has finished so far: places in the store, and pictures that failed in a way
    that may be gone next time."""

    total: int
    places: list[int] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    found_again: int = 0
    interrupted: bool = False
    stopped: FileProblem | None = None  # nothing further could be written


def explain_all(plan: Plan, sources: Sequence[Source], place: Place, telling: Telling) -> None:
    """Explains every source that is not finished in the folder, writes the report of all that is,
    and says what there is.

    Raises: FileProblem where the folder holds other results; typer.Exit with the status, where it
    is not 0.
    """
    folder = folders.chosen(place.out, place.command)
    settings = _settings_of(plan)
    store.check(folder, settings, overwrite=place.overwrite)
    model = plan.model.display_name
    for name, reason in survey.refusals(plan):
        told = reason.replace(model, names.short(short_name(model)))
        say(f"not explained: {name} (every picture): {told}")
    try:
        with folders.running(folder, place.command), store.opened(folder) as held:
            run = _run(plan, telling, settings, store.read_run(folder))
            store.save_run(folder, run)
            if not telling.quiet and (
                told := estimate.sentence(plan, max(0, len(sources) - len(held)))
            ):
                say(told)
            done = _collect(plan, sources, held, telling)
            done.failed += [(without_folders(n), without_folders(why)) for n, why in telling.absent]
            done.total += len(telling.absent)
            run = replace(_run(plan, telling, settings, run), failed=done.failed)
            store.save_run(folder, run)
            with progress("writing the report", len(held), quiet=telling.quiet) as advance:
                page = pages.write(held, run, advance)
            _conclude(done, held, run, page, telling)
    except KeyboardInterrupt:  # while the report was written
        say(goes_on(folder))
        raise typer.Exit(INTERRUPTED) from None


def _settings_of(plan: Plan) -> JSON:
    """What the results of a plan depend on, in the words of the options."""
    model = told_model(plan.model)
    return {
        "weights": model["weights"],
        "preprocessing": model["preprocessing"],
        "precision": model["precision"],
        "methods": [told_method(e) for e in plan.explainers],
        "metrics": [told_method(m) for m in plan.metrics],
        "target": "top" if plan.target is None else repr(plan.target),
    }


def _run(plan: Plan, telling: Telling, settings: JSON, before: Run | None) -> Run:
    """What is run, with the remarks so far."""
    earlier = before.notes if before else ()
    told = map(without_folders, [*telling.remarks, *survey.notes(plan.model)])
    notes = dict.fromkeys([*earlier, *told])
    return Run(
        settings=settings,
        model=plan.model.display_name,
        title=telling.title,
        facts=survey.facts(plan.model),
        notes=tuple(notes),
        next_steps=telling.next_steps,
        caution=telling.caution,
        refused=survey.refusals(plan),
    )


def _collect(plan: Plan, sources: Sequence[Source], held: Store, telling: Telling) -> Collected:
    """Explains every source that is not finished; Ctrl-C keeps what is."""
    done = Collected(total=len(sources))
    came: dict[tuple[str, str], int] = {}
    able = [e.registered_name for e in plan.explainers if e.registered_name not in plan.refused]
    meter = _meter(plan, able, len(sources))
    stepping = replace(plan, step=meter.advance)
    try:
        with shown(meter, quiet=telling.quiet), watched(meter.watch):
            for number, source in enumerate(sources, 1):
                try:
                    seen = (Path(source.name).name, source.digest())
                    came[seen] = came.get(seen, 0) + 1
                    key = store.key_of(*seen, came[seen])
                    place = held.find(key)
                    if place is None:
                        place = _explained(stepping, source, held, key)
                    else:
                        done.found_again += 1
                    done.places.append(place)
                except (BadTarget, UnknownName):
                    raise
                except FileProblem as error:
                    done.stopped = error
                    break
                except Exception as error:
                    if telling.debug:
                        traceback.print_exc()
                    done.failed.append((source.name, _reason(error)))
                meter.reach(number * len(able))
    except KeyboardInterrupt:
        done.interrupted = True
    return done


def _meter(plan: Plan, able: Sequence[str], pictures: int) -> Meter:
    """What shows how far the run has come, also within a method."""
    return Meter(
        "explaining",
        pictures * len(able),
        names=able,
        expected=estimate.expected(plan),
    )


def _explained(plan: Plan, source: Source, held: Store, key: str) -> int:
    """Explains one picture and keeps it; its place. A picture that will never be explained is kept
    with its reason."""
    name, stem = held.names(source.name, source.path, key)
    try:
        found = survey.look(plan, source.read(), source.truth)
    except (BadTarget, UnknownName, *_LASTING):
        raise
    except SightlineError as error:
        item = PictureEntry(name=name, error=without_folders(str(error)))
        return held.add(key, stem, _record(item, {}), Look(item=item).errors, item)
    item = source.finished(replace(found.item, **{**source.known, "name": name}))
    found = replace(found, item=item)
    files = output_files.results(found.results, held.folder, stem)
    return held.add(key, stem, _record(found.item, files), found.errors, found.item)


def _conclude(done: Collected, held: Store, run: Run, page: Path, telling: Telling) -> None:
    """Says what there is: JSON or lines. Raises: typer.Exit with the status, where it is not 0,
    FileProblem where the run could not go on."""
    errors = len(done.failed) + len(run.refused)
    errors += sum(len(held.record(place)["errors"]) for place in done.places)
    if telling.as_json:
        tell_json(_json(done, held, run, page))
    else:
        for line in _summary(done, held):
            tell(line)
        tell(f"Report: {page}")
        if run.next_steps:
            tell("\nNext:")
        for step in run.next_steps:
            tell(f"  {step.replace('`', '')}")
        for line in _gathered(_errors(done, held)):
            say(f"not explained: {line}")
    if done.interrupted:
        say(goes_on(held.folder))
    if done.stopped:
        raise done.stopped
    status = INTERRUPTED if done.interrupted else WITH_ERRORS if errors else DONE
    if status:
        raise typer.Exit(status)


def _json(done: Collected, held: Store, run: Run, page: Path) -> JSON:
    records = [_placed(held.record(place)["record"], held.folder) for place in done.places]
    records += [_record(PictureEntry(name=name, error=why), {}) for name, why in done.failed]
    return {
        "report": str(page),
        "model": run.model,
        "refused": dict(run.refused),
        "pictures": records,
    }


def _placed(record: JSON, folder: Path) -> JSON:
    """A record with the files of its maps as they lie."""
    maps = [
        {k: str(folder / v) if k in output_files.FILES else v for k, v in entry.items()}
        for entry in record["maps"]
    ]
    return {**record, "maps": maps}


def _errors(done: Collected, held: Store) -> Iterator[str]:
    for place in done.places:
        yield from held.record(place)["errors"]
    yield from (f"{name}: {reason}" for name, reason in done.failed)


def _gathered(errors: Iterable[str]) -> Iterator[str]:
    """The errors, with one line for what a method says of several pictures alike."""
    groups: dict[tuple[str, str], list[str]] = {}
    for line in errors:
        head, _, reason = line.partition(": ")
        groups.setdefault((head.rpartition(", ")[2], reason), []).append(line)
    for (method, reason), lines in groups.items():
        alike = f"{method} ({counted(len(lines), 'picture')}): {reason}"
        yield lines[0] if len(lines) == 1 else alike


def _summary(done: Collected, held: Store) -> Iterator[str]:
    count, compared = 0, False
    for place in done.places:
        record = held.record(place)["record"]
        if record["error"]:
            continue
        count += 1
        yield f"{names.short(record['name'])}: {_in_short(record)}"
        for entry in (m for m in record["maps"] if not m["error"]):
            compared |= any("random" in m["nulls"] for m in entry["metrics"].values())
            yield f"  {_line(entry)}"
    if compared:
        yield "In brackets: what a random map scores on the same metric."
    again = f" ({done.found_again} of them before)" if done.found_again else ""
    stopped = "; interrupted" if done.interrupted else ""
    noun = "picture" if done.total == 1 else "pictures"
    yield f"{count} of {done.total} {noun} explained{again}{stopped}."


def _in_short(record: JSON) -> str:
    """What is told of a picture, long labels in short."""
    said = (record["prediction"] or {}).get("label", "")
    told = record["told"]
    for label in filter(None, (said, record["target"])):
        told = told.replace(label, names.short(label))
    return told


def _line(entry: JSON) -> str:
    numbers = [
        f"{name} {_number(m['value'])}"
        + (f" (random {_number(m['nulls']['random'])})" if "random" in m["nulls"] else "")
        for name, m in entry["metrics"].items()
    ]
    return "  ".join(
        [f"{names.short(entry['method']):<22}", *numbers, entry.get("text", "")]
    ).rstrip()


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:z.2f}"


def _reason(error: Exception) -> str:
    ours = isinstance(error, SightlineError)
    return without_folders(str(error) if ours else f"{type(error).__name__}: {error}")


def _told(item: PictureEntry) -> str:
    """The prediction first, then what was explained where that is something else."""
    said = [_sentence("Prediction", *item.predicted)] if item.predicted else []
    other = [_sentence("Explained", item.target, item.probability)] if item.asked else []
    return " ".join([*said, *other])


def _sentence(word: str, label: str, share: float | None) -> str:
    told = "" if share is None else f" ({percent(share).replace(NARROW, ' ')})"
    return f"{word}: {label}{told}."


def _predicted(item: PictureEntry) -> JSON | None:
    said = item.prediction
    if said is None:
        return None
    return {"label": said.label, "class": said.index, "probability": said.share}


def _record(item: PictureEntry, files: JSON) -> JSON:
    """A picture as plain data, with null for numbers that JSON does not know."""
    return finite(_told_of(item, files))


def _told_of(item: PictureEntry, files: JSON) -> JSON:
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
