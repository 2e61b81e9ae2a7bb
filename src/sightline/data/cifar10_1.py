"""CIFAR-10.1 as it is published: arrays of pictures and labels, version 6 or 4.

Paper: Recht et al., Do CIFAR-10 Classifiers Generalize to CIFAR-10?, 2018. The folder holds
`cifar10.1_v6_data.npy` (picture, row, col, colour) and `cifar10.1_v6_labels.npy`; where both
versions are there the newer is read.
"""

from pathlib import Path

import numpy as np

from ..errors import BadField, FileProblem
from ..pictures.reading import Picture
from ..sample import Sample, Samples
from .openers import opener

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
VERSIONS = ("v6", "v4")


@opener("cifar10.1", form="cifar10.1:DIR")
def samples(place: str) -> Samples:
    """The pictures of the folder. Raises: FileProblem where the arrays are not there, BadField
    where they are others."""
    folder = Path(place).expanduser()
    there = [v for v in VERSIONS if (folder / f"cifar10.1_{v}_data.npy").exists()]
    version = there[0] if there else VERSIONS[0]
    images, labels = (
        _array(folder / f"cifar10.1_{version}_{what}.npy") for what in ("data", "labels")
    )
    if images.shape[1:] != (32, 32, 3) or labels.shape != images.shape[:1]:
        raise BadField(
            f"{place} holds pictures of shape {images.shape} and labels of shape {labels.shape};"
            " expected (picture, 32, 32, 3) and (picture,). Fetch CIFAR-10.1 again."
        )

    def at(k: int) -> Sample:
        name, number = f"{version} {k:04d}", int(labels[k])
        return Sample(
            name=name,
            source=Picture(np.ascontiguousarray(images[k], np.uint8), name),
            label=CLASSES[number],
            number=number,
            names=CLASSES,
            domain="cifar10.1",
        )

    return Samples.counted(f"cifar10.1:{place}", len(images), at, listed=True)


def _array(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise FileProblem(
            f"{path} cannot be read: {error}. Name the folder with the published arrays."
        ) from None
