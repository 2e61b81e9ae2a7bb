"""What each part of a drawn bird does to the score, and what the map says it does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ...errors import NotExplainable
from ...metric import Case
from ...pictures.preprocess import Frame
from ...worlds.aviary import PARTS, Bird, Scene, render

_HELD = 64  # drawn pictures: those of one scene, for all methods and metrics that ask for them

SAME = 0.02  # mean difference of colours up to which a scene is the picture's


@dataclass(frozen=True, eq=False)
class PartEffects:
    """The visible parts of one picture: how far the score falls when each is drawn away, and the
    sum of the map's values on it, (part,) float64."""

    names: tuple[str, ...]
    effects: Tensor
    credits: Tensor


def parts_of(case: Case, name: str) -> list[PartEffects | None]:
    """The parts of each picture; None for a picture that was not drawn, or shows no part.

    Raises: NotExplainable, in the name of the metric `name`, for a case without scenes, and where a
    scene does not draw its picture.
    """
    truth = case.truth
    if truth is None or truth.scenes is None:
        raise NotExplainable(
            f"{name} draws pictures again without a part, so the case needs a `Truth` with the"
            " `scenes` of `sightline.worlds.aviary` that they were drawn from."
        )
    return [
        None if scene is None else _parts(case, row, scene)
        for row, scene in enumerate(truth.scenes)
    ]


def _parts(case: Case, row: int, scene: Scene) -> PartEffects | None:
    kept = case.explanation
    size = kept.pictures[row].size[0] if kept.pictures else case.images.shape[-1]
    whole = _rendered(scene, size)
    same = _prepare(case, [whole], row)
    if (same - case.images[row].cpu()).abs().mean() > SAME:
        raise NotExplainable(
            f"the scene of picture {row} does not draw that picture; give each its own scene."
        )
    frame = kept.frames[row] if kept.frames else None
    masks = {part: _visible(mask, frame) for part, mask in (whole.masks or {}).items()}
    names = tuple(part for part, mask in masks.items() if mask.any())
    if not names:
        return None
    without = _prepare(case, [_rendered(_without(scene, part), size) for part in names], row)
    target = case.target.take([row]).with_habit(True)
    rows = torch.zeros(len(names) + 1, dtype=torch.long, device="cpu")
    pictures = torch.cat([case.images[row : row + 1], without.to(case.images)])
    scores = case.model.take([row]).scores(pictures, target, rows=rows).double().cpu()
    heat = case.heat[row].double().cpu()
    credits = [heat[torch.as_tensor(masks[part], device="cpu")].sum() for part in names]
    return PartEffects(names, scores[0] - scores[1:], torch.stack(credits))


@lru_cache(maxsize=_HELD)
def _rendered(scene: Scene, size: int) -> Bird:
    return render(scene, size, masks=True)


def _without(scene: Scene, part: str) -> Scene:
    return scene.without(part) if part in PARTS else replace(scene, mark=None)


def _prepare(case: Case, birds: Sequence[Bird], row: int) -> Tensor:
    """Drawn pictures as the model takes them."""
    if case.explanation.pictures and case.model.preprocess is not None:
        return case.model.prepare([bird.image for bird in birds])
    drawn = torch.from_numpy(np.stack([bird.image for bird in birds])).movedim(3, 1).float() / 255
    if drawn.shape[1:] != case.images.shape[1:]:
        raise NotExplainable(
            f"picture {row} is {tuple(case.images.shape[1:])} and its scene draws"
            f" {tuple(drawn.shape[1:])}; drawn pictures are square and have three colours."
        )
    return drawn


def _visible(mask: np.ndarray, frame: Frame | None) -> np.ndarray:
    """A mask of the picture (row, col) in the model's input, pixel centre by pixel centre."""
    if frame is None:
        return mask
    places = np.stack(np.meshgrid(*map(np.arange, frame.size), indexing="ij"), -1).reshape(-1, 2)
    found = np.rint(frame.points_to_original(places)).astype(int)
    inside = ((found >= 0) & (found < mask.shape)).all(1)
    seen = np.zeros(len(places), dtype=bool)
    seen[inside] = mask[found[inside, 0], found[inside, 1]]
    return seen.reshape(frame.size)
