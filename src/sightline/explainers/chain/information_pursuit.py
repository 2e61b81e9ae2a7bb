"""Information pursuit: ask the most informative question about the class, update the class
probabilities, repeat.

Paper: Chattopadhyay, Slocum, Haeffele, Vidal and Geman, TPAMI 2022: the next question is the one
with the highest mutual information with the class given the answers so far. How the answers of a
class depend on each other is learned by a conditional VAE (nets/query_vae.py, trained by
recipes/query_chains.py), sampled by unadjusted Langevin steps (ops/pursuit/langevin.py); without z
it is naive Bayes and exact. The stop rules, samples, chains, step and cap are the authors' code's;
`entropy` is a project definition, 0 by default. Deviations: all their stop rules hold at once (the
code has one for each data set); equal questions are asked in their own order.

Results of the shipped network for `sightline:default` on 70 unseen birds (55 questions; 128 samples
of z from 32 chains): after four questions all of them are right, against 77 % in the fixed order
and 32 % in random order. With the stop rules it takes 8.5 questions and is right for 99 % (Wilson
interval 92 to 100 %). z does not help there: naive Bayes gives the same results. The reader gives
99.7 % right answers about birds of real species, but only 84.5 % where parts of several species are
mixed (always giving the likelier answer reaches 77 %): it reads the species as well as the part.
nets/weights/aviary-questions.json has all numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ...registry import register
from ._question_chain import QuestionChain
from .knowledge import Knowledge
from .pursuit import Pick, greedy


@register("information-pursuit", paper="arXiv:2207.00938", claims=())
@dataclass(frozen=True, kw_only=True)
class InformationPursuit(QuestionChain):
    """Which few questions lead to the class, when each is chosen from the answers so far?

    It does not look inside the model: the chain predicts a class of its own from the answers, and
    `agrees` compares it with the model's top class. With a concept reader the answers are read from
    the model's own layers, so the chain shows what the model's features contain. The target only
    sets the class that the text compares with.

    Do not trust it as the model's own reasoning: model and chain may agree for different reasons,
    and one wrong early answer misleads the chain and is never corrected. A greedy chain can miss
    two questions that decide only together. Check the confidence of each answer, and compare with
    `random-chain` and `fixed-chain`, which show what choosing questions gains.
    """

    def picks(self, knowledge: Knowledge, fixed: Sequence[int]) -> Pick:
        return greedy
