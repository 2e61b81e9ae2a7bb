"""Targets whose output is more than one row of class scores: embeddings, words, regions, boxes,
single units."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import BadTarget, ShapeError
from ..network.calling.outputs import as_probabilities
from ..network.labels import class_of, whole_number
from ..network.tracing.passes import Pass, outputs_of
from ..ops.batches import taken
from ..ops.boxes import overlap
from ..shapes import Images, Scores
from ..target import Target


@dataclass(frozen=True, eq=False, repr=False)
class Similarity(Target):
    """Similarity to another picture: cosine of the model's output and an embedding, [-1, 1].

    to: an embedding (dimension,), one per image (batch, dimension), or pictures whose outputs are
    taken. A floating array of two axes is embeddings where its second axis is as long as the
    model's output, else a grey picture.
    """

    to: Any

    def bind(self, model: Any, images: Images) -> Target:
        to = _embedding(self.to, lambda: model.take([0]).outputs(images[:1]).shape[1])
        to = model.outputs(model.prepare(self.to)) if to is None else to
        if to.ndim == 2 and len(to) not in (1, len(images)):
            raise ShapeError(
                f"{len(to)} embeddings for {len(images)} images; give one, or one per image."
            )
        return replace(self, to=to.reshape(1, -1) if to.ndim == 1 else to)

    def measure(self, trace: Pass) -> Scores:
        values, to = outputs_of(trace, self), self.to.to(trace.output)
        if to.shape[-1] != values.shape[1]:
            raise BadTarget(f"an embedding of {to.shape[-1]} for an output of {values.shape[1]}.")
        to = to[trace.rows.to(to.device)] if len(to) > 1 else to
        return F.cosine_similarity(values, to.float(), dim=1)

    def take(self, rows: Sequence[int] | slice) -> Target:
        return replace(self, to=self.to[rows]) if len(self.to) > 1 else self

    def __repr__(self) -> str:
        size = "x".join(map(str, self.to.shape)) if isinstance(self.to, Tensor) else "pictures"
        return f"{'-' if self.negated else ''}Similarity({size})"


def _embedding(to: Any, width: Callable[[], int]) -> Tensor | None:
    """What was given as an embedding or several, or None for pictures. width: that of the output,
    asked for only where an array could be both."""
    if isinstance(to, Tensor):
        return to if to.ndim < 3 else None
    if isinstance(to, np.ndarray):
        grey = to.ndim == 2 and not (to.dtype.kind == "f" and to.shape[1] == width())
        return None if grey or to.ndim not in (1, 2) else torch.as_tensor(to, device="cpu")
    if isinstance(to, (list, tuple)) and to:
        if all(isinstance(v, Real) for v in to):
            return torch.tensor([float(v) for v in to], dtype=torch.float32, device="cpu")
        rows = [torch.as_tensor(v, device="cpu") for v in to if _is_row(v)]
        if len(rows) == len(to) and len({len(row) for row in rows}) == 1:
            return torch.stack([row.float() for row in rows])
    return None


def _is_row(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and all(isinstance(v, Real) for v in value)
    return isinstance(value, (Tensor, np.ndarray)) and value.ndim == 1


@dataclass(frozen=True, eq=False, repr=False)
class Token(Target):
    """Sum of the log-probabilities of `ids` in an output (batch, position, word), or one of
    them."""

    ids: Any  # checked by `bind`: a whole number, or several
    position: int | None = None

    def bind(self, model: Any, images: Images) -> Target:
        ids = self.ids.tolist() if isinstance(self.ids, (np.ndarray, Tensor)) else self.ids
        listed = ids if isinstance(ids, (list, tuple)) else [ids]
        return replace(self, ids=tuple(whole_number(i, "word") for i in listed))

    def fix(self, trace: Pass) -> Target:
        words = getattr(trace.output, "shape", (0,))[-1]
        if wrong := [i for i in self.ids if words and not 0 <= i < words]:
            raise BadTarget(f"word {wrong[0]} does not exist: the model has {words}.")
        known = range(-len(self.ids), len(self.ids))
        if self.position is not None and whole_number(self.position, "position") not in known:
            raise BadTarget(f"position {self.position} of {len(self.ids)} words does not exist.")
        return super().fix(trace)

    def measure(self, trace: Pass) -> Scores:
        output = trace.output
        if not isinstance(output, Tensor) or output.ndim != 3 or output.shape[1] < len(self.ids):
            raise BadTarget(
                f"Token of {len(self.ids)} words needs an output (batch, at least"
                f" {len(self.ids)} positions, word);"
                f" the model returned {tuple(getattr(output, 'shape', ()))}."
            )
        index = torch.tensor(tuple(self.ids), device=output.device)
        logs = trace.logits.log_softmax(2)[:, : len(index)]
        chosen = logs.gather(2, index[None, :, None].expand(len(logs), -1, 1))[:, :, 0]
        value = chosen.sum(1) if self.position is None else chosen[:, self.position]
        return value.exp() if self.probability else value


@dataclass(frozen=True, eq=False, repr=False)
class Region(Target):
    """Mean score of the class inside `mask`, of an output (batch, class, row, col).

    mask: (row, col) of the model's input frame, or of the picture as shown where it has another
    size; 1 inside, 0 outside. One for all images, or one for each (image, row, col).
    """

    mask: Any
    label: int | str

    def bind(self, model: Any, images: Images) -> Target:
        label = class_of(model, self.label)
        mask = torch.as_tensor(self.mask, device="cpu").detach().cpu().float()
        many = mask.ndim == 3
        if mask.ndim not in (2, 3) or (many and len(mask) not in (1, len(images))):
            raise ShapeError(
                f"a region's mask is (row, col), or one for each of {len(images)} images; got"
                f" {tuple(mask.shape)}."
            )
        if not (mask.flatten(-2).sum(-1) > 0).all():
            raise ShapeError(
                "a region's mask needs at least one pixel of 1; this one is 0"
                " everywhere. Mark the region with 1."
            )
        if mask.shape[-2:] != images.shape[-2:]:
            mask = _masks_in_frame(mask.expand(len(images), *mask.shape[-2:]), model, images)
        mask = mask if mask.ndim == 3 else mask[None]
        return replace(self, mask=mask, label=label, multilabel=model.multilabel)

    def measure(self, trace: Pass) -> Scores:
        output = trace.output
        label = int(self.label)
        seen = output.shape[1] if isinstance(output, Tensor) and output.ndim == 4 else 0
        if not 0 <= label < seen:
            raise BadTarget(
                "Region needs an output of shape (batch, class, row, col) that has the class."
            )
        values = trace.logits
        if self.probability:
            values = as_probabilities(output, trace.gives, multilabel=self.multilabel)
        mask = F.interpolate(self.mask[:, None].to(values), size=output.shape[-2:], mode="area")
        mask = mask[trace.rows.to(mask.device)] if len(mask) > 1 else mask
        return (values[:, label] * mask[:, 0]).sum((1, 2)) / mask[:, 0].sum((1, 2))

    def take(self, rows: Sequence[int] | slice) -> Target:
        return replace(self, mask=self.mask[rows]) if len(self.mask) > 1 else self

    def __repr__(self) -> str:
        return f"{'-' if self.negated else ''}Region(mask, {self.label!r})"


def _masks_in_frame(masks: Tensor, model: Any, images: Tensor) -> Tensor:
    """Masks of the pictures as shown, one for each image, as the model's input shows them."""
    size, found = tuple(images.shape[-2:]), []
    for i, (mask, frame) in enumerate(zip(masks, model.origins.placed(images), strict=True)):
        if frame is None or frame.original != mask.shape:
            shown = f", or {frame.original} of picture {i}" if frame else ""
            raise ShapeError(
                f"a region's mask is (row, col), {size} of the model's input{shown}; got"
                f" {tuple(mask.shape)}. Draw it in one of them."
            )
        found.append(torch.from_numpy(frame.to_model(mask.numpy())))
        if not found[-1].any():
            raise BadTarget(f"the crop removed the region from image {i}; choose another.")
    return torch.stack(found)


@dataclass(frozen=True, eq=False, repr=False)
class Unit(Target):
    """Activation of one filter of a layer: its mean over space, or its value `at` (row, col) of the
    layer's grid."""

    layer: str
    filter: int
    at: tuple[int, int] | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.layer,)

    def measure(self, trace: Pass) -> Scores:
        maps = trace.maps[self.layer].float()
        if not 0 <= self.filter < maps.shape[1]:
            raise BadTarget(
                f"filter {self.filter} does not exist: {self.layer!r} has {maps.shape[1]}."
            )
        chosen = maps[:, self.filter]
        if self.at is None:
            return chosen.mean((1, 2))
        (row, col), (rows, cols) = self.at, chosen.shape[1:]
        if not (0 <= row < rows and 0 <= col < cols):
            raise BadTarget(f"place {self.at} does not exist: {self.layer!r} is {rows} x {cols}.")
        return chosen[:, row, col]


@dataclass(frozen=True, eq=False, repr=False)
class Box(Target):
    """The best of score times overlap over the detections of a label.

    xyxy: x0, y0, x1, y1, or one box for each image, in pixels of the picture as shown, or of the
    tensor where it did not come from `model.prepare`; on the clean image it becomes the detection
    that it matches best. bound: the box is in pixels of the model's input, whatever came there.
    Detections are `{"boxes", "scores", "labels"}` per image, in the model's input frame.
    """

    xyxy: Any  # checked by `bind`: four numbers, or four for each image
    label: int | str
    _: KW_ONLY
    bound: bool = False

    def bind(self, model: Any, images: Images) -> Target:
        label = class_of(model, self.label)
        boxes = _boxes(self.xyxy, len(images))
        if not self.bound:
            frames = model.origins.placed(images, ", or `bound=True` and a box in its own pixels")
            boxes = tuple(f.box_to_model(b) if f else b for f, b in zip(frames, boxes, strict=True))
        rows, cols = images.shape[-2:]
        for i, (x0, y0, x1, y1) in enumerate(boxes):
            if x0 >= cols or y0 >= rows or x1 <= 0 or y1 <= 0:
                raise BadTarget(
                    f"the box lies outside what the model sees of image {i}; expected one that is"
                    f" partly inside its {rows} x {cols} pixels. Choose another, or another crop."
                )
        return replace(self, xyxy=boxes, label=label, bound=True)

    def fix(self, trace: Pass) -> Target:
        matched = []
        for i, found in enumerate(self._detections(trace)):
            boxes = found["boxes"][found["labels"] == self.label]
            near = overlap(self._box(i, boxes), boxes)
            if not len(near) or near.max() <= 0:
                raise BadTarget(
                    f"image {i} has no detection of {self.label!r} that overlaps the box."
                )
            matched.append(tuple(boxes[near.argmax()].tolist()))
        return replace(self, xyxy=tuple(matched))

    def measure(self, trace: Pass) -> Scores:
        values = []
        for row, found in zip(trace.rows.tolist(), self._detections(trace), strict=True):
            mine = torch.eq(found["labels"], int(self.label))
            match = overlap(self._box(row, found["boxes"]), found["boxes"][mine])
            values.append((match * found["scores"][mine]).max() if mine.any() else match.sum())
        return torch.stack(values).float()

    def take(self, rows: Sequence[int] | slice) -> Target:
        return replace(self, xyxy=taken(self.xyxy, rows))

    def __repr__(self) -> str:
        bound = ", bound=True" if self.bound else ""
        said = "" if self.probability is None else f", probability={self.probability}"
        return f"{'-' if self.negated else ''}Box({self.xyxy}, {self.label!r}{bound}{said})"

    def _box(self, i: int, like: Tensor) -> Tensor:
        return torch.tensor(self.xyxy[i], device=like.device, dtype=like.dtype)

    def _detections(self, trace: Pass) -> list[dict[str, Tensor]]:
        output = trace.output
        if not isinstance(output, (list, tuple)) or not all(
            isinstance(o, dict) and {"boxes", "scores", "labels"} <= set(o) for o in output
        ):
            raise BadTarget(
                "Box needs a detector: give the model `output=`, a function to a list of"
                ' {"boxes", "scores", "labels"}, one per image.'
            )
        return list(output)


def _boxes(xyxy: Any, count: int) -> tuple[tuple[float, float, float, float], ...]:
    """One box for each image. Raises: BadTarget for what is no box, ShapeError for their number."""
    try:
        boxes = torch.as_tensor(np.asarray(xyxy, dtype=float), device="cpu")
    except (TypeError, ValueError):
        boxes = torch.zeros(0, dtype=torch.float32, device="cpu")
    boxes = boxes[None] if boxes.ndim == 1 else boxes
    good = boxes.ndim == 2 and boxes.shape[1] == 4 and bool(boxes.isfinite().all())
    if not good or not bool((boxes[:, :2] < boxes[:, 2:]).all()):
        raise BadTarget(
            f"a box is x0, y0, x1, y1 with x0 < x1 and y0 < y1; got {xyxy!r}. Sort its corners."
        )
    if len(boxes) not in (1, count):
        raise ShapeError(f"{len(boxes)} boxes for {count} images; give one, or one per image.")
    x0, y0, x1, y1 = boxes.expand(count, 4).T.tolist()
    return tuple(zip(x0, y0, x1, y1, strict=True))
