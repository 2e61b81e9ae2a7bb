"""Chooses the birds of `sightline demo` by a stated rule, and checks the choice in the package.

Rule, over the birds of the draw with seed 14, in their order:

- *shown*: the prediction is right; on each of the demo's three metrics at least four of its six
  methods beat every baseline; the six maps peak on at least three different parts of the bird; and
  no bird of the same species was taken before. The first three.
- *failing*: the prediction is right; exactly one method beats no baseline on any metric; its
  species is none of those shown. The first one.

    python benchmarks/demo_birds.py

goes on until it has them, about five minutes on two cores, prints what every bird measured, and
ends with an error where the rule gives other birds than `worlds/demonstration.py` has.
"""

import sys
from dataclasses import dataclass, replace

from sightline import explain_pictures
from sightline.cli import parse
from sightline.cli.demo import METHODS, METRICS
from sightline.data.drawn_worlds import shown_bird
from sightline.pages.record import PictureEntry
from sightline.pages.report import evidence, summary
from sightline.worlds import demonstration
from sightline.worlds.aviary import Aviary

SHOWN = 3
MOST, PARTS = 4, 3  # methods that beat the baselines on each metric; parts on which maps peak


@dataclass(frozen=True)
class Measured:
    """What the rule needs to know of one bird."""

    right: bool
    wins: dict[str, int]  # metric -> methods that beat every baseline
    parts: int
    failing: list[str]

    @property
    def shown(self) -> bool:
        return self.right and min(self.wins.values()) >= MOST and self.parts >= PARTS


def measured(item: PictureEntry) -> Measured:
    wins: dict[str, int] = {}
    for metric in (m for entry in item.maps for m in entry.metrics):
        wins[metric.name] = wins.get(metric.name, 0) + (summary.beats(metric) is True)
    maps = [m.values for m in item.maps if m.values is not None]
    peaks = {evidence.peak_part(values, item.parts or {}) for values in maps}
    predicted = item.predicted
    return Measured(
        right=predicted is not None and predicted[0] == item.truth,
        wins=wins,
        parts=len(peaks - {None}),
        failing=summary.failing(item),
    )


def chosen() -> tuple[int, ...]:
    """The birds by the rule: those shown, and last the failing one."""
    net = parse.model(parse.DEFAULT, device="cpu", precision="exact")
    plan = explain_pictures.plan(net, parse.methods(net, METHODS), metrics=parse.judges(METRICS))
    birds = Aviary(seed=demonstration.SEED, count=1000, size=128, masks=True)
    shown: dict[str, int] = {}
    failing: dict[str, int] = {}
    for k, drawn in enumerate(birds):
        bird = shown_bird(drawn)
        picture = bird.load()
        look = explain_pictures.explain_picture(plan, picture, bird.truth(net.preprocess, picture))
        facts = measured(replace(look.item, truth=bird.label, parts=bird.parts))
        print(k, drawn.species, facts, flush=True)
        if facts.shown:
            shown.setdefault(drawn.species, k)
        if facts.right and len(facts.failing) == 1:
            failing.setdefault(drawn.species, k)
        last = [number for species, number in failing.items() if species not in shown]
        if len(shown) == SHOWN and last:
            return (*shown.values(), last[0])
    raise SystemExit("the draw ended before the rule was met.")


def main() -> int:
    choice = chosen()
    print("by the rule:", choice, "in the package:", demonstration.CHOSEN)
    return 0 if choice == demonstration.CHOSEN else 1


if __name__ == "__main__":
    sys.exit(main())
