"""Drawn birds with the true answers to questions about them, and mixed birds of no species."""

from collections.abc import Mapping
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor

from ..data.batches import ImageBatches
from ..worlds.aviary import ATTRIBUTES, PARTS, SPECIES, Scene, render, sample
from .embedded import BirdSet, draw

BIRDS = BirdSet("asked", 6, 2100)
TEST = BirdSet("test", 1001, 2800)
MIXED = BirdSet("mixed", 5, 1600)
MIXED_TEST = BirdSet("mixed", 1005, 280)
_UNSEEN = ("bar-colour",)  # not to be seen on a bird without wing bars


def questions() -> list[tuple[str, str]]:
    """(attribute, value) of every question to which some species says yes."""
    return [
        (name, value)
        for name, values in ATTRIBUTES.items()
        for value in values
        if name not in _UNSEEN and any(s.attributes[name] == value for s in SPECIES)
    ]


def wording(name: str, value: str) -> str:
    """The question in words."""
    part, _, colour = name.partition("-")
    if colour == "colour":
        return f"Is the {part} {value}?"
    part = name.replace("-", " ")
    if value == "none":
        return f"Is it without {part}?"
    if name == "wing-bars":
        return f"Has it {value} wing bar{'s' if value == 'two' else ''}?"
    if name in ("crest", "eye-ring"):
        return f"Has it a {value} {part}?"
    shapes = {"cone": "a cone", "dagger": "a dagger", "fan": "a fan", "band": "banded"}
    shape = "bibbed" if value == "bib" else shapes.get(value, value)
    return f"Is the {part} {shape}?"


def truth(attributes: Mapping[str, str]) -> list[float]:
    """1 for yes and 0 for no, question by question."""
    return [float(attributes[name] == value) for name, value in questions()]


def mixed_scene(seed: int, index: int) -> Scene:
    """A bird each of whose parts is some species' own: what it has tells nothing of the rest."""
    scene, dice = sample(seed, index), Random(f"mixed/{seed}/{index}")
    for part in PARTS:
        scene = scene.swap(part, dice.choice(SPECIES)) if part != "eye" else scene
    return scene


def natural(birds: BirdSet, folder: Path) -> tuple[ImageBatches, Tensor]:
    """Birds of real species, and the true answers (picture, question)."""
    pictures = draw(birds, folder, workers=0)
    table = torch.tensor(
        [truth(species.attributes) for species in SPECIES], dtype=torch.float32, device="cpu"
    )
    return pictures, table[pictures.labels]


def mixed(birds: BirdSet, folder: Path) -> tuple[ImageBatches, Tensor]:
    """Mixed birds, drawn once into a file; their labels have no meaning."""
    scenes = [mixed_scene(birds.seed, i) for i in range(birds.count)]
    path = birds.file(folder)
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        shape = (len(scenes), 128, 128, 3)
        images = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
        for i, scene in enumerate(scenes):
            images[i] = render(scene).image
        images.flush()
        part.replace(path)
    labels = torch.zeros(len(scenes), dtype=torch.long, device="cpu")
    answers = torch.tensor(
        [truth(scene.attributes) for scene in scenes], dtype=torch.float32, device="cpu"
    )
    return birds.drawn(folder, labels), answers


def right(said: Tensor, answers: Tensor) -> dict[str, float | dict[str, float]]:
    """Share of right answers, over all questions and for each, beside always the likelier one."""
    hits, yes = (said == answers).double().mean(0), answers.double().mean(0)
    names = [wording(*question) for question in questions()]
    return {
        "mean": round(float(hits.mean()), 4),
        "always the likelier answer": round(float(torch.maximum(yes, 1 - yes).mean()), 4),
        "each": {name: round(float(h), 3) for name, h in zip(names, hits, strict=True)},
    }
