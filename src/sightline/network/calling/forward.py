"""How the network is called, and what its output means: from pictures to one row of scores each.

The picture is converted to what the network computes in and normalised, the side inputs follow
their rows, and the scores are found in what comes back. How a network wants to be called is
observed before its first pass (network/calling/conduct.py).
"""

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import BadModel, NotExplainable, SightlineWarning
from ..costs import announce_check
from ..unharmed import unharmed
from .checkpointing import plain_segments
from .conduct import GIVES, Conduct, Observer
from .failures import network_errors
from .modules import channels_of, like_of
from .outputs import as_probabilities, as_rows, row_each, scores_of

_log = logging.getLogger("sightline")


@dataclass(frozen=True, eq=False)
class Settings:
    """What the model knows of its network: `mean` and `std`, (1, channel, 1, 1), subtracted and
    divided where it `normalises` for the network; how many labels there are, 0 for none."""

    mean: Tensor
    std: Tensor
    normalises: bool = False
    labels: int = 0
    multilabel: bool = False

    @classmethod
    def of(cls, model: Any, known: Any) -> "Settings":  # Any: both stand above this file
        """The settings of a model with a known preprocessing, or None. A black box normalises
        itself; where all its channels have one mean, pictures may have any number of them."""
        mean, std = (known.mean, known.std) if known else ((0.0,), (1.0,))
        if not model.differentiable and len(set(mean)) == 1:
            mean, std = mean[:1], std[:1]
        both = (torch.tensor(v, dtype=torch.float32, device="cpu") for v in (mean, std))
        mean, std = (v.view(1, -1, 1, 1) for v in both)
        natural = known is not None and model.differentiable
        return cls(mean, std, natural, len(model.labels or ()), model.multilabel)


@dataclass(eq=False)
class Calling:
    """How one network is called: `scores(module, images)` of its pictures.

    forward, output: the user's own functions; stated: what the user says that the network gives, as
    `Model` takes them. side: inputs beside the pictures, batch first. conduct: what was observed,
    renewed when the weights change.
    """

    settings: Settings
    forward: Callable[..., Any] | None = None
    output: Callable[[Any], Any] | None = None
    stated: str | None = None
    side: Mapping[str, Any] = field(default_factory=dict)
    conduct: Conduct = field(default_factory=Conduct)

    def __post_init__(self) -> None:
        if self.stated not in (None, *GIVES):
            raise BadModel(f"`gives` is one of {', '.join(GIVES)}; got {self.stated!r}.")

    def channels(self, module: nn.Module) -> int:
        """Channels of a picture, as the preprocessing or the first convolution has them."""
        stated = self.settings.mean.shape[1]
        return stated if stated > 1 or self.settings.normalises else channels_of(module)

    @property
    def gives(self) -> str:
        """What the scores are: `logits`, `probabilities` that sum to 1, `sigmoids` (each output a
        probability of its own), or `features` that are no classes."""
        return self.stated or self.conduct.gives

    def probabilities(self, scores: Tensor) -> Tensor:
        """Scores (batch, class) as probabilities; those that are some already stay as they are."""
        return as_probabilities(scores, self.gives, multilabel=self.settings.multilabel)

    @property
    def alone(self) -> bool:
        """Whether the network takes one picture at a time."""
        return self.conduct.alone

    def most(self, count: int) -> int:
        """So many pictures at once, or one where the network takes no more."""
        return 1 if self.alone else count

    def refuse_company(self, count: int) -> None:
        """Raises: NotExplainable where layers of so many pictures cannot be read in one pass."""
        if self.alone and count > 1:
            raise NotExplainable(
                "the network is run one picture at a time, and this pass reads layers of"
                f" {count}; explain the pictures one by one, or use a method that reads none."
            )

    def observe(self, module: nn.Module, images: Tensor) -> bool:
        """Find out how `module` is called, on probe pictures of the shape of `images`; False where
        it does not run on them, so that nothing is known yet."""
        shape = (images.shape[1], images.shape[2], images.shape[3])
        with unharmed(module), torch.random.fork_rng(devices=[]), torch.inference_mode(False):
            watched = Observer(
                module=module,
                run=self._probed,
                shape=shape,
                device=images.device,
                multilabel=self.settings.multilabel,
            )
            found, ran = watched.conduct()
        classes = found.gives == "features" and self.settings.labels
        known = self.conduct.doubts
        self.conduct = replace(found, gives="logits") if classes else found
        for doubt in self.conduct.doubts:
            if doubt not in known:  # said once, also where weights change or side inputs come
                name = type(module).__name__
                warnings.warn(f"{name}: {doubt}.", SightlineWarning, stacklevel=2)
        for note in self.conduct.notes:
            _log.info("%s: %s", type(module).__name__, note)
        return ran

    def __call__(self, module: nn.Module, images: Tensor) -> Any:
        """The scores of images in a start-up check: announced as one, and on nobody's record."""
        announce_check(len(images))
        return self.scores(module, images)

    def scores(self, module: nn.Module, images: Tensor, rows: Tensor | None = None) -> Any:
        """What the network says of images in [0, 1]: scores (batch, class), or a detector's list.

        rows: the image of the batch that each row is a copy of; side inputs follow it.

        Raises: NetworkError for what the network raises, BadModel where rows of the output and
        pictures, or classes and labels, do not agree.
        """
        known, count = self.conduct, len(images) if rows is None else len(rows)
        if known.alone and len(images) > 1:
            rows = torch.arange(count, device="cpu") if rows is None else rows
            each = [self.scores(module, images[i : i + 1], rows[i : i + 1]) for i in range(count)]
            return torch.cat(each) if isinstance(each[0], Tensor) else [d for e in each for d in e]
        found = row_each(
            self._returned(module, images, rows, known), count, squeezed=known.squeezed
        )
        self._check_labels(found)
        return found

    def rows(self, module: nn.Module, images: Tensor) -> Tensor:
        """The same as one tensor with the batch first; detections too."""
        return as_rows(self(module, images))

    def _probed(self, module: nn.Module, images: Tensor, known: Conduct) -> Any:
        announce_check(len(images))
        return self._returned(module, images, None, known)

    @plain_segments()
    def _returned(
        self, module: nn.Module, images: Tensor, rows: Tensor | None, known: Conduct
    ) -> Any:
        like = like_of(module, known.meets)
        x = images if like is None else images.to(device=like.device, dtype=like.dtype)
        if self.settings.normalises:
            x = (x - self.settings.mean.to(x)) / self.settings.std.to(x)
        x = x.permute(0, 2, 3, 1) if known.channels_last else x
        x = x.clone() if x is images else x  # the network may write into what it is given
        rows = torch.arange(len(x), device="cpu") if rows is None else rows
        side = {k: v[rows % len(v)] for k, v in self.side.items()}
        with network_errors(module, images, tuple(side), told=self.forward is not None):
            returned = self.forward(module, x, **side) if self.forward else module(x, **side)
            return self.output(returned) if self.output else scores_of(returned)

    def _check_labels(self, scores: Any) -> None:
        labels = self.settings.labels
        if not labels or not isinstance(scores, Tensor) or scores.ndim != 2:
            return
        classes = scores.shape[1]
        if labels != classes and (classes, labels) != (1, 2):  # one logit: no and yes
            outputs = "1 output" if classes == 1 else f"{classes} outputs"
            names = "1 label" if labels == 1 else f"{labels} labels"
            raise BadModel(
                f"the network has {outputs} and the model {names}, so names would be assigned to"
                " wrong classes; give one label per output, in their order: `sl.Model(net,"
                " labels=[...])`."
            )
