"""What x-features are learned from: one vector, all scores and a class for each picture."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.batches import UNLABELLED, ImageBatches, labelled, unlabelled
from ..data.drawn_worlds import drawings
from ..errors import BadField
from ..model import Model
from ..nets.x_features import VectorLayer
from ..pictures.reading import encode_jpeg
from ..worlds.aviary import SPECIES, Aviary
from ._command import samples_of
from .saliency_masks import Clock

BATCH = 32
BIRD_SEED = 7007  # of birds that nothing else is trained or measured on
THUMBNAIL = 72  # pixels of a drawn bird's thumbnail


def birds(model: Model, classes: Sequence[int], count: int) -> ImageBatches:
    """Drawn on the fly: `count` birds of each of the classes, and twice as many of other species.

    Raises: BadField for a model that does not know them, or for too few.
    """
    species = [each.name for each in SPECIES]
    if model.labels != species:
        raise BadField(
            f"{model.name} was not trained on the drawn birds; give pictures of your own with"
            " --data."
        )
    if count < 10:
        raise BadField(f"{count} birds of a class; at least 10 are needed.")
    side = model.size[0] if model.size else 128
    aviary = Aviary(seed=BIRD_SEED, size=side, count=count * len(species))
    every = [(i, species.index(aviary.scene(i).species)) for i in range(len(aviary))]
    others = [(i, label) for i, label in every if label not in classes]
    chosen = sorted([e for e in every if e[1] in classes] + others[: 2 * count])
    numbers = [index for index, _ in chosen]

    name = f"{len(chosen)} drawn birds of seed {BIRD_SEED}, {count} of each class"
    samples = drawings(aviary, numbers, name)
    labels = torch.tensor([label for _, label in chosen], device="cpu")
    return ImageBatches(samples=samples, labels=labels, drawn=True)


def photographs(model: Model, data: str) -> ImageBatches:
    """Pictures whose labels are the model's classes, or pictures without labels, which are sorted
    by what the model says of them. Raises: FileProblem where there is no folder, UnknownName for a
    label that is no class, BadImage.
    """
    samples = samples_of(data)
    some = any(sample.label for sample in samples)
    found = labelled(samples, model) if some else unlabelled(samples)
    name = f"{len(found.samples)} pictures of a {'folder' if Path(data).is_dir() else 'collection'}"
    return replace(found, samples=replace(found.samples, name=name))


@dataclass(frozen=True, eq=False, kw_only=True)
class ActivationSet:
    """What the model makes of pictures: vectors (picture, activation) of a layer, outputs
    (picture, class) before the softmax, and the class of each."""

    vectors: Tensor
    outputs: Tensor
    labels: Tensor
    pictures: ImageBatches
    model: Model
    reading: VectorLayer

    def hard(self, index: int, share: float) -> tuple[Tensor, Tensor]:
        """The pictures of a class, and of the others those that score highest for it, `share` times
        as many. Raises: BadField where either is too few."""
        own = (self.labels == index).nonzero()[:, 0]
        other = (self.labels != index).nonzero()[:, 0]
        order = self.outputs[other, index].argsort(descending=True, stable=True)
        negatives = other[order[: max(1, round(share * len(own)))]].sort().values
        if len(own) < 10 or len(negatives) < 5:
            raise BadField(
                f"{len(own)} pictures of class {index} and {len(negatives)} of others; at least 10"
                " and 5 are needed to learn from."
            )
        return own, negatives


@torch.no_grad()
def read_vectors(model: Model, reading: VectorLayer, pictures: ImageBatches) -> ActivationSet:
    """One pass over all pictures, with the time left in the log."""
    count = len(pictures.labels)
    clock, vectors, outputs = Clock.start("looking at pictures", 0, count), [], []
    with model.unharmed():
        for rows in torch.arange(count, device="cpu").split(BATCH):
            images = pictures.batch(model, rows).to(model.device)
            trace = model.trace(images, read=reading.reads)
            vectors.append(reading.vector(trace).cpu())
            outputs.append(trace.output.float().cpu())
            clock.tick(int(rows[-1]) + 1)
    scores = torch.cat(outputs)
    labels = torch.where(pictures.labels == UNLABELLED, scores.argmax(1), pictures.labels)
    return ActivationSet(
        vectors=torch.cat(vectors),
        outputs=scores,
        labels=labels,
        pictures=pictures,
        model=model,
        reading=reading,
    )


def strongest(seen: ActivationSet, values: Tensor, rows: Tensor, count: int) -> list[Any]:
    """For each feature the pictures on which it is strongest: name, label and value, and for drawn
    birds a thumbnail. values: (picture of rows, feature)."""
    found = []
    for column in values.T:
        best = column.argsort(descending=True, stable=True)[:count]
        best = best[column[best] > 0]
        found.append([_example(seen, int(rows[i]), float(column[i])) for i in best.tolist()])
    return found


def _example(seen: ActivationSet, row: int, value: float) -> dict[str, Any]:
    told = {
        "name": seen.pictures.samples[row].name,
        "label": seen.model.label(int(seen.labels[row])),
        "value": round(value, 4),
    }
    if not seen.pictures.drawn:
        return told
    small = torch.nn.functional.interpolate(
        seen.pictures.batch(seen.model, torch.tensor([row], device="cpu")),
        size=THUMBNAIL,
        mode="area",
    )
    pixels = (small[0] * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    text = base64.b64encode(encode_jpeg(pixels, 80)).decode()
    return {**told, "thumbnail": f"data:image/jpeg;base64,{text}"}
