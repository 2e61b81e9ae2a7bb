"""A world of drawn birds where the truth about every part is known.

Each picture is drawn from a `Scene` that says everything; so a part can be removed or swapped and
the picture drawn again with all else equal: the true importance of the part is measurable.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import cos, radians, sin
from random import Random

import networkx
import numpy as np
from PIL import Image, ImageFilter

from ..errors import BadField
from . import _things
from ._anatomy import BirdAnatomy, anatomy, keypoints
from ._backdrop import PLACES, backdrop
from ._bird import NUMBER, Painter
from ._canvas import Canvas, CanvasFrame
from ._perch import perch
from ._scene import LABELS, Scene, Shortcut, caption, sample
from ._species import ATTRIBUTES, PARTS, SPECIES, Species

__all__ = [
    "ATTRIBUTES", "PARTS", "SPECIES", "Aviary", "Bird", "Scene", "Shortcut", "Species", "bundle",
    "render",
    "sample", "taxonomy",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Bird:
    """A picture and the whole truth about it.

    image: (row, col, rgb), uint8. masks: part -> (row, col) of the pixels that show the part; they
    do not overlap, together they are the visible bird; "mark" is the planted mark. keypoints: part
    -> (row, col) in pixels, also of parts that something hides. box: x0, y0, x1, y1 of the visible
    bird. species and label are what the bird was sampled as, also after swaps.
    """

    image: np.ndarray
    species: str
    label: int
    attributes: Mapping[str, str]
    masks: Mapping[str, np.ndarray] | None
    keypoints: Mapping[str, tuple[float, float]]
    box: tuple[int, int, int, int]
    scene: Scene

    def __repr__(self) -> str:
        rows, cols = self.image.shape[:2]
        return f"<Bird: {self.species}, {rows} x {cols} px, box {self.box}>"

    @cached_property
    def caption(self) -> str:
        """One plain sentence about the bird and where it sits."""
        return caption(self.scene)

    @property
    def silhouette(self) -> np.ndarray:
        """(row, col): all visible pixels of the bird."""
        if self.masks is None:
            raise BadField(
                "this picture has no masks; draw it with `render(scene, size, masks=True)`"
            )
        return np.logical_or.reduce([self.masks[part] for part in PARTS])


def render(scene: Scene, size: int = 128, masks: bool = False) -> Bird:
    """Draw the scene as a square picture of `size` pixels."""
    if size < 16:
        raise BadField(
            f"a picture needs at least 16 pixels a side; got {size}. Ask for 64 or more."
        )
    page = CanvasFrame.page(size)
    frames = anatomy(scene.pose, page)
    stage, bird = Canvas(size), Canvas(size, owners=masks)
    _paint_stage(stage, scene, frames)
    Painter(bird, scene.pose, dict(scene.traits), scene.removed, scene.key).paint()
    cover = bird.pixels[..., 3:].astype(np.float32) / 255
    lit = _shade(bird.pixels[..., :3] / np.float32(255), _shading(scene, frames, size))
    picture = stage.pixels[..., :3] / np.float32(255)
    picture += (lit - picture) * cover
    seen = bird.pixels[..., 3] > 127
    if scene.setting.veil:
        leaf = PLACES[scene.setting.place].leaf
        front = _things.veil(scene.setting.veil, leaf, scene.key, size)
        picture += (front[..., :3] - picture) * front[..., 3:]
        seen &= front[..., 3] < 0.5
    picture *= (
        np.asarray([1 + scene.light.warmth, 1.0, 1 - scene.light.warmth], np.float32)
        * scene.light.exposure
    )
    picture, stamped = _stamp(picture, scene)
    seen &= ~stamped
    return Bird(
        image=_expose(picture, scene),
        species=scene.species,
        label=LABELS[scene.species],
        attributes=scene.attributes,
        masks=_masks(bird.owners, seen, stamped) if masks else None,
        keypoints=_keypoints(scene, frames),
        box=_box(seen),
        scene=scene,
    )


def _paint_stage(stage: Canvas, scene: Scene, frames: BirdAnatomy) -> None:
    setting = scene.setting
    far = backdrop(setting.place, setting.perch == "ground", scene.key, stage.size)
    stage.pixels[..., :3] = np.clip(far * 255, 0, 255)
    stage.pixels[..., 3] = 255
    perch(stage, setting, scene.key, frames.ground.map(frames.feet), scene.pose.unit * stage.size)
    for i, kind in enumerate(setting.things):
        _things.thing(stage, kind, f"{scene.key}/{i}")


def _shade(colours: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Darken by the factor where it is below 1, else lift towards white: no hue burns out."""
    lift = (np.maximum(light, 1) - 1) * np.float32(0.55)
    return colours * np.minimum(light, 1) + (1 - colours) * lift


def _shading(scene: Scene, frames: BirdAnatomy, size: int) -> np.ndarray:
    """(row, col, 1) factor of brightness: two lit balls, whatever parts are removed."""
    rows = np.arange(size, dtype=np.float32)[:, None] + 0.5
    cols = np.arange(size, dtype=np.float32)[None] + 0.5
    angle, unit = radians(scene.light.angle), frames.ground.unit
    light = (sin(angle), cos(angle))
    body, head = frames.body.map([(-0.02, -0.02)])[0], frames.head.map([(0, 0)])[0]

    def ball(centre: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
        down, right = (rows - centre[1]) / reach, (cols - centre[0]) / reach
        return down * light[0] + right * light[1], down * down + right * right

    toward, _ = ball(body, 0.52 * unit)
    near_head, distance = ball(head, 0.27 * unit)
    blend = np.clip(1.6 - distance, 0, 1)
    field = toward + (near_head * 0.9 - toward) * blend
    return (1.0 + scene.light.strength * np.tanh(field * 1.2))[..., None].astype(np.float32)


def _stamp(picture: np.ndarray, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    if scene.mark is None:
        return picture, np.zeros(picture.shape[:2], bool)
    dice = Random(f"{scene.key}/mark")
    corner = [dice.choice((0.09, 0.91)) + dice.uniform(-0.015, 0.015) for _ in range(2)]
    canvas = Canvas(len(picture), owners=True)
    _things.stamp(canvas, scene.mark, corner)
    cover = canvas.pixels[..., 3:] / np.float32(255)
    return picture + (canvas.pixels[..., :3] / np.float32(255) - picture) * cover, canvas.owners > 0


def _expose(picture: np.ndarray, scene: Scene) -> np.ndarray:
    size = len(picture)
    dice = np.random.Generator(np.random.PCG64(Random(f"{scene.key}/noise").getrandbits(64)))
    if scene.camera.blur:
        sharp = Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8))
        picture = (
            np.asarray(sharp.filter(ImageFilter.GaussianBlur(scene.camera.blur * size)), np.float32)
            / 255
        )
    noise = dice.standard_normal((size, size, 1), np.float32) * np.float32(scene.camera.noise)
    return (np.clip(picture + noise, 0, 1) * 255 + 0.5).astype(np.uint8)


def _masks(owners: np.ndarray, seen: np.ndarray, stamped: np.ndarray) -> dict[str, np.ndarray]:
    masks = {part: (owners == NUMBER[part]) & seen for part in PARTS}
    return {**masks, "mark": stamped}


def _keypoints(scene: Scene, frames: BirdAnatomy) -> dict[str, tuple[float, float]]:
    traits = dict(scene.traits)
    absent = {part for part in ("crest", "wing-bars", "eye-ring") if traits[part] == "none"}
    places = keypoints(frames, scene.pose.turn, traits)
    shown = [part for part in PARTS if part not in absent | scene.removed]
    return {part: (float(places[part][1]), float(places[part][0])) for part in shown}


def _box(seen: np.ndarray) -> tuple[int, int, int, int]:
    rows, cols = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    if not len(rows):
        return (0, 0, 0, 0)
    return int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1


@dataclass(frozen=True)
class Aviary:
    """A sequence of pictures; number i depends only on (seed, i), and species take turns."""

    seed: int = 0
    size: int = 128
    count: int = 1400
    shortcut: Shortcut | None = None
    masks: bool = False
    labels: tuple[str, ...] = field(default=tuple(LABELS), init=False)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Bird:
        if not 0 <= index < self.count:
            raise IndexError(f"picture {index} of {self.count}")
        return render(self.scene(index), self.size, self.masks)

    def __iter__(self) -> Iterator[Bird]:
        return (self[i] for i in range(self.count))

    def scene(self, index: int) -> Scene:
        """What picture number `index` is drawn from."""
        return sample(self.seed, index, shortcut=self.shortcut)


def taxonomy() -> networkx.DiGraph:
    """The family tree: edges from "birds" to families, to groups, to species."""
    tree = networkx.DiGraph()
    for species in SPECIES:
        networkx.add_path(tree, ("birds", species.family, species.genus, species.name))
    return tree


_SHOWN = (
    ("belted fisherling", 25),
    ("golden-eyed reedling", 198),
    ("spotted sicklebill", 28),
    ("amber brindlefinch", 103),
    ("fan-tailed shrikelet", 134),
    ("plumed reedling", 371),
    ("bibbed brindlefinch", 39),
    ("lemon spearbill", 40),
    ("crested brindlefinch", 81),
    ("banded shrikelet", 167),
    ("azure fisherling", 39),
    ("streaked reedling", 50),
    ("plain shrikelet", 198),
    ("lemon sicklebill", 25),
)


def bundle(n: int = 3, size: int = 128) -> list[Bird]:
    """Fixed pictures for examples and tests: different species, well visible, with masks.

    Raises: BadField for more pictures than there are species.
    """
    if not 1 <= n <= len(_SHOWN):
        raise BadField(f"the bundle has 1 to {len(_SHOWN)} pictures; got n={n}")
    return [render(sample(7, index, species=name), size, masks=True) for name, index in _SHOWN[:n]]
