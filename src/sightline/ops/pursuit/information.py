"""How much a question tells about the class, in nats, and what its answer does to the belief.

Paper: Chattopadhyay et al., TPAMI 2022: I(q; Y | S) = sum over a, y of p(a | S, y) p(y | S)
log(p(a | S, y) / p(a | S)), and p(y | S and a) in proportion to p(a | S, y) p(y | S).
"""

import torch
from jaxtyping import Float
from torch import Tensor

Belief = Float[Tensor, "*any class"]
Shares = Float[Tensor, "*any class question answer"]


def entropy(shares: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The uncertainty of distributions along the last axis, in nats."""
    return -torch.xlogy(shares, shares).sum(-1)


def information(answers: Shares, belief: Belief) -> Float[Tensor, "*any question"]:
    """Expected information of each question about the class, in nats.

    answers: p(answer | what is known, class). belief: p(class | what is known).
    """
    expected = torch.einsum("...cqa,...c->...qa", answers, belief)
    inside = torch.einsum("...cq,...c->...q", entropy(answers), belief)
    return (entropy(expected) - inside).clamp(min=0)


def bayes(belief: Belief, likelihood: Belief) -> Belief:
    """The belief after an answer that has this likelihood under each class.

    Where no class that is believed in allows the answer there is no such belief: NaN.
    """
    joint = belief * likelihood
    return joint / joint.sum(-1, keepdim=True)
