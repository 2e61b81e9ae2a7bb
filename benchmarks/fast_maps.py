"""What does `precision="fast"` do to each map? Every method on three trained networks, bfloat16
forced where it would not pay.

Run it with `python benchmarks/fast_maps.py [--only WORD]`; it takes under ten minutes of one core
and writes `FAST.md` beside this file. It needs the folder of photographs and weights beside the
project. The error of a map is the length of the difference over the length of the exact one, before
clipping, of two photographs; methods that draw or iterate run with few draws. Each map is made in
bfloat16 whatever the start-up check says, and what the check would say stands beside it.
"""

import argparse
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

import sightline as sl
from heatmaps import DATA, NETWORKS, PHOTOGRAPHS, trained
from sightline import explainer
from sightline.errors import NotExplainable, SightlineWarning
from sightline.explainers.contract.admission import FAST_MAP
from sightline.network import execution
from sightline.network.folding import difference
from speed import HERE, machine, versions

METHODS: dict[str, dict[str, Any]] = {
    "ablation-cam": {},
    "ablation-cam of probability": {},
    "abs-cam": {"stage": "single"},
    "cam": {},
    "deconvnet": {},
    "eigen-cam": {},
    "fd-cam": {},
    "flip-average": {},
    "grad-cam": {},
    "grad-cam++": {},
    "gradient": {},
    "guided-backprop": {},
    "guided-grad-cam": {},
    "hires-cam": {},
    "igos": {"iterations": 5},
    "igos++": {"iterations": 5},
    "input-x-gradient": {},
    "integrated-gradients": {},
    "iterative-saliency": {"steps": 10},
    "layer-cam": {},
    "meaningful-perturbation": {"iterations": 10},
    "occlusion": {"window": 32, "stride": 16},
    "recipro-cam": {},
    "rise": {"masks": 256},
    "rollout": {},
    "score-cam": {"clusters": 64},
    "sess": {"scales": 2},
    "shap-cam": {"orders": 4},
    "smooth-grad": {"samples": 10},
    "smooth-map": {"samples": 4},
    "xgrad-cam": {},
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method on one network: the errors of its fast maps, none where it refuses the network;
    and the lower correlation."""

    method: str
    network: str
    errors: tuple[float, ...] = ()
    alike: float = 0.0


def measured(network: str) -> Iterator[Row]:
    """Each method on two photographs under one network."""
    exact, fast = trained(network), trained(network, "fast")
    if exact is None or fast is None:
        return
    images = exact.prepare([DATA / "imagenet" / "photos" / f"{n}.jpg" for n in PHOTOGRAPHS[:2]])
    for title, fields in METHODS.items():
        name, _, probability = title.partition(" of ")
        made = sl.create("explainer", name, **fields)
        target = sl.Top(probability=True) if probability else None
        try:
            whole, quick = (made(model, images, target) for model in (exact, fast))
        except NotExplainable:
            yield Row(method=title, network=network)
            continue
        pairs = [
            (h.values if h.native is None else h.native).double().flatten(1) for h in (whole, quick)
        ]
        away = (pairs[1] - pairs[0]).norm(dim=1) / pairs[0].norm(dim=1)
        alike = [
            float(torch.corrcoef(torch.stack(each))[0, 1]) for each in zip(*pairs, strict=True)
        ]
        errors = tuple(away.tolist())
        yield Row(method=title, network=network, errors=errors, alike=min(alike))


def logits_moved(network: str) -> float:
    """How far bfloat16 moves the logits of the first photograph, in parts of their spread."""
    exact, fast = trained(network), trained(network, "fast")
    if exact is None or fast is None:
        return float("nan")
    image = exact.prepare(DATA / "imagenet" / "photos" / f"{PHOTOGRAPHS[0]}.jpg")
    return difference(exact.outputs(image), fast.outputs(image))


def table(rows: list[Row]) -> str:
    """The rows as Markdown, a method a line."""
    names = list(dict.fromkeys(row.network for row in rows))
    lines = ["| method | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    logits = [f"{logits_moved(name):.0%}" for name in names]
    lines.append("| (logits, of their spread) | " + " | ".join(logits) + " |")
    for title in METHODS:
        found = {row.network: row for row in rows if row.method == title}
        if found:
            lines.append(f"| {title} | " + " | ".join(_cell(found.get(n)) for n in names) + " |")
    return "\n".join(lines)


def _cell(row: Row | None) -> str:
    if row is None or not row.errors:
        return "refused"
    error, first = max(row.errors), row.errors[0]
    if error < 1e-4:
        return "the exact one"  # gradients, or what does not run in bfloat16
    shown = f"{error:.1%}" if error < 10 else "another map"
    return f"{shown} ({row.alike:.3f})" + ("" if first <= FAST_MAP else " **runs exactly**")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a network, or a part of its name")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", SightlineWarning)
    torch.set_num_threads(1)
    execution.bfloat16_pays = lambda device: True  # the error is the same where it does not pay
    execution.FAST_TOLERANCE = float("inf")
    explainer.admitted = lambda model, *asked: model  # what would happen without the check
    started = time.process_time()
    rows: list[Row] = []
    for network in NETWORKS:
        if asked.only.lower() in network.lower():
            for row in measured(network):
                print(row, flush=True)
                rows.append(row)
    spent = time.process_time() - started
    text = "\n\n".join([HEAD, table(rows), f"{machine()} {versions()} {spent / 60:.1f} minutes."])
    print(text)
    if not asked.only:
        (HERE / "FAST.md").write_text(text + "\n")


HEAD = """# What `precision="fast"` does to maps

Written by `benchmarks/fast_maps.py`: the error of each method's map in bfloat16, in parts of the
length of the exact one, the worse of two photographs (and the lower correlation of both maps).

`precision="fast"` runs a network in bfloat16 where the processor gains by it, where its logits move
by less than a tenth of their spread, and, for gradients, where those of the layer agree (a cosine
above 0.99). Since that says little of a map, each method's first map of a network is made both
ways, and from then on the method runs in bfloat16 only where its map moved by at most a tenth of
its length; `provenance["ran_in"]` says what ran. That costs one exact and one fast map, once for a
method and a network: fast pays from the second or third picture on, and never for a single one.

The maps below were made in bfloat16 whatever the logits say. Cells with "runs exactly" are those
that the check of the first photograph turns down. The second photograph is not looked at and may
be further off than the first; methods that choose (clusters, where a search turns) do it in steps,
and their errors jump. "The exact one": gradients that were not admitted, or no use of bfloat16."""


if __name__ == "__main__":
    main()
