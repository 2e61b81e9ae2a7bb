"""Unadjusted Langevin sampling: gradient steps with noise, and no test that would correct them.

z <- z + e g + sqrt(2 e) n, with g the gradient of the log density. The step e is 0.1, scaled down
so that e times the norm of g over all chains and dimensions of a group is at most 0.1 times the
cap; drift and noise shrink together. Uncorrected it is biased: of a standard normal it samples the
variance 1 / (1 - e / 2), 1.0526 for 0.1. A cap of 100 is always felt by 256 chains of 100
dimensions, whose norm under the standard normal alone is about 160.
"""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

Places = Float[Tensor, "group chain dimension"]
STEP, CAP = 0.1, 100.0


def langevin_step(
    places: Places, gradient: Places, noise: Places, step: float = STEP, cap: float = CAP
) -> Places:
    """The chains one step on; each group has its own step."""
    norm = gradient.flatten(1).norm(dim=1)[:, None, None]
    reach = step * torch.where(norm > cap, cap / norm, 1.0)
    return places + reach * gradient + (2 * reach).sqrt() * noise


def langevin(
    places: Places,
    gradient: Callable[[Places], Places],
    dice: torch.Generator,
    step: float = STEP,
    cap: float = CAP,
) -> Iterator[Places]:
    """The chains after each step, without end; gradient: of the log density at all places."""
    while True:
        noise = torch.randn(places.shape, generator=dice, dtype=torch.float32, device="cpu").to(
            places
        )
        places = langevin_step(places, gradient(places), noise, step, cap)
        yield places
