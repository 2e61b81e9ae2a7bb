"""Drawn worlds: the birds of the aviary, with all that is true of them, and planted patterns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import BadField, near
from ..pictures.encoded import digest
from ..pictures.formats.levels import GivenRange
from ..pictures.reading import Picture
from ..sample import Sample, Samples
from ..worlds import analytic
from ..worlds import demonstration as chosen_birds
from ..worlds.aviary import LABELS, Aviary, Bird, Scene, render
from .openers import opener

SEEDS: dict[str, int] = {"aviary": 1001, "aviary:planted": 1002}
"""Drawn birds as DATA, and their seeds: pictures that no network was trained on."""

COUNT = 1400
_NAMES = tuple(LABELS)


@opener("aviary", form="aviary[:planted]")
def samples(rest: str) -> Samples:
    """The birds of the aviary, or (`planted`) with a badge that tells the species. Raises: BadField
    for another word."""
    name = f"aviary:{rest}" if rest else "aviary"
    if name not in SEEDS:
        raise BadField(f"no drawn world {name!r}{near(name, SEEDS)} Known: {', '.join(SEEDS)}.")
    return replace(aviary(name, COUNT), name=name, handed=False)


def aviary(name: str, count: int) -> Samples:
    """So many birds of the world of that name, with the masks of their parts."""
    shortcut = "planted" if name == "aviary:planted" else None
    seed, width = SEEDS[name], len(str(max(count - 1, 0)))
    birds = Aviary(seed=seed, count=count, shortcut=shortcut, masks=True)
    return Samples.counted(
        f"{count} birds of the aviary, seed {seed}",
        count,
        lambda k: bird_sample(birds[k], f"{k:0{width}d}"),
        handed=True,
    )


def demonstration(count: int, size: int) -> Samples:
    """The birds of `sightline demo`. Raises: BadField for more birds than there are species."""
    birds = chosen_birds.birds(count, size)
    about = f"{count} birds of the demonstration"
    return Samples.counted(about, count, lambda k: shown_bird(birds[k]), handed=True)


def shown_bird(bird: Bird) -> Sample:
    """A drawn bird as a file of its own, called by its species."""
    picture = Picture(bird.image, f"{bird.species.replace(' ', '-')}.png")
    return replace(bird_sample(bird, ""), source=picture)


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawing:
    """A drawn bird that is painted when its turn comes, `size` pixels a side."""

    scene: Scene
    size: int

    def read(self, range: GivenRange | None = None) -> Picture:
        """The picture."""
        return Picture(render(self.scene, self.size).image, self.scene.species)

    def digest(self) -> str:
        """A fingerprint of the picture."""
        return digest(self.read())


def drawings(birds: Aviary, numbers: Sequence[int], name: str) -> Samples:
    """The birds of these numbers, each painted when it is read."""

    def at(k: int) -> Sample:
        scene = birds.scene(numbers[k])
        return Sample(
            name=f"drawn bird {numbers[k]} of seed {birds.seed}",
            source=Drawing(scene=scene, size=birds.size),
            label=scene.species,
            number=LABELS[scene.species],
            names=_NAMES,
            scene=scene,
        )

    return Samples.counted(name, len(numbers), at, handed=True)


def bird_sample(bird: Bird, number: str) -> Sample:
    """A drawn bird with its masks, where it was drawn with them, its box, points and scene."""
    name = f"{bird.species} {number}".rstrip()
    parts = {part: mask for part, mask in (bird.masks or {}).items() if mask.any()}
    x0, y0, x1, y1 = (float(edge) for edge in bird.box)
    return Sample(
        name=name,
        source=Picture(bird.image, name),
        label=bird.species,
        number=bird.label,
        names=_NAMES,
        boxes=((x0, y0, x1, y1),) if x1 > x0 and y1 > y0 else None,
        mask=bird.silhouette if bird.masks is not None else None,
        parts=parts if bird.masks is not None else None,
        keypoints=bird.keypoints,
        scene=bird.scene,
    )


def pattern_world(count: int) -> analytic.Known:
    """The network of nine weights that looks for one pattern, and so many pictures of it."""
    return analytic.planted_patch(batch=count)


def patterns(count: int) -> Samples:
    """So many pictures with the one pattern, which is their mask."""
    world = pattern_world(count)
    assert world.expected is not None
    masks = (world.expected > 0.5).numpy()

    def at(k: int) -> Sample:
        image = world.images[k : k + 1]
        return Sample(name=f"pattern {k}", source=image, label="0", number=0, mask=masks[k])

    return Samples.counted(f"{count} planted patterns", count, at, handed=True)
