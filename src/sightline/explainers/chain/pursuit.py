"""One question after another, until the class is known or no question adds information."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from ...explanations.chain import (
    ALL_ASKED,
    CERTAIN,
    CONTRADICTION,
    LIMIT,
    NOTHING_LEFT,
    SURE,
)
from ...ops.pursuit.information import bayes, entropy, information
from ...ops.pursuit.questions import Bits, KnownBits
from .knowledge import Knowledge

Pick = Callable[[Tensor, int], int]


@dataclass(frozen=True, kw_only=True)
class Ending:
    """When no more is asked.

    sure, patience: the highest probability was at least `sure` at `patience` steps (the count goes
    down by one where it was not). least: the largest expected information of any question, in nats.
    entropy: of the class probabilities, in nats. most: number of questions, None for all.
    """

    sure: float = 0.99
    patience: int = 5
    least: float = 1e-6
    entropy: float = 0.0
    most: int | None = None


@dataclass(eq=False)
class ChainState:
    """How one chain went: as in `Chain`, for one thing."""

    beliefs: list[Tensor]
    asked: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)
    reason: str = ""


def pursue(knowledge: Knowledge, truth: Bits, pick: Pick, ending: Ending) -> ChainState:
    """The chain of questions about one thing with these bits; NaN for what cannot be asked.

    pick: each question's expected information (-inf where it was asked or cannot be), rounded to
    six decimals so that ties stay ties, and the step -> the question to ask.
    """
    questions = knowledge.questions
    open_ = truth[questions.reads].isfinite().all(1)
    known, memory = KnownBits.nothing(len(truth)), knowledge.start()
    course, calm = ChainState([knowledge.prior]), 0
    for step in range(len(questions) + 1):
        belief = course.beliefs[-1]
        if step:
            calm = calm + 1 if float(belief.max()) >= ending.sure else max(0, calm - 1)
        course.reason = _settled(course, calm, bool(open_.any()), ending)
        if course.reason:
            return course
        answers, memory = knowledge.answers(known, memory, step)
        told = information(answers, belief)
        gains = torch.where(open_, (told * 1e6).round() / 1e6, -torch.inf)
        if float(told[open_].max()) <= ending.least:
            course.reason = NOTHING_LEFT
            return course
        question = pick(gains, step)
        code = questions.answer_code(truth, question)
        after = bayes(belief, answers[:, question, code])
        course.asked.append(question)
        course.codes.append(code)
        course.gains.append(max(float(told[question]), 0.0))
        course.beliefs.append(after if bool(after.isfinite().all()) else belief)
        if not after.isfinite().all():
            course.reason = CONTRADICTION
            return course
        open_[question] = False
        known = known.with_answers(truth, questions.reads[question])
    return course


def _settled(course: ChainState, calm: int, left: bool, ending: Ending) -> str:
    """Why nothing more is asked, before the next question is looked for; empty to go on."""
    if calm >= ending.patience:
        return SURE
    if float(entropy(course.beliefs[-1])) <= ending.entropy:
        return CERTAIN
    if not left:
        return ALL_ASKED
    if ending.most is not None and len(course.asked) >= ending.most:
        return LIMIT
    return ""


def greedy(gains: Float[Tensor, " question"], step: int) -> int:
    """The question with the most expected information; the first of equals."""
    return int(gains.argmax())


def in_order(order: Sequence[int]) -> Pick:
    """The first question of `order` that is still open; what is not in it comes last, in turn."""

    def pick(gains: Tensor, step: int) -> int:
        rest = [i for i in range(len(gains)) if i not in set(order)]
        return next(i for i in (*order, *rest) if gains[i] > -torch.inf)

    return pick
