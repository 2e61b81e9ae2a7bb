"""The network under study: its module, preprocessing, labels and layers, left as it was found.

`trace` is the one primitive (network/trace.py); `outputs`, `scores` and `gradients` are its counted
short forms. Inside `shared(images)` the clean forward of those images runs once and is remembered,
gradients included. A private copy (network/execution.py) does the work where it is proven equal.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from .errors import BadModel, NotExplainable
from .files.display import display_name
from .network.anatomy import Anatomy
from .network.black_box import BlackBox
from .network.calling.forward import Calling, Settings
from .network.calling.modules import Recent, device_of, refuse_turned, unwrapped
from .network.devices import usable_device
from .network.labels import class_names, find_label
from .network.runner import Asked, NetworkRunner, Shape, blank
from .network.shared_pass import SharedPass, in_view, open_pass, opened, shape_in_view
from .network.trace import Edit, Fan, Trace
from .ops.batches import as_side, batched, check, chunks, listed, rows_of, side_rows
from .ops.rules import Rule
from .pictures.origins import Origins
from .pictures.preprocess import Frame, Opaque, Preprocess, no_preprocessing, understand
from .pictures.reading import Picture
from .target import Target, to_target

BATCH = 16  # images in one pass where nothing was measured
MODELS: "Recent[Model]" = Recent(4)
"""The models of bare modules that were given last, with what is known of each."""


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
        if not isinstance(module, nn.Module):
            raise BadModel(
                f"a model wraps a torch.nn.Module; got {type(module).__name__}. Load one with"
                " `sl.load(name)`, or wrap a function with `sl.Model.from_function`."
            )
        if precision not in ("exact", "fast"):
            raise BadModel(f"precision is 'exact' or 'fast'; got {precision!r}.")
        self.module = unwrapped(module)
        known = preprocess if isinstance(preprocess, Preprocess) else understand(preprocess)
        self.preprocess: Preprocess | Opaque | None = known
        if known is None and preprocess is not None:
            self.preprocess = Opaque(cast(Callable[..., Any], preprocess))
        self.natural = known is not None  # in [0, 1], so that a colour has a value
        self.labels = class_names(labels) if labels is not None else None
        self.multilabel, self.precision = multilabel, precision
        self.name = name or type(self.module).__name__
        self.size = (size, size) if isinstance(size, int) else size or getattr(known, "size", None)
        self.differentiable = not isinstance(self.module, BlackBox)
        self.batch: int | None = None
        settings = Settings.of(self, known)
        self.mean, self.std = settings.mean, settings.std
        self.runner = NetworkRunner(self.module, Calling(settings, forward, output, gives))
        self.origins = Origins()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "origins"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, origins=Origins())

    def __repr__(self) -> str:
        size = "any size" if self.size is None else "{} x {} px".format(*self.size)
        labels = len(self.labels or ())
        return f"<Model {self.display_name}: {size}, {labels} labels, {self.precision}>"

    @property
    def display_name(self) -> str:
        """The name without the folders of its files, for what is shown and shared."""
        return display_name(self.name)

    def __copy__(self) -> "Model":
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

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
        name = getattr(function, "__name__", "function")
        return cls(BlackBox(function), Preprocess(size=size, mean=mean), labels, name=name)

    def prepare(self, images: Any) -> Tensor:
        """Pictures as float32 (batch, channel, row, col), in the model's input frame and in [0, 1].

        images: paths, PIL images or arrays (row, col[, colour]), one or many, or a tensor as it is.

        Raises: ShapeError for other axes, BadImage for what cannot be read.
        """
        sources = listed(images)
        if isinstance(sources, Tensor):
            images = check(sources, beyond=getattr(self.preprocess, "beyond", None))
            return images if self.calling.forward else refuse_turned(self.module, images)
        if self.preprocess is None:
            raise no_preprocessing(self.display_name)
        pictures = [self.preprocess.read(source) for source in sources]
        tensors = batched([self.preprocess.prepare(p) for p in pictures])
        made = self.preprocess
        frames = [made.frame(p.size) for p in pictures] if isinstance(made, Preprocess) else None
        return self.origins.add(tensors, pictures, frames)

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
    def calling(self) -> Calling:
        """How the network is called, and what its output means."""
        return self.runner.calling

    @property
    def side(self) -> Mapping[str, Any]:
        """Inputs beside the pictures, as `given`."""
        return self.calling.side

    @property
    def evaluations(self) -> dict[str, int]:
        """Images sent through the network so far, by everybody: forward, backward, and copies
        behind a layer. What one call costs is in its provenance."""
        return self.runner.spent

    @property
    def anatomy(self) -> Anatomy:
        """What was measured about the network, at the size of the pictures that come; at 224 x 224
        where no size is known."""
        return self.runner.study(self.shape or self._shape((224, 224)), self.name)

    @property
    def shape(self) -> Shape | None:
        """Rows, columns and channels of the pictures that come: of those in view, else of the
        model's own size, else of the last ones; None where nothing is known."""
        own = None if self.size is None else self._shape(self.size)
        return shape_in_view(self.module) or own or next(reversed(self.runner.anatomies), None)

    def study(self, size: tuple[int, int], channels: int | None = None) -> Anatomy:
        """The anatomy at an input size; measured once, then remembered."""
        return self.runner.study(self._shape(size, channels), self.name)

    def _shape(self, size: tuple[int, int], channels: int | None = None) -> Shape:
        """The shape of pictures of a size, with as many channels as such pictures had, or the
        network takes."""
        if channels is None:
            known = [shape[2] for shape in self.runner.anatomies if shape[:2] == size]
            channels = known[-1] if known else self.calling.channels(self.module)
        return size[0], size[1], channels

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
        chunk, precision = self.batch or BATCH, self.precision
        asked = Asked(tuple(read), edit or {}, tuple(rules), rows, precision, chunk)
        return self.runner.trace(images, asked)

    def outputs(self, images: Any) -> Tensor:
        """The scores of all classes, (batch, class), chunked; no gradient."""
        with torch.no_grad():
            passes = self._passes(self.prepare(images), None, ())
            return torch.cat([trace.output.detach().float() for trace in passes])

    def probabilities(self, images: Any) -> Tensor:
        """`outputs` as probabilities: softmax, or sigmoid of `multilabel` and one-logit models."""
        return self.calling.probabilities(self.outputs(images))

    @property
    def gives(self) -> str:
        """What the outputs are: `logits`, `probabilities`, `sigmoids` or `features`."""
        return self.meet(blank(self.shape or self._shape((224, 224)))).gives

    def meet(self, images: Tensor) -> Calling:
        """How the network is called: seen on probe pictures of that shape before its first pass."""
        return self.runner.meet(images)

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
        aimed = aimed.bind(self, images)
        with torch.no_grad():
            return aimed.fix(self.trace(images, read=aimed.reads)).held()

    def scores(self, images: Any, target: Any, rows: Tensor | None = None) -> Tensor:
        """The target's value for each image, (n,), chunked and counted; no gradient."""
        images = images if isinstance(images, Tensor) else self.prepare(images)
        aimed = self.aim(images, target) if rows is None else to_target(target)
        with torch.no_grad():
            passes = self._passes(images, rows, aimed.reads)
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
                for trace in self._passes(images, rows, ("input", *aimed.reads))
            ]
        return torch.cat([s for s, _ in found]), torch.cat([g for _, g in found])

    def _passes(
        self, images: Tensor, rows: Tensor | None, read: tuple[str, ...]
    ) -> Iterator[Trace]:
        if rows is None and open_pass(self, images):
            yield self.trace(images, read=read)
            return
        rows = rows_of(images, rows, self.side)
        for part in chunks(len(images), self.chunk(images, len(images))):
            yield self.trace(images[part], read=read, rows=rows[part])

    @contextmanager
    def shared(
        self, images: Tensor, read: Sequence[str] = ("input",), *, gradients: bool = True
    ) -> Iterator[None]:
        """While it lasts, the clean forward of `images` runs once; its maps, scores and gradients
        are remembered.

        read: what to record with it; the graph is kept from the first of them on. Inside another
        `shared` of the same images nothing new is opened.
        """
        known = open_pass(self, images)
        shared = known or SharedPass(images, self.device, read, partial(self._clean, gradients))
        rows, cols, channels = images.shape[2], images.shape[3], images.shape[1]
        with self.viewing((rows, cols), channels), opened(self, shared):
            yield

    def moved(self, images: Tensor) -> Tensor:
        """The images on the network's device; those of an open shared pass as it moved them."""
        shared = open_pass(self, images)
        return shared.batch if shared else images.to(self.device)

    def _clean(self, gradients: bool, images: Tensor, read: tuple[str, ...]) -> Trace:
        with torch.set_grad_enabled(gradients and self.differentiable):
            chunk = self.batch or BATCH
            return self.runner.trace(images, Asked(read, precision=self.precision, chunk=chunk))

    def unharmed(self) -> AbstractContextManager[None]:
        """The network for this thread alone while it lasts, in evaluation mode and with frozen
        weights; all comes back, after errors too."""
        return self.runner.borrowed()

    def given(self, **side: Any) -> "Model":
        """The model with side inputs (a question, a command), one for each image or one for all."""
        other = copy(self)
        other.runner = self.runner.of(side={**self.side, **as_side(side)})
        return other

    def with_module(self, module: nn.Module) -> "Model":
        """The model with another network that is built alike: what is known of layers is shared."""
        other = copy(self)
        other.module, other.runner = module, self.runner.of(module)
        return other

    def viewing(
        self, size: tuple[int, int], channels: int | None = None
    ) -> AbstractContextManager[None]:
        """While it lasts, `anatomy`, `spatial` and `gives` are for pictures of this size."""
        return in_view(self.module, self._shape(size, channels))

    def take(self, rows: Sequence[int] | slice) -> "Model":
        """The model for some images of the batch: side inputs follow `rows`."""
        return self.given(**side_rows(self.side, rows)) if self.side else self
