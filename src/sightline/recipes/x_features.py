"""Train x-features for classes of any model: `python -m sightline.recipes.x_features`.

Paper: Qi, Khorram and Li (2017-2020); the network and its loss are in
nets/sparse_reconstruction.py. `--label CLASS` (several times for several classes, which then share
a file) names what is explained, `--layer` what is read: by default the vector before the
classifier. `--data FOLDER` has one folder per class, with the class's name, or pictures without
labels, which are then sorted by the model's predictions. Without it, birds are drawn (`--birds N`
of each class) for a network that was trained on them. Every fifth picture is held out for the
measurements, which are written to the log beside the weights, with a control: a plain mean-square
autoencoder (no log, no pull-away) with the same pictures, first weights, batches and number of
steps. Pass the file as `weights` of `xnn`. An interrupted run starts again from the beginning.

Project definitions: hidden layers of 800 and 100, beta = 1, q = 10, eta = 1, Adam at 1e-3, weight
decay 1e-4, 200 epochs of batches of 128, the rate falling along a cosine; activations in units of
their spread, scores counted from the lowest of the training pictures; hard negatives, as many as
pictures of the class.
"""

import argparse
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import zoo
from ..errors import BadField, BadModel
from ..files.writing import write_bytes
from ..model import Model
from ..nets.sparse_reconstruction import (
    ReconstructionLoss,
    SparseReconstruction,
    pull_away,
    relative_errors,
)
from ..nets.x_features import RECIPE, X_FEATURES, XFeatureFacts, XFeatures, vector_layer
from ..ops.noise import generator
from ._command import (
    add_numbers,
    command,
    log_times,
    parser_of,
    place_for,
    stem_of,
    widths,
)
from ._x_pictures import ActivationSet, birds, photographs, read_vectors, strongest
from .saliency_masks import Clock

HELD = 5  # every fifth picture is for the measurements
KEPT, GIVEN_UP = 0.2, 0.8  # relative errors below and above which an activation counts as such
EXAMPLES = 6

log = logging.getLogger("sightline.x-features")


@dataclass(frozen=True, kw_only=True)
class XFeaturePlan:
    """How it is trained. negatives: pictures of other classes for each one of the class."""

    features: int = 5
    hidden: tuple[int, ...] = (800, 100)
    epochs: int = 200
    batch: int = 128
    rate: float = 1e-3
    decay: float = 1e-4
    negatives: float = 1.0
    seed: int = 0
    loss: ReconstructionLoss = field(default_factory=ReconstructionLoss)

    def __post_init__(self) -> None:
        if min(self.features, self.epochs, self.batch) < 1 or self.negatives <= 0:
            raise BadField("features, epochs and batch are 1 or more, negatives above 0.")

    @property
    def control(self) -> "XFeaturePlan":
        """The same length without the sparse log and the pull-away."""
        return replace(self, loss=replace(self.loss, concave=False, eta=0.0))


def learn(
    plan: XFeaturePlan, inputs: Tensor, scores: Tensor, what: str = ""
) -> SparseReconstruction:
    """The autoencoder of activations (picture, activation) and scores (picture,), both as they are;
    a step depends on the seed and its number alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        net = SparseReconstruction(inputs.shape[1], plan.features, plan.hidden)
    net.to(inputs.device)
    stepper = torch.optim.Adam(net.parameters(), lr=plan.rate, weight_decay=plan.decay)
    clock = Clock.start(what or "autoencoder", 0, plan.epochs)
    for epoch in range(plan.epochs):
        dice, loss = generator(plan.seed, f"epoch {epoch}"), scores.new_zeros(())
        for group in stepper.param_groups:
            group["lr"] = plan.rate * (1 + math.cos(math.pi * epoch / plan.epochs)) / 2
        for rows in torch.randperm(len(inputs), generator=dice, device="cpu").split(plan.batch):
            loss = plan.loss(net(inputs[rows]), inputs[rows], scores[rows])
            stepper.zero_grad()
            loss.backward()
            stepper.step()
            net.clamp_readout()
        clock.tick(epoch + 1, f"loss {loss.item():.4f}")
    return net.requires_grad_(False).eval()


def fitted(plan: XFeaturePlan, vectors: Tensor, scores: Tensor, what: str) -> SparseReconstruction:
    """The autoencoder that takes activations and gives scores in their own units."""
    mean, spread = vectors.mean(0), vectors.std(0)
    spread = torch.where(spread > 1e-6, spread, 1.0)
    offset, reach = float(scores.min()), float(scores.std().clamp(min=1e-6))
    net = learn(plan, (vectors - mean) / spread, (scores - offset) / reach, what)
    net.settle(mean, spread, offset, reach)
    return net


@torch.no_grad()
def measures(
    net: SparseReconstruction, seen: ActivationSet, rows: Tensor, index: int
) -> dict[str, Any]:
    """Faithfulness, sparsity of the reconstruction and orthogonality on pictures `rows`.

    r2: of the sum with the model's score. agreement: how often the model's answer "this class, or
    not" stays when the sum takes the score's place. kept, given_up: shares of the activations with
    a relative error below 0.2 and above 0.8. pull_away: PT; correlation: the mean squared
    correlation of two features. dead: features that are never active. active: features that are, a
    picture.
    """
    vectors, outputs = seen.vectors[rows], seen.outputs[rows]
    scores, found = outputs[:, index], net(vectors)
    missed = (scores - found.score).square().sum() / (scores - scores.mean()).square().sum()
    told = outputs.clone()
    told[:, index] = found.score
    same = (told.argmax(1) == index) == (outputs.argmax(1) == index)
    errors = relative_errors(found, net.scaled(vectors))
    alive = found.features[:, found.features.amax(0) > 0]
    return {
        "pictures": len(rows),
        "r2": _round(1 - missed),
        "error": _round((scores - found.score).square().mean().sqrt()),
        "agreement": _round(same.float().mean()),
        "kept": _round((errors < KEPT).float().mean()),
        "given_up": _round((errors > GIVEN_UP).float().mean()),
        "median_relative_error": _round(errors.median()),
        "pull_away": _round(pull_away(found.features)),
        "correlation": _round(_correlation(alive)),
        "dead": found.features.shape[1] - alive.shape[1],
        "active": _round((found.features > 0).float().sum(1).mean()),
    }


def _correlation(features: Tensor) -> Tensor:
    """The mean squared off-diagonal of the features' correlations."""
    count = features.shape[1]
    if count < 2:
        return torch.zeros((), dtype=torch.float32, device="cpu")
    away = features - features.mean(0)
    away = away / away.norm(dim=0).clamp(min=1e-8)
    squares = (away.T @ away).square()
    return (squares.sum() - squares.diagonal().sum()) / (count * (count - 1))


def _round(value: Tensor) -> float:
    return round(float(value), 4)


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainedXFeatures:
    """One class: its autoencoder, and what is told of it in the file and in the log."""

    net: SparseReconstruction
    label: str
    reached: dict[str, Any]
    control: dict[str, Any]
    examples: list[Any]


def train_class(plan: XFeaturePlan, seen: ActivationSet, index: int) -> TrainedXFeatures:
    """The x-features of a class and the control, measured on the same unseen pictures."""
    own, negatives = seen.hard(index, plan.negatives)
    test = torch.cat([own[HELD - 1 :: HELD], negatives[HELD - 1 :: HELD]])
    rows = torch.cat([own, negatives])
    rows = rows[~torch.isin(rows, test)]
    vectors, scores = seen.vectors[rows], seen.outputs[rows, index]
    label = seen.model.label(index)
    net = fitted(plan, vectors, scores, f"{label}, x-features")
    plain = fitted(plan.control, vectors, scores, f"{label}, control")
    both = torch.cat([rows, test])
    with torch.no_grad():
        values = net.encode(seen.vectors[both])
    reached, control = (measures(each, seen, test, index) for each in (net, plain))
    log.info("%s: %s; control: %s", label, reached, control)
    return TrainedXFeatures(
        net=net,
        label=label,
        reached={**reached, "trained_on": len(rows)},
        control=control,
        examples=strongest(seen, values, both, EXAMPLES),
    )


def run(
    plan: XFeaturePlan, seen: ActivationSet, classes: Sequence[int], out: Path
) -> dict[int, TrainedXFeatures]:
    """Train every class, write the weights and the log beside them."""
    model, reading = seen.model, seen.reading
    trained = {index: train_class(plan, seen, index) for index in dict.fromkeys(classes)}
    about = XFeatureFacts(
        layer=reading.layer,
        pool=reading.pool,
        size=seen.vectors.shape[1],
        features=plan.features,
        hidden=plan.hidden,
        digest=model.digest,
        model=model.name,
        classes={
            index: {"label": t.label, "reached": t.reached, "examples": t.examples}
            for index, t in trained.items()
        },
    )
    learned = XFeatures(about=about, nets={i: t.net for i, t in trained.items()})
    X_FEATURES.save(out, about, learned.tensors)
    facts = {
        "model": model.name,
        "weights_digest": model.digest,
        "layer": reading.layer,
        "pool": reading.pool,
        "activations": about.size,
        "data": seen.pictures.samples.name,
        "plan": asdict(plan),
        "control": "plain mean-square autoencoder of the same length, without the pull-away",
        "classes": {
            t.label: {"x-features": t.reached, "control": t.control, "examples": _named(t.examples)}
            for t in trained.values()
        },
        "versions": {"torch": torch.__version__},
    }
    write_bytes(out.with_suffix(".json"), (json.dumps(facts, indent=1) + "\n").encode())
    log.info("written: %s and its log", out)
    return trained


def _named(examples: Sequence[Sequence[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    """The examples without their thumbnails, which only the weights' file holds."""
    return [[{k: v for k, v in e.items() if k != "thumbnail"} for e in each] for each in examples]


def classes_of(model: Model, labels: Sequence[str]) -> list[int]:
    """Class numbers of labels or numbers; `all` is every class. Raises: UnknownName, BadModel."""
    count = model.anatomy.n_classes
    if not count:
        raise BadModel(f"{model.name} does not give one score for each class.")
    if list(labels) == ["all"]:
        return list(range(count))
    known = model.labels or []
    found = [int(t) if t not in known and t.isdecimal() else model.index(t) for t in labels]
    if wrong := [index for index in found if index >= count]:
        raise BadField(f"class {wrong[0]} does not exist: {model.name} has {count}.")
    return found


def options() -> argparse.ArgumentParser:
    """What may be said on the command line."""
    parser = parser_of(__doc__, RECIPE)
    add = parser.add_argument
    add("--model", default="sightline:default", help="a name for sightline.load")
    add("--layer", help="layer to read (default: the vector before the classifier)")
    add("--label", action="append", required=True, help="a class: its label or number; or all")
    add("--data", help="pictures with labels (a folder for each class), or without")
    birds_ = "drawn birds of each class, if there is no --data (default: 300)"
    add("--birds", type=int, default=300, metavar="N", help=birds_)
    out = (
        "file of weights to write (default: MODEL-x.safetensors); a log (.json) is written"
        " beside it"
    )
    add("--out", type=Path, help=out)
    plan = XFeaturePlan()
    add("--hidden", type=widths, help="widths of the hidden layers (default: 800,100)")
    told = {
        "features": "x-features of each class",
        "epochs": "passes over all pictures",
        "batch": "pictures per step",
        "seed": "seed of first weights and batches",
        "rate": "Adam's step",
        "decay": "weight decay",
        "negatives": "pictures of other classes per picture of the class",
    }
    add_numbers(parser, plan, **told)
    terms = {
        "beta": "weight of the reconstruction",
        "q": "sparsity of the reconstruction",
        "eta": "weight of the pull-away term",
    }
    add_numbers(parser, plan.loss, **terms)
    add("--threads", type=int, default=2, metavar="N", help="CPU threads (default: 2)")
    return parser


def main(given: Sequence[str] | None = None) -> None:
    """The command."""
    told = vars(options().parse_args(given))
    log_times()
    torch.set_num_threads(told["threads"])
    said = {k: v for k, v in told.items() if v is not None}
    loss = ReconstructionLoss(**{k: said[k] for k in ("beta", "q", "eta") if k in said})
    names = ("features", "epochs", "batch", "seed", "rate", "decay", "negatives", "hidden")
    plan = replace(XFeaturePlan(loss=loss), **{k: said[k] for k in names if k in said})
    out = place_for(told["out"] or Path(f"{stem_of(told['model'])}-x.safetensors"))
    model = zoo.load(told["model"])
    model.module.to("cuda" if torch.cuda.is_available() else "cpu")
    classes = classes_of(model, told["label"])
    data = told["data"]
    pictures = birds(model, classes, told["birds"]) if data is None else photographs(model, data)
    reading = vector_layer(
        model,
        pictures.batch(model, torch.tensor([0], device="cpu")).to(model.device),
        told["layer"],
    )
    run(plan, read_vectors(model, reading, pictures), classes, out)


if __name__ == "__main__":
    command(main)
