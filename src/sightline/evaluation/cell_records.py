"""What the records of evaluated cells say together: each brings the metrics that the earlier ones
lack.
"""

from collections.abc import Iterable

from ..jobs.ledger import Ledger, Record, RecordRule

CELLS = "cells.jsonl"
"""The name of a run's ledger."""


class CellRecords(RecordRule):
    """The rule of evaluated cells: metrics add up, and the first number of each stays."""

    def facts(self, record: Record) -> tuple[bool, frozenset[str]]:
        """Whether the cell failed as a whole, and the metrics that the record holds."""
        return bool(record.get("error")), frozenset(record.get("metrics", ()))

    def merge(self, first: Record, second: Record) -> Record:
        """The first record with the metrics that only the second has."""
        error = first.get("error") or second.get("error", "")
        metrics = {**second.get("metrics", {}), **first.get("metrics", {})}
        return {**first, "error": error, "metrics": metrics}


CELL_RECORDS = CellRecords()


def missing_metrics(ledger: Ledger, key: str, metrics: Iterable[str]) -> list[str] | None:
    """Which of these metrics a cell lacks, None for a cell that is not there; one that failed as a
    whole lacks nothing."""
    facts = ledger.facts(key)
    if not facts:
        return None
    if any(failed for failed, _ in facts):
        return []
    return [metric for metric in metrics if not any(metric in known for _, known in facts)]
