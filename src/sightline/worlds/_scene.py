"""Everything that decides a picture, drawn at random from a seed and a number."""

from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from ..errors import UnknownName, near
from ._anatomy import Pose
from ._backdrop import PLACES
from ._perch import PERCHES, Setting
from ._species import ATTRIBUTES, PART_ATTRIBUTES, PARTS, SPECIES, Species
from ._things import THINGS

Shortcut = Literal["planted", "random"]
LABELS = {species.name: i for i, species in enumerate(SPECIES)}


@dataclass(frozen=True)
class Light:
    """Where light comes from and what it is like."""

    angle: float  # degrees, clockwise from the right
    strength: float
    warmth: float  # cool below 0
    exposure: float


@dataclass(frozen=True)
class Camera:
    """What the lens adds. Both in units that do not depend on the picture's size."""

    blur: float
    noise: float


@dataclass(frozen=True)
class Scene:
    """Everything that decides a picture, before it is drawn."""

    seed: int
    index: int
    species: str
    traits: tuple[tuple[str, str], ...]
    pose: Pose
    light: Light
    setting: Setting
    camera: Camera
    mark: int | None = None
    removed: frozenset[str] = frozenset()

    @property
    def attributes(self) -> dict[str, str]:
        """What the bird's parts are like, after swaps; a removed part says "removed"."""
        gone = {name for part in self.removed for name in PART_ATTRIBUTES[part]}
        return {name: "removed" if name in gone else value for name, value in self.traits}

    @property
    def key(self) -> str:
        """The seed of every random draw for this picture."""
        return f"aviary/{self.seed}/{self.index}"

    def without(self, *parts: str) -> "Scene":
        """The same scene with the parts gone: what is behind them is drawn, plumage turns plain."""
        for part in parts:
            _known("part", part, PARTS)
        return replace(self, removed=self.removed | set(parts))

    def swap(self, part: str, value: "str | Species") -> "Scene":
        """The same scene with the part as another species has it.

        `value` is that species or a value of the part's first attribute; a removed part comes back.
        The scene's `species` stays what it was.

        Raises: UnknownName for a part or a value that does not exist.
        """
        _known("part", part, PARTS)
        names = PART_ATTRIBUTES[part]
        if isinstance(value, str) and value in LABELS:
            value = SPECIES[LABELS[value]]
        if isinstance(value, Species):
            changes = {name: value.attributes[name] for name in names}
        else:
            allowed = ATTRIBUTES[names[0]] if names else ()
            _known(f"value of {part!r}", value, (*allowed, *LABELS))
            changes = {names[0]: value}
        traits = tuple((name, changes.get(name, old)) for name, old in self.traits)
        return replace(self, traits=traits, removed=self.removed - {part})


def _known(what: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        text = f"no {what} named {name!r}{near(name, names)}"
        raise UnknownName(f"{text} All of them: {', '.join(names)}")


def sample(
    seed: int, index: int, *, species: str | None = None, shortcut: Shortcut | None = None
) -> Scene:
    """Scene number `index` of the world `seed`; species take turns unless one is named.

    shortcut: "planted" puts a mark that tells the species into a corner, "random" one that
    tells nothing.
    """
    block, place = divmod(index, len(SPECIES))
    order = list(range(len(SPECIES)))
    Random(f"aviary/{seed}/order/{block}").shuffle(order)
    if species is not None:
        _known("species", species, tuple(LABELS))
    kind = SPECIES[order[place] if species is None else LABELS[species]]
    dice = Random(f"aviary/{seed}/{index}/scene")
    setting = _setting(dice)
    light = Light(
        angle=dice.choice((dice.uniform(-160, -100), dice.uniform(-80, -20))),
        strength=dice.uniform(0.10, 0.42),
        warmth=dice.gauss(0, 0.06),
        exposure=min(max(dice.gauss(0.96, 0.08), 0.74), 1.08),
    )
    pose = _pose(dice, setting.perch)
    camera = Camera(
        blur=dice.choice((0.0, 0.0, dice.uniform(0.002, 0.0045))), noise=dice.uniform(0.003, 0.02)
    )
    stray = dice.randrange(len(SPECIES))
    mark = {None: None, "planted": LABELS[kind.name], "random": stray}[shortcut]
    traits = tuple((name, kind.attributes[name]) for name in ATTRIBUTES)
    return Scene(seed, index, kind.name, traits, pose, light, setting, camera, mark)


def _setting(dice: Random) -> Setting:
    place = dice.choice(tuple(PLACES))
    perch = dice.choice(PERCHES)
    if place == "sky" and perch == "ground":
        perch = "branch"
    count = dice.choice((0, 0, 1, 1, 2))
    things = tuple(dice.choice(THINGS) for _ in range(count))
    veil = dice.uniform(0.1, 1.0) if dice.random() < 0.3 else 0.0
    return Setting(place, perch, dice.gauss(0, 9), dice.random(), veil, things)


def _pose(dice: Random, perch: str) -> Pose:
    upright = {"branch": 30, "reeds": 42, "ground": 18, "stone": 28, "post": 33}[perch]
    unit = dice.triangular(0.30, 0.58, 0.47)
    left, back = dice.random() < 0.5, dice.random() < 0.12
    slack = max(0.52 - unit * 0.80, 0.02)
    return Pose(
        left=left,
        centre=(
            0.52 + dice.uniform(-0.8, 0.7) * slack,
            0.5 + dice.uniform(-1, 1) * slack + (0.03 if left else -0.03),
        ),
        unit=unit,
        tilt=min(max(dice.gauss(upright, 9), 0.0), 58.0),
        pitch=min(max(dice.gauss(0, 11), -28.0), 28.0),
        turn=1.0 if dice.random() < 0.5 else dice.uniform(0.72, 1.0),
        back_look=back,
        wing=dice.gauss(0, 5) if dice.random() < 0.85 else dice.uniform(16, 36),
        tail=dice.gauss(4, 8),
        plump=dice.uniform(0.92, 1.10),
    )


def caption(scene: Scene) -> str:
    """One plain sentence about the bird and where it sits."""
    traits, gone = dict(scene.traits), scene.removed
    said = []
    if traits["crest"] != "none" and "crest" not in gone:
        said.append(f"a {traits['crest']} crest")
    if "bill" not in gone:
        shape = {"cone": "cone-shaped", "dagger": "dagger-like"}.get(traits["bill"], traits["bill"])
        said.append(f"a {shape} bill")
    if traits["eye-ring"] != "none" and "eye-ring" not in gone:
        said.append(f"a {traits['eye-ring']} eye ring")
    if traits["wing-bars"] != "none" and "wing-bars" not in gone:
        plural = "s" if traits["wing-bars"] == "two" else ""
        said.append(f"{traits['wing-bars']} {traits['bar-colour']} wing bar{plural}")
    if "breast" not in gone:
        pattern = {"band": "banded", "bib": "bibbed"}.get(traits["breast"], traits["breast"])
        article = "an" if pattern[0] in "aeiou" else "a"
        said.append(f"{article} {pattern} {traits['breast-colour']} breast")
    if "tail" not in gone:
        said.append(f"a {traits['tail'].replace('fan', 'fanned')} tail")
    where = {
        "branch": "on a branch",
        "reeds": "in the reeds",
        "ground": "on the ground",
        "stone": "on a stone",
        "post": "on a post",
    }
    article = "An" if scene.species[0] in "aeiou" else "A"
    parts = (
        ", ".join(said[:-1])
        + (" and " if len(said) > 1 else "")
        + (said[-1] if said else "nothing to show")
    )
    return f"{article} {scene.species} with {parts}, {where[scene.setting.perch]}."
