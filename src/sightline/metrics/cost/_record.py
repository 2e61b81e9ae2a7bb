"""What an explanation's record says it cost, for each of its pictures."""

from typing import Any

from ...metric import Case


def shared(case: Case, spent: Any) -> float:
    """Each picture's share of what the whole explanation spent; NaN where nothing was recorded."""
    count = case.explanation.provenance.get("count")
    return float("nan") if spent is None or not count else spent / count
