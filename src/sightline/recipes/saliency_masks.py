"""Train a masking network for a classifier: `python -m sightline.recipes.saliency_masks`.

Paper: Dabkowski and Gal, NIPS 2017; the loss of the authors' code, not of the paper (see
nets/mask_loss.py for both). Phase 1 learns the class selectors alone: is the class there? Phase 2
learns the up-blocks, with selectors of the true class and, for a share of the pictures, of a fake
one. Without `--folder` it trains for the embedded default network on drawn birds. Steps, batches
and rates are those of the authors' code; `SMALL` has those of the embedded masks: about 12 minutes
on one thread of a CPU. An interrupted run continues where it stopped; a step depends only on the
seed and its number.

Deviations: phase 1 needs only each picture's mean maps (evidence is linear in them), so they are
computed once and remembered, without augmentation; phase 2 mirrors half of the pictures.
"""

import logging
import math
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .. import zoo
from ..data.batches import ImageBatches
from ..model import Model
from ..nets.mask_loss import MaskedBatch, MaskLoss
from ..nets.masking import MASKS, MaskingBlueprint, MaskingNetwork
from ..ops.noise import generator
from ._command import command, log_times, parser_of, pictures_of, place_for, stem_of
from ._mask_quality import write_log
from .embedded import TRAIN, draw

CHUNK = 64  # pictures between two looks at the clock

log = logging.getLogger("sightline.saliency-masks")


@dataclass(frozen=True, kw_only=True)
class MaskPlan:
    """How it is trained; every default but `base` is that of the authors' scripts.

    decay: of the selectors. drop: steps between two tenfold drops of the selectors' rate. fakes:
    share of pictures shown with another class's selector in phase 2 (half in phase 1). cell: pixels
    of the picture per cell of the mask. half: compute in bfloat16 where a step allows it.
    """

    selector_steps: int = 8500
    selector_batch: int = 128
    selector_rate: float = 1e-3
    decay: float = 1e-4
    drop: int = 4000
    steps: int = 3000
    batch: int = 64
    rate: float = 1e-3
    fakes: float = 0.3
    base: int = 32
    cell: int = 4
    half: bool = True
    seed: int = 0
    loss: MaskLoss = field(default_factory=MaskLoss)


SMALL = MaskPlan(steps=800, batch=32)


@dataclass
class Clock:
    """Says how far a phase is and how long it will take, at most every few seconds."""

    what: str
    total: int
    begun: float
    first: int
    said: float = float("-inf")

    @classmethod
    def start(cls, what: str, first: int, total: int) -> "Clock":
        return cls(what, total, time.monotonic(), first)

    def tick(self, done: int, text: str = "") -> None:
        now = time.monotonic()
        if done < self.total and now - self.said < 10:
            return
        self.said = now
        left = (now - self.begun) / max(done - self.first, 1) * (self.total - done)
        log.info("%s: %d of %d, %.1f min left %s", self.what, done, self.total, left / 60, text)


def train(
    plan: MaskPlan, model: Model, source: ImageBatches, folder: Path, stop: int | None = None
) -> tuple[MaskingNetwork, list[dict[str, Any]]]:
    """The trained network and its history; goes on from the checkpoint in `folder`.

    `stop` ends phase 2 after so many steps, to be continued.
    """
    folder.mkdir(parents=True, exist_ok=True)
    example = source.batch(model, torch.tensor([0], device="cpu"))
    blueprint = MaskingBlueprint.of(
        model, (example.shape[2], example.shape[3]), plan.base, plan.cell
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        network = MaskingNetwork(blueprint).to(model.device)
    begun = folder / "selectors.pt"
    if begun.exists():
        network.embedding.data.copy_(torch.load(begun, weights_only=True))
    else:
        learn_selectors(plan, network, mean_maps(model, network, source, folder), source.labels)
        _keep(network.embedding.detach().cpu(), begun)
    return learn_masks(plan, network, model, source, folder / "masks.pt", stop)


def _keep(state: Any, path: Path) -> None:  # Any: what torch.save takes
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def mean_maps(model: Model, network: MaskingNetwork, source: ImageBatches, folder: Path) -> Tensor:
    """The coarsest maps' mean over places of each picture, (picture, filter)."""
    path = folder / "means.pt"
    known = (
        torch.load(path, weights_only=True)
        if path.exists()
        else torch.zeros(0, dtype=torch.float32, device="cpu")
    )
    parts = [known] if len(known) else []
    count = len(source.labels)
    clock, saved = Clock.start("phase 1, maps", len(known), count), time.monotonic()
    deepest = network.blueprint.read[0]
    for indices in torch.arange(len(known), count, device="cpu").split(CHUNK):
        with torch.no_grad():
            trace = model.trace(source.batch(model, indices), read=(deepest,))
        parts.append(trace.maps[deepest].mean((2, 3)).cpu())
        clock.tick(int(indices[-1]) + 1)
        if time.monotonic() - saved > 60:
            _keep(torch.cat(parts), path)
            saved = time.monotonic()
    _keep(torch.cat(parts), path)
    return torch.cat(parts)


def learn_selectors(plan: MaskPlan, network: MaskingNetwork, means: Tensor, labels: Tensor) -> None:
    """Phase 1: one embedding for each class, so that it tells whether the class is there."""
    clock = Clock.start("phase 1, selectors", 0, plan.selector_steps)
    stepper = torch.optim.Adam([network.embedding], lr=plan.selector_rate, weight_decay=plan.decay)
    dice = generator(plan.seed, "selectors")
    maps = means[:, :, None, None].to(network.embedding.device)
    for step in range(plan.selector_steps):
        for group in stepper.param_groups:
            group["lr"] = plan.selector_rate * 0.1 ** (step // plan.drop)
        indices = torch.randint(len(labels), (plan.selector_batch,), generator=dice, device="cpu")
        real = (
            torch.rand(plan.selector_batch, generator=dice, dtype=torch.float32, device="cpu") < 0.5
        )
        shown = selected(labels[indices], real, len(network.embedding), dice)
        logits = network.existence(maps[indices], shown)
        loss = functional.cross_entropy(logits, real.long().to(logits.device))
        stepper.zero_grad()
        loss.backward()
        stepper.step()
        clock.tick(step + 1, f"loss {loss.item():.4f}")


def selected(labels: Tensor, real: Tensor, classes: int, dice: torch.Generator) -> Tensor:
    """The class to select for each picture: its own where `real`, else any other."""
    other = (
        labels + torch.randint(1, classes, labels.shape, generator=dice, device="cpu")
    ) % classes
    return torch.where(real, labels, other)


def learn_masks(
    plan: MaskPlan,
    network: MaskingNetwork,
    model: Model,
    source: ImageBatches,
    path: Path,
    stop: int | None = None,
) -> tuple[MaskingNetwork, list[dict[str, Any]]]:
    """Phase 2: everything but the selectors, by what the classifier says of the masked pictures."""
    learned = [p for name, p in network.named_parameters() if name != "embedding"]
    stepper = torch.optim.Adam(learned, lr=plan.rate)
    history: list[dict[str, Any]] = []
    first = 0
    if path.exists():
        state = torch.load(path, map_location=model.device, weights_only=True)
        network.load_state_dict(state["network"])
        stepper.load_state_dict(state["stepper"])
        history, first = state["history"], state["step"]
    network.train()
    last = min(plan.steps, stop or plan.steps)
    clock, sums = Clock.start("phase 2, masks", first, plan.steps), Sums()
    for step in range(first, last):
        lesson = MaskStep(plan, model, network, source)
        loss, terms = lesson.loss(step)
        stepper.zero_grad()
        loss.backward()
        stepper.step()
        sums.add(terms)
        clock.tick(step + 1, sums.text())
        if (step + 1) % 100 == 0 or step + 1 == last:
            history.append({"step": step + 1, **sums.means()})
            sums = Sums()
            state = {"network": network.state_dict(), "stepper": stepper.state_dict()}
            _keep({**state, "history": history, "step": step + 1}, path)
    return network.eval(), history


@dataclass(frozen=True, eq=False)
class MaskStep:
    """One step of phase 2."""

    plan: MaskPlan
    model: Model
    network: MaskingNetwork
    source: ImageBatches

    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean loss of the step's batch, and each picture's terms."""
        plan, labels = self.plan, self.source.labels
        dice = generator(plan.seed, f"masks, step {step}")
        indices = (
            torch.randint(len(labels), (plan.batch,), generator=dice, device="cpu").sort().values
        )
        images = self.source.batch(self.model, indices).to(self.model.device)
        mirrored = (
            torch.rand(len(images), 1, 1, 1, generator=dice, dtype=torch.float32, device="cpu")
            < 0.5
        )
        images = torch.where(mirrored.to(images.device), images.flip(3), images)
        real = (
            torch.rand(len(images), generator=dice, dtype=torch.float32, device="cpu") >= plan.fakes
        )
        shown = selected(labels[indices], real, len(self.network.embedding), dice)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=plan.half):
            with torch.no_grad():
                maps = self.network.blueprint.maps(self.model, images)
            masks = self.network(maps, shown)
            true = labels[indices].to(images.device)
            found, terms = plan.loss(self.model, MaskedBatch(images, true, real), masks, dice)
        on = real.to(masks.device)
        sizes = masks.detach().mean((1, 2, 3))
        return found.mean(), {**terms, "mask": sizes[on], "fake mask": sizes[~on], "loss": found}


class Sums:
    """Means of terms over some steps."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = {}

    def add(self, terms: dict[str, Tensor]) -> None:
        for name, value in terms.items():
            if value.numel():
                self.values.setdefault(name, []).append(float(value.detach().float().mean()))

    def means(self) -> dict[str, float]:
        found = {name: math.fsum(v) / len(v) for name, v in self.values.items()}
        return {name: round(value, 4) for name, value in found.items()}

    def text(self) -> str:
        return ", ".join(f"{name} {value:.3f}" for name, value in self.means().items())


def run(plan: MaskPlan, model: Model, source: ImageBatches, data: Path, out: Path) -> None:
    """Train, measure, write the weights and the log beside them."""
    network, history = train(plan, model, source, data)
    MASKS.save(out, network.blueprint, network.state_dict())
    facts = {"plan": asdict(plan), "pictures": len(source.labels), "history": history}
    write_log(out, model, source.batch, source.labels, facts, birds=source.drawn)
    log.info("written: %s and its log", out)


def main() -> None:
    """The command."""
    parser = parser_of(__doc__, MASKS.recipe)
    add = parser.add_argument
    add("--model", default="sightline:default", help="a name for sightline.load")
    add("--folder", metavar="DATA", help="pictures with labels, such as a folder for each class")
    kept = (
        "folder for checkpoints, from which an interrupted run continues (default: saliency-data)"
    )
    add("--data", type=Path, default=Path("saliency-data"), help=kept)
    out = (
        "file of weights to write (default: MODEL-masks.safetensors); a log (.json) is"
        " written beside it"
    )
    add("--out", type=Path, help=out)
    add("--steps", type=int, metavar="N", help=f"steps of phase 2 (default: {MaskPlan().steps})")
    add("--batch", type=int, metavar="N", help="pictures per step of phase 2 (default: 64)")
    add("--seed", type=int, default=0, metavar="N", help="seed of all random numbers (default: 0)")
    add("--threads", type=int, default=2, metavar="N", help="CPU threads (default: 2)")
    given = parser.parse_args()
    log_times()
    torch.set_num_threads(given.threads)
    embedded = given.folder is None and given.model == "sightline:default"
    changes = {k: v for k in ("steps", "batch") if (v := getattr(given, k)) is not None}
    plan = replace(SMALL if embedded else MaskPlan(), seed=given.seed, **changes)
    out = place_for(given.out or Path(f"{stem_of(given.model)}-masks.safetensors"))
    model = zoo.load(given.model)
    model.module.to("cuda" if torch.cuda.is_available() else "cpu")
    if given.folder is not None:
        source = pictures_of(given.folder, model)
    elif model.labels == zoo.load("sightline:default").labels:
        given.data.mkdir(parents=True, exist_ok=True)
        source = draw(TRAIN, given.data)
    else:
        parser.error(f"{given.model} was not trained on the drawn birds; give --folder")
    run(plan, model, source, given.data, out)


if __name__ == "__main__":
    command(main)
