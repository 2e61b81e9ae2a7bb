"""Chain: the questions asked about a picture, the answers, and the class probabilities after
each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ..errors import NotExplainable, ShapeError
from ..explanation import Explanation

SURE = "sure"
NOTHING_LEFT = "nothing left to learn"
CERTAIN = "certain"
ALL_ASKED = "all asked"
LIMIT = "limit reached"
CONTRADICTION = "contradiction"
REFUSED = "refused"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Chain(Explanation):
    """Which questions, asked one after another, lead to the class?

    questions, classes: their words. asked: for each image the questions in order, as numbers;
    answers: "yes" or "no", or the pattern of a patch as binary digits, row by row. gains: each
    question's expected information, in nats. sureness: each answer's confidence, in [0, 1] (1 where
    nothing was in doubt). posterior: for each image the class probabilities before the first
    question and after each, (step, class). reason: why it ended: `sure`, `certain`, `nothing left
    to learn`, `all asked`, `limit reached`, `contradiction` (no class allows the answers together)
    or `refused` (the provenance says why). model_class: the class that the model holds most
    probable, None where there is no model. grid, side: of the binary picture and the patches, where
    patches are asked for; known: for each image the bits of that picture.

    Do not trust a chain more than its answers: an early wrong answer is never corrected.

    >>> Chain(questions=["q"], classes=["a", "b"], asked=[[0]], answers=[["yes"]],
    ...       posterior=[[[0.5, 0.5], [0.1, 0.9]]]).prediction
    [1]
    """

    whole: ClassVar[tuple[str, ...]] = ("questions", "classes", "grid", "side")

    questions: Sequence[str]
    classes: Sequence[str]
    asked: Sequence[Sequence[int]]
    answers: Sequence[Sequence[str]]
    posterior: Sequence[Sequence[Sequence[float]]]
    gains: Sequence[Sequence[float]] = ()
    sureness: Sequence[Sequence[float]] = ()
    reason: Sequence[str] = ()
    model_class: Sequence[int | None] = ()
    grid: Sequence[int] | None = None
    side: int = 1
    known: Sequence[str] = ()

    def __post_init__(self) -> None:
        for row, (asked, answers) in enumerate(zip(self.asked, self.answers, strict=True)):
            if len(asked) != len(answers) or len(self.posterior[row]) != len(asked) + 1:
                raise ShapeError(
                    f"image {row} has {len(asked)} questions, {len(answers)} answers and"
                    f" {len(self.posterior[row])} beliefs; expected an answer for each question and"
                    " one belief more."
                )

    def __len__(self) -> int:
        return len(self.asked)

    @property
    def prediction(self) -> list[int]:
        """The class that each chain ends at; -1 for a picture that was refused."""
        last = [
            torch.tensor(beliefs[-1], dtype=torch.float32, device="cpu")
            for beliefs in self.posterior
        ]
        return [-1 if not len(b) or b.isnan().any() else int(b.argmax()) for b in last]

    @property
    def agrees(self) -> list[bool | None]:
        """Whether each chain predicts the model's own top class; None where there is none."""
        seen = self.model_class or [None] * len(self)
        return [None if c is None else c == p for c, p in zip(seen, self.prediction, strict=True)]

    def question(self, row: int, step: int) -> str:
        """What was asked of image `row` at a step, in words."""
        number = self.asked[row][step]
        if self.grid is None:
            return self.questions[number]
        top, left = self.corner(number)
        last = self.side - 1
        return f"rows {top + 1}-{top + 1 + last}, columns {left + 1}-{left + 1 + last}"

    def corner(self, number: int) -> tuple[int, int]:
        """The first row and column of a patch."""
        assert self.grid is not None
        across = self.grid[1] - self.side + 1
        return number // across, number % across

    @classmethod
    def nothing(cls, count: int, size: tuple[int, int], like: Any = None) -> "Chain":
        """No question, no answer, and no belief in any class."""
        told: dict[str, Any] = {"questions": (), "classes": ()}
        if like is not None:
            told = {name: getattr(like, name) for name in cls.whole}
        belief = [float("nan")] * len(told["classes"])
        return cls(
            **told,
            asked=[[]] * count,
            answers=[[]] * count,
            gains=[[]] * count,
            sureness=[[]] * count,
            posterior=[[belief]] * count,
            reason=[REFUSED] * count,
            model_class=[None] * count,
            known=[""] * count if like is not None and like.known else (),
        )

    def refused_if_empty(self, method: str, model: str) -> "Chain":
        """The result; a chain without a question says why it has none, and one with a belief that
        is not finite is marked as refused.

        Raises: NotExplainable where no chain is left.
        """
        reason = f"{method} on {model} gave a probability that is not finite."
        reasons = [
            None
            if torch.isfinite(torch.tensor(beliefs, dtype=torch.float32, device="cpu")).all()
            else reason
            for beliefs in self.posterior
        ]
        if reasons and None not in reasons:
            raise NotExplainable(reason)
        return self.without(reasons)
