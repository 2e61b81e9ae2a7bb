"""How a network behaves when it is called, found out on a few probe pictures before its first pass.

Two pictures together and one alone tell whether it takes batches, and whether one picture's row
comes back without its batch axis. Further pictures are looked at only where the scores may be
probabilities.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ...errors import NetworkError, SightlineError
from ..layers.locality import strips
from .endings import is_backbone, is_bounded, is_hidden, is_linear
from .modules import floats_of

GIVES = ("logits", "probabilities", "sigmoids", "features")
_SURE = 1e-3  # by how much probabilities may miss [0, 1] and a sum of 1, in float32
_ALIKE = 1e-2  # of what another picture changes: kernels differ by less between batch sizes
_EMBEDDING = 8  # numbers from which rows of length 1 are an embedding


@dataclass(frozen=True, kw_only=True)
class Conduct:
    """How is this network called, and what comes back?

    meets: name of the first floating parameter or buffer that the forward meets; pictures get its
    type and device. alone: one picture at a time. company: a picture's scores depend on the others
    of its batch, so it is run alone where it can be. chance: they differ from run to run. squeezed:
    one picture's output has no batch axis. channels_last: pictures are given as (batch, row, col,
    channel). gives: `logits`; `probabilities` that sum to 1; `sigmoids`, each a probability of its
    own; or `features`, which are no classes.
    """

    meets: str = ""
    alone: bool = False
    company: bool = False
    chance: bool = False
    squeezed: bool = False
    channels_last: bool = False
    gives: str = "logits"

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not as usual, in sentences."""
        gives = {
            "probabilities": "the network returns probabilities; they are used unchanged",
            "sigmoids": "the network returns a probability for each output; they are used"
            " unchanged",
            "features": "the network returns features, not class scores",
        }
        said = (
            *self.doubts,
            "the network takes one picture at a time" if self.alone and not self.company else "",
            "the network returns one picture's scores without a batch axis"
            if self.squeezed
            else "",
            "the network takes pictures as (batch, row, col, channel)"
            if self.channels_last
            else "",
            gives.get(self.gives, ""),
        )
        return tuple(filter(None, said))

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why scores are not those of a picture by itself, in sentences."""
        how = (
            "pictures are run one at a time"
            if self.alone
            else ("and the network fails on a single picture")
        )
        company = (
            "scores depend on the other pictures of a batch (batch statistics in use, or a sum"
            f" over the batch); {how}"
        )
        chance = (
            "scores differ from run to run (a dropout that stays on, or noise), so maps are"
            " partly random"
        )
        return (*[company] * self.company, *[chance] * self.chance)


@dataclass(frozen=True, kw_only=True)
class Observer:
    """Who looks at a network. run: (module, pictures in [0, 1], conduct) -> what it gives.

    shape: of one picture, (channel, row, col). multilabel: what the user said of its outputs.
    """

    module: nn.Module
    run: Callable[[nn.Module, Tensor, Conduct], Any]
    shape: tuple[int, int, int]
    device: torch.device
    multilabel: bool = False

    def conduct(self) -> tuple[Conduct, bool]:
        """The conduct of the network, and whether it ran on a probe at all.

        One that fails on the probes, or answers with no tensor, has the usual conduct: its own pass
        says what is wrong.
        """
        channels, rows, cols = self.shape
        probe = strips((rows, cols), channels)[[0, 5]].to(self.device)
        probe[1] *= 0.3  # darker, so that what is shared with the first one moves
        meets = first_met(self.module, lambda: self.run(self.module, probe[:1], Conduct()))
        plain = Conduct(meets=meets)
        for known in (plain, replace(plain, channels_last=True)):
            found = self._rows(probe, known)
            if found is not None:
                return found, True
        return plain, False

    def _rows(self, probe: Tensor, known: Conduct) -> Conduct | None:
        """How pictures and rows of the output belong together; None where nothing runs."""
        last = _LastIdentity(self.module)
        two = self._tried(probe, known, last)
        one = self._tried(probe[:1], known)
        if isinstance(two, SightlineError):
            return known
        if isinstance(two, Tensor) and two.ndim and len(two) == 2:
            loose = isinstance(one, Tensor) and one.shape == two.shape[1:] and one.shape[:1] != (1,)
            known = replace(known, squeezed=loose)
            known = self._steady(known, two, one if loose else _first(one), probe[:1])
            return replace(known, gives=self._gives(two, known, last))
        if isinstance(one, Tensor) and one.ndim and len(one) == 1:
            known = replace(known, alone=True)
        elif two is None and isinstance(one, Tensor) and one.ndim == 1:
            known, one = replace(known, alone=True, squeezed=True), one[None]
        else:
            return None if two is None and one is None else known
        return replace(known, gives=self._gives(one, known, last))

    def _steady(self, known: Conduct, together: Tensor, one: Any, probe: Tensor) -> Conduct:
        """Whether the scores of a picture depend on its company, or on chance. together: of it and
        another picture. one: of it alone, None where that fails."""
        if not isinstance(one, Tensor):
            return replace(known, company=one is None)
        again = self._tried(probe, known)
        again = again if known.squeezed else _first(again)
        if isinstance(again, Tensor) and not _alike(again, one, together):
            return replace(known, chance=True)
        company = not _alike(together[0], one, together)
        return replace(known, company=company, alone=company)

    def _tried(self, images: Tensor, known: Conduct, last: "_LastIdentity | None" = None) -> Any:
        """What the network gives, with its graph where it can have one, or our own error about
        it; None where it fails."""
        for graph in (True, False) if last else (False,):
            try:
                with torch.set_grad_enabled(graph), last or nullcontext():
                    leaf = images.clone().requires_grad_(graph)
                    return self.run(self.module, leaf.clone(), known)
            except NetworkError:
                continue
            except SightlineError as error:  # it ran, and gave what cannot be used
                return error
        return None

    def _gives(self, scores: Tensor, known: Conduct, last: "_LastIdentity") -> str:
        """What the numbers are, from their last steps and from what they are on several pictures.

        scores: of the two probe pictures, or of one.
        """
        values = scores.detach().float()
        if not scores.is_floating_point() or not torch.isfinite(values).all():
            return "logits"
        sure = _SURE if scores.dtype in (torch.float32, torch.float64) else 20 * _SURE
        shares = self._shares(scores, known, sure) if _are_shares(values, sure) else None
        if shares is not None:
            return shares
        if scores.ndim != 2 or scores.shape[1] < _EMBEDDING:
            return "logits"
        if getattr(self.module, "num_classes", None) == 0:  # as timm and others say it
            return "features"
        if is_linear(scores):
            return "logits"
        unit = bool((values.norm(dim=1) - 1).abs().max() < sure)
        return "features" if unit or last.gave(scores) or is_backbone(scores) else "logits"

    def _shares(self, scores: Tensor, known: Conduct, sure: float) -> str | None:
        """The kind of probabilities, where more pictures agree; None where numbers happen to lie in
        [0, 1]."""
        whole = _sum_to_one(scores.detach().float(), sure)
        single = scores.ndim == 1 or scores.shape[1] == 1
        hidden = is_hidden(scores) and (single or self.multilabel)
        if not (whole or hidden or is_bounded(scores)):
            return None
        for images in self._extremes().split(1 if known.alone else 2):
            found = self._tried(images, known)
            values = (
                found.float()
                if isinstance(found, Tensor)
                else torch.full((1,), torch.inf, dtype=torch.float32, device="cpu")
            )
            if not _are_shares(values, sure) or (whole and not _sum_to_one(values, sure)):
                return None
        return "probabilities" if whole else "sigmoids"

    def _extremes(self) -> Tensor:
        """Six more pictures: black, white, and noise that is dark, bright, coarse and its opposite,
        (6, channel, row, col)."""
        channels, rows, cols = self.shape
        noise = strips((rows, cols), channels)[[4]]
        hard = (noise > 0.5).to(noise)
        black, white = torch.zeros_like(noise), torch.ones_like(noise)
        made = [black, white, noise / 4, 1 - noise / 4, hard, 1 - hard]
        return torch.cat(made).to(self.device)


def _first(scores: Any) -> Any:
    """The row of the only picture; what is no such row as it is."""
    return scores[0] if isinstance(scores, Tensor) and scores.ndim else scores


def _alike(found: Tensor, other: Tensor, pictures: Tensor) -> bool:
    """Whether two rows of scores of one picture are the same, but for what kernels round.

    pictures: the scores of two pictures, which tell how far a picture moves them.
    """
    if found.shape != other.shape or not found.is_floating_point() or not found.numel():
        return True
    left, right, two = (t.detach().double() for t in (found, other, pictures))
    if not all(bool(torch.isfinite(t).all()) for t in (left, right, two)):
        return True
    eps = torch.finfo(found.dtype).eps
    moved = float((two[0] - two[1]).abs().max())
    allowed = max(_ALIKE, 16 * eps) * moved + 64 * eps * float(two.abs().max())
    return float((left - right).abs().max()) <= allowed


def _are_shares(values: Tensor, sure: float) -> bool:
    return bool(torch.isfinite(values).all()) and bool(
        ((values > -sure) & (values < 1 + sure)).all()
    )


def _sum_to_one(values: Tensor, sure: float) -> bool:
    """Whether the classes of each row, axis 1, sum to 1; of words (batch, position, word) the last
    axis too."""
    axes = [1, 2] if values.ndim == 3 else [1] if values.ndim > 1 else []
    wide = [axis for axis in axes if values.shape[axis] > 1]
    return any(bool((values.sum(axis) - 1).abs().max() < sure) for axis in wide)


class _LastIdentity:
    """While it lasts, what the last `nn.Identity` returned: people put one where a head was."""

    def __init__(self, module: nn.Module) -> None:
        self.parts = [part for part in module.modules() if type(part) is nn.Identity]
        self.output: Any = None
        self.handles: list[Any] = []

    def __enter__(self) -> None:
        self.handles = [part.register_forward_hook(self._keep) for part in self.parts]

    def __exit__(self, *_: Any) -> None:
        for handle in self.handles:
            handle.remove()

    def _keep(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self.output = output

    def gave(self, scores: Tensor) -> bool:
        return self.output is scores


class _Met(BaseException):
    """A parameter that the forward has met; no network of a user's catches it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class _Meeting(TorchFunctionMode):
    def __init__(self, ids: set[int]) -> None:
        super().__init__()
        self.ids = ids

    def __torch_function__(self, func, types, args=(), kwargs=None):  # pyright: ignore
        asked = getattr(func, "__name__", "") == "__get__"  # `x.to(self.table.device)` meets none
        for value in () if asked else (*args, *(kwargs or {}).values()):
            for each in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(each, Tensor) and id(each) in self.ids:
                    raise _Met(each)
        return func(*args, **(kwargs or {}))


def first_met(module: nn.Module, run: Callable[[], Any]) -> str:
    """The name of the first floating parameter that a forward meets, or buffer where there is no
    parameter; empty where there is neither. run: one forward.

    The forward is watched only where parameters differ in type or device.
    """
    named = dict(floats_of(module))
    if len({(tensor.dtype, tensor.device) for tensor in named.values()}) > 1:
        names = {id(tensor): name for name, tensor in named.items()}
        parameters = {id(p) for p in module.parameters() if id(p) in names}
        for ids in (parameters, set(names)):
            try:
                with torch.no_grad(), _Meeting(ids):
                    run()
            except _Met as met:
                return names[id(met.tensor)]
            except SightlineError:
                continue
    return next(iter(named), "")
