"""ImageNet-V2 as it is published: folders `0` to `999`, each the class of that number.

Paper: Recht et al., Do ImageNet Classifiers Generalize to ImageNet?, ICML 2019. Read as folders of
words, `10` would come before `2`; here the number is that of ImageNet's own order, and the label is
the class's WordNet name, so that models with other orders or fewer classes are matched by name.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

from ..errors import BadField
from ..sample import Sample, Samples
from . import folder
from .openers import opener


@opener("imagenet-v2", form="imagenet-v2:DIR")
def samples(place: str) -> Samples:
    """The pictures of the folder. Raises: BadImage where there is none, BadField for a folder whose
    name is not one of 0 to 999."""
    found = folder.samples(str(Path(place).expanduser()))
    for name in sorted({sample.label for sample in found}):
        if not (name.isascii() and name.isdecimal() and int(name) < len(wordnet_names())):
            raise BadField(
                f"{place} has a folder {name!r}; expected folders 0 to 999, as ImageNet-V2 is"
                " published. Name the folder that holds them, or leave `imagenet-v2:` out."
            )
    return replace(found.map(_named), name=f"imagenet-v2:{place}")


def _named(sample: Sample) -> Sample:
    names = wordnet_names()
    number = int(sample.label)
    return replace(sample, label=names[number], number=number, names=names, domain="imagenet-v2")


@cache
def wordnet_names() -> tuple[str, ...]:
    """The WordNet name of each class of ImageNet, in its order."""
    from timm.data.imagenet_info import ImageNetInfo

    return tuple(ImageNetInfo("imagenet-1k").label_names())
