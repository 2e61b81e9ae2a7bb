"""Information pursuit: ask what tells most about the class, believe the answer, ask again.

Paper: Chattopadhyay, Slocum, Haeffele, Vidal and Geman, TPAMI 2022: the next question is the one
with the highest mutual information with the class given the answers so far. How the answers of a
class hang together is learned by a conditional VAE (nets/query_vae.py, trained by
recipes/query_chains.py), sampled by unadjusted Langevin steps (ops/pursuit/langevin.py); without z
it is naive Bayes and exact. The stop rules, samples, chains, step and cap are the authors' code's;
`entropy` is a project definition, 0 by default. Deviations: all their stop rules hold at once (the
code has one for each data set); equal questions are asked in their own order.

What the shipped network for `sightline:default` reached on 70 birds that it had not seen (55
questions; 128 samples of z from 32 chains): right after four questions for all of them, where the
fixed order is for 77 % and random ones for 32 %; with the stop rules 8.5 questions and 99 % (Wilson
92 to 100 %). z brought nothing there: naive Bayes does the same. Its reader gives 99.7 % right
answers about birds of real species, but 84.5 % where parts of several are mixed (77 % is what the
likelier answer always gets): it reads much of the species, not only the part.
nets/weights/aviary-questions.json has all numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ...registry import register
from ._asking import Asking
from .knowledge import Knowledge
from .pursuit import Pick, greedy


@register("information-pursuit", paper="arXiv:2207.00938", claims=())
@dataclass(frozen=True, kw_only=True)
class InformationPursuit(Asking):
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
