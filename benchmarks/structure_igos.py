"""igos++ against a straightforward implementation of its published schedule, and against heatmaps.

`python benchmarks/structure_igos.py speed --work FOLDER` measures seconds at equal objective,
`... quality --work FOLDER` deletion and insertion areas, `... page --work FOLDER` writes
`STRUCTURE_IGOS.md` beside this file. Each measurement is one line of JSON in the folder, so a run
that was stopped goes on where it was. It needs the folder of photographs and networks beside the
project. One thread, processor time of one process.
"""

import argparse
import csv
import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

import sightline as sl
from heatmaps import DATA, PHOTOGRAPHS, trained
from sightline.metric import Case
from sightline.ops.blur import gaussian_blur
from speed import machine, versions

HERE = Path(__file__).parent
NETWORKS = ("MobileNetV2", "DeiT-tiny")
PICTURES = 48
LONGEST = 60  # iterations in which ours has to get as low as the schedule
CELLS, STEPS = 28, 50
RISE_MASKS = 256
METHODS: dict[str, dict[str, Any]] = {
    "igos++": {},
    "grad-cam": {},
    "integrated-gradients": {},
    "rise": {"masks": RISE_MASKS},
    "igos": {},
    "meaningful-perturbation": {},
}


# the published schedule, written down plainly


@dataclass
class Straightforward:
    """iGOS++ as its schedule is published: one picture, 15 iterations, 20 points for each of four
    class terms, every search from a step of 1000 down by 0.2.

    through_noise: the search compares the class terms averaged over the noisy way, as the public
    code does; else at the mask itself and without noise. The network is the user's, its weights
    frozen; the objective is sightline's, with its half before the class terms.
    """

    net: torch.nn.Module
    class_index: int
    image: Tensor  # normalised, (1, 3, row, col)
    blurred: Tensor
    through_noise: bool
    iterations: int = 15
    points: int = 20

    def run(self) -> Tensor:
        """Both masks, (2, cell, cell)."""
        self.source = torch.Generator().manual_seed(0)
        masks = torch.ones(2, CELLS, CELLS)
        for _ in range(self.iterations):
            leaf = masks.clone().requires_grad_()
            self._class_terms(leaf, self.points, backward=True)
            self._regular(leaf).backward()
            direction = leaf.grad
            before, step = self._search_value(masks), 1000.0
            while step >= 1e-5:
                trial = (masks - step * direction).clamp(0, 1)
                wanted = before - step * 1e-4 * float(direction.square().sum())
                if self._search_value(trial) <= wanted:
                    break
                step *= 0.2
            masks = (masks - step * direction).clamp(0, 1)
        return masks

    def _search_value(self, masks: Tensor) -> float:
        with torch.no_grad():
            points = self.points if self.through_noise else 0
            return self._class_terms(masks, points, backward=False) + float(self._regular(masks))

    def _class_terms(self, masks: Tensor, points: int, *, backward: bool) -> float:
        """Half of D + D - I - I; over `points` of the way, or at its end for 0 of them."""
        total = 0.0
        for sign, keeps, chosen in (
            (0.5, True, (0,)),
            (0.5, True, (0, 1)),
            (-0.5, False, (1,)),
            (-0.5, False, (0, 1)),
        ):
            cover = self._upsampled(masks[list(chosen)]).prod(0)
            shares = (torch.arange(points) + 1) / points if points else torch.ones(1)
            covers = shares.view(-1, 1, 1, 1) * cover
            first, second = (self.image, self.blurred) if keeps else (self.blurred, self.image)
            pictures = first * covers + second * (1 - covers)
            if points:
                noise = torch.randn(pictures.shape, generator=self.source)
                pictures = pictures + 0.2 * noise
            score = sign * self.net(pictures).softmax(1)[:, self.class_index].mean()
            if backward:
                score.backward()
            total += float(score.detach())
        return total

    def _regular(self, masks: Tensor) -> Tensor:
        product = masks[0] * masks[1]
        shown = self._upsampled(product[None])[0]
        plain = (product.diff(dim=0) ** 2).mean() + (product.diff(dim=1) ** 2).mean()
        edges = 0.0
        for axis in (0, 1):
            weight = torch.exp(-(self.image[0].diff(dim=axis + 1) ** 2).mean(0) / 0.01)
            edges = edges + (weight * shown.diff(dim=axis) ** 2).mean()
        return (1 - product).abs().mean() + 20 * 0.5 * (plain + edges)

    def _upsampled(self, masks: Tensor) -> Tensor:
        size = self.image.shape[2:]
        return functional.interpolate(masks[None], size, mode="bilinear", align_corners=False)[0]


# equal objective


def measured(name: str, picture: str, opponent: str) -> dict[str, Any]:
    """Seconds of both, ours stopped at the first iteration that is as low as they ended."""
    model = trained(name)
    assert model is not None
    x = model.prepare([DATA / "imagenet" / "photos" / f"{picture}.jpg"])
    target = model.aim(x, None)
    ours = sl.create("explainer", "igos++", iterations=LONGEST, tolerance=0.0)
    quick = ours.fast()
    sl.create("explainer", "gradient")(model, x, target)
    for weight in model.module.parameters():
        weight.requires_grad_(False)
    mean, std = model.mean, model.std
    class_index = target.indices(1)[0]
    assert class_index is not None
    theirs = Straightforward(
        model.module.eval(),
        class_index,
        (x - mean) / std,
        (gaussian_blur(x, 51, 50.0) - mean) / std,
        through_noise=opponent == "published",
    )
    found: list[Tensor] = []
    spent = seconds(lambda: found.append(theirs.run()))
    reached = objective_of(ours, model, (x, target), found[0])
    curves = {"exact": ours(model, x, target), "fast": quick(model, x, target)}
    row: dict[str, Any] = {"network": name, "picture": picture, "opponent": opponent}
    row |= {"theirs": spent, "their objective": reached}
    row["start"] = float(curves["exact"].objective[0, 0])
    for label, heat in curves.items():
        low = (heat.objective[0] <= reached).nonzero()[:, 0].tolist()
        row[f"{label} at end"] = float(heat.objective[0, -1])
        if not low:
            continue
        base = ours if label == "exact" else quick
        fields = {"iterations": max(1, low[0]), "tolerance": 0.0}
        stopped = replace(base, **fields)  # type: ignore[type-var]
        row[f"{label} seconds"] = seconds(lambda e=stopped: e(model, x, target))
        row[f"{label} iterations"] = low[0]
    usual = sl.create("explainer", "igos++").fast()
    row["fast whole seconds"] = seconds(lambda: usual(model, x, target))
    return row


def objective_of(
    ours: sl.Explainer, model: sl.Model, aim: tuple[Tensor, Any], masks: Tensor
) -> float:
    """sightline's objective, without noise, of these masks."""
    x, target = aim
    objective = ours._objective(model, x, target.with_habit(True))  # type: ignore[attr-defined]
    return float(objective.value(1 - masks[None], torch.zeros(1, dtype=torch.long))[0])


def seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


# deletion and insertion areas


def cell_areas(model: sl.Model, x: Tensor, target: Any, heat: Tensor) -> dict[str, float]:
    """The card's areas: cells of 28 x 28 flipped in the order of the map (pooled to cells) in 50
    steps, the binary mask enlarged, the score's trapezoid over the share of cells.
    """
    cells = functional.adaptive_avg_pool2d(heat[None, None], CELLS).flatten()
    rank = cells.argsort(descending=True, stable=True).argsort()
    blurred = gaussian_blur(x, 51, 50.0)
    flipped = torch.linspace(0, CELLS**2, STEPS + 1).round()
    away = (rank < flipped[:, None]).float().view(-1, 1, CELLS, CELLS)
    away = functional.interpolate(away, x.shape[2:], mode="bilinear", align_corners=False)
    rows = torch.zeros(len(away), dtype=torch.long)
    aimed = target.with_habit(True)
    found = {}
    for name, start, end in (("deletion", x, blurred), ("insertion", blurred, x)):
        scores = model.scores(start + away * (end - start), aimed, rows=rows)
        found[f"cell {name}"] = float(torch.trapezoid(scores, flipped / CELLS**2))
    return found


def judged(model: sl.Model, picture: str, name: str) -> dict[str, Any]:
    x = model.prepare([DATA / "imagenet" / "photos" / f"{picture}.jpg"])
    target = model.aim(x, None)
    method = sl.create("explainer", name, **METHODS[name])
    if name in ("igos", "igos++"):
        method = method.fast()
    started = time.process_time()
    heat = method(model, x, target)
    row: dict[str, Any] = {"seconds": time.process_time() - started}
    case = Case(model, x, target, heat, method)
    for metric in ("deletion", "insertion"):
        row[metric] = float(sl.create("metric", metric)(case)[0])
    return row | cell_areas(model, x, target, heat.values[0])


# files


class Ledger:
    """Measurements as lines of JSON; a half-written last line is measured again."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.rows = path, list[dict[str, Any]]()
        for line in path.read_text("utf-8").splitlines() if path.exists() else ():
            try:
                self.rows.append(json.loads(line))
            except ValueError:
                continue

    def has(self, **key: str) -> bool:
        return any(all(row.get(k) == v for k, v in key.items()) for row in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(("" if self._whole() else "\n") + json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)

    def _whole(self) -> bool:
        held = self.path.read_bytes()
        return not held or held.endswith(b"\n")


def photographs(count: int) -> Iterator[str]:
    """The validation pictures first, then one training picture of each further class."""
    with (DATA / "imagenet" / "manifest.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    rows.sort(key=lambda row: row["ilsvrc_split"] != "val")
    seen: set[str] = set()
    for row in rows:
        if row["ilsvrc_split"] == "val" or row["index"] not in seen:
            seen.add(row["index"])
            yield Path(row["file"]).stem
        if (count := count - 1) == 0:
            return


def speed(work: Path) -> None:
    ledger = Ledger(work / "speed.jsonl")
    for opponent in ("noise-free search", "published"):
        for name in NETWORKS:
            for picture in PHOTOGRAPHS:
                key = {"network": name, "picture": picture, "opponent": opponent}
                if not ledger.has(**key):
                    ledger.add(measured(name, picture, opponent))


def quality(work: Path, count: int) -> None:
    ledger = Ledger(work / "quality.jsonl")
    models = {name: trained(name) for name in NETWORKS}
    for picture in photographs(count):
        for name, model in models.items():
            assert model is not None
            for method in METHODS:
                key = {"network": name, "picture": picture, "method": method}
                if not ledger.has(**key):
                    try:
                        ledger.add(key | judged(model, picture, method))
                    except sl.errors.NotExplainable as reason:
                        ledger.add(key | {"refused": str(reason)})


# the page

AREAS = {"deletion": -1, "insertion": 1, "cell deletion": -1, "cell insertion": 1}  # 1: high wins


def interval(values: list[float]) -> str:
    """The mean and the middle 95 % of the means of 10000 resamples of the pictures."""
    drawn = np.random.default_rng(0).integers(0, len(values), (10000, len(values)))
    low, high = np.quantile(np.asarray(values)[drawn].mean(1), (0.025, 0.975))
    return f"{np.mean(values):.3f} ({low:.3f} to {high:.3f})"


def speed_lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "| network | against | | wanted | their seconds over ours | reached | whole run |"
    yield "|---|---|---|---|---|---|---|"
    for key in dict.fromkeys((r["network"], r["opponent"]) for r in rows):
        part = [r for r in rows if (r["network"], r["opponent"]) == key]
        for label, wanted in (("exact", "8x"), ("fast", "-")):
            ratios = [r["theirs"] / r[f"{label} seconds"] for r in part if f"{label} seconds" in r]
            told = f"{median(ratios):.1f}x ({min(ratios):.1f}-{max(ratios):.1f})" if ratios else "-"
            whole = [r["fast whole seconds"] for r in part] if label == "fast" else []
            took = f"{min(whole):.0f} to {max(whole):.0f} s" if whole else ""
            reached = f"{len(ratios)} of {len(part)}"
            yield f"| {' | '.join(key)} | {label} | {wanted} | {told} | {reached} | {took} |"


def quality_lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    for name in dict.fromkeys(r["network"] for r in rows):
        part = [r for r in rows if r["network"] == name and "refused" not in r]
        by = {m: {r["picture"]: r for r in part if r["method"] == m} for m in METHODS}
        shared = set.intersection(*(set(found) for found in by.values()))
        if not shared:
            continue
        yield f"\n{name}, {len(shared)} photographs:\n"
        yield f"| method | {' | '.join(AREAS)} |"
        yield "|---|" + "---|" * len(AREAS)
        for method, found in by.items():
            cells = [interval([found[p][area] for p in sorted(shared)]) for area in AREAS]
            yield f"| {method} | {' | '.join(cells)} |"
        for other in list(METHODS)[1:]:
            gains = [
                interval([sign * (by["igos++"][p][a] - by[other][p][a]) for p in sorted(shared)])
                for a, sign in AREAS.items()
            ]
            yield f"| *igos++ better than {other} by* | {' | '.join(gains)} |"


def page(speeds: list[dict[str, Any]], qualities: list[dict[str, Any]]) -> str:
    return "\n".join(
        [
            "# What optimised masks cost and are worth",
            "",
            "Written by `benchmarks/structure_igos.py`. One thread, processor time of one process,"
            f" 28 x 28 cells. Machine: {machine()}. {versions()}.",
            "",
            "## Seconds at equal objective",
            "",
            "Ours is stopped at the first iteration whose objective, without noise, is at most what"
            " the straightforward implementation ended at, and may take more iterations than its"
            " default for that. *published*: its search compares scores averaged over the noisy"
            " way, as the public code does. *noise-free search*: the same with a search without"
            " noise, which is 20 times cheaper a trial. Medians, smallest and largest over the"
            " photographs; *whole run*: a fast run with the defaults.",
            "",
            *speed_lines(speeds),
            "",
            "## Deletion and insertion areas",
            "",
            "Top class, probability. *deletion*, *insertion*: the registered metrics, 32 steps of"
            " pixels; *cell*: 28 x 28 cells in 50 steps with the wide blur. Deletion wins low,"
            " insertion high. Means with 95 % bootstrap intervals over photographs (24 are"
            f" validation pictures); rise with at most {RISE_MASKS} masks, igos and igos++ fast.",
            *quality_lines(qualities),
            "",
        ]
    )


def main() -> None:
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("part", choices=("speed", "quality", "page"))
    asked.add_argument("--work", type=Path, required=True, help="folder of the measurements")
    asked.add_argument("--pictures", type=int, default=PICTURES)
    given = asked.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if given.part == "speed":
        speed(given.work)
    elif given.part == "quality":
        quality(given.work, given.pictures)
    else:
        both = (Ledger(given.work / f"{part}.jsonl").rows for part in ("speed", "quality"))
        (HERE / "STRUCTURE_IGOS.md").write_text(page(*both), "utf-8")


if __name__ == "__main__":
    main()
