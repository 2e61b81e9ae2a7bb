"""Adversarial training that keeps maps in place: `python -m sightline.recipes.steady_maps`.

The third defence against attacks on maps that the literature names (AdvEdge, arXiv:2211.15926;
details from memory, not confirmed). Its form is a project definition, similar to
interpretability-aware robust training (Boopathy et al., ICML 2020, arXiv:2006.14748, from memory):
L = CE(x) + lambda_a CE(x') + lambda_m mean |m(x) - m(x')|^2. x' is x after a few steps of PGD away
from its class (Madry et al., ICLR 2018), m the Grad-CAM of the true class at one layer, from 0 to
1, with gradients through both maps.

Every run comes with controls of the same length, seed, batches and first weights: plain training
(no term), and adversarial training without maps. Each network is tested on pictures that were not
used in training, and so is the network that all started from. Without `--folder` it trains on drawn
birds.
Two files are written: the weights of the last arm, for `file:OUT?arch=...` with the builder of the
model's network (`arch=sightline:default`), and the results of all networks. An interrupted run
starts again from the beginning.
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
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from .. import zoo
from ..attacks.pgd import PGD
from ..data.batches import ImageBatches, of_tensors
from ..errors import BadField
from ..explainers.cam.grad import GradCAM
from ..files.writing import write_bytes
from ..model import Model
from ..network.tracing.layouts import to_maps
from ..network.tracing.prefix_replay import Address, item_of
from ..ops.noise import generator
from ..ops.similarity import spearman, stretched
from ..recipe import Recipe, fit
from ..registry import register
from ..target import Class
from ..worlds.aviary import Aviary
from ._command import add_numbers, command, log_times, parser_of, pictures_of, place_for
from .saliency_masks import Clock

RECIPE = "python -m sightline.recipes.steady_maps"
LEARN, EXAM = 3001, 3002  # seeds of drawn birds that nothing else is trained or measured on

log = logging.getLogger("sightline.steady-maps")


class Natural(nn.Module):
    """A network that takes pictures in [0, 1], and the layer whose maps are to keep still."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, model: Model) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", model.mean.clone(), persistent=False)
        self.register_buffer("std", model.std.clone(), persistent=False)
        self.layer, self.layout = model.spatial, model.anatomy.layouts[model.spatial]

    def forward(self, images: Tensor) -> Tensor:
        return self.network((images - self.mean) / self.std)

    def mapped(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Scores, and the Grad-CAM (picture, row, col) of the labels with its graph."""
        seen: list[Tensor] = []

        def look(_: nn.Module, inputs: Any, output: Any) -> None:
            seen.append(item_of(output, spot, self.layer))

        spot = Address.of(self.layer)
        handle = self.network.get_submodule(spot.name).register_forward_hook(look)
        try:
            with sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative
                scores = self(images)
        finally:
            handle.remove()
        chosen = scores.gather(1, labels[:, None]).sum()
        (slope,) = torch.autograd.grad(chosen, seen[-1], create_graph=True)
        weights = to_maps(slope, self.layout).mean((2, 3), keepdim=True)
        return scores, (weights * to_maps(seen[-1], self.layout)).sum(1).relu()


@register("steady-maps", paper="arXiv:2006.14748 arXiv:1706.06083")
@dataclass(frozen=True, kw_only=True)
class SteadyMaps(Recipe):
    """Does a network trained to keep its maps stable under attack keep its class and its maps
    better?

    adversarial_weight: lambda_a. map_weight: lambda_m; 0 and 0 is plain training, 0 for the maps
    alone adversarial training. epsilon: largest change of a pixel value, in [0, 1], in `steps`
    steps. The module is a `Natural`.

    Do not trust it against attacks that it was not tested with. Stable maps are not necessarily
    correct maps.
    """

    control: ClassVar[Mapping[str, Any]] = {"adversarial_weight": 0.0, "map_weight": 0.0}

    adversarial_weight: float = 1.0
    map_weight: float = 1.0
    epsilon: float = 0.031
    steps: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.adversarial_weight < 0 or self.map_weight < 0 or self.epsilon < 0 or self.steps < 1:
            raise BadField("weights and epsilon are 0 or more, steps 1 or more.")

    def loss(self, module: nn.Module, images: Tensor, labels: Tensor, step: int) -> Tensor | None:
        if not self.adversarial_weight and not self.map_weight:
            return None
        moved = self.moved(module, images, labels, step)
        if not self.map_weight:
            return self.adversarial_weight * functional.cross_entropy(module(moved), labels)
        natural = cast(Natural, module)
        _, still = natural.mapped(images, labels)
        scores, found = natural.mapped(moved, labels)
        apart = (stretched(still) - stretched(found)).square().mean()
        attacked = functional.cross_entropy(scores, labels)
        return self.adversarial_weight * attacked + self.map_weight * apart

    def moved(self, module: nn.Module, images: Tensor, labels: Tensor, step: int) -> Tensor:
        """The pictures after `steps` steps away from their classes, from a random start."""
        dice = generator(self.seed, f"start, step {step}")
        start = (
            2
            * torch.rand(images.shape, generator=dice, dtype=torch.float32, device="cpu").to(images)
            - 1
        )
        found = (images + self.epsilon * start).clamp(0, 1)
        learning = module.training
        module.eval()
        for _ in range(self.steps):
            found.requires_grad_()
            loss = functional.cross_entropy(module(found), labels, reduction="sum")
            (slope,) = torch.autograd.grad(loss, found)
            found = found.detach() + 2.5 * self.epsilon / self.steps * slope.sign()
            found = images + (found - images).clamp(-self.epsilon, self.epsilon)
            found = found.clamp(0, 1).detach()
        module.train(learning)
        return found


@dataclass(frozen=True, kw_only=True)
class SteadyPlan:
    """How it is trained, and how the arms are examined: pictures of `exam`, `exam_steps` of PGD."""

    epochs: int = 3
    batch: int = 32
    rate: float = 5e-4
    decay: float = 0.01
    adversarial_weight: float = 1.0
    map_weight: float = 1.0
    epsilon: float = 0.031
    steps: int = 3
    exam: int = 140
    exam_steps: int = 20

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch, self.exam, self.exam_steps) < 1 or self.rate <= 0:
            raise BadField("epochs, batch, exam and exam-steps are 1 or more, rate is above 0.")


def arms(plan: SteadyPlan, seed: int) -> dict[str, SteadyMaps]:
    """The runs that are compared: plain, adversarial, and adversarial with the maps' term."""
    full = SteadyMaps(
        adversarial_weight=plan.adversarial_weight,
        map_weight=plan.map_weight,
        epsilon=plan.epsilon,
        steps=plan.steps,
        seed=seed,
    )
    alone = replace(full, map_weight=0.0)
    return {
        "plain": replace(full, **SteadyMaps.control),
        "adversarial": alone,
        "adversarial and maps": full,
    }


def learn(
    plan: SteadyPlan, model: Model, source: ImageBatches, recipe: SteadyMaps, what: str
) -> nn.Module:
    """A copy of the model's network after `plan.epochs`; batches depend on the seed alone. Half of
    the pictures are mirrored. Raises: NotExplainable for a model without a layer to read."""
    labels = source.labels
    steps = math.ceil(len(labels) / plan.batch)
    clock = Clock.start(what, 0, plan.epochs * steps)

    def epochs() -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
        for number in range(plan.epochs):
            dice = generator(recipe.seed, f"epoch {number}")
            yield batches(
                torch.randperm(len(labels), generator=dice, device="cpu").split(plan.batch), dice
            )

    def batches(
        parts: tuple[Tensor, ...], dice: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor]]:
        for part in parts:
            images = source.batch(model, part).to(model.device)
            turned = (
                torch.rand(
                    len(part), 1, 1, 1, generator=dice, dtype=torch.float32, device="cpu"
                ).to(images)
                < 0.5
            )
            yield torch.where(turned, images.flip(3), images), labels[part].to(images.device)

    def optimiser(module: nn.Module) -> tuple[torch.optim.Optimizer, Callable[[int], None]]:
        stepper = torch.optim.AdamW(module.parameters(), lr=plan.rate, weight_decay=plan.decay)

        def schedule(step: int) -> None:
            clock.tick(step)
            for group in stepper.param_groups:
                group["lr"] = plan.rate * (1 + math.cos(math.pi * step / clock.total)) / 2

        return stepper, schedule

    network = deepcopy(model.module).requires_grad_()
    natural = Natural(network, model).to(model.device)
    fit(natural, epochs(), optimiser, [recipe])
    return network.eval()


def examined(
    plan: SteadyPlan, model: Model, images: Tensor, classes: Tensor
) -> dict[str, float | None]:
    """What a network reaches on pictures that it was not trained on, as shares and means.

    accuracy: on the pictures. attacked: after PGD away from the class. maps: Spearman's rank
    correlation of Grad-CAM of the true class before and after. moved: the same where the class
    stayed, so that it is the map alone that moved. None where no picture has such a number.
    """
    attack, cam = PGD(epsilon=plan.epsilon, steps=plan.exam_steps), GradCAM()
    right, held, alike = [], [], []
    for image, index in zip(images.split(1), classes.tolist(), strict=True):
        image = image.to(model.device)
        away = attack(model, image, -Class(index))
        pair = torch.cat([image, away])
        before, after = (model.outputs(pair).argmax(1) == index).tolist()
        right.append(before)
        held.append(after)
        heat = cam.explain(model, pair, model.aim(pair, index)).values.detach()
        alike.append(float(spearman(heat[:1], heat[1:])))
    stayed = [a for a, ok in zip(alike, held, strict=True) if ok and not math.isnan(a)]
    known = [a for a in alike if not math.isnan(a)]
    return {
        "accuracy": round(float(np.mean(right)), 4),
        "attacked": round(float(np.mean(held)), 4),
        "maps": round(float(np.mean(known)), 4) if known else None,
        "moved": round(float(np.mean(stayed)), 4) if stayed else None,
    }


def drawn(seed: int, count: int) -> ImageBatches:
    """So many drawn birds, in memory."""
    birds = list(Aviary(seed=seed, count=count))
    images = torch.from_numpy(np.stack([bird.image for bird in birds])).permute(0, 3, 1, 2)
    labels = torch.tensor([bird.label for bird in birds], device="cpu")
    return of_tensors(images.float() / 255, labels)


def compared(
    plan: SteadyPlan, model: Model, data: tuple[ImageBatches, ImageBatches], seed: int, out: Path
) -> dict[str, Any]:
    """All arms from the same weights; writes the last one's weights and what all reached.

    data: to learn from, and to be examined on.
    """
    source, exam = data
    rows = torch.arange(min(plan.exam, len(exam.labels)), device="cpu")
    images, classes = exam.batch(model, rows), exam.labels[rows]
    found: dict[str, Any] = {"as it was": examined(plan, model, images, classes)}
    log.info("as it was: %s", found["as it was"])
    network = model.module
    for name, recipe in arms(plan, seed).items():
        begun = time.monotonic()
        network = learn(plan, model, source, recipe, name)
        own = Model(network, model.preprocess, model.labels, name=name)
        seconds = round(time.monotonic() - begun, 1)
        found[name] = {**examined(plan, own, images, classes), "seconds": seconds}
        log.info("%s: %s", name, found[name])
    state = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    save_file(state, out.with_suffix(".part"))
    out.with_suffix(".part").replace(out)
    facts = {
        "model": model.name,
        "plan": asdict(plan),
        "seed": seed,
        "pictures": len(source.labels),
        "exam": len(rows),
        "reached": found,
    }
    write_bytes(out.with_suffix(".json"), (json.dumps(facts, indent=1) + "\n").encode())
    return facts


def parted(source: ImageBatches, exam: int) -> tuple[ImageBatches, ImageBatches]:
    """Photographs to learn from and others to be examined on, a fifth at most. Raises: BadField
    where too few are left."""
    order = torch.randperm(
        len(source.labels), generator=generator(0, "parted"), device="cpu"
    ).tolist()
    cut = min(exam, len(order) // 5)
    if cut < 1:
        raise BadField(f"{len(order)} pictures are too few to hold some out for the test.")
    return source.take(order[cut:]), source.take(order[:cut])


def options() -> argparse.ArgumentParser:
    """What may be said on the command line."""
    parser = parser_of(__doc__, RECIPE)
    add = parser.add_argument
    add("--model", default="sightline:default", help="a name for sightline.load")
    add("--folder", metavar="DATA", help="pictures with labels, such as a folder for each class")
    add("--birds", type=int, default=2800, metavar="N", help="drawn birds (default: 2800)")
    told = {
        "epochs": "passes over all pictures",
        "batch": "pictures per step",
        "rate": "AdamW's step",
        "adversarial_weight": "lambda_a",
        "map_weight": "lambda_m",
        "epsilon": "largest change of a pixel value, in [0, 1]",
        "steps": "steps of PGD in training",
        "exam": "pictures in the test",
        "exam_steps": "steps of PGD in the test",
    }
    add_numbers(parser, SteadyPlan(), **told)
    out = (
        "file of weights to write (default: steady-maps.safetensors); a log (.json) is"
        " written beside it"
    )
    add("--out", type=Path, default=Path("steady-maps.safetensors"), help=out)
    add("--seed", type=int, default=0, metavar="N", help="seed of all random numbers (default: 0)")
    add("--threads", type=int, default=2, metavar="N", help="CPU threads (default: 2)")
    return parser


def main() -> None:
    """The command."""
    parser = options()
    given = vars(parser.parse_args())
    log_times()
    torch.set_num_threads(given["threads"])
    fields = SteadyPlan.__dataclass_fields__
    plan = SteadyPlan(**{k: v for k, v in given.items() if k in fields and v is not None})
    out, model = place_for(given["out"]), zoo.load(given["model"])
    model.module.to("cuda" if torch.cuda.is_available() else "cpu")
    if given["folder"] is not None:
        data = parted(pictures_of(given["folder"], model), plan.exam)
    elif model.labels == zoo.load("sightline:default").labels:
        data = drawn(LEARN, given["birds"]), drawn(EXAM, plan.exam)
    else:
        parser.error(f"{given['model']} was not trained on the drawn birds; give --folder")
    compared(plan, model, data, given["seed"], out)
    log.info("written: %s and its log", out)


if __name__ == "__main__":
    command(main)
