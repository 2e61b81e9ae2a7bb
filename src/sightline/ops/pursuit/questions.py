"""What may be asked of a thing that is described by bits, and what is known of it so far.

A question reads some of the bits; its answer is their pattern, as the number whose k-th binary
digit is the k-th of them. An attribute or a word is one bit; a patch of 3 x 3 binary pixels nine,
and patches share pixels: what one has told the next one knows.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...errors import ShapeError

Bits = Float[Tensor, " bit"]
_AT_ONCE = 8_000_000  # numbers held while patterns are counted


@dataclass(frozen=True, eq=False)
class Questions:
    """Which bits each question reads, (question, read)."""

    reads: Int[Tensor, "question read"]

    @staticmethod
    def single(count: int) -> "Questions":
        """One question for each bit."""
        return Questions(torch.arange(count, device="cpu")[:, None])

    @staticmethod
    def patches(rows: int, cols: int, side: int = 3) -> "Questions":
        """Every patch of side x side pixels of a binary picture, row by row."""
        if side > min(rows, cols):
            raise ShapeError(f"a patch of {side} x {side} does not fit into {rows} x {cols} bits.")
        grid = torch.arange(rows * cols, device="cpu").view(rows, cols)
        found = grid.unfold(0, side, 1).unfold(1, side, 1)
        return Questions(found.reshape(-1, side * side))

    def __len__(self) -> int:
        return len(self.reads)

    @property
    def answers(self) -> int:
        """How many answers a question has."""
        return 2 ** self.reads.shape[1]

    def answer_code(self, bits: Bits, question: int) -> int:
        """The answer to a question."""
        return sum(int(bits[i]) << k for k, i in enumerate(self.reads[question].tolist()))

    def shares(
        self,
        bits: Float[Tensor, "particle class bit"],
        weights: Float[Tensor, "particle class"],
    ) -> Float[Tensor, "class question answer"]:
        """p(answer | class): the mean over weighted particles, within which bits are independent.

        bits: the probability that each bit is 1.
        """
        if self.reads.shape[1] == 1:
            ones = torch.einsum("pcb,pc->cb", bits, weights)[:, self.reads[:, 0]]
            total = weights.sum(0)[:, None]
            return torch.stack([(total - ones).clamp(min=0), ones], -1)
        half = self.reads.shape[1] // 2
        width = bits.shape[1] * len(self) * 2 ** (self.reads.shape[1] - half)
        found = bits.new_zeros(())
        for rows in torch.arange(len(bits), device="cpu").split(max(1, _AT_ONCE // width)):
            read = bits[rows][..., self.reads]
            low, high = _patterns(read[..., :half]), _patterns(read[..., half:])
            low = low * weights[rows][..., None, None]
            found = found + torch.einsum("pcqh,pcql->cqhl", high, low)
        return found.flatten(2)


def _patterns(read: Tensor) -> Tensor:
    """The probability of every pattern of independent bits (..., bit), the first bit lowest."""
    found = read.new_ones(*read.shape[:-1], 1)
    for k in range(read.shape[-1]):
        one = read[..., k : k + 1]
        found = torch.cat([found * (1 - one), found * one], -1)
    return found


@dataclass(frozen=True, eq=False)
class KnownBits:
    """Bits of one thing as far as they have been told."""

    bits: Bits
    told: Tensor  # (bit,), bool

    @staticmethod
    def nothing(count: int) -> "KnownBits":
        return KnownBits(
            torch.zeros(count, dtype=torch.float32, device="cpu"),
            torch.zeros(count, dtype=torch.bool, device="cpu"),
        )

    def with_answers(self, truth: Bits, reads: Int[Tensor, " read"]) -> "KnownBits":
        """With the bits that a question reads."""
        bits, told = self.bits.clone(), self.told.clone()
        bits[reads], told[reads] = truth[reads].to(bits), True
        return KnownBits(bits, told)

    def likelihood(self, logits: Float[Tensor, "... bit"]) -> Float[Tensor, "..."]:
        """log p(what is told), of bits with these log odds."""
        told = self.told.nonzero()[:, 0]
        if not len(told):
            return logits.new_zeros(logits.shape[:-1])
        signs = (2 * self.bits[told] - 1).to(logits)
        return torch.nn.functional.logsigmoid(logits[..., told] * signs).sum(-1)

    def over(self, bits: Float[Tensor, "... bit"]) -> Float[Tensor, "... bit"]:
        """Probabilities of bits, with those that are told certain."""
        return torch.where(self.told, self.bits.to(bits), bits)
