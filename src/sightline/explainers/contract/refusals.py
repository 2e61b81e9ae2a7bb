"""Pictures that a method refused, beside those that it explained; and what is known of each.

One picture without an answer must not cost the others theirs, and an answer must not depend on the
company: a refused picture has an empty place in the result, with its reason in the provenance.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...errors import SightlineError
from ...explanation import Explanation
from ...shapes import Scores
from ...target import Binary, Class, Contrast, Target
from ...targets.given import PerImage

_LAST_DIGIT = 1e-6  # of a probability in float32: nearer to 0 or 1 its gradient may vanish
_LISTED = 4  # pictures named in a warning


@dataclass(frozen=True)
class Refusal:
    """One picture that a method refused. facts: what is known of it, as in a provenance."""

    error: SightlineError
    facts: dict[str, Any]


def together(
    pieces: Sequence[Explanation | Refusal], kind: type[Explanation], size: tuple[int, int]
) -> tuple[Explanation, SightlineError | None]:
    """One explanation of all pieces, in order, and the first error where every picture was refused.

    kind: of the explanation where nothing tells. size: of the pictures, (row, col).

    Raises: that error where no explanation of this kind can be left empty.
    """
    living = next((piece for piece in pieces if isinstance(piece, Explanation)), None)
    errors = [piece.error for piece in pieces if isinstance(piece, Refusal)]
    if living is not None:
        kind = type(living)
    try:
        whole = kind.join([_placed(piece, kind, size, living) for piece in pieces])
    except SightlineError:
        if living is not None:
            raise
        raise errors[0] from None
    return whole, None if living is not None else errors[0]


def _placed(
    piece: Explanation | Refusal,
    kind: type[Explanation],
    size: tuple[int, int],
    like: Explanation | None,
) -> Explanation:
    """A piece as an explanation; a refusal as an empty one, shaped as `like`."""
    if isinstance(piece, Explanation):
        return piece
    told = {} if like is None else like.take([0]).provenance
    facts = {**told, **piece.facts, "refused": [str(piece.error)]}
    return replace(kind.nothing(1, size, like), provenance=facts)


def in_words(result: Explanation) -> str:
    """Which pictures have no result, and why; nothing where all have one."""
    by_reason: dict[str, list[int]] = {}
    for i, reason in enumerate(result.refused):
        if reason is not None:
            by_reason.setdefault(reason, []).append(i)
    count = sum(map(len, by_reason.values()))
    if not count:
        return ""
    said = [f"{_named(result, rows)}: {reason}" for reason, rows in by_reason.items()]
    method = result.provenance.get("method", "the method")
    return f"{method} has no result for {count} of {len(result)} pictures. {' '.join(said)}"


def _named(result: Explanation, rows: Sequence[int]) -> str:
    pictures = result.pictures
    names = [
        f"images[{i}]" if pictures is None else f"images[{i}] ({pictures[i].name})"
        for i in rows[:_LISTED]
    ]
    more = f" and {len(rows) - _LISTED} more" if len(rows) > _LISTED else ""
    return ", ".join(names) + more


def unknown_facts(count: int) -> dict[str, Any]:
    """The facts of pictures of which nothing is known yet."""
    nothing = [None] * count
    names = ("target_index", "target_label", "score", "probability")
    return {"target": "", **dict.fromkeys(names, nothing), "saturated": [False] * count}


def saturated(target: Target, score: Scores) -> list[bool]:
    """Whether each score is a probability so near to 0 or 1 that its gradient may vanish."""
    targets = target.targets if isinstance(target, PerImage) else (target,) * len(score)
    return [
        isinstance(each, (Binary, Class, Contrast))
        and bool(each.probability)
        and min(abs(value), abs(1 - abs(value))) < _LAST_DIGIT
        for each, value in zip(targets, score.tolist(), strict=True)
    ]
