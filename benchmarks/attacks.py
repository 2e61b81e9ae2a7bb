"""What attacks reach on the embedded networks and on photographs: the tables of docs/attacks.md.

Run it: `python benchmarks/attacks.py [--only WORD]`; it prints Markdown. Budgets are small so that
it takes minutes on one processor: steps are fewer than the attacks' defaults, as each row says.
Rows on photographs need the shared data folder beside the project. `--network NAME` attacks another
network that knows the drawn birds in the default one's place, such as one that was trained to hold.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

import sightline as sl
from sightline.attacks import countermeasures, outcome
from sightline.worlds.aviary import Aviary

DATA = Path(__file__).parents[2] / "shared" / "data"
PHOTOGRAPHS = ("n02110341_0_train", "n02009912_0_train", "n04409515_0_val", "n01534433_1_val")
MOBILE = (
    f"file:{DATA}/weights/mobilenet_v2_imagenet.safetensors?arch=torchvision:mobilenet_v2"
    "&pad_type=same&mean=0.5&std=0.5"
)
SHORT = {"first": 20, "second": 60}
WITNESSES = ("gradient", "input-x-gradient", "guided-backprop", "realtime-saliency")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One attack on one network; the first method is attacked, the others only look."""

    network: str
    attack: str
    methods: tuple[str, ...]
    pictures: int
    fields: dict[str, Any] = field(default_factory=dict)
    method_fields: dict[str, Any] = field(default_factory=dict)


THREE = ("grad-cam", "gradient", "realtime-saliency")
BIRDS = "sightline:default"
VIT = "sightline:default-vit"
ROWS = (
    Row(network=BIRDS, attack="pgd", methods=THREE, pictures=16),
    Row(network=BIRDS, attack="adv-edge", methods=THREE, pictures=16, fields=SHORT),
    Row(
        network=BIRDS,
        attack="adv-edge+",
        methods=THREE,
        pictures=8,
        fields={**SHORT, "edges": "always"},
    ),
    Row(
        network=BIRDS,
        attack="adv-edge",
        methods=("gradient", "grad-cam", "realtime-saliency"),
        pictures=6,
        fields=SHORT,
    ),
    Row(
        network=BIRDS,
        attack="adv-edge",
        methods=("realtime-saliency", "grad-cam", "gradient"),
        pictures=8,
        fields=SHORT,
    ),
    Row(
        network=BIRDS,
        attack="adv-edge",
        methods=("iterative-saliency", "grad-cam", "gradient"),
        pictures=4,
        fields={"first": 15, "second": 8},
        method_fields={"steps": 40},
    ),
    Row(
        network=BIRDS,
        attack="st-adv",
        methods=THREE,
        pictures=16,
        fields={"first": 80, "second": 60},
    ),
    Row(
        network=BIRDS,
        attack="sparse-points",
        methods=THREE,
        pictures=16,
        fields={"steps": 60, "rounds": 4},
    ),
    Row(network=BIRDS, attack="manipulation", methods=THREE, pictures=16, fields={"steps": 60}),
    Row(
        network=BIRDS,
        attack="manipulation",
        methods=("gradient", "grad-cam"),
        pictures=8,
        fields={"steps": 60},
    ),
    Row(network=VIT, attack="pgd", methods=("grad-cam", "gradient"), pictures=16),
    Row(
        network=VIT, attack="adv-edge", methods=("grad-cam", "gradient"), pictures=16, fields=SHORT
    ),
    Row(
        network=VIT,
        attack="manipulation",
        methods=("grad-cam", "gradient"),
        pictures=16,
        fields={"steps": 60},
    ),
    Row(
        network=MOBILE,
        attack="pgd",
        methods=("grad-cam", "gradient"),
        pictures=4,
        fields={"steps": 20},
    ),
    Row(
        network=MOBILE,
        attack="adv-edge",
        methods=("grad-cam", "gradient"),
        pictures=4,
        fields={"first": 10, "second": 40},
    ),
)


@cache
def model_of(name: str) -> sl.Model:
    return sl.load(name)


@cache
def pictures(name: str, count: int) -> torch.Tensor:
    """Birds of a seed that no network was trained on, or photographs."""
    if name != MOBILE:
        birds = Aviary(seed=77, count=count)
        return model_of(name).prepare([birds[i].image for i in range(count)])
    return model_of(name).prepare([DATA / "imagenet/photos" / f"{p}.jpg" for p in PHOTOGRAPHS])


def measured(row: Row) -> outcome.AttackOutcome:
    model = model_of(row.network)
    first, *others = row.methods
    explainers = [sl.create("explainer", first, **row.method_fields)]
    explainers += [sl.create("explainer", name) for name in others]
    made = sl.create("attack", row.attack, **row.fields)
    return outcome.run(made, model, pictures(row.network, row.pictures), None, explainers)


def line(row: Row, found: outcome.AttackOutcome, seconds: float) -> str:
    budget = ", ".join(f"{k}={v}" for k, v in row.fields.items()) or "default"
    ranks = [
        f"{m.method} {m.rank.nanmean():.2f} / {m.overlap.nanmean():.2f}"
        if not (k == 0 and row.attack not in ("pgd", "sparse-points"))
        else f"**{m.method} {m.rank.nanmean():.2f} / {m.overlap.nanmean():.2f}**"
        for k, m in enumerate(found.maps)
    ]
    cells = [
        "MobileNetV2" if row.network == MOBILE else row.network.removeprefix("sightline:"),
        row.attack,
        budget,
        str(row.pictures),
        f"{found.success.double().mean():.0%}",
        f"{found.sure_after.mean():.2f}",
        "; ".join(ranks),
        f"{found.largest.max() * 255:.0f}/255",
        f"{found.alike.mean():.2f}",
        f"{found.on_edges.nanmean():.0%}",
        f"{found.passes['forward']:.0f} + {found.passes['backward']:.0f}",
        f"{seconds / row.pictures:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


HEAD = (
    "network",
    "attack",
    "budget",
    "pictures",
    "success",
    "confidence",
    "maps: rank correlation / overlap",
    "largest change",
    "SSIM",
    "on edges",
    "passes",
    "s each",
)


def table(rows: Sequence[Row]) -> Iterator[tuple[Row, outcome.AttackOutcome]]:
    tell(f"| {' | '.join(HEAD)} |")
    tell(f"|{'---|' * len(HEAD)}")
    for row in rows:
        started = time.process_time()
        found = measured(row)
        tell(line(row, found, time.process_time() - started))
        yield row, found


def defences(row: Row, found: outcome.AttackOutcome) -> None:
    """How the countermeasures do against one row's pictures."""
    model = model_of(row.network)
    attacked = sl.create("explainer", row.methods[0])
    witnesses = [sl.create("explainer", name) for name in WITNESSES if name != row.methods[0]]
    clean, late = (
        countermeasures.disagreements(model, x, witnesses) for x in (found.images, found.fooled)
    )
    seen = countermeasures.detect(clean, late)
    tell(
        f"\n{row.attack} against {row.methods[0]}: detector from"
        f" {', '.join(w.registered_name for w in witnesses)}: AUC {seen.auc:.2f}"
        f" (spread {seen.spread:.2f} over splits; {seen.held_out} of {seen.pictures} held out)\n"
    )
    tell(
        "| change | clean keep class | attack holds | true class back | map clean | map attacked |"
    )
    tell("|---|---|---|---|---|---|")
    for name, change in countermeasures.TRANSFORMATIONS.items():
        undone = countermeasures.undo(model, found.images, found.fooled, change, attacked)
        tell(
            f"| {name} | {undone.right:.0%} | {undone.fooled:.0%} | {undone.back:.0%} |"
            f" {undone.steady:.2f} | {undone.shaken:.2f} |"
        )


def tell(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="rows whose network, attack or method has it")
    parser.add_argument("--network", default=BIRDS, help="in the place of sightline:default")
    given = parser.parse_args()
    word = given.only
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = [row for row in ROWS if word in f"{row.network} {row.attack} {row.methods[0]}"]
    if given.network != BIRDS:
        rows = [replace(row, network=given.network) for row in rows if row.network == BIRDS]
    if not DATA.is_dir():
        rows = [row for row in rows if row.network != MOBILE]
    started = time.process_time()
    done = list(table(rows))
    for row, found in done:
        if row.network == BIRDS and row.attack in ("pgd", "adv-edge") and row.pictures == 16:
            defences(row, found)
    tell(f"\n{time.process_time() - started:.0f} s of processor time")


if __name__ == "__main__":
    sys.exit(main())
