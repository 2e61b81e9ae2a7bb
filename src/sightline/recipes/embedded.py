"""Train the networks that come with the package: `python -m sightline.recipes.embedded`.

Pictures are drawn once into files, then each network is trained on them; both steps go on where
they were interrupted. An epoch depends only on the seed and its number, so a resumed run gives the
same network. On a busy machine set OMP_WAIT_POLICY=PASSIVE: idle threads then do not spin.
"""

import argparse
import json
import logging
import math
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..artifact import WEIGHTS
from ..data.batches import ImageBatches
from ..nets.default import NAMES, build
from ..pictures.reading import Picture
from ..sample import Sample, Samples
from ..worlds.aviary import SPECIES, Aviary, Shortcut

MEAN, STD = (0.50, 0.52, 0.46), (0.22, 0.21, 0.24)
CHUNK = 140

log = logging.getLogger("sightline.embedded")


@dataclass(frozen=True)
class BirdSet:
    """Pictures for one purpose, drawn from seeds that no other purpose uses."""

    name: str
    seed: int
    count: int
    shortcut: Shortcut | None = None

    def file(self, folder: Path) -> Path:
        """Where its pictures lie, (picture, row, col, rgb) uint8."""
        return folder / f"{self.name}-{self.seed}-{self.count}.npy"

    def drawn(self, folder: Path, labels: Tensor) -> ImageBatches:
        """Its pictures from their file, with these classes."""
        images = np.load(self.file(folder), mmap_mode="r")

        def at(k: int) -> Sample:
            name = f"{self.name} {k}"
            return Sample(name=name, source=Picture(images[k], name), number=int(labels[k]))

        samples = Samples.counted(f"{len(images)} drawn birds", len(images), at, handed=True)
        return ImageBatches(samples=samples, labels=labels, drawn=True)


TRAIN = BirdSet("train", 1, 16800)
TRAIN_PLANTED = BirdSet("train-planted", 2, 5600, "planted")
TESTS = (
    BirdSet("test", 1001, 2800),
    BirdSet("test-planted", 1002, 1400, "planted"),
    BirdSet("test-random-mark", 1003, 1400, "random"),
)


@dataclass(frozen=True)
class NetworkPlan:
    """How one network is trained: the rate rises for `warm` epochs, the first `small` see 96 px."""

    net: str
    data: BirdSet
    epochs: int
    rate: float
    decay: float = 0.05
    batch: int = 64
    smoothing: float = 0.05
    small: int = 0
    warm: float = 1.35
    teacher: str | None = None
    borrowed: tuple[str, ...] = ()  # layers that are the teacher's and stay as they are
    seed: int = 0


EARLY = ("stem", "stage1", "stage2")
PLANS = {
    "default": NetworkPlan("default", TRAIN, epochs=6, rate=3e-3, small=3),
    "clever-hans": NetworkPlan(
        "clever-hans", TRAIN_PLANTED, epochs=6, rate=3e-3, small=3, warm=0.9
    ),
    "default-vit": NetworkPlan(
        "default-vit", TRAIN, epochs=5, rate=1.5e-3, warm=0.6, teacher="default", borrowed=EARLY
    ),
}


def draw(birds: BirdSet, folder: Path, workers: int = 2) -> ImageBatches:
    """The birds, from their file if that is complete; 0 workers draw in this process."""
    aviary = Aviary(seed=birds.seed, count=birds.count, shortcut=birds.shortcut)
    names = [species.name for species in SPECIES]
    labels = torch.tensor(
        [names.index(aviary.scene(i).species) for i in range(birds.count)], device="cpu"
    )
    path = birds.file(folder)
    if not path.exists():
        part, shape = path.with_suffix(".part"), (birds.count, aviary.size, aviary.size, 3)
        images = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
        starts, chunk = range(0, birds.count, CHUNK), partial(_draw_chunk, aviary)
        with get_context("spawn").Pool(workers) if workers else nullcontext() as pool:
            drawn = map(chunk, starts) if pool is None else pool.imap(chunk, starts)
            for start, pictures in zip(starts, drawn, strict=True):
                images[start : start + len(pictures)] = pictures
                log.info("%s: %d of %d pictures drawn", birds.name, start, birds.count)
        images.flush()
        part.replace(path)
    return birds.drawn(folder, labels)


def _draw_chunk(aviary: Aviary, start: int) -> np.ndarray:
    return np.stack([aviary[i].image for i in range(start, min(start + CHUNK, len(aviary)))])


def normalise(images: Tensor) -> Tensor:
    """uint8 to what the networks take."""
    mean, std = (
        torch.tensor(MEAN, dtype=torch.float32, device="cpu")[:, None, None],
        torch.tensor(STD, dtype=torch.float32, device="cpu")[:, None, None],
    )
    scaled = images.float() / 255
    return ((scaled - mean) / std).contiguous(memory_format=torch.channels_last)


def augment(images: Tensor, dice: torch.Generator) -> Tensor:
    """Shift, mirror, change light and colour, hide a small box: each image by its own draw."""
    count, _, size, _ = images.shape
    shift = torch.randint(-6, 7, (2, count, 1), generator=dice, device="cpu")
    steps = torch.arange(size, device="cpu")[None]
    mirrored = torch.rand(count, 1, generator=dice, dtype=torch.float32, device="cpu") < 0.5
    rows = (steps + shift[0]).clamp(0, size - 1)
    cols = (torch.where(mirrored, steps.flip(1), steps) + shift[1]).clamp(0, size - 1)
    which = torch.arange(count, device="cpu")[:, None, None]
    images = images.permute(0, 2, 3, 1)[which, rows[:, :, None], cols[:, None, :]].permute(
        0, 3, 1, 2
    )
    gain = (
        1
        + 0.10 * torch.randn(count, 1, 1, 1, generator=dice, dtype=torch.float32, device="cpu")
        + 0.05 * torch.randn(count, 3, 1, 1, generator=dice, dtype=torch.float32, device="cpu")
    )
    light = 0.08 * torch.randn(count, 1, 1, 1, generator=dice, dtype=torch.float32, device="cpu")
    out = normalise(images) * gain + light
    corner = torch.randint(0, size, (2, count), generator=dice, device="cpu")
    extent = torch.randint(8, 28, (2, count), generator=dice, device="cpu")
    for i in (
        torch.nonzero(torch.rand(count, generator=dice, dtype=torch.float32, device="cpu") < 0.3)
        .flatten()
        .tolist()
    ):
        (row, col), (high, wide) = corner[:, i].tolist(), extent[:, i].tolist()
        out[i, :, row : row + high, col : col + wide] = torch.randn(
            3, 1, 1, generator=dice, dtype=torch.float32, device="cpu"
        )
    return out


def train(
    plan: NetworkPlan,
    pictures: ImageBatches,
    teacher: nn.Module | None,
    folder: Path,
    stop: int | None = None,
) -> tuple[nn.Module, list[dict[str, Any]]]:
    """The trained network and one log entry per epoch; goes on from the last checkpoint.

    `stop` ends it after so many epochs, to be continued.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(plan.seed)
    module = build(plan.net, len(SPECIES)).to(device)
    module = module.to(memory_format=torch.channels_last)
    if teacher is not None:
        _borrow(plan, module, teacher)
    optimiser = torch.optim.AdamW(_groups(module, plan.decay), lr=plan.rate, betas=(0.9, 0.98))
    history: list[dict[str, Any]] = []
    saved = folder / f"{plan.net}.checkpoint.pt"
    if saved.exists():
        state = torch.load(saved, map_location=device, weights_only=True)
        module.load_state_dict(state["module"])
        optimiser.load_state_dict(state["optimiser"])
        history = state["history"]
    lesson = EmbeddedTraining(plan, module, optimiser, pictures, teacher)
    for number in range(len(history), min(plan.epochs, stop or plan.epochs)):
        history.append(lesson.epoch(number))
        log.info("%s: %s", plan.net, history[-1])
        state = {"module": module.state_dict(), "optimiser": optimiser.state_dict()}
        torch.save({**state, "history": history}, saved.with_suffix(".part"))
        saved.with_suffix(".part").replace(saved)
    return module.eval(), history


def _borrow(plan: NetworkPlan, module: nn.Module, teacher: nn.Module) -> None:
    for layer in plan.borrowed:
        mine, theirs = module.get_submodule(layer), teacher.get_submodule(layer).state_dict()
        mine.load_state_dict({name: theirs[name] for name in mine.state_dict()})
        mine.requires_grad_(False)


def _groups(module: nn.Module, decay: float) -> list[dict[str, Any]]:
    learned = [p for p in module.parameters() if p.requires_grad]
    matrices, vectors = [p for p in learned if p.ndim > 1], [p for p in learned if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]


@dataclass(frozen=True)
class EmbeddedTraining:
    """A network, what it learns from, and how."""

    plan: NetworkPlan
    module: nn.Module
    optimiser: torch.optim.Optimizer
    pictures: ImageBatches
    teacher: nn.Module | None

    def epoch(self, number: int) -> dict[str, Any]:
        """One pass over the pictures and its log entry."""
        plan, begun = self.plan, time.monotonic()
        dice = torch.Generator().manual_seed(1000 * plan.seed + number)
        order = torch.randperm(len(self.pictures.labels), generator=dice, device="cpu")
        steps = len(order) // plan.batch
        self.module.train()
        for layer in plan.borrowed:
            self.module.get_submodule(layer).eval()
        losses, right = 0.0, 0
        for step in range(steps):
            indices = order[step * plan.batch : (step + 1) * plan.batch].sort().values
            images = augment(self.pictures.pixels(indices), dice)
            if number < plan.small:
                images = functional.interpolate(images, size=96, mode="bilinear", antialias=True)
            for group in self.optimiser.param_groups:
                group["lr"] = plan.rate * _rate(plan, number + step / steps)
            loss, hits = self.step(images, self.pictures.labels[indices])
            losses, right = losses + loss, right + hits
            if step % 50 == 49:
                log.info(
                    "%s: epoch %d step %d: %.3f",
                    plan.net,
                    number + 1,
                    step + 1,
                    losses / (step + 1),
                )
        return {
            "epoch": number + 1,
            "loss": round(losses / steps, 4),
            "train_accuracy": round(right / (steps * plan.batch), 4),
            "seconds": round(time.monotonic() - begun),
        }

    def step(self, images: Tensor, labels: Tensor) -> tuple[float, int]:
        """Learn from one batch; the loss and how many were right."""
        device = next(self.module.parameters()).device
        images, labels = images.to(device), labels.to(device)
        with torch.autocast(device.type, torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            scores = self.module(images).float()
        loss = functional.cross_entropy(scores, labels, label_smoothing=self.plan.smoothing)
        if self.teacher is not None:
            with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
                wanted = self.teacher(images).float()
            loss = 0.5 * loss + 0.5 * _distance(scores, wanted)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), 2.0)
        self.optimiser.step()
        return loss.item(), int((scores.argmax(1) == labels).sum())


def _distance(scores: Tensor, wanted: Tensor, heat: float = 2.0) -> Tensor:
    """Divergence from the teacher's softened answer (Hinton et al., arXiv:1503.02531)."""
    given, aim = functional.log_softmax(scores / heat, 1), functional.softmax(wanted / heat, 1)
    return heat**2 * functional.kl_div(given, aim, reduction="batchmean")


def _rate(plan: NetworkPlan, epoch: float) -> float:
    """One cycle: up in a line, down in a cosine."""
    if epoch < plan.warm:
        return 0.05 + 0.95 * epoch / plan.warm
    done = (epoch - plan.warm) / (plan.epochs - plan.warm)
    return 0.002 + 0.998 * (1 + math.cos(math.pi * done)) / 2


@torch.no_grad()
def accuracy(module: nn.Module, pictures: ImageBatches) -> float:
    """Share of pictures whose species comes first, computed in float32 as users will run it."""
    right = 0
    for indices in torch.arange(len(pictures.labels), device="cpu").split(100):
        scores = module(normalise(pictures.pixels(indices)))
        right += int((scores.argmax(1) == pictures.labels[indices]).sum())
    return right / len(pictures.labels)


def export(
    plan: NetworkPlan,
    module: nn.Module,
    history: list[dict[str, Any]],
    scores: dict[str, float],
    out: Path,
) -> None:
    """Weights and training log, written beside each other."""
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().contiguous() for name, value in module.state_dict().items()}
    save_file(weights, out / f"{plan.net}.part")
    (out / f"{plan.net}.part").chmod(0o644)
    (out / f"{plan.net}.part").replace(out / f"{plan.net}.safetensors")
    record = {
        "name": plan.net,
        "labels": [species.name for species in SPECIES],
        "size": 128,
        "mean": MEAN,
        "std": STD,
        "accuracy": scores,
        "plan": asdict(plan),
        "tests": [asdict(test) for test in TESTS],
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "epochs": history,
    }
    (out / f"{plan.net}.json").write_text(json.dumps(record, indent=1) + "\n")


def run(net: str, data: Path, out: Path) -> None:
    """Draw what is missing, train, measure, write."""
    plan = PLANS[net]
    data.mkdir(parents=True, exist_ok=True)
    teacher = None
    if plan.teacher is not None:
        teacher, _ = train(PLANS[plan.teacher], draw(PLANS[plan.teacher].data, data), None, data)
    module, history = train(plan, draw(plan.data, data), teacher, data)
    module = module.cpu().to(memory_format=torch.contiguous_format)
    scores = {test.name: round(accuracy(module, draw(test, data)), 4) for test in TESTS}
    log.info("%s: accuracy %s", net, scores)
    export(plan, module, history, scores, out)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--net", choices=[*NAMES, "all"], default="all")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("embedded-data"),
        help="folder for drawn pictures and checkpoints",
    )
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder for weights and logs")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(given.threads)
    for net in NAMES if given.net == "all" else (given.net,):
        run(net, given.data, given.out)


if __name__ == "__main__":
    main()
