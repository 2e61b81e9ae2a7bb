"""A run over pictures: one after another, keeping what is finished, going on after a bad one."""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import typer

from ... import explain_pictures
from ...errors import BadTarget, FileProblem, MissingExtra, SightlineError, UnknownName
from ...evaluation.benchmark.tracks import short_name
from ...evaluation.plan import method_record, model_record
from ...explain_pictures import PicturePlan, PictureResult
from ...files.display import without_folders
from ...network.costs import watched
from ...pages.record import PictureEntry
from ...pages.report.evidence import measure
from ...pictures.reading import Picture, printable
from ...sample import Sample
from ..console import INTERRUPTED, progress, resume_hint, to_stderr
from ..results import folders, names, output_files, pages, store
from ..results.folders import Command
from ..results.store import Run, Store
from ..waiting import estimate
from ..waiting.bar import shown
from ..waiting.meter import Meter
from .answer import Presentation, RunState, answer
from .record import PictureRecord

JSON = dict[str, Any]  # Any: whatever JSON holds
_LASTING = (MissingExtra, FileProblem)  # errors that may be gone when the command is given again


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where the results of a command go. out: None for a folder of its own."""

    command: Command
    out: Path | None
    overwrite: bool = False


def path_of(sample: Sample) -> PurePath:
    """What the files of a picture are called by, and what tells it from another of its name."""
    if isinstance(sample.source, Path):
        return PurePath(printable(sample.source))
    return PurePath(sample.source.name if isinstance(sample.source, Picture) else sample.name)


def explain_all(
    plan: PicturePlan,
    samples: Sequence[Sample],
    destination: Destination,
    presentation: Presentation,
) -> None:
    """Explains every picture that is not finished in the folder, writes the report of all that is,
    and says what there is.

    Raises: FileProblem where the folder holds other results; typer.Exit with the status, where it
    is not 0.
    """
    folder = folders.chosen(destination.out, destination.command)
    settings = _settings_of(plan)
    store.check(folder, settings, overwrite=destination.overwrite)
    model = plan.model.display_name
    for name, reason in explain_pictures.refusals(plan):
        told = reason.replace(model, names.short(short_name(model)))
        to_stderr(f"not explained: {name} (every picture): {told}")
    try:
        with folders.running(folder, destination.command), store.opened(folder) as held:
            run = _run(plan, presentation, settings, store.read_run(folder))
            store.save_run(folder, run)
            if not presentation.quiet and (
                told := estimate.sentence(plan, max(0, len(samples) - len(held)))
            ):
                to_stderr(told)
            done = _collect(plan, samples, held, presentation)
            done.failed += [
                (without_folders(n), without_folders(why)) for n, why in presentation.absent
            ]
            done.total += len(presentation.absent)
            run = replace(_run(plan, presentation, settings, run), failed=done.failed)
            store.save_run(folder, run)
            with progress("writing the report", len(held), quiet=presentation.quiet) as advance:
                page = pages.write(held, run, advance)
            answer(done, held, run, page, presentation)
    except KeyboardInterrupt:  # while the report was written
        to_stderr(resume_hint(folder))
        raise typer.Exit(INTERRUPTED) from None


def _settings_of(plan: PicturePlan) -> JSON:
    """What the results of a plan depend on, in the words of the options."""
    model = model_record(plan.model)
    return {
        "weights": model["weights"],
        "preprocessing": model["preprocessing"],
        "precision": model["precision"],
        "methods": [method_record(e) for e in plan.explainers],
        "metrics": [method_record(m) for m in plan.metrics],
        "target": "top" if plan.target is None else repr(plan.target),
    }


def _run(plan: PicturePlan, presentation: Presentation, settings: JSON, before: Run | None) -> Run:
    """What is run, with the remarks so far."""
    earlier = before.notes if before else ()
    told = map(without_folders, [*presentation.remarks, *explain_pictures.notes(plan.model)])
    notes = dict.fromkeys([*earlier, *told])
    return Run(
        settings=settings,
        model=plan.model.display_name,
        title=presentation.title,
        facts=explain_pictures.facts(plan.model),
        notes=tuple(notes),
        next_steps=presentation.next_steps,
        caution=presentation.caution,
        refused=explain_pictures.refusals(plan),
    )


def _collect(
    plan: PicturePlan, samples: Sequence[Sample], held: Store, presentation: Presentation
) -> RunState:
    """Explains every picture that is not finished; Ctrl-C keeps what is."""
    done = RunState(total=len(samples))
    came: dict[tuple[str, str], int] = {}
    able = [e.registered_name for e in plan.explainers if e.registered_name not in plan.refused]
    meter = _meter(plan, able, len(samples))
    stepping = replace(plan, step=meter.advance)
    try:
        with shown(meter, quiet=presentation.quiet), watched(meter.watch):
            for number, sample in enumerate(samples, 1):
                try:
                    seen = (Path(sample.name).name, sample.digest())
                    came[seen] = came.get(seen, 0) + 1
                    key = store.key_of(*seen, came[seen])
                    place = held.find(key)
                    if place is None:
                        place = _explained(stepping, presentation, sample, held, key)
                    else:
                        done.found_again += 1
                    done.places.append(place)
                except (BadTarget, UnknownName):
                    raise
                except FileProblem as error:
                    done.stopped = error
                    break
                except Exception as error:
                    if presentation.debug:
                        traceback.print_exc()
                    done.failed.append((sample.name, _reason(error)))
                meter.reach(number * len(able))
    except KeyboardInterrupt:
        done.interrupted = True
    return done


def _meter(plan: PicturePlan, able: Sequence[str], pictures: int) -> Meter:
    """What shows how far the run has come, also within a method."""
    return Meter(
        "explaining",
        pictures * len(able),
        names=able,
        expected=estimate.expected(plan),
    )


def _explained(
    plan: PicturePlan, presentation: Presentation, sample: Sample, held: Store, key: str
) -> int:
    """Explains one picture and keeps it; its place. A picture that will never be explained is kept
    with its reason."""
    name, stem = held.names(sample.name, path_of(sample), key)
    way = plan.model.preprocess
    try:
        picture = sample.load(way)
        assert isinstance(picture, Picture)  # names stand for files and drawn pictures
        found = explain_pictures.explain_picture(plan, picture, sample.truth(way, picture))
    except (BadTarget, UnknownName, *_LASTING):
        raise
    except SightlineError as error:
        found = PictureResult(item=PictureEntry(name=name, error=without_folders(str(error))))
    else:
        known: JSON = {"truth": sample.label, "parts": sample.parts} if sample.label else {}
        item = presentation.finished(measure(replace(found.item, **known, name=name)))
        found = replace(found, item=item)
    files = output_files.results(found.results, held.folder, stem)
    record = PictureRecord.of(found.item, files).to_json()
    return held.add(key, stem, record, found.errors, found.item)


def _reason(error: Exception) -> str:
    ours = isinstance(error, SightlineError)
    return without_folders(str(error) if ours else f"{type(error).__name__}: {error}")
