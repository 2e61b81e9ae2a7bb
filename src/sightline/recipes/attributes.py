"""Train a network to name attributes beside its class: `python -m sightline.recipes.attributes`.

A project definition, after the idea of Xu et al. (IEEE JSTSP 2020, arXiv:2009.13862; only the
abstract was available): L = CE(class) + lambda_a BCE(attributes) + lambda_f L_fg. The attribute
targets are in [0, 1]; each counts by its certainty, |2a - 1|, and a positive by #negative /
#positive of the training data, at most 10. L_fg = 1 - sum(M A) / sum(A), A the ReLU of the true
class's map with the class weights held fixed, M the object's mask or box; it is ramped up between
`warm_up` and twice that many steps. Deviations from the card: AdamW with a cosine instead of SGD at
1e-3, because runs here are short.

Every run comes with controls of the same length, seed, batches and mirrored pictures: the classes
alone, and the attributes without L_fg. With `--head-only` only an attribute head is trained,
without controls; pass its file as `weights` of `attribute-words`. Otherwise the file is a network;
load it as `attributes:FILE`. An interrupted run starts again from the beginning.
"""

import argparse
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from .. import zoo
from ..errors import BadField
from ..files.writing import write_bytes
from ..loading.attribute_files import NETWORKS, AttributeNetFacts
from ..model import Model
from ..nets.attributes import (
    HEADS,
    RECIPE,
    AttributeNet,
    Heads,
    Vocabulary,
    attribute_net,
)
from ..ops.noise import generator
from ..recipe import Recipe, fit
from ..registry import register
from ._attribute_data import GRID, AttributeSource, AttributeTensors, source_of
from ._attribute_losses import Answers, attribute_loss, class_loss, foreground_loss, positives
from ._attribute_measures import grounding, measured, usual
from ._attribute_stages import Still, front_and_back
from ._command import add_numbers, command, log_times, parser_of, place_for
from .saliency_masks import Clock

log = logging.getLogger("sightline.attributes")


class Remembering(nn.Module):
    """A network that is run once for all losses of a step."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.seen: tuple[Tensor, dict[str, Tensor]] | None = None

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        if self.seen is None or self.seen[0] is not images:
            self.seen = images, self.network(images)
        return self.seen[1]


@register("attributes", paper="arXiv:2009.13862")
@dataclass(frozen=True, kw_only=True)
class Attributes(Recipe):
    """Does training a network to name attributes too make it look more at the object?

    attribute_weight: lambda_a; 0 is the control, the classes alone. foreground_weight: lambda_f, 0
    or 0.1; it needs masks or boxes. warm_up: steps without L_fg, and as many again until it is
    whole. positive: each attribute's weight of a positive, 1 where it is empty (`positives` counts
    it). mirror: show half of the pictures mirrored. The labels of a batch are `Answers`, packed.

    Do not trust attributes that are copied from the class to its pictures: the head then learns the
    class under other names. Test it on pictures whose attributes differ from those of their class.
    """

    control: ClassVar[Mapping[str, Any]] = {"attribute_weight": 0.0, "foreground_weight": 0.0}

    attribute_weight: float = 1.0
    foreground_weight: float = 0.0
    warm_up: int = 50
    positive: tuple[float, ...] = ()
    mirror: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.attribute_weight < 0 or self.foreground_weight < 0 or self.warm_up < 0:
            raise BadField("attribute_weight, foreground_weight and warm_up cannot be negative.")

    def build(self, module: nn.Module) -> nn.Module:
        return Remembering(module)

    def augment(self, images: Tensor, labels: Tensor, step: int) -> tuple[Tensor, Tensor]:
        if not self.mirror:
            return images, labels
        dice = generator(self.seed, f"mirror, step {step}")
        turned = (
            torch.rand(len(images), generator=dice, dtype=torch.float32, device="cpu").to(
                images.device
            )
            < 0.5
        )
        images = torch.where(turned[:, None, None, None], images.flip(3), images)
        cells = labels[:, -GRID * GRID :].unflatten(1, (GRID, GRID))
        cells = torch.where(turned[:, None, None], cells.flip(2), cells)
        return images, torch.cat([labels[:, : -GRID * GRID], cells.flatten(1)], 1)

    def loss(self, module: nn.Module, images: Tensor, labels: Tensor, step: int) -> Tensor | None:
        answers, found = Answers.of(labels), module(images)
        terms = []
        if self.attribute_weight:
            weights = (
                torch.tensor(self.positive, dtype=torch.float32, device="cpu").to(labels)
                if self.positive
                else None
            )
            loss = attribute_loss(found["attributes"], answers.attributes, weights)
            terms.append(self.attribute_weight * loss)
        ramp = self.ramp(step)
        if self.foreground_weight and ramp:
            heads = next(m for m in module.modules() if isinstance(m, Heads))
            share = foreground_loss(found["maps"], heads.classes.weight, answers)
            terms.append(self.foreground_weight * ramp * share)
        return sum(terms[1:], terms[0]) if terms else None

    def ramp(self, step: int) -> float:
        """How much of L_fg counts at a step."""
        return 1.0 if not self.warm_up else min(max(step / self.warm_up - 1, 0.0), 1.0)

    def after_step(self, module: nn.Module, step: int) -> None:
        cast(Remembering, module).seen = None

    def finish(self, module: nn.Module) -> nn.Module:
        return cast(Remembering, module).network


@dataclass(frozen=True, kw_only=True)
class HeadPlan:
    """How it is trained. tune: how many of the backbone's last stages learn, None for all of it; a
    stage that does not learn runs once. fresh: start from random weights.
    """

    backbone: str = "sightline:default"
    fresh: bool = False
    tune: int | None = None
    epochs: int = 10
    batch: int = 32
    rate: float = 1e-3
    decay: float = 0.01
    attribute_weight: float = 1.0
    foreground_weight: float = 0.1
    warm_up: int = 50
    mirror: bool = True
    size: int | None = None

    def __post_init__(self) -> None:
        some = (n for n in (self.tune, self.size) if n is not None)
        if min(self.epochs, self.batch, *some) < 1 or self.rate <= 0 or self.decay < 0:
            raise BadField("epochs, batch, tune and size are 1 or more, rate is above 0.")


def arms(plan: HeadPlan, lessons: AttributeTensors, seed: int) -> dict[str, Attributes]:
    """The runs that are compared: the classes alone, with attributes, and with L_fg too."""
    both = Attributes(
        attribute_weight=plan.attribute_weight,
        warm_up=plan.warm_up,
        positive=positives(lessons.attributes),
        mirror=plan.mirror and plan.tune is None,  # maps of a mirrored picture are others
        seed=seed,
    )
    found = {"classes alone": replace(both, attribute_weight=0.0), "attributes": both}
    if lessons.masks is not None and plan.foreground_weight:
        full = replace(both, foreground_weight=plan.foreground_weight)
        found["attributes and foreground"] = full
    return found


def learn(
    plan: HeadPlan,
    network: nn.Module,
    lessons: tuple[Tensor, Tensor],
    recipe: Attributes,
    what: str = "attributes",
) -> nn.Module:
    """The network after `plan.epochs`; batches depend on the recipe's seed alone. lessons: inputs
    and packed labels. what: the run's name in the log."""
    inputs, labels = lessons
    count, steps = len(inputs), math.ceil(len(inputs) / plan.batch)
    clock = Clock.start(what, 0, plan.epochs)

    def epochs() -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
        for number in range(plan.epochs):
            if number:
                clock.tick(number)
            dice = generator(recipe.seed, f"epoch {number}")
            order = torch.randperm(count, generator=dice, device="cpu").split(plan.batch)
            yield ((inputs[part].float(), labels[part]) for part in order)

    def optimiser(module: nn.Module) -> tuple[torch.optim.Optimizer, Callable[[int], None]]:
        free = [p for p in module.parameters() if p.requires_grad]
        stepper = torch.optim.AdamW(free, lr=plan.rate, weight_decay=plan.decay)

        def schedule(step: int) -> None:
            done = step / (plan.epochs * steps)
            for group in stepper.param_groups:
                group["lr"] = plan.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)

        return stepper, schedule

    return fit(network, epochs(), optimiser, [recipe], base_loss=class_loss)


@dataclass(frozen=True, eq=False)
class TrainedHeads:
    """One arm: the whole network, and what it reached on pictures that it had not seen."""

    network: AttributeNet
    result: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Study:
    """What every arm and seed has in common: the network to begin with, and its pictures, as far
    into it as nothing learns.
    """

    plan: HeadPlan
    base: Model
    lessons: AttributeTensors
    exam: AttributeTensors
    shown: Tensor
    unseen: Tensor

    @classmethod
    def of(
        cls, plan: HeadPlan, base: Model, data: tuple[AttributeTensors, AttributeTensors]
    ) -> "Study":
        """data: to learn from, and to be examined on."""
        front: nn.Module = nn.Identity()
        if plan.tune is not None:
            net = attribute_net(base, len(data[0].labels), data[0].names, data[0].size)
            example = base_normal(base, data[0].images[:2])
            with base.unharmed():
                front = front_and_back(net, plan.tune, example)[0]
        shown, unseen = (_fronted(front, base, each.images) for each in data)
        return cls(plan, base, *data, shown, unseen)


def run(study: Study, seed: int) -> dict[str, TrainedHeads]:
    """Every arm with one seed, from the same first weights, on copies of the base's network."""
    plan, base, lessons, exam = study.plan, study.base, study.lessons, study.exam
    trained = {}
    for name, recipe in arms(plan, lessons, seed).items():
        begun = time.monotonic()
        own = Model(deepcopy(base.module), base.preprocess, base.labels, name=base.name)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = attribute_net(own, len(lessons.labels), lessons.names, lessons.size)
        learned: nn.Module = net
        if plan.tune is not None:
            example = base_normal(base, lessons.images[:2])
            learned = nn.Sequential(Still(front_and_back(net, plan.tune, example)[1]), net.heads)
        named = f"seed {seed}, {name}"
        learn(plan, learned, (study.shown, lessons.packed()), recipe, named)
        net.heads.usual.copy_(usual(lessons.attributes, lessons.classes, len(lessons.labels)))
        result = measured(learned, study.unseen, exam, lessons)
        seconds = round(time.monotonic() - begun, 1)
        log.info("%s: %s (%.0f s)", named, result, seconds)
        trained[name] = TrainedHeads(net.eval(), {**result, "seconds": seconds})
    return trained


def base_normal(model: Model, images: Tensor) -> Tensor:
    """The pictures as the bare network takes them."""
    return (images.float() - model.mean) / model.std


@torch.no_grad()
def _fronted(front: nn.Module, model: Model, images: Tensor) -> Tensor:
    return torch.cat([front(base_normal(model, part)).half() for part in images.split(32)])


def compared(plan: HeadPlan, source: AttributeSource, seeds: int, out: Path) -> dict[str, Any]:
    """All arms with all seeds; writes the first seed's last arm and the results beside it."""
    base = zoo.load(plan.backbone, pretrained=not plan.fresh)
    study, runs = Study.of(plan, base, source.lessons(base)), []
    lessons = study.lessons
    for seed in range(seeds):
        trained = run(study, seed)
        runs.append({"seed": seed, **{name: t.result for name, t in trained.items()}})
        if seed == 0:
            last = list(trained.values())[-1].network
            about = AttributeNetFacts.of(base, plan.backbone, last, lessons.labels, lessons.size)
            NETWORKS.save(out, about, last.state_dict())
    names = [name for name in runs[0] if name != "seed"]
    means = {name: _mean([r[name] for r in runs]) for name in names}
    facts = {"plan": asdict(plan), "data": source.told(), "runs": runs, "mean": means}
    write_bytes(out.with_suffix(".json"), (json.dumps(facts, indent=1) + "\n").encode())
    return facts


def _mean(results: list[dict[str, Any]]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for key in results[0]:
        values = [r[key] for r in results if r[key] is not None]
        found[key] = round(float(np.mean(values)), 4) if values else None
    return found


def head_only(
    model: Model, name: str, source: AttributeSource, plan: HeadPlan, out: Path
) -> dict[str, Any]:
    """An attribute head on a model that stays as it is; writes its file and what it reached."""
    lessons, exam = source.lessons(model)
    net = attribute_net(model, len(lessons.labels), lessons.names, lessons.size)
    with torch.no_grad(), model.unharmed():
        shown, unseen = (
            torch.cat([net.spatial(base_normal(model, p)) for p in data.images.split(32)])
            for data in (lessons, exam)
        )
    shown = shown.mean((2, 3), keepdim=True)  # the heads are linear behind this average
    recipe = Attributes(positive=positives(lessons.attributes), mirror=False)
    learn(plan, net.heads, (shown, lessons.packed()), recipe)
    net.heads.usual.copy_(usual(lessons.attributes, lessons.classes, len(lessons.labels)))
    result = measured(net.heads, unseen, exam, lessons)
    with torch.no_grad():
        heats = torch.einsum("kd,bdij->bkij", net.heads.attributes.weight, unseen)
    result |= grounding(heats, exam) if exam.places else {}
    words = Vocabulary(
        attributes=tuple(lessons.names),
        labels=tuple(lessons.labels),
        layer=net.layer,
        digest=model.digest,
        model=name,
    )
    HEADS.save(out, words, net.heads.tensors)
    facts = {"plan": asdict(plan), "data": source.told(), "reached": result}
    write_bytes(out.with_suffix(".json"), (json.dumps(facts, indent=1) + "\n").encode())
    return facts


def options() -> argparse.ArgumentParser:
    """What may be said on the command line."""
    parser = parser_of(__doc__, RECIPE)
    data, add = parser.add_mutually_exclusive_group(), parser.add_argument
    drawn = "number of drawn birds to train on (default: 700)"
    data.add_argument("--birds", type=int, metavar="N", help=drawn)
    columns = "CSV: image, class, one column per attribute; optional: split and x0, y0, x1, y1"
    data.add_argument("--table", type=Path, help=columns)
    data.add_argument("--cub", type=Path, help="the folder of CUB-200-2011, as published")
    add("--pictures", type=Path, help="the folder of the table's pictures (default: the table's)")
    begun = "a name for sightline.load (default: sightline:default)"
    add("--backbone", "--model", default="sightline:default", help=begun)
    add("--fresh", action="store_true", help="start from random weights")
    add("--tune", type=int, metavar="N", help="train only the last N stages (default: all)")
    still = "do not change the backbone; the file is for `weights` of attribute-words"
    add("--head-only", action="store_true", help=still)
    told = {
        "epochs": "passes over all pictures",
        "batch": "pictures per step",
        "size": "rows and columns of a drawn bird (default: the model's)",
        "warm_up": "steps without the foreground term, then the same number to ramp it up",
        "rate": "AdamW's step",
        "attribute_weight": "lambda_a",
        "foreground_weight": "lambda_f; it needs boxes or masks",
    }
    add_numbers(parser, HeadPlan(), **told)
    add("--seeds", type=int, default=1, metavar="N", help="runs, seeds from 0 on (default: 1)")
    out = "weights to write (default: attributes.safetensors), with a log (.json) beside them"
    add("--out", type=Path, default=Path("attributes.safetensors"), help=out)
    add("--threads", type=int, default=2, metavar="N", help="CPU threads (default: 2)")
    return parser


def main() -> None:
    """The command."""
    given = vars(options().parse_args())
    log_times()
    torch.set_num_threads(given["threads"])
    fields = HeadPlan.__dataclass_fields__
    plan = HeadPlan(**{k: v for k, v in given.items() if k in fields and v is not None})
    source, out = source_of(given, plan.size), place_for(given["out"])
    if given["head_only"]:
        head_only(zoo.load(plan.backbone), plan.backbone, source, plan, out)
    else:
        compared(plan, source, given["seeds"], out)
    log.info("written: %s and its log", out)


if __name__ == "__main__":
    command(main)
