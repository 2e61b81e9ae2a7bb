"""The invented birds of the aviary: which parts they have and how the parts differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ._canvas import Colour

PARTS: tuple[str, ...] = (
    "bill",
    "crest",
    "crown",
    "face",
    "eye",
    "eye-ring",
    "breast",
    "belly",
    "back",
    "wing",
    "wing-bars",
    "tail",
    "legs",
)

PALETTE: Mapping[str, Colour] = MappingProxyType(
    {
        "white": (0.95, 0.94, 0.90),
        "cream": (0.94, 0.88, 0.74),
        "sand": (0.80, 0.67, 0.48),
        "ash": (0.66, 0.68, 0.69),
        "slate": (0.34, 0.41, 0.50),
        "black": (0.15, 0.15, 0.18),
        "brown": (0.45, 0.33, 0.23),
        "chestnut": (0.50, 0.23, 0.12),
        "rust": (0.74, 0.37, 0.16),
        "amber": (0.91, 0.56, 0.15),
        "lemon": (0.94, 0.83, 0.32),
        "olive": (0.47, 0.49, 0.24),
        "teal": (0.12, 0.48, 0.49),
        "azure": (0.20, 0.47, 0.75),
        "scarlet": (0.78, 0.20, 0.16),
        "dun": (0.68, 0.63, 0.56),
    }
)

_COLOURS = tuple(name for name in PALETTE if name != "dun")

ATTRIBUTES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "bill": ("cone", "thin", "hooked", "curved", "dagger"),
        "crest": ("none", "short", "long"),
        "wing-bars": ("none", "one", "two"),
        "breast": ("plain", "streaked", "spotted", "band", "bib"),
        "tail": ("short", "long", "forked", "fan"),
        "eye-ring": ("none", "white", "yellow"),
        "bill-colour": _COLOURS,
        "bar-colour": _COLOURS,
        "crown-colour": _COLOURS,
        "face-colour": _COLOURS,
        "breast-colour": _COLOURS,
        "belly-colour": _COLOURS,
        "back-colour": _COLOURS,
        "wing-colour": _COLOURS,
        "leg-colour": _COLOURS,
    }
)

PART_ATTRIBUTES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "bill": ("bill", "bill-colour"),
        "crest": ("crest",),
        "crown": ("crown-colour",),
        "face": ("face-colour",),
        "eye": (),
        "eye-ring": ("eye-ring",),
        "breast": ("breast", "breast-colour"),
        "belly": ("belly-colour",),
        "back": ("back-colour",),
        "wing": ("wing-colour",),
        "wing-bars": ("wing-bars", "bar-colour"),
        "tail": ("tail",),
        "legs": ("leg-colour",),
    }
)


@dataclass(frozen=True)
class Species:
    """A kind of bird: name, family, group of close relatives, and what its parts are like."""

    name: str
    family: str
    genus: str
    attributes: Mapping[str, str]

    def differs(self, other: "Species") -> tuple[str, ...]:
        """Names of the attributes that tell the two apart."""
        mine, theirs = self.attributes, other.attributes
        return tuple(name for name in ATTRIBUTES if mine[name] != theirs[name])


_GENERA: dict[str, tuple[str, str]] = {
    "brindlefinch": (
        "seed-eaters",
        "cone none two plain forked none / slate white slate slate amber cream brown black brown",
    ),
    "reedling": (
        "reed birds",
        "thin none none plain long none / black cream ash ash cream white rust brown black",
    ),
    "shrikelet": (
        "hunters",
        "hooked none one plain long none / black white slate white white white ash black black",
    ),
    "sicklebill": (
        "nectar birds",
        "curved none none plain short white / black white teal teal lemon lemon olive teal slate",
    ),
    "spearbill": (
        "nectar birds",
        "dagger none none plain short white / black white teal teal lemon lemon olive teal slate",
    ),
    "fisherling": (
        "hunters",
        "dagger short none plain short none / "
        "black white azure azure rust cream azure azure scarlet",
    ),
}

_KINDS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("amber", "brindlefinch", {}),
    ("bibbed", "brindlefinch", {"breast": "bib"}),
    ("crested", "brindlefinch", {"crest": "short"}),
    ("plumed", "reedling", {"crest": "long"}),
    ("streaked", "reedling", {"breast": "streaked"}),
    ("golden-eyed", "reedling", {"breast": "streaked", "eye-ring": "yellow", "wing-bars": "one"}),
    ("plain", "shrikelet", {}),
    ("banded", "shrikelet", {"breast": "band"}),
    ("fan-tailed", "shrikelet", {"breast": "band", "tail": "fan"}),
    ("lemon", "sicklebill", {}),
    ("spotted", "sicklebill", {"breast": "spotted"}),
    ("lemon", "spearbill", {}),
    ("azure", "fisherling", {}),
    ("belted", "fisherling", {"breast": "band", "wing-bars": "two"}),
)


def _species(kind: str, genus: str, changes: dict[str, str]) -> Species:
    family, values = _GENERA[genus]
    attributes = dict(zip(ATTRIBUTES, values.replace("/ ", "").split(), strict=True))
    return Species(f"{kind} {genus}", family, genus, MappingProxyType({**attributes, **changes}))


SPECIES: tuple[Species, ...] = tuple(_species(*kind) for kind in _KINDS)
