"""Samples as a network learns from them: numbered pictures, a class each, a batch at a time."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ..errors import BadField, SightlineWarning, UnknownName
from ..model import Model
from ..pictures.reading import Picture
from ..sample import Meaning, Sample, Samples
from ..shapes import BatchFirst
from .classes import match, sentences

UNLABELLED = -1
"""The class of a picture of which nobody said one."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageBatches:
    """Numbered samples with a class each, read when a batch asks for them.

    labels: (sample,), `UNLABELLED` where nobody said. drawn: whether they are our own drawn
    pictures, which have the size of the model's input.
    """

    samples: Samples
    labels: Tensor
    drawn: bool = False

    def pixels(self, rows: Int[Tensor, " row"]) -> UInt8[Tensor, "row 3 height width"]:
        """Pictures of one size as a viewer shows them."""
        found = [self.samples[k].load() for k in rows.tolist()]
        arrays = [each.array for each in found if isinstance(each, Picture)]
        return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)

    def batch(
        self, model: Model, rows: Int[Tensor, " row"]
    ) -> Float[Tensor, "row channel height width"]:
        """Pictures in the model's frame, in [0, 1]; tensors and drawn pictures as they are. Raises:
        BadImage."""
        if self.drawn:
            return self.pixels(rows).contiguous().float() / 255
        found = [self.samples[k].load(model.preprocess) for k in rows.tolist()]
        tensors = [each for each in found if isinstance(each, Tensor)]
        return torch.cat(tensors) if tensors else model.prepare(found)

    def take(self, rows: Sequence[int]) -> "ImageBatches":
        """The samples of these numbers, in this order."""
        some = self.samples.take(rows)
        return ImageBatches(samples=some, labels=self.labels[list(rows)], drawn=self.drawn)


def of_tensors(
    images: Float[Tensor, "sample channel height width"], labels: BatchFirst
) -> ImageBatches:
    """Pictures in memory, in the model's frame and in [0, 1]."""

    def at(k: int) -> Sample:
        return Sample(name=f"tensor {k}", source=images[k : k + 1], number=int(labels[k]))

    samples = Samples.counted(f"{len(images)} pictures", len(images), at, handed=True)
    return ImageBatches(samples=samples, labels=labels)


def unlabelled(samples: Samples) -> ImageBatches:
    """Samples whose classes nobody said. Raises: BadField for a stream."""
    labels = torch.full((_counted(samples),), UNLABELLED, device="cpu")
    return ImageBatches(samples=samples, labels=labels)


def labelled(samples: Samples, model: Model) -> ImageBatches:
    """Samples whose labels are classes of the model, those without a label left out; what is in
    doubt is said once.

    Raises: UnknownName for a label that is no class, BadField for a stream, and for fewer than two
    classes.
    """
    _counted(samples)
    meanings: dict[str, Meaning] = {}
    rows, labels = [], []
    for k, sample in enumerate(match(samples, model)):
        if not sample.label:
            continue
        meanings[sample.label] = sample.meaning
        if sample.class_index is None:
            note = sample.meaning.note
            raise UnknownName(f"{note} Name each class by its label or number in the model.")
        rows.append(k)
        labels.append(sample.class_index)
    for sentence in sentences(model, meanings.values(), "classes").values():
        warnings.warn(sentence, SightlineWarning, stacklevel=2)
    if len(set(labels)) < 2:
        raise BadField(
            f"{samples.name} has {len(set(labels))} of the model's classes; expected pictures of at"
            " least two, such as a folder for each, named by its label or its number."
        )
    some = samples if len(rows) == len(samples) else samples.take(rows)
    return ImageBatches(samples=some, labels=torch.tensor(labels, device="cpu"))


def _counted(samples: Samples) -> int:
    if samples.at is None or samples.count is None:
        raise BadField(
            f"{samples.name} is a stream, and training reads its pictures in any order; give a"
            " folder or a table."
        )
    return samples.count
