"""What a masking network reached: its numbers beside those of masks that learned nothing."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..explanation import Heatmap
from ..files.writing import write_bytes
from ..metric import Case
from ..metrics.localisation.saliency import SaliencyMetric
from ..model import Model
from ..nets.mask_loss import MaskedBatch, MaskLoss, margins
from ..nets.masking import MASKS, MaskingNetwork
from ..ops.noise import generator
from ..ops.resize import resize
from ..target import Class
from ..worlds.aviary import Aviary

PICTURES = 280
SEED = 1001  # of test birds, which neither network has seen
CONFIDENCES = (0.0, 6.0)


@dataclass(frozen=True, eq=False)
class Exam:
    """Pictures, their classes, a wrong class for each, and the object's silhouette if known."""

    images: Tensor
    classes: Tensor
    fakes: Tensor
    silhouettes: Tensor | None = None  # (picture, row, col), bool


def birds_exam(count: int = PICTURES) -> Exam:
    """Birds from seeds of their own, with their silhouettes."""
    drawn = list(Aviary(seed=SEED, count=count, masks=True))
    images = torch.from_numpy(np.stack([bird.image for bird in drawn])).permute(0, 3, 1, 2)
    truth = torch.from_numpy(np.stack([bird.silhouette for bird in drawn]))
    return _exam(
        images.float() / 255, torch.tensor([bird.label for bird in drawn], device="cpu"), 14, truth
    )


def _exam(images: Tensor, classes: Tensor, count: int, truth: Tensor | None = None) -> Exam:
    away = torch.randint(
        1, count, classes.shape, generator=generator(0, "wrong classes"), device="cpu"
    )
    return Exam(images, classes, (classes + away) % count, truth)


@torch.no_grad()
def masks_of(
    network: MaskingNetwork, model: Model, images: Tensor, classes: Tensor, confidence: float
) -> Tensor:
    """Masks (picture, 1, row, col) of these classes, on the CPU."""
    found = []
    for rows in torch.arange(len(images), device="cpu").split(32):
        maps = network.blueprint.maps(model, images[rows].to(model.device))
        found.append(network(maps, classes[rows], confidence).cpu())
    return torch.cat(found)


def quality(model: Model, exam: Exam, masks: Tensor, real: bool = True) -> dict[str, float]:
    """Size, loss terms, what the classifier says of the kept and the cut pictures, the saliency
    metric, and the overlap with the silhouettes.
    """
    found: dict[str, list[Tensor]] = {"area": [masks.mean((1, 2, 3))]}
    for rows in torch.arange(len(masks), device="cpu").split(32):
        images, part = exam.images[rows].to(model.device), masks[rows].to(model.device)
        shown = MaskedBatch(
            images,
            exam.classes[rows].to(model.device),
            torch.tensor([real] * len(rows), device="cpu"),
        )
        dice = generator(0, f"quality {int(rows[0])}")
        _, terms = MaskLoss()(model, shown, part, dice)
        for name, value in terms.items():
            found.setdefault(f"{name}_term", []).append(value.cpu())
        for name, mask in (("kept", part), ("cut", 1 - part)):
            pictures = MaskLoss().hiding(model, images, mask, dice)
            with torch.no_grad():
                ahead = margins(model.trace(pictures).logits, shown.classes)
            found.setdefault(f"class_first_when_{name}", []).append((ahead < 0).float().cpu())
        heat = Heatmap(resize(part, images.shape[-2:])[:, 0])
        case = Case(model, images, Class(tuple(exam.classes[rows].tolist())), heat)
        found.setdefault("saliency_metric", []).append(SaliencyMetric()(case))
    if exam.silhouettes is not None:
        found |= {name: [value] for name, value in overlaps(masks, exam.silhouettes).items()}
    return {name: round(float(torch.cat(v).mean()), 4) for name, v in found.items()}


def overlaps(masks: Tensor, silhouettes: Tensor) -> dict[str, Tensor]:
    """With the true silhouettes: IoU of what is above a half, mass inside, highest point inside."""
    large = resize(masks, silhouettes.shape[-2:])[:, 0]
    above = large > 0.5
    both, either = (above & silhouettes).sum((1, 2)), (above | silhouettes).sum((1, 2))
    inside = (large * silhouettes).sum((1, 2)) / large.sum((1, 2)).clamp(min=1e-9)
    highest = large.flatten(1).argmax(1)[:, None]
    hit = silhouettes.flatten(1).gather(1, highest)[:, 0].float()
    return {"iou": both / either.clamp(min=1), "mass_inside": inside, "pointing": hit}


def blobs(areas: Tensor, size: tuple[int, int]) -> Tensor:
    """Discs in the middle, (picture, 1, row, col), each of its share of the picture."""
    rows, cols = (torch.linspace(-1, 1, n, dtype=torch.float32, device="cpu") for n in size)
    away = rows[:, None] ** 2 + cols[None] ** 2
    order = away.flatten().argsort().argsort().view(size)
    return (order < areas.view(-1, 1, 1) * order.numel()).float()[:, None]


def measured(model: Model, network: MaskingNetwork, exam: Exam) -> dict[str, Any]:
    """Numbers of the trained network, and of controls: untrained, and a blob of the same area."""
    found: dict[str, Any] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        untrained = MaskingNetwork(network.blueprint).to(model.device).eval()
    for confidence in CONFIDENCES:
        masks = masks_of(network, model, exam.images, exam.classes, confidence)
        wrong = masks_of(network, model, exam.images, exam.fakes, confidence)
        same = blobs((masks > 0.5).float().mean((1, 2, 3)), (masks.shape[2], masks.shape[3]))
        found[f"confidence {confidence:g}"] = {
            "trained": quality(model, exam, masks),
            "trained, wrong class": quality(model, exam, wrong, real=False),
            "centred blob of the same area": quality(model, exam, same),
        }
    masks = masks_of(untrained, model, exam.images, exam.classes, 0.0)
    found["untrained"] = quality(model, exam, masks)
    return {**found, "whole picture": quality(model, exam, torch.ones_like(masks))}


def write_log(
    out: Path,
    model: Model,
    batch: Callable[[Model, Tensor], Tensor],
    labels: Tensor,
    facts: dict[str, Any],
    *,
    birds: bool,
) -> None:
    """The log beside the weights `out`, measured on the file as it is read back."""
    network = MASKS.load(out, model)
    if birds:
        exam, told = birds_exam(), f"{PICTURES} birds of seed {SEED}, not seen in training"
    else:
        rows = torch.randperm(len(labels), generator=generator(0, "exam"), device="cpu")[:PICTURES]
        exam = _exam(batch(model, rows), labels[rows], network.blueprint.classes)
        told = f"{len(rows)} of the pictures it was trained on, without silhouettes"
    blueprint = network.blueprint
    record = {
        "name": out.stem,
        "classifier": blueprint.name,
        "weights_digest": blueprint.digest,
        "layers": blueprint.layers,
        "grids": blueprint.grids,
        "parameters": sum(p.numel() for p in network.parameters()),
        "measured_on": told,
        "measured": measured(model, network, exam),
        "versions": {"torch": torch.__version__},
        **facts,
    }
    write_bytes(out.with_suffix(".json"), (json.dumps(record, indent=1) + "\n").encode())
