"""What is known of the answers that each class gives: exactly, as a table, or by sampling a VAE.

Paper: Chattopadhyay et al., TPAMI 2022. Deviations: each picture's chains start where its last ones
ended (the authors draw them from all samples of the step before, which is the same in
distribution); bits that a patch has told are known to those that overlap it, and count once.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from math import ceil

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import BadField, ShapeError
from ...nets.query_vae import QueryNetwork
from ...ops.noise import generator
from ...ops.pursuit.information import Belief, Shares
from ...ops.pursuit.langevin import CAP, STEP, langevin
from ...ops.pursuit.questions import KnownBits, Questions
from ...shapes import AnyTensor


class Knowledge(ABC):
    """Answers p(answer | what is known, class), one thing at a time."""

    prior: Belief
    questions: Questions

    @abstractmethod
    def start(self) -> AnyTensor:
        """What is carried from step to step, before anything is known."""

    @abstractmethod
    def answers(self, known: KnownBits, memory: AnyTensor, step: int) -> tuple[Shares, AnyTensor]:
        """p(answer | known, class) of all questions, (class, question, answer), and the memory for
        the next step."""


@dataclass(frozen=True, eq=False)
class ExactTable(Knowledge):
    """An exact answer from all that can be: kinds of things, and how often each class is one.

    prior: of the classes. kinds (kind, bit): the probability that each bit of a kind is 1, bits
    independent given the kind. shares (class, kind): how often a thing of the class is of the kind.
    """

    prior: Belief
    kinds: Float[Tensor, "kind bit"]
    shares: Float[Tensor, "class kind"]
    questions: Questions

    @staticmethod
    def of(
        outcomes: Sequence[tuple[Sequence[int], int, float]], questions: Questions | None = None
    ) -> "ExactTable":
        """From (bits, class, probability) of every outcome; one question for each bit by default.

        Raises: ShapeError, or BadField where the probabilities do not sum to 1.
        """
        if len({len(bits) for bits, _, _ in outcomes}) != 1:
            raise ShapeError("a table needs outcomes, all with the same number of bits.")
        if abs(sum(p for *_, p in outcomes) - 1) > 1e-6:
            raise BadField(f"the outcomes' probabilities sum to {sum(p for *_, p in outcomes):g}.")
        kinds = torch.tensor(
            [list(bits) for bits, _, _ in outcomes], dtype=torch.float64, device="cpu"
        )
        joint = kinds.new_zeros(1 + max(c for _, c, _ in outcomes), len(outcomes))
        for kind, (_, label, share) in enumerate(outcomes):
            joint[label, kind] = share
        prior = joint.sum(1)
        total = torch.where(prior > 0, prior, 1.0)  # a class that never occurs is of no kind
        asked = questions or Questions.single(kinds.shape[1])
        return ExactTable(prior, kinds, joint / total[:, None], asked)

    @staticmethod
    def naive(
        prior: Belief, bits: Float[Tensor, "class bit"], questions: Questions
    ) -> "ExactTable":
        """Naive Bayes: given the class, all bits are independent."""
        return ExactTable(
            prior, bits, torch.eye(len(prior), dtype=bits.dtype, device="cpu"), questions
        )

    def start(self) -> AnyTensor:
        return self.kinds[:0]

    def answers(self, known: KnownBits, memory: AnyTensor, step: int) -> tuple[Shares, AnyTensor]:
        told, bits = known.told, known.bits.to(self.kinds)
        each = torch.where(bits[told] > 0.5, self.kinds[:, told], 1 - self.kinds[:, told])
        joint = self.shares * each.prod(1)
        total = joint.sum(1, keepdim=True)
        # A class that what is known has ruled out: its belief is 0, so its answers do not matter.
        weights = torch.where(total > 0, joint / total, self.shares)
        certain = known.over(self.kinds)[:, None].expand(-1, len(self.prior), -1)
        return self.questions.shares(certain, weights.T), memory


@dataclass(frozen=True, eq=False, kw_only=True)
class Sampled(Knowledge):
    """A trained VAE, whose z is sampled for what is known by unadjusted Langevin steps.

    samples: of z for each class, from so many chains, after `burn_in` steps that are not used.
    """

    network: QueryNetwork
    samples: int = 12000
    chains: int = 256
    step: float = STEP
    cap: float = CAP
    burn_in: int = 20
    seed: int = 0

    @property
    def prior(self) -> Belief:  # type: ignore[override]
        return torch.tensor(self.network.blueprint.prior, dtype=torch.float32, device="cpu")

    @property
    def questions(self) -> Questions:  # type: ignore[override]
        return self.network.blueprint.asked

    def start(self) -> AnyTensor:
        count = max(self.samples, self.chains)
        shape = (len(self.network.blueprint.labels), count, self.network.blueprint.latent)
        return torch.randn(
            shape, generator=generator(self.seed, "query prior"), dtype=torch.float32, device="cpu"
        )

    def answers(self, known: KnownBits, memory: AnyTensor, step: int) -> tuple[Shares, AnyTensor]:
        if not step:
            return self._before, memory[:, : self.chains]
        walk = langevin(
            memory,
            lambda z: self.network.vae.pull(z, known),
            generator(self.seed, f"query step {step}"),
            self.step,
            self.cap,
        )
        kept = max(1, ceil(self.samples / self.chains))
        memory = next(islice(walk, self.burn_in - 1, None)) if self.burn_in else memory
        total = torch.zeros((), dtype=torch.float32, device="cpu")
        for memory in islice(walk, kept):
            total = total + self._shares(known, memory)
        return total / kept, memory

    @cached_property
    def _before(self) -> Shares:
        """The same for every picture: what is answered before anything is known."""
        places = self.start()
        nothing = KnownBits.nothing(self.network.blueprint.bits)
        parts = [self._shares(nothing, z) * z.shape[1] for z in places.split(self.chains, 1)]
        return sum(parts[1:], parts[0]) / places.shape[1]

    def _shares(self, known: KnownBits, places: Tensor) -> Shares:
        with torch.no_grad():
            bits = known.over(self.network.vae(places).sigmoid()).transpose(0, 1)
            weights = torch.full(bits.shape[:2], 1 / len(bits), dtype=torch.float32, device="cpu")
            return self.questions.shares(bits, weights)


def knowledge_of(network: QueryNetwork, **sampling: int | float) -> Knowledge:
    """How to ask a trained network: without z it is an exact table, else it is sampled."""
    if network.blueprint.latent:
        return Sampled(network=network, **sampling)  # type: ignore[arg-type]
    print_ = network.blueprint
    with torch.no_grad():
        bits = network.vae(
            torch.zeros(len(print_.labels), 1, 0, dtype=torch.float32, device="cpu")
        ).sigmoid()[:, 0]
    return ExactTable.naive(
        torch.tensor(print_.prior, dtype=torch.float32, device="cpu"), bits, print_.asked
    )
