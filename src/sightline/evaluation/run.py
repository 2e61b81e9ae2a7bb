"""A run over a collection, from its plan to its table: what is finished is kept, what is missing
is computed, and the files are written.

`run.toml` says what is run, `cells.jsonl` holds every finished cell, `table.parquet` and
`table.json` the numbers (equal bytes for equal runs), `costs.parquet` the passes and times, and
`report.html` the page.
"""

import logging
import tomllib
import warnings
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from ..data.classes import OWN, Meaning, sentences
from ..errors import BadField, FileProblem, SightlineWarning
from ..explainer import Explainer
from ..files.display import without_folders
from ..files.writing import write_bytes
from ..jobs.cluster import RayRunner
from ..jobs.ledger import open_ledger
from ..jobs.local import LocalRunner
from ..jobs.time_limit import TimeLimit, limit_of
from ..jobs.work import Runner, Take, Task, Work
from ..metric import Metric
from ..model import Model
from ..pictures.reading import printable
from ..sample import TOP, Samples
from .average_location import AverageLocation
from .cell_records import CELL_RECORDS, CELLS
from .plan import BLIND, EvaluationPlan, evaluation_plan, fastest_batch
from .progress import Board, Progress
from .stability import probed
from .stores import baselines
from .stores.rows import COST_TYPES, ROW_TYPES, written
from .table import Table
from .work import EvaluationWork

log = logging.getLogger("sightline")

_TRIES = 3  # that results are written again, where somebody removes them
JSON_ROWS = 50_000
"""Rows up to which `table.json` is written; Parquet always is."""


@dataclass(frozen=True, kw_only=True)
class PageOnly:
    """Computes nothing: a run with it writes the page of what is finished, and no other file. into:
    the folder of the page, None is that of the run; so a run on a read-only disk can be shown.
    """

    into: Path | None = None

    def run(self, work: Work, tasks: Iterable[Task], count: int | None, take: Take) -> None:
        """Passes over all tasks."""
        for _ in tasks:
            pass


def engine(
    name: str,
    workers: int | None = None,
    address: str | None = None,
    page: Path | None = None,
    cell_timeout: float | None = None,
) -> Runner:
    """The engine of that name; `none` is `PageOnly`, whose page is written into the folder `page`.
    cell_timeout: seconds after which a cell is given up, None is the engine's own limit.
    Raises: MissingExtra for `ray` without Ray, BadField for another word, for an address without
    `ray`, or for a page without `none`."""
    if name == "none":
        return PageOnly(into=page)
    if page is not None:
        raise BadField(f"page is for the engine `none`; got {printable(page)} for {name!r}.")
    if name not in ("local", "ray"):
        raise BadField(f"an engine is `local`, `ray`, or `none`; got {name!r}.")
    if workers is not None and workers < 1:
        raise BadField(f"workers is at least 1; got {workers}.")
    limit_of(cell_timeout, EvaluationWork.limit_name)
    if name == "ray":
        return RayRunner(address=address, workers=workers, time_limit=cell_timeout)
    if address is not None:
        raise BadField(f"an address is for the engine `ray`; got {address!r} for `local`.")
    return LocalRunner(workers=workers, time_limit=cell_timeout)


def evaluate(
    plan: EvaluationPlan,
    samples: Samples,
    out: Path,
    using: Runner | None = None,
    progress: Progress | None = None,
    cache: bool = True,
) -> Table:
    """Computes what is missing and writes the results into `out`. cache: take the numbers of
    baselines from earlier runs, and keep them for later ones.

    Raises: FileProblem where nothing can be written; what was finished before is kept. Also where
    the folder was removed meanwhile: then everything was written once more.
    """
    if plan.target is not None:
        kept = tuple(note for note in samples.notes if not note.endswith(TOP))
        samples = replace(samples, notes=kept)
    for note in samples.notes:
        log.info("%s", note)
    if samples.listed:
        _say(plan, (sample.meaning for sample in samples if not sample.error))
    only = using if isinstance(using, PageOnly) else None
    with (
        open_ledger(out / CELLS, CELL_RECORDS, reading=only is not None) as ledger,
        closing(baselines.opened(cache=cache and only is None)) as known,
    ):
        if only is None:
            write_bytes(out / "run.toml", _toml(plan, samples))
        work = EvaluationWork(plan=plan)
        time_limit = TimeLimit(limit_of(getattr(using, "time_limit", None)), work.limit_name)
        board = Board(plan, samples, ledger, progress, time_limit, known)
        (using or LocalRunner()).run(work, *board.work(), board.take)
        doubts = _doubts(plan, (e.meaning for e in board.entries))
        if not samples.listed:
            _say(plan, (e.meaning for e in board.entries))
        notes = (*samples.notes, *doubts.values())
        return _saved(board, notes, out) if only is None else _shown(board, notes, out, only)


def _saved(board: Board, notes: Sequence[str], out: Path) -> Table:
    """The table, after its files were written. Raises: FileProblem."""
    for _ in range(_TRIES):
        board.ledger.check()
        table = table_of(board, notes, out)
        write_bytes(out / "run.toml", _toml(board.plan, board.samples))
        _write_json(table, out / "table.json")
        write_bytes(out / "report.html", table.html().encode())
        if not board.ledger.check():
            break
    if board.ledger.restored:
        raise FileProblem(
            f"{printable(out)} was removed while the run was writing it. Its finished cells and its"
            " results were written again and are complete; check what else was removed."
        )
    return table


def _shown(board: Board, notes: Sequence[str], out: Path, only: PageOnly) -> Table:
    """The table of what is finished, after its page alone was written. Raises: FileProblem."""
    table = table_of(board, notes, None)
    if not any(np.isfinite(scores.values).any() for scores in table.scores):
        raise FileProblem(
            f"{printable(out)} holds nothing finished that this model, these pictures and these"
            " versions of the libraries made; start the run again."
        )
    write_bytes((only.into or out) / "report.html", table.html().encode())
    return table


def table_of(board: Board, notes: Sequence[str], out: Path | None) -> Table:
    """The table of what is finished, whose files lie in that folder; None is nowhere."""
    rows, costs = (None, None) if out is None else (out / "table.parquet", out / "costs.parquet")
    return Table(
        plan=board.plan,
        data=without_folders(printable(board.samples.name)),
        rows=written(board.rows(), ROW_TYPES, rows),
        costs=written(board.costs(), COST_TYPES, costs),
        notes=tuple(without_folders(printable(note)) for note in notes),
        look=board.look,
        small_map=board.small_map,
        probed=board.probed(),
    )


def _write_json(table: Table, path: Path) -> None:
    if len(table.rows) <= JSON_ROWS:
        write_bytes(path, table.json())
        return
    log.info(
        "table.json is left out: it is for at most %d rows, and these are %d; table.parquet has"
        " them all",
        JSON_ROWS,
        len(table.rows),
    )
    path.unlink(missing_ok=True)  # of a smaller run


def _doubts(plan: EvaluationPlan, meanings: Iterable[Meaning]) -> dict[str, str]:
    """What is to be said of how labels became classes; nothing where one target was given."""
    return sentences(plan.model, meanings) if plan.target is None else {}


def _say(plan: EvaluationPlan, meanings: Iterable[Meaning]) -> None:
    for doubt, sentence in _doubts(plan, meanings).items():
        if doubt == OWN:
            log.info("%s", sentence)
        else:
            warnings.warn(sentence, SightlineWarning, stacklevel=4)


def prepared(
    model: Model,
    explainers: Sequence[Explainer],
    metrics: Sequence[Metric | str],
    pictures: Samples,
    out: Path,
    *,
    target: Any = None,
    batch: int | None = None,
    stability: bool = True,
    average: AverageLocation | None = None,
) -> EvaluationPlan:
    """The plan of a run in a folder: a run that was stopped there goes on with its batch size.
    stability: some pictures are measured again with other fills and coarser maps. average: what one
    more null map is made of.

    Raises: BadField, UnknownName for what makes no sense.
    """
    count = _MANY if pictures.count is None else pictures.count
    forwards = count * (len(explainers) + len(BLIND)) * len(metrics) * _STEPS
    batch = batch or model.batch or _remembered_batch(out, model) or fastest_batch(model, forwards)
    again = probed(pictures.count) if stability else 0
    return evaluation_plan(model, explainers, metrics, target, batch, again, average)


_MANY = 1000  # pictures of a stream, about
_STEPS = 32  # passes of a metric, about


def _remembered_batch(out: Path, model: Model) -> int | None:
    """The batch size that a run of this model in this folder wrote down."""
    try:
        told = tomllib.loads((out / "run.toml").read_text("utf-8"))
        same = told["model"]["weights"] == model.digest
        return int(told["batch"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _toml(plan: EvaluationPlan, samples: Samples) -> bytes:
    told: dict[str, Any] = plan.to_toml()
    told["data"] = samples.to_toml()
    return tomli_w.dumps(_printed(told)).encode()


def _printed(value: Any) -> Any:
    """Plain data whose texts can be printed."""
    if isinstance(value, dict):
        return {key: _printed(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_printed(each) for each in value]
    return printable(value) if isinstance(value, str) else value
