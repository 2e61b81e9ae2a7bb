"""Train a query network for chains of questions: `python -m sightline.recipes.query_chains`.

Paper: Chattopadhyay et al., TPAMI 2022; the network and its loss are in nets/query_vae.py. Its
results are written beside its weights (recipes/_chain_quality.py), with a control: naive Bayes, the
same network without z, trained on the same data for the same number of steps.

Without options it trains for the embedded network and its drawn birds: first a linear concept
reader, on birds of real species and on mixed ones, whose parts are independent; then the VAE, on
the answers that the reader gives for other birds. `--folder` is pictures in folders by class,
`--arrays` an .npz with `images` and `labels`: their questions are binary patches. `--table` is a
CSV with a column `class` and a column of 0 and 1 for each question (attributes, words): its chains
need no picture. Pass the file as `weights` of `information-pursuit`. An interrupted run starts
again, with the birds already drawn. To use a network trained on a table in Python:

    from sightline.explainers.chain.knowledge import knowledge_of
    from sightline.nets.query_vae import QUESTIONS

    network = QUESTIONS.load(Path("pets-questions.safetensors"))
    chain = sightline.create("explainer", "information-pursuit").ask(
        knowledge_of(network), torch.tensor([[1.0, 0.0, 1.0]]), network.blueprint.order,
        questions=network.blueprint.questions, classes=network.blueprint.labels)

Steps and rate are project definitions; batch 128 and Adam the authors'.
"""

import argparse
import csv
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .. import zoo
from ..data.batches import ImageBatches
from ..errors import BadField, FileProblem
from ..explainers.chain.knowledge import Knowledge, knowledge_of
from ..model import Model
from ..nets.query_vae import (
    QUESTIONS,
    RECIPE,
    ConceptReader,
    QueryBlueprint,
    QueryNetwork,
    QueryVAE,
    pixels,
    pooled,
    query_loss,
)
from ..ops.noise import generator
from ..ops.pursuit.information import bayes, information
from ..ops.pursuit.questions import KnownBits
from . import _bird_questions as birds
from ._chain_quality import write_log
from ._command import add_numbers, command, log_times, parser_of, pictures_of, place_for, stem_of
from .saliency_masks import Clock

LAYERS = ("stage1", "stage2", "stage3")
BATCH = 64  # pictures at once

log = logging.getLogger("sightline.query-chains")


@dataclass(frozen=True, kw_only=True)
class ChainPlan:
    """How it is trained: Adam whose rate falls to nothing along a cosine.

    held: share of the things that are kept for the measurements. fixed: length of the fixed order,
    found on so many `things`.
    """

    steps: int = 3000
    batch: int = 128
    rate: float = 1e-3
    beta: float = 1.0
    latent: int = 100
    width: int = 512
    held: float = 0.2
    fixed: int = 15
    things: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.width) < 1 or self.latent < 0:
            raise BadField("steps, batch and width are 1 or more, latent 0 or more.")


SMALL = ChainPlan(latent=8, width=128, steps=2000)


@dataclass(frozen=True, eq=False)
class AnswerSplit:
    """Answers to learn from, bits (thing, bit) and a class each, and others to measure with."""

    bits: Tensor
    labels: Tensor
    test_bits: Tensor
    test_labels: Tensor

    @staticmethod
    def split(bits: Tensor, labels: Tensor, plan: ChainPlan) -> "AnswerSplit":
        order = torch.randperm(len(bits), generator=generator(plan.seed, "held"), device="cpu")
        count = max(1, round(plan.held * len(bits)))
        test, rest = order[:count], order[count:]
        return AnswerSplit(bits[rest], labels[rest], bits[test], labels[test])


def shares(labels: Tensor, classes: int) -> tuple[float, ...]:
    """Class frequencies, each smoothed by 0.1 / classes as in the authors' code."""
    counts = torch.bincount(labels, minlength=classes).double() + 0.1 / classes
    return tuple((counts / counts.sum()).tolist())


def train(plan: ChainPlan, blueprint: QueryBlueprint, things: AnswerSplit) -> QueryVAE:
    """The VAE of a blueprint; a step depends on the seed and its number alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        vae = QueryVAE(blueprint.bits, len(blueprint.labels), blueprint.latent, blueprint.width)
    stepper = torch.optim.Adam(vae.parameters(), lr=plan.rate)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(stepper, plan.steps)
    clock = Clock.start(f"z of {blueprint.latent}", 0, plan.steps)
    dice = generator(plan.seed, "query lessons")
    for step in range(plan.steps):
        rows = torch.randint(len(things.labels), (plan.batch,), generator=dice, device="cpu")
        noise = torch.randn(
            plan.batch, blueprint.latent, generator=dice, dtype=torch.float32, device="cpu"
        )
        loss = query_loss(vae, things.bits[rows], things.labels[rows], noise, plan.beta)
        stepper.zero_grad()
        loss.backward()
        stepper.step()
        slower.step()
        clock.tick(step + 1, f"loss {loss.item():.4f}")
    return vae.requires_grad_(False).eval()


def fixed_order(knowledge: Knowledge, bits: Tensor, length: int) -> tuple[int, ...]:
    """Questions in one order for all: at each step that of the highest mean information."""
    questions = knowledge.questions
    known = [KnownBits.nothing(bits.shape[1])] * len(bits)
    memory, belief = [knowledge.start()] * len(bits), [knowledge.prior] * len(bits)
    order: list[int] = []
    clock = Clock.start("fixed order", 0, length)
    for step in range(min(length, len(questions))):
        found = [knowledge.answers(k, m, step) for k, m in zip(known, memory, strict=True)]
        told = [information(a, b) for (a, _), b in zip(found, belief, strict=True)]
        mean = (torch.stack(told).mean(0) * 1e6).round()
        mean[order] = -torch.inf
        chosen = int(mean.argmax())
        order.append(chosen)
        for i, (answers, carried) in enumerate(found):
            said = questions.answer_code(bits[i], chosen)
            after = bayes(belief[i], answers[:, chosen, said])
            belief[i] = after if bool(after.isfinite().all()) else belief[i]
            known[i] = known[i].with_answers(bits[i], questions.reads[chosen])
            memory[i] = carried
        clock.tick(step + 1)
    return tuple(order)


def learn_reader(model: Model, layers: Sequence[str], lessons: Sequence[Any]) -> ConceptReader:
    """A logistic concept reader on the pooled maps of these layers, from (pictures, answers)."""
    features = torch.cat(
        [features_of(model, layers, pictures, rows) for pictures, rows, _ in lessons]
    )
    answers = torch.cat([truth for *_, truth in lessons])
    mean, spread = features.mean(0), features.std(0) + 1e-6
    scaled = (features - mean) / spread
    reader = ConceptReader(features.shape[1], answers.shape[1])
    torch.nn.init.zeros_(reader.linear.weight)
    torch.nn.init.zeros_(reader.linear.bias)
    stepper = torch.optim.Adam(reader.parameters(), lr=0.01)
    for _ in range(400):
        missed = functional.binary_cross_entropy_with_logits(reader.linear(scaled), answers)
        held_back = reader.linear.weight.square().sum() / answers.shape[1]
        stepper.zero_grad()
        (missed + 0.01 * held_back).backward()
        stepper.step()
    with torch.no_grad():  # as it reads maps that nobody has scaled
        reader.linear.weight.div_(spread)
        reader.linear.bias.sub_(reader.linear.weight @ mean)
    return reader.requires_grad_(False).eval()


def features_of(
    model: Model, layers: Sequence[str], pictures: ImageBatches, rows: Tensor
) -> Tensor:
    """Pooled maps (picture, feature) of drawn birds."""
    clock, parts = Clock.start("looking at birds", 0, len(rows)), []
    for part in rows.split(BATCH):
        with torch.no_grad():
            maps = model.trace(pictures.batch(model, part), read=tuple(layers)).maps
        parts.append(pooled([maps[layer] for layer in layers]).cpu())
        clock.tick(sum(map(len, parts)))
    return torch.cat(parts)


def of_birds(
    plan: ChainPlan, model: Model, folder: Path
) -> tuple[QueryBlueprint, AnswerSplit, Any, Any]:
    """The aviary: a third of the birds and all mixed ones teach the reader, the rest the VAE."""
    drawn, truth = birds.natural(birds.BIRDS, folder)
    odd, odd_truth = birds.mixed(birds.MIXED, folder)
    third = len(truth) // 3
    first, rest = torch.arange(third, device="cpu"), torch.arange(third, len(truth), device="cpu")
    lessons = [
        (drawn, first, truth[first]),
        (odd, torch.arange(len(odd_truth), device="cpu"), odd_truth),
    ]
    reader = learn_reader(model, LAYERS, lessons)

    def read(pictures: Any, rows: Tensor) -> Tensor:
        return (reader.linear(features_of(model, LAYERS, pictures, rows)) > 0).float()

    new, new_truth = birds.natural(birds.TEST, folder)
    some = torch.arange(560, device="cpu")
    things = AnswerSplit(read(drawn, rest), drawn.labels[rest], read(new, some), new.labels[some])
    mixed, mixed_truth = birds.mixed(birds.MIXED_TEST, folder)
    facts = {
        "birds": birds.right(things.test_bits, new_truth[some]),
        "mixed birds": birds.right(
            read(mixed, torch.arange(len(mixed_truth), device="cpu")), mixed_truth
        ),
    }
    labels = tuple(model.labels or ())
    blueprint = QueryBlueprint(
        labels=labels,
        prior=shares(things.labels, len(labels)),
        questions=tuple(birds.wording(*q) for q in birds.questions()),
        latent=plan.latent,
        width=plan.width,
        layers=LAYERS,
        digest=model.digest,
    )
    return blueprint, things, reader, facts


def of_pictures(
    plan: ChainPlan, bits: Tensor, labels: Tensor, names: Sequence[str], grid: tuple[int, int]
) -> tuple[QueryBlueprint, AnswerSplit]:
    """Binary pictures as bits, asked for patches."""
    things = AnswerSplit.split(bits, labels, plan)
    blueprint = QueryBlueprint(
        labels=tuple(names),
        prior=shares(things.labels, len(names)),
        grid=grid,
        latent=plan.latent,
        width=plan.width,
    )
    return blueprint, things


def of_table(plan: ChainPlan, path: Path) -> tuple[QueryBlueprint, AnswerSplit]:
    """A table of answers. Raises: FileProblem where it is none."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise FileProblem(f"{path} cannot be read as a table: {error}.") from None
    if not rows or "class" not in rows[0]:
        raise FileProblem(f"{path} has no column `class`; expected it and one for each question.")
    asked = tuple(name for name in rows[0] if name != "class")
    names = sorted({row["class"] for row in rows})
    if odd := {row[q] for row in rows for q in asked} - {"0", "1"}:
        raise FileProblem(f"{path} holds {sorted(map(str, odd))[0]!r}; expected 0 or 1.")
    bits = torch.tensor(
        [[float(row[q]) for q in asked] for row in rows], dtype=torch.float32, device="cpu"
    )
    labels = torch.tensor([names.index(row["class"]) for row in rows], device="cpu")
    things = AnswerSplit.split(bits, labels, plan)
    blueprint = QueryBlueprint(
        labels=tuple(names),
        prior=shares(things.labels, len(names)),
        questions=asked,
        latent=plan.latent,
        width=plan.width,
    )
    return blueprint, things


def read_arrays(path: Path, grid: tuple[int, int]) -> tuple[Tensor, Tensor, list[str]]:
    """Binary pictures, classes and their names, from an .npz. Raises: FileProblem."""
    try:
        with np.load(path) as held:
            images, labels = held["images"], held["labels"]
            names = held["classes"].tolist() if "classes" in held.files else None
    except (OSError, KeyError, ValueError) as error:
        raise FileProblem(f"{path} holds no `images` and `labels`: {error}.") from None
    grey = torch.from_numpy(images).float().flatten(3).mean(-1) if images.ndim == 4 else None
    grey = torch.from_numpy(images).float() if grey is None else grey
    classes = torch.from_numpy(labels).long()
    found = pixels(grey[:, None] / 255, grid)
    return found, classes, names or [str(i) for i in range(int(classes.max()) + 1)]


def read_folder(data: str, model: Model, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Binary pictures and classes of folders that are called as the model's classes are."""
    source = pictures_of(data, model)
    clock, parts = Clock.start("reading", 0, len(source.labels)), []
    for rows in torch.arange(len(source.labels), device="cpu").split(BATCH):
        parts.append(pixels(source.batch(model, rows), grid))
        clock.tick(int(rows[-1]) + 1)
    return torch.cat(parts), source.labels


def run(
    plan: ChainPlan, blueprint: QueryBlueprint, things: AnswerSplit, out: Path, **told: Any
) -> None:
    """Train it and its control, find the fixed order, write the weights and the log beside them."""
    reader = told.pop("reader", None)
    vae = train(plan, blueprint, things)
    sampling = {"samples": 64, "chains": 32}
    knowledge = knowledge_of(QueryNetwork(blueprint, vae), **sampling)
    order = fixed_order(knowledge, things.bits[: plan.things], plan.fixed)
    blueprint = replace(blueprint, order=order)
    QUESTIONS.save(out, blueprint, QueryNetwork(blueprint, vae, reader).tensors)
    plain = replace(blueprint, latent=0)
    control = QueryNetwork(plain, train(plan, plain, things))
    facts = {"plan": asdict(plan), "things": len(things.labels), **told}
    write_log(out, QUESTIONS.load(out), control, (things.test_bits, things.test_labels), facts)
    log.info("written: %s and its log", out)


def options() -> argparse.ArgumentParser:
    """What may be said on the command line."""
    parser = parser_of(__doc__, RECIPE)
    add = parser.add_argument
    add("--model", default="sightline:default", help="a name for sightline.load")
    add("--folder", metavar="DATA", help="pictures whose labels are the model's classes")
    add("--arrays", type=Path, help="an .npz with `images`, `labels` and optionally `classes`")
    add("--table", type=Path, help="a CSV with `class` and a column of 0 and 1 for each question")
    add("--side", type=int, default=28, help="rows and columns of binary pictures (default: 28)")
    drawn = "folder that keeps drawn birds for the next run (default: query-data)"
    add("--data", type=Path, default=Path("query-data"), help=drawn)
    out = (
        "file of weights to write (default: DATA-questions.safetensors); a log is written beside it"
    )
    add("--out", type=Path, help=out)
    told = {
        "steps": f"training steps; {SMALL.steps} for the drawn birds",
        "latent": f"dimensions of z; 0 is naive Bayes, {SMALL.latent} for the drawn birds",
        "width": f"width of the widest layer; {SMALL.width} for the drawn birds",
        "seed": "seed of all random numbers",
    }
    add_numbers(parser, ChainPlan(), **told)
    add("--threads", type=int, default=2, metavar="N", help="CPU threads (default: 2)")
    return parser


def main() -> None:
    """The command."""
    parser = options()
    given = parser.parse_args()
    log_times()
    torch.set_num_threads(given.threads)
    sources = [s for s in (given.folder, given.arrays, given.table) if s]
    if len(sources) > 1 or not (sources or given.model == "sightline:default"):
        parser.error("give one of --folder, --arrays and --table (none for the embedded network)")
    if given.side < 3:
        raise BadField(
            f"binary pictures are at least 3 x 3 for patches of 3 x 3; got {given.side}."
        )
    names = ("steps", "latent", "width", "seed")
    changes = {k: v for k in names if (v := getattr(given, k)) is not None}
    plan = replace(ChainPlan() if sources else SMALL, **changes)
    stem = stem_of(Path(str(sources[0])).stem) if sources else "aviary"
    out = place_for(given.out or Path(f"{stem}-questions.safetensors"))
    if given.table:
        blueprint, things = of_table(plan, given.table)
        told = {}
    elif sources:
        blueprint, things = of_pictures(plan, *_binary(given), (given.side, given.side))
        told = {}
    else:
        given.data.mkdir(parents=True, exist_ok=True)
        model = zoo.load(given.model)
        blueprint, things, reader, right = of_birds(plan, model, given.data)
        told = {"reader": reader, "answers_right": right}
    run(plan, blueprint, things, out, **told)


def _binary(given: argparse.Namespace) -> tuple[Tensor, Tensor, list[str]]:
    grid = (given.side, given.side)
    if given.arrays:
        return read_arrays(given.arrays, grid)
    model = zoo.load(given.model)
    bits, labels = read_folder(given.folder, model, grid)
    return bits, labels, model.labels or [str(i) for i in range(model.anatomy.n_classes)]


if __name__ == "__main__":
    command(main)
