"""Random chain: the same questions, probabilities and stop rules as information pursuit, in random
order; the control that shows the gain from choosing questions.

Paper: the control of Chattopadhyay et al., TPAMI 2022 (from memory: they compare with a random
order). One order for all pictures, drawn from the seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...ops.noise import generator
from ...registry import register
from ._question_chain import QuestionChain
from .knowledge import Knowledge
from .pursuit import Pick, in_order


@register("random-chain", paper="arXiv:2207.00938", claims=())
@dataclass(frozen=True, kw_only=True)
class RandomChain(QuestionChain):
    """How well do questions in random order identify the class?

    The fields are those of `information-pursuit`; another `seed` gives another order.

    Do not trust one seed as the chance level: orders differ, so run several.
    """

    def picks(self, knowledge: Knowledge, fixed: Sequence[int]) -> Pick:
        dice = generator(self.seed, "order of questions")
        return in_order(
            torch.randperm(len(knowledge.questions), generator=dice, device="cpu").tolist()
        )
