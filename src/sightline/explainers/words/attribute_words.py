"""Attribute words: the attributes that a model detects, each hidden where it is detected.

Project definition, after the idea of Xu et al. (IEEE JSTSP 2020, arXiv:2009.13862), of which only
the abstract was available. An attribute's class activation map (its linear head after the global
average), enlarged to the picture, is cut at a share of its maximum, 20 % or, where that is much of
the picture, more; the largest piece is its region and gives its box. Ranking is by measured
evidence, the drop of the class's score when the region is hidden. The description r = probability x
max(0, correlation of the attribute with the class) is reported beside it, and chooses which
attributes are measured at all.

Results of the shipped head of `sightline:default` on 280 birds: attribute mAP 1.00, but on birds
with one swapped part only 27 % of the changed attributes are right: it mostly infers them from the
species. docs/words.md has all numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import BadField, NotExplainable, SightlineError
from ...model import Model
from ...nets.attributes import HEADS, Reader, own_reader
from ...ops.resize import resize
from ...pictures.areas import Area, above
from ...registry import register
from ...shapes import Images
from ...target import Target
from ._named_regions import NamedRegion, WordExplainer

APART = 0.5  # by how much an attribute goes rather with the runner-up, to be named as missing
LACKING = 2  # attributes of the runner-up that are named


@register("attribute-words", paper="arXiv:2009.13862")
@dataclass(frozen=True, kw_only=True)
class AttributeWords(WordExplainer):
    """Which of the attributes that the model detects does its prediction depend on?

    weights: a file that `python -m sightline.recipes.attributes` wrote for this very model; None is
    the model's own attribute head, or the one that comes with `sightline:default`. names: of the
    attributes, where the model's own head has none. words: how many attributes are measured at
    most, the ones that describe the class best. seen: the probability from which an attribute
    counts as detected. cut: the share of its map's maximum at which an attribute's region ends; it
    is raised, in steps of 0.05, until the region covers at most the share `largest` of the picture,
    because coarse maps give wide regions and leave no room for comparison.

    Do not trust an attribute whose region lies elsewhere: its map shows where the head detects it,
    which may be another part that often comes with it. The box beside each word shows where.
    """

    weights: str | Path | None = None
    names: tuple[str, ...] = ()
    words: int = 6
    seen: float = 0.5
    cut: float = 0.2
    largest: float = 0.25

    def settle(self) -> None:
        if isinstance(self.weights, Path):
            object.__setattr__(self, "weights", str(self.weights))
        object.__setattr__(self, "names", tuple(self.names))
        if self.words < 1:
            raise BadField(
                f"words is how many attributes are measured, 1 or more; got {self.words}."
            )
        for name, value in (("seen", self.seen), ("cut", self.cut), ("largest", self.largest)):
            if not 0 < value < 1:
                raise BadField(f"{name} is a share, between 0 and 1; got {value}.")

    def reads(self, model: Model) -> tuple[str, ...]:
        try:
            reader = self._known(model)
        except SightlineError:  # `explain` says it, and other methods of the run go on
            return ()
        return () if reader is None else (reader.layer,)

    def named_regions(
        self, model: Model, images: Images, target: Target
    ) -> list[list[NamedRegion]]:
        reader = self._reader(model)
        maps = self._maps(model, reader, images)
        shares, heats = reader.logits(maps).sigmoid(), reader.class_maps(maps)
        found = []
        for row, index in enumerate(target.indices(len(images))):
            usual = reader.correlation(index).to(shares)
            seen = [k for k in range(len(reader.names)) if shares[row, k] > self.seen]
            worth = {k: float(shares[row, k] * usual[k].clamp(min=0)) for k in seen}
            order = sorted(seen, key=lambda k: (-round(worth[k], 6), -float(shares[row, k])))
            words = []
            for k in order[: self.words]:
                heat = heats[row, k]
                mask, cut = self._region(resize(heat[None, None], images.shape[-2:])[0, 0])
                told = {
                    "probability": float(shares[row, k]),
                    "contribution": worth[k],
                    "map": heat.cpu().tolist(),
                    "cut": cut,
                }
                words += [NamedRegion(reader.names[k], mask, told)] if mask.any() else []
            found.append(words)
        return found

    def rivals(
        self, model: Model, images: Images, target: Target
    ) -> Sequence[Mapping[str, Any] | None]:
        reader = self._reader(model)
        maps = self._maps(model, reader, images)
        shares = reader.logits(maps).sigmoid()
        with torch.no_grad():
            output = model.trace(images).output
        found: list[Mapping[str, Any] | None] = []
        for row, index in enumerate(target.indices(len(images))):
            one = isinstance(output, Tensor) and output.ndim == 2 and output.shape[1] > 1
            if index is None or not one or not reader.usual.numel():
                found.append(None)
                continue
            chances = model.calling.probabilities(output[row : row + 1])[0].clone()
            chances[index] = -1
            rival = int(chances.argmax())
            apart = (reader.correlation(rival) - reader.correlation(index)).to(shares)
            order = apart.argsort(descending=True, stable=True).tolist()
            lacks = [k for k in order if apart[k] >= APART and shares[row, k] < 1 - self.seen]
            found.append(
                {
                    "label": model.label(rival),
                    "probability": float(chances[rival]),
                    "lacks": [reader.names[k] for k in lacks[:LACKING]],
                }
            )
        return found

    def _region(self, heat: Tensor) -> tuple[Area, float]:
        """Where the map is high, and the share of its maximum at which that ends."""
        cuts = [self.cut, *(c / 20 for c in range(1, 20) if c / 20 > self.cut)]
        for cut in cuts:
            mask = above(heat, cut)
            if mask.mean() <= self.largest:
                return mask, cut
        return mask, cuts[-1]

    def _maps(self, model: Model, reader: Reader, images: Images) -> Tensor:
        with torch.no_grad():
            trace = model.trace(images, read=(reader.layer,))
        read = trace.raw if reader.own else trace.maps  # a head's own maps need no unfolding
        return read[reader.layer].detach()

    def _known(self, model: Model) -> Reader | None:
        """The model's attributes; None where it has none or they cannot be read."""
        if not model.differentiable:
            return None
        if self.weights:
            return HEADS.load(Path(self.weights).expanduser(), model)
        own = own_reader(model, self.names)
        path = None if own else HEADS.shipped_for(model)
        return HEADS.load(path, model) if path else own

    def _reader(self, model: Model) -> Reader:
        if not model.differentiable:
            raise NotExplainable(
                f"attribute-words reads layers, which the black box {model.name} does not have;"
                " part-words needs none."
            )
        known = self._known(model)
        if known is not None:
            return known
        instead = "; or use part-words, with parts that you name"
        return HEADS.load(HEADS.require(self.weights, model, self.registered_name, instead), model)
