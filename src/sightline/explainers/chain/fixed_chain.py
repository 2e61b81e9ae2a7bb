"""Fixed chain: the best questions in one order for all pictures; the control that shows the gain
from choosing each question by the earlier answers.

Project definition: the order was found on training pictures by asking all of them, at each step,
the question with the highest mean information over them (recipes/query_chains.py). Where a network
has no order, questions are sorted by their expected information before any answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ...ops.pursuit.information import information
from ...ops.pursuit.questions import KnownBits
from ...registry import register
from ._question_chain import QuestionChain
from .knowledge import Knowledge
from .pursuit import Pick, in_order


@register("fixed-chain", paper="arXiv:2207.00938", claims=())
@dataclass(frozen=True, kw_only=True)
class FixedChain(QuestionChain):
    """How well does one fixed list of good questions identify the class, the same for every
    picture?

    The fields are those of `information-pursuit`.

    Do not trust it to be the best order: it is found greedily, on the training pictures.
    """

    def picks(self, knowledge: Knowledge, fixed: Sequence[int]) -> Pick:
        if fixed:
            return in_order(fixed)
        bits = int(knowledge.questions.reads.max()) + 1
        answers, _ = knowledge.answers(KnownBits.nothing(bits), knowledge.start(), 0)
        told = (information(answers, knowledge.prior) * 1e6).round()
        return in_order(told.argsort(descending=True, stable=True).tolist())
