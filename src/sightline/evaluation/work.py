"""Evaluation as a piece of work: its tasks are pictures, their parts the cells of a table."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

from ..jobs.work import Part, Task, TaskLoaded, Work, WorkResult
from ..jobs.worker_state import steady
from .measurement import Cell, PictureTask, compute, failed
from .plan import EvaluationPlan


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluationWork(Work):
    """Maps and their scores, by one plan."""

    plan: EvaluationPlan
    limit_name: ClassVar[str] = "cell_timeout"

    @property
    def name(self) -> str:
        """The model's, and that there are methods."""
        return f"{self.plan.model.name} or a method"

    @property
    def device(self) -> str:
        """The model's."""
        return self.plan.model.device.type

    def ready(self) -> AbstractContextManager[None]:
        """One thread, and the run's batch size."""
        return steady(self.plan.model, self.plan.batch)

    def run(self, task: Task) -> Iterator[WorkResult | TaskLoaded]:
        """The cells of a picture."""
        assert isinstance(task, PictureTask)
        return compute(self.plan, task)

    def failed(self, part: Part, why: Exception | str) -> WorkResult:
        """A cell without numbers, with the reason."""
        assert isinstance(part, Cell)
        return failed(part.key, why)
