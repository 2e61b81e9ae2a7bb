"""How far chains of questions lead: accuracy against the number of questions, three orders.

`python benchmarks/chains.py` writes CHAINS.md and chains.png beside itself. The aviary's numbers
are those that the recipe measured and wrote beside the weights; a table and digits are measured
where the folder of shared data lies beside the project. `--only aviary` and so on measures
one section and keeps the others.
"""

import argparse
import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from sightline.artifact import WEIGHTS
from sightline.explainers.chain.knowledge import ExactTable, Knowledge, knowledge_of
from sightline.nets.query_vae import QueryNetwork
from sightline.ops.pursuit.questions import Questions
from sightline.recipes._chain_quality import ORDERS, curve, foresight
from sightline.recipes.query_chains import (
    ChainPlan,
    fixed_order,
    of_pictures,
    read_arrays,
    train,
)

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "shared" / "data"
KEPT = HERE / "chains.json"


def curves(knowledge: Knowledge, things: Any, order: Any, most: int) -> dict[str, list[float]]:
    """Accuracy after 0 to `most` questions, for each order."""
    found = {}
    for name in ORDERS:
        started = time.process_time()
        found[name] = curve(name, knowledge, things, order, most=most)
        print(name, [round(x, 3) for x in found[name]], f"{time.process_time() - started:.0f} s")
    return found


def aviary() -> dict[str, Any]:
    """Birds, answers read off the embedded network: what the recipe measured for its log."""
    log = json.loads((WEIGHTS / "aviary-questions.json").read_text())
    found = log["measured"]
    chains = {
        name: [None, *curve_.values()]
        for name, curve_ in found["trained"]["accuracy after questions"].items()
    }
    naive = found["naive Bayes, as long"]
    chains["naive Bayes, greedy"] = [
        None,
        *naive["accuracy after questions"]["information-pursuit"].values(),
    ]
    told = [found["trained"], naive]
    bits = [one["log probability of an answer"] for one in told]
    ends = [one["with the stop rules"] for one in told]
    return {
        "title": "The aviary: attributes read off `sightline:default`",
        "about": f"{log['measured_on']}; {log['classes']} species, {log['questions']} questions;"
        f" {log['sampling']['samples']} samples of z from {log['sampling']['chains']} chains for"
        f" each class. With the stop rules: {100 * ends[0]['accuracy']:.0f} % right after"
        f" {ends[0]['questions, mean']:.1f} questions on average ({100 * ends[1]['accuracy']:.0f} %"
        f" after {ends[1]['questions, mean']:.1f} with naive Bayes). Log probability of an answer:"
        f" {bits[0]:.4f} with z (a lower bound), {bits[1]:.4f} without. The reader is right about"
        f" {100 * log['answers_right']['birds']['mean']:.1f} % of the answers on birds of real"
        f" species and {100 * log['answers_right']['mixed birds']['mean']:.1f} % on birds whose"
        " parts are mixed"
        f" ({100 * log['answers_right']['mixed birds']['always the likelier answer']:.1f} % is what"
        " always giving the likelier answer reaches there).",
        "curves": chains,
    }


def animals() -> dict[str, Any]:
    """Animals with Attributes, a table in which each class is one row: exact."""
    place = DATA / "awa"
    names = [line.split()[-1] for line in (place / "classes.txt").read_text().splitlines() if line]
    text = (place / "predicate-matrix-binary.txt").read_text().splitlines()
    bits = torch.tensor([[float(v) for v in line.split()] for line in text if line.strip()])
    count = len(names)
    table = ExactTable.naive(torch.full((count,), 1 / count), bits, Questions.single(bits.shape[1]))
    things = (bits, torch.arange(count))
    order = fixed_order(table, bits, 15)
    return {
        "title": "Animals with Attributes: an exact table",
        "about": f"{count} animals, one row of true answers each, {bits.shape[1]} questions; no"
        f" chain can need fewer than log2({count}) = 5.6 questions on average.",
        "curves": curves(table, things, order, 12),
    }


def digits() -> dict[str, Any]:
    """Handwritten digits, asked for 3 x 3 patches of binary pictures, with a small VAE."""
    plan = ChainPlan(latent=16, width=256, steps=1500, held=0.1)
    grid = (28, 28)
    bits, labels, names = read_arrays(DATA / "digits" / "mnist_t10k.npz", grid)
    blueprint, things = of_pictures(plan, bits, labels, names, grid=grid)
    test = (things.test_bits, things.test_labels)
    told, found = {}, {}
    for name, print_ in (("z", blueprint), ("naive", replace(blueprint, latent=0))):
        vae = train(plan, print_, things)
        told[name] = foresight(vae, *test, draws=16)
        network = QueryNetwork(print_, vae)
        if name == "z":
            knowledge = knowledge_of(network, samples=32, chains=16)
            order = fixed_order(knowledge, things.bits[:12], 8)
            found = curves(knowledge, (test[0][:30], test[1][:30]), order, 8)
        else:
            exact = knowledge_of(network)
            chosen = curve("information-pursuit", exact, (test[0][:30], test[1][:30]), (), most=8)
            found["naive Bayes, greedy"] = chosen
    return {
        "title": "Digits: patches of 3 x 3 binary pixels",
        "about": "30 pictures of MNIST's test set that were held back from 9,000 of it; 676"
        " questions of 512 answers; a small VAE (z of 16, 1,500 steps), 32 samples from 16 chains."
        f" Log probability of a pixel: {told['z']:.4f} with z, {told['naive']:.4f} without.",
        "curves": found,
    }


SECTIONS = {"aviary": aviary, "animals": animals, "digits": digits}


def table(section: dict[str, Any]) -> list[str]:
    """A section as Markdown."""
    most = len(next(iter(section["curves"].values()))) - 1
    shown = [k for k in (1, 2, 3, 4, 5, 6, 8, 10, 12) if k <= most]
    lines = [f"## {section['title']}", "", section["about"], ""]
    lines += [f"| order | {' | '.join(f'{k}' for k in shown)} |", "|---" * (len(shown) + 1) + "|"]
    for name, curve_ in section["curves"].items():
        lines.append(f"| {name} | {' | '.join(f'{100 * curve_[k]:.0f}' for k in shown)} |")
    return [*lines, ""]


def picture(sections: list[dict[str, Any]], path: Path) -> None:
    """One panel for each section."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(3.6 * len(sections), 3.0), layout="constrained", facecolor="#fbfaf7")
    FigureCanvasAgg(drawn)
    styles = {
        ORDERS[0]: ("#0b6e8f", "-"),
        ORDERS[1]: ("#565b66", "--"),
        ORDERS[2]: ("#8b909c", ":"),
    }
    for ax, section in zip(
        drawn.subplots(1, len(sections), squeeze=False)[0], sections, strict=True
    ):
        for name, curve_ in section["curves"].items():
            colour, line = styles.get(name, ("#9a5b00", "-."))
            ax.plot(
                [float("nan") if x is None else 100 * x for x in curve_],
                color=colour,
                linestyle=line,
                label=name,
            )
        ax.set_title(section["title"].split(":")[0], fontsize=9, loc="left")
        ax.set_ylim(0, 102)
        ax.set_xlabel("questions", fontsize=8)
        ax.tick_params(labelsize=8)
        ax.grid(color="#e4e1da", linewidth=0.6)
        for spine in ax.spines.values():
            spine.set_visible(False)
    drawn.axes[0].set_ylabel("right, %", fontsize=8)
    for ax in drawn.axes:
        ax.legend(fontsize=7, frameon=False, loc="lower right")
    drawn.savefig(path, dpi=140)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=tuple(SECTIONS), action="append")
    parser.add_argument("--kept", type=Path, default=KEPT, help="what was measured before")
    given = parser.parse_args()
    torch.set_num_threads(1)
    kept: dict[str, Any] = json.loads(given.kept.read_text()) if given.kept.exists() else {}
    for name in given.only or SECTIONS:
        if name == "aviary" or DATA.is_dir():
            measured = SECTIONS[name]()
            kept = json.loads(given.kept.read_text()) if given.kept.exists() else {}
            kept[name] = measured
            given.kept.write_text(json.dumps(kept, indent=1) + "\n")
    sections = [kept[name] for name in SECTIONS if name in kept]
    head = [
        "# How far chains of questions lead",
        "",
        f"Written by `benchmarks/chains.py`, {datetime.now(UTC):%Y-%m-%d}; torch"
        f" {torch.__version__}. Percent of chains that are right after so many questions, whatever"
        " the stop rules say: `information-pursuit` asks what tells most given the answers so far,"
        " `fixed-chain` the same best questions of every picture, `random-chain` any (two orders,"
        " mean). `naive Bayes` is the same network without z, trained on the same things for as"
        " many steps.",
        "",
        "![accuracy against questions](chains.png)",
        "",
    ]
    (HERE / "CHAINS.md").write_text("\n".join([*head, *(r for s in sections for r in table(s))]))
    picture(sections, HERE / "chains.png")


if __name__ == "__main__":
    main()
