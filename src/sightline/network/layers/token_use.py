"""Which tokens does what follows read: a class token, several, their mean, the places?

Measured by the gradient at the last tokens: exactly zero where a token is not read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.autograd.graph import GradientEdge

from .autograd_paths import Paths, bends
from .recording import NetworkRecord, RecordedTensor

_READ = 1e-6  # of the largest gradient of a token
_EVEN = 1e-3


@dataclass(frozen=True, kw_only=True)
class Reading:
    """shares: what each prefix token and, last, all places together count for the scores, sum 1;
    empty where there are no tokens. weighs: a softmax weighs the tokens before they are read.
    """

    shares: tuple[float, ...] = ()
    weighs: bool = False


def read_tokens(
    record: NetworkRecord,
    paths: Paths,
    gradients: Callable[[Sequence[GradientEdge], Tensor], list[Tensor | None]],
) -> Reading:
    """What the scores read of the last tokens. gradients: of a mix of scores at some tensors."""
    seen = _last_tokens(record, paths)
    if seen is None or seen.edge is None or seen.layout is None:
        return Reading()
    (grad,) = gradients([seen.edge], record.scores)
    if grad is None or not bool(grad.any()):
        return Reading()
    found, prefix = grad.float().abs().sum((0, 2)), seen.layout.prefix
    front = seen.layout.prefix_at == "front"
    tokens = found[:prefix] if front else found[len(found) - prefix :]
    places = found[prefix:] if front else found[: len(found) - prefix]
    weighs = "softmax" in bends(paths.behind({seen.edge}))
    if float(found.max() - found.min()) <= _EVEN * float(found.max()):
        counts = [1.0] * prefix + [float(len(places))]
    else:
        least = _READ * float(found.max())
        counts = [float(value > least) for value in (*tokens, places.max())]
    return Reading(shares=tuple(c / sum(counts) for c in counts), weighs=weighs)


def _last_tokens(record: NetworkRecord, paths: Paths) -> RecordedTensor | None:
    """The last tokens behind all attention, those that everything passes first; where there are
    none behind it, the last of all."""
    found = [
        s
        for s in record.seen
        if s.layout is not None
        and s.layout.style == "tokens"
        and s.edge is not None
        and paths.passed(s.edge)
    ]
    attending = [c.outputs[-1].time for c in record.calls if c.attentions and c.outputs]
    late = [s for s in found if s.time >= max(attending, default=0)]
    cuts = [s for s in late if s.edge is not None and paths.is_cut(s.edge)]
    return (cuts or late or found or [None])[-1]
