"""The network under study: its module, preprocessing, labels and layers, left as it was found.

`trace` is the one primitive; `outputs`, `scores` and `gradients` are its counted short forms. What
runs, and how threads take turns, is known to the network's runner (network/runner.py).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn

from .errors import BadModel, NotExplainable
from .files.display import display_name
from .network.anatomy import Anatomy
from .network.black_box import BlackBox
from .network.calling.forward import Calling, Settings
from .network.calling.modules import Recent, device_of, network_of, refuse_turned
from .network.devices import usable_device
from .network.execution import check_precision
from .network.labels import class_names, find_label
from .network.runner import Asked, NetworkRunner, blank
from .network.shared_pass import open_pass, passes_of, shared_by
from .network.trace import Edit, Fan, Trace
from .ops.batches import as_side, check, listed, side_rows
from .ops.rules import Rule
from .pictures.origins import Origins
from .pictures.preprocess import Frame, Preprocess, as_preprocess, no_preprocessing
from .pictures.reading import Picture
from .target import Target
from .targets.given import to_target

BATCH = 16  # images in one pass where nothing was measured
MODELS: "Recent[Model]" = Recent(4)  # of the bare modules that came last


class Model:
    """A network under study, with its preprocessing, labels and layers.

    preprocess: None (tensors come as the network expects them), a `Preprocess`, or a transform; an
    unknown transform still runs, but then maps cannot be put back on the original picture.
    output: a function from what the network returns to scores (batch, class), or to a list of
    {"boxes", "scores", "labels"}. forward: a function (module, images, **side inputs) -> output for
    networks that are not called with images alone. gives: what the scores are, where the model's
    own guess is wrong: `logits`, `probabilities` (they sum to 1), `sigmoids` or `features`.

    >>> import torch, sightline as sl
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    >>> model = sl.Model(net, size=(2, 2))
    >>> model.outputs(torch.ones(1, 3, 2, 2)).shape
    torch.Size([1, 2])
    """

    notes: tuple[str, ...] = ()  # what was decided while its weights were read

    def __init__(
        self,
        module: nn.Module,
        preprocess: Any = None,
        labels: Iterable[Any] | None = None,
        *,
        output: Callable[[Any], Any] | None = None,
        forward: Callable[..., Any] | None = None,
        multilabel: bool = False,
        size: int | tuple[int, int] | None = None,
        name: str | None = None,
        precision: str = "exact",
        gives: str | None = None,
    ) -> None:
        self.module, self.precision = network_of(module), check_precision(precision)
        self.preprocess = as_preprocess(preprocess)
        known = self.preprocess if isinstance(self.preprocess, Preprocess) else None
        self.natural = known is not None  # in [0, 1], so that a colour has a value
        self.labels = class_names(labels) if labels is not None else None
        self.multilabel = multilabel
        self.name = name or type(self.module).__name__
        self.size = (size, size) if isinstance(size, int) else size or getattr(known, "size", None)
        self.differentiable = not isinstance(self.module, BlackBox)
        self.batch: int | None = None
        settings = Settings.of(self, known)
        self.mean, self.std = settings.mean, settings.std
        self.calling = Calling(settings, forward, output, gives)
        self.runner = NetworkRunner(self.module, self.calling)
        self.evaluations = self.runner.spent  # images so far, by everybody; a call's are its own
        self.side: Mapping[str, Any] = {}
        self.origins = Origins()

    def __repr__(self) -> str:
        size = "any size" if self.size is None else "{} x {} px".format(*self.size)
        labels = len(self.labels or ())
        return f"<Model {self.display_name}: {size}, {labels} labels, {self.precision}>"

    @property
    def display_name(self) -> str:
        """The name without the folders of its files, for what is shown and shared."""
        return display_name(self.name)

    @classmethod
    def of(cls, model: "Model | nn.Module") -> "Model":
        """The model itself, or the one of a bare module: tensors only, already normalised."""
        if isinstance(model, nn.Module):
            return MODELS.made_of(model, cls)
        if isinstance(model, Model):
            return model
        raise BadModel(f"expected a Model, torch.nn.Module or name; got {type(model).__name__}.")

    @classmethod
    def from_function(
        cls,
        function: Callable[[Tensor], Any],
        *,
        size: int | tuple[int, int],
        labels: Iterable[Any] | None = None,
        mean: float | Sequence[float] = 0,
    ) -> "Model":
        """A black box: float32 images (n, channel, row, col) in [0, 1] -> scores (n, class).
        mean is the colour that hidden pixels take. Methods that need gradients or layers refuse it.
        """
        known, name = Preprocess(size=size, mean=mean), getattr(function, "__name__", "function")
        return cls(BlackBox(function), known, labels, name=name)

    def prepare(self, images: Any) -> Tensor:
        """Pictures as float32 (batch, channel, row, col), in the model's input frame and in [0, 1].

        images: paths, PIL images or arrays (row, col[, colour]), one or many, or a tensor as it is.
        Raises: ShapeError for other axes, BadImage for what cannot be read.
        """
        if isinstance(sources := listed(images), Tensor):
            images = check(sources, beyond=getattr(self.preprocess, "beyond", None))
            return images if self.calling.forward else refuse_turned(self.module, images)
        if self.preprocess is None:
            raise no_preprocessing(self.display_name)
        return self.origins.prepared(sources, self.preprocess)

    def pictures(self, images: Tensor) -> list[Picture] | None:
        """The pictures that these rows were prepared from (slices and copies too), or None."""
        return self.origins.pictures(images)

    def frames(self, images: Tensor) -> list[Frame] | None:
        """How each picture lies in the model's frame, or None where it is not known."""
        return self.origins.frames(images)

    def index(self, label: str) -> int:
        """The class of a label. Raises: UnknownName with near labels."""
        return find_label(label, self.labels or [])

    def label(self, index: int) -> str:
        """The label of a class, or its number as text."""
        return self.labels[index] if self.labels and index < len(self.labels) else str(index)

    @property
    def layers(self) -> list[str]:
        """Names of all layers, as `named_modules()` of the module that the user gave."""
        return [name for name, _ in self.module.named_modules() if name]

    @property
    def anatomy(self) -> Anatomy:
        """What was measured about the network, at the size of the pictures that come; at 224 x 224
        where no size is known."""
        return self.runner.study(self.runner.usual(self.size), self.name)

    def study(self, size: tuple[int, int], channels: int | None = None) -> Anatomy:
        """The anatomy at an input size; measured once, then remembered."""
        return self.runner.study(self.runner.sized(size, channels), self.name)

    @property
    def spatial(self) -> str:
        """The default layer: the last one that all information passes through and that still keeps
        places of the picture apart. Raises: NotExplainable with the reason where there is none."""
        return self.anatomy.default_layer(self.name)

    @property
    def device(self) -> torch.device:
        return device_of(self.module, self.calling.conduct.meets)

    def to(self, device: str | torch.device) -> "Model":
        """This model, its network moved to `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        Raises: BadField for a device that this machine does not offer.
        """
        self.module.to(usable_device(device))
        return self

    @property
    def digest(self) -> str:
        """A fingerprint of the weights, 16 hexadecimal digits; computed again when they change."""
        return self.runner.digest

    def trace(
        self,
        images: Tensor,
        *,
        read: Sequence[str] = (),
        edit: Mapping[str, Edit | Fan] | None = None,
        rules: Sequence[Rule] = (),
        rows: Tensor | None = None,
    ) -> Trace:
        """One pass: record the layers `read`, change the maps of layers in `edit`, rewrite
        backwards by `rules`.
        read: layer addresses, `"input"` included. edit: layer -> function on its maps, or one
        `Fan`, which turns each image into n copies. rows (n,): the image that each row is a copy
        of; targets and side inputs follow it. Gradients can be taken on layers that were read,
        unless it is called under `no_grad`.
        Raises: UnknownName for no layer, NotExplainable for one that cannot be used so.
        """
        if not edit and not rules and rows is None and (shared := open_pass(self, images)):
            return shared.trace(read)
        return self.traced(images, tuple(read), edit or {}, tuple(rules), rows)

    def traced(self, images: Tensor, *asked: Any) -> Trace:
        """A pass shared with nobody. asked: as in `trace`, in that order."""
        chunk, precision = self.batch or BATCH, self.precision
        return self.runner.trace(images, Asked(*asked, precision=precision, chunk=chunk))

    def outputs(self, images: Any) -> Tensor:
        """The scores of all classes, (batch, class), chunked; no gradient."""
        with torch.no_grad():
            passes = passes_of(self, self.prepare(images), None, ())
            return torch.cat([trace.output.detach().float() for trace in passes])

    def probabilities(self, images: Any) -> Tensor:
        """`outputs` as probabilities: softmax, or sigmoid of `multilabel` and one-logit models."""
        return self.calling.probabilities(self.outputs(images))

    @property
    def gives(self) -> str:
        """What the outputs are: `logits`, `probabilities`, `sigmoids` or `features`."""
        return self.runner.meet(blank(self.runner.usual(self.size))).gives

    def chunk(self, images: Tensor, planned: int) -> int:
        """How many at once, of so many planned: `batch`, or for long work what runs fastest."""
        if self.batch or self.side or self.calling.alone:
            return self.calling.most(self.batch or BATCH)
        return self.runner.pace(images, self.precision, planned) or BATCH

    def aim(self, images: Tensor, target: Any) -> Target:
        """`target` (None, an index, a label, a Target, one per image) fixed on these images."""
        aimed = to_target(target)
        if aimed.fixed:
            return aimed
        with torch.no_grad():
            aimed = aimed.bind(self, images)
            return aimed.fix(self.trace(images, read=aimed.reads)).held()

    def scores(self, images: Any, target: Any, rows: Tensor | None = None) -> Tensor:
        """The target's value for each image, (n,), chunked and counted; no gradient."""
        images = images if isinstance(images, Tensor) else self.prepare(images)
        aimed = self.aim(images, target) if rows is None else to_target(target)
        with torch.no_grad():
            passes = passes_of(self, images, rows, aimed.reads)
            return torch.cat([aimed.score(trace).detach() for trace in passes])

    def gradients(
        self, images: Tensor, target: Any, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The target's value (n,) and its gradient with respect to the images, chunked and counted.
        Raises: NotExplainable for a black box.
        """
        if not self.differentiable:
            raise NotExplainable(f"{self.name} is a black box; use a method without gradients.")
        aimed = self.aim(images, target) if rows is None else to_target(target)
        with torch.enable_grad():
            found = [
                (aimed.score(trace).detach(), trace.gradient(aimed, "input", last=rows is not None))
                for trace in passes_of(self, images, rows, ("input", *aimed.reads))
            ]
        return torch.cat([s for s, _ in found]), torch.cat([g for _, g in found])

    def shared(
        self, images: Tensor, read: Sequence[str] = ("input",), *, gradients: bool = True
    ) -> AbstractContextManager[None]:
        """While it lasts, the clean forward of `images` runs once; its maps, scores and gradients
        are remembered, and layers and anatomy are those for pictures of this size.
        read: what to record with it; the graph is kept from the first of them on. Inside another
        `shared` of the same images nothing new is opened.
        """
        return shared_by(self, images, tuple(read), gradients)

    def moved(self, images: Tensor) -> Tensor:
        """The images on the network's device; those of an open shared pass as it moved them."""
        shared = open_pass(self, images)
        return shared.batch if shared else images.to(self.device)

    def unharmed(self) -> AbstractContextManager[None]:
        """The network for this thread alone while it lasts, in evaluation mode and with frozen
        weights; all comes back, after errors too."""
        return self.runner.borrowed()

    def given(self, **side: Any) -> "Model":
        """The model with side inputs (a question, a command), one for each image or one for all."""
        other = copy(self)
        other.side = {**self.side, **as_side(side)}
        other.runner = self.runner.of(side=other.side)
        other.calling = other.runner.calling
        return other

    def take(self, rows: Sequence[int] | slice) -> "Model":
        """The model for some images of the batch: side inputs follow `rows`."""
        return self.given(**side_rows(self.side, rows)) if self.side else self
