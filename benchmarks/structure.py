"""Sets of patches that are enough: how many, of what size, whether they are the right ones, and
what the search costs.

`python benchmarks/structure.py [--pictures 12] [--only WORD] [--kept FILE]` writes `STRUCTURE.md`
beside this file. It needs the folder of photographs and weights beside the project. What is
finished is kept in FILE, so that a run that was stopped goes on. Times are of the processor, in one
thread.
"""

import argparse
import csv
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from torch import Tensor

import sightline as sl
from sightline.explainers.structure.graphs._outcomes import ExplainedClass
from sightline.explainers.structure.graphs._patches import Patches, filled, indices
from sightline.explainers.structure.graphs._search import search
from sightline.explainers.structure.graphs.sag import SAG
from sightline.explanations.regions import ordered
from sightline.pictures.reading import read
from sightline.worlds import aviary

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "shared" / "data"
HALF, IMAGENET = "&mean=0.5&std=0.5", "&mean=0.485,0.456,0.406&std=0.229,0.224,0.225"
NETWORKS = {
    "MobileNet-V2": f"mobilenet_v2_imagenet.safetensors?arch=torchvision:mobilenet_v2{HALF}"
    "&pad_type=same",
    "DeiT-tiny": "deit_tiny_patch16_224_imagenet.safetensors?arch=timm:deit_tiny_patch16_224"
    f"&size=224&crop=0.875{IMAGENET}",
}
TOUCHED = 0.25  # of a part's pixels inside a set
SAMPLED = 200  # of the exhaustive search's sets, timed one by one
Record = dict[str, Any]


def photographs(count: int) -> list[Path]:
    """So many, spread over the list, one in `len / count`."""
    with (DATA / "imagenet" / "manifest.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    step = len(rows) // count
    return [DATA / "imagenet" / row["file"] for row in rows[::step][:count]]


def network(name: str) -> sl.Model:
    return sl.load(f"file:{DATA}/weights/{NETWORKS[name]}")


def birds(count: int) -> list[aviary.Bird]:
    return list(aviary.Aviary(seed=5, count=count))


def counted(model: sl.Model, picture: Any) -> Record:
    """What `sag` finds in one picture, with its defaults."""
    started = time.process_time()
    found = SAG()(model, picture)
    spent = time.process_time() - started
    told = found.counts()[0]
    needed = found.necessary[0]
    return {
        **told,
        "outcome": found.outcome[0],
        "necessary": None if needed is None else len(needed),
        "agree": found.agree[0],
        "evaluations": found.evaluations[0],
        "seconds": spent,
        "minimal": [list(map(list, ordered(each))) for each in found.minimal[0]],
        "lost": None if needed is None else list(map(list, ordered(needed))),
    }


def of_bird(model: sl.Model, bird: aviary.Bird) -> Record:
    """The same, and how the sets lie on the part whose removal costs most."""
    scene = bird.scene
    whole = aviary.render(scene, 128, masks=True)
    found = counted(model, bird.image)
    masks = {part: mask for part, mask in (whole.masks or {}).items() if mask.any()}
    shown = [aviary.render(scene.without(p), 128).image for p in masks if p in aviary.PARTS]
    parts = [part for part in masks if part in aviary.PARTS]
    target = model.aim(model.prepare([bird.image]), None)
    label = target.indices(1)[0]
    shares = model.probabilities(model.prepare([bird.image, *shown]))[:, label]
    effects = (shares[0] - shares[1:]).tolist()
    decisive = parts[int(np.argmax(effects))]
    covers = [covered(masks[decisive], each, (7, 7)) for each in found["minimal"]]
    chance = [chance_of(masks[decisive], len(each)) for each in found["minimal"]]
    lost = found["lost"]
    return {
        **found,
        "part": decisive,
        "effect": max(effects),
        "covered": covers,
        "chance": chance,
        "lost covers": None if lost is None else covered(masks[decisive], lost, (7, 7)),
        "lost chance": None if lost is None else chance_of(masks[decisive], len(lost)),
    }


def covered(mask: np.ndarray, cells: list[list[int]], grid: tuple[int, int]) -> float:
    """The share of a part's pixels that lie in these cells."""
    high, wide = mask.shape[0] / grid[0], mask.shape[1] / grid[1]
    inside = np.zeros_like(mask, dtype=bool)
    for r, c in cells:
        rows = slice(round(r * high), round((r + 1) * high))
        inside[rows, round(c * wide) : round((c + 1) * wide)] = True
    return float((mask & inside).sum() / mask.sum())


def chance_of(mask: np.ndarray, size: int, draws: int = 200) -> float:
    """How often that many cells, drawn at random, touch the part."""
    source = np.random.default_rng(0)
    hits = 0
    for _ in range(draws):
        drawn = source.choice(49, size, replace=False)
        hits += covered(mask, [list(divmod(int(i), 7)) for i in drawn], (7, 7)) >= TOUCHED
    return hits / draws


def patches_of(model: sl.Model, image: Tensor, method: SAG) -> Patches:
    """One picture as the method sees it, with nothing measured."""
    target = model.aim(image, None).with_probability(True)
    whole = float(model.scores(image, target))
    hidden = filled(image, model, method.fill)
    return Patches(
        model=model,
        target=target,
        row=0,
        image=image,
        hidden=hidden,
        grid=(method.grid, method.grid),
        whole=whole,
    )


def plain_beam(score: Callable[[int], float], order: list[int], method: SAG, size: int) -> set[int]:
    """The same search one set at a time, without a memory: each set that comes up is scored."""
    found: set[int] = set()
    beam, idle = [0], 0
    for _ in range(size):
        values: dict[int, float] = {}
        for held in beam:
            free = [p for p in order if not held >> p & 1][: method.successors]
            for p in free:
                values[held | 1 << p] = score(held | 1 << p)  # scored again where it comes again
        before = len(found)
        ranked = sorted(values, key=lambda s: -values[s])
        for each in [s for s in ranked if values[s] >= method.sufficient]:
            if len(found) < method.roots and not any(each & f == f for f in found):
                found.add(drop_one_by_one(score, each, method.sufficient))
        beam = [s for s in ranked if values[s] < method.sufficient][: method.beam]
        idle = 0 if len(found) > before or not found else idle + 1
        if len(found) >= method.roots or idle >= (method.patience or size):
            break
    return found


def drop_one_by_one(score: Callable[[int], float], held: int, level: float) -> int:
    going = True
    while going:
        going = False
        for p in indices(held):
            if score(held & ~(1 << p)) >= level:
                held, going = held & ~(1 << p), True
                break
    return held


def speed(model: sl.Model, path: Path) -> Record:
    """Processor seconds of our search, of the plain beam and of the exhaustive one, ranking left
    out on all sides."""
    method, image = SAG(), model.prepare([path])
    order = method._ranks(model, image, model.aim(image, None), (7, 7))[0]
    told: Record = {}
    for name, made in (("exact", method), ("fast", method.fast())):
        patches, bounds = patches_of(model, image, made), made._bounds(24)
        found = search(patches.confidence, order[:1], replace(bounds, size=1), 2.0)  # warm
        patches = patches_of(model, image, made)
        started = time.process_time()
        found = search(patches.confidence, order, bounds, made.sufficient)
        told[name] = time.process_time() - started
        told[f"{name} evaluations"] = len(patches.confidences)
        told[f"{name} sets"] = len(found.minimal)
        patches = patches_of(model, image, made)
        started = time.process_time()
        made._of_one(patches, order, ExplainedClass())
        told[f"{name}, all of it"] = time.process_time() - started
        told[f"{name}, all of it evaluations"] = len(patches.confidences)
    told["one picture, fast"] = clocked(lambda: SAG().fast()(model, image))
    patches = patches_of(model, image, method)
    count = [0]

    def alone(held: int) -> float:
        count[0] += 1
        patches.confidences.clear()
        return patches.confidence([held])[0]

    told["plain beam"] = clocked(lambda: plain_beam(alone, order, method, 24))
    told["plain evaluations"] = count[0]
    sets = list(itertools.combinations(order[:20], 4))
    some = [sum(1 << p for p in each) for each in sets[:: len(sets) // SAMPLED]]
    per = clocked(lambda: [alone(each) for each in some]) / len(some)
    told["exhaustive"] = per * len(sets)
    return told


def clocked(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def jobs(pictures: int) -> Iterator[tuple[str, Callable[[], Record]]]:
    """Everything that is measured, in an order in which a stopped run is of use."""
    kept: dict[str, sl.Model] = {}

    def model(name: str) -> sl.Model:
        if name not in kept:
            kept[name] = sl.load("sightline:default") if name == "aviary" else network(name)
        return kept[name]

    seen = birds(pictures)
    paths = photographs(pictures)
    for k in range(pictures):
        yield f"aviary/{k}", lambda k=k: of_bird(model("aviary"), seen[k])
        if k < 2:
            yield f"speed/{k}", lambda k=k: speed(model("MobileNet-V2"), paths[k])
        for name in NETWORKS:
            yield f"{name}/{k}", lambda k=k, name=name: counted(model(name), read(paths[k]))


def table(records: dict[str, Record]) -> str:
    """STRUCTURE.md from what is finished."""
    lines = [
        "# Sets of patches that are enough: `sag`, measured",
        "",
        "Written by `python benchmarks/structure.py`: `sag` with its defaults (7 x 7 patches, a"
        " wide blur for what is hidden, 90 % of the whole picture's probability of its top class,"
        " beam 6, at most 10 sets). A set is minimal when none of its patches can go.",
        "",
        "| network and pictures | n | with a set | sets | size of the smallest | share no patch |"
        " at most 1 | at most 2 | necessary set: patches | meets every set | forward passes |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in (*NETWORKS, "aviary"):
        own = [r for key, r in records.items() if key.startswith(f"{name}/")]
        if own:
            lines.append(counts_line(name, own))
    lines += ["", *aviary_lines([r for k, r in records.items() if k.startswith("aviary/")])]
    lines += ["", *speed_lines([r for k, r in records.items() if k.startswith("speed/")])]
    return "\n".join(lines) + "\n"


def counts_line(name: str, own: list[Record]) -> str:
    with_sets = [r for r in own if r["sizes"]]
    full = sum(r["sets"] >= 10 for r in own)

    def average(values: list[float]) -> str:
        return f"{mean(values):.1f}" if values else "-"

    needed = [r["necessary"] for r in own if r["necessary"] is not None]
    agreed = [r["agree"] for r in own if r["agree"] is not None]
    cells = [
        name,
        str(len(own)),
        f"{len(with_sets)}",
        f"{average([r['sets'] for r in own])} ({full} stopped at 10)",
        average([min(r["sizes"]) for r in with_sets]),
        *(average([r[f"overlap {o}"] for r in own]) for o in (0, 1, 2)),
        f"{average(needed)} ({len(needed)} of {len(own)})",
        f"{sum(agreed)} of {len(agreed)}",
        f"{mean(r['evaluations'] for r in own):.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def aviary_lines(own: list[Record]) -> list[str]:
    """Whether the sets lie on what decides."""
    told = [r for r in own if r["covered"]]
    if not told:
        return []
    firsts = mean(r["covered"][0] >= TOUCHED for r in told)
    every = mean(mean(c >= TOUCHED for c in r["covered"]) for r in told)
    by_chance = mean(mean(r["chance"]) for r in told)
    lost = [r for r in own if r["lost covers"] is not None]
    hits = mean(r["lost covers"] >= TOUCHED for r in lost) if lost else float("nan")
    luck = mean(r["lost chance"] for r in lost) if lost else float("nan")
    return [
        "## On drawn birds, whose deciding part is known",
        "",
        "Each part is drawn away in turn; the one whose absence costs the model most probability is"
        f" the part that decides. A set touches it when it holds at least {TOUCHED:.0%} of its"
        " pixels; chance is that of as many patches drawn at random.",
        "",
        "| sets | birds | touch the deciding part | by chance |",
        "|---|---|---|---|",
        f"| best minimal set | {len(told)} | {firsts:.0%} | {by_chance:.0%} |",
        f"| all minimal sets | {len(told)} | {every:.0%} | {by_chance:.0%} |",
        f"| necessary set | {len(lost)} | {hits:.0%} | {luck:.0%} |",
    ]


def speed_lines(own: list[Record]) -> list[str]:
    if not own:
        return []

    def ratio(above: str, below: str) -> str:
        return f"{mean(r[above] for r in own) / mean(r[below] for r in own):.1f}x"

    def spent(name: str) -> str:
        return f"{mean(r[name] for r in own):.1f} s"

    return [
        "## What the search costs",
        "",
        f"MobileNet-V2, means over {len(own)} photographs, processor time in one thread; ranking"
        " left out on all sides; `all of it` adds the necessary set and the graph. The plain beam"
        " is our own: the same search with one picture per pass and no memory. The exhaustive"
        " search scores all 4845 sets of 4 of the 20 best"
        f" patches, one per pass (timed on {SAMPLED + 2} of them).",
        "",
        "| search | time | forward passes | against the plain beam | against exhaustive |",
        "|---|---|---|---|---|",
        *(
            f"| `sag`, {name} | {spent(name)} |"
            f" {mean(r[f'{name} evaluations'] for r in own):.0f} | {ratio('plain beam', name)} |"
            f" {ratio('exhaustive', name)} |"
            for name in ("exact", "exact, all of it", "fast", "fast, all of it")
        ),
        f"| plain beam | {spent('plain beam')} | {mean(r['plain evaluations'] for r in own):.0f} |"
        f" 1x | {ratio('exhaustive', 'plain beam')} |",
        f"| exhaustive | {spent('exhaustive')} | 4845 | - | 1x |",
        "",
        f"One picture with its I-GOS ranking, fast: {spent('one picture, fast')} of one thread.",
    ]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pictures", type=int, default=12)
    options.add_argument("--only", default="")
    options.add_argument("--kept", type=Path, default=Path("structure.jsonl"))
    asked = options.parse_args()
    torch.set_num_threads(1)
    lines = asked.kept.read_text("utf-8").splitlines() if asked.kept.exists() else []
    records = {record["job"]: record for record in map(json.loads, lines)}
    for name, work in jobs(asked.pictures):
        if asked.only in name and name not in records:
            records[name] = {"job": name, **work()}
            with asked.kept.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(records[name]) + "\n")
            (HERE / "STRUCTURE.md").write_text(table(records), "utf-8")
    (HERE / "STRUCTURE.md").write_text(table(records), "utf-8")


if __name__ == "__main__":
    main()
