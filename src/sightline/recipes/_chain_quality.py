"""What a query network reached: how well it foresees answers, and how far its chains lead."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import registry
from ..explainers.chain.knowledge import Knowledge, knowledge_of
from ..explanations.chain import Chain
from ..files.writing import write_bytes
from ..nets.query_vae import QueryNetwork, QueryVAE
from ..ops.noise import generator

ORDERS = ("information-pursuit", "fixed-chain", "random-chain")
QUICK = {"samples": 128, "chains": 32}
ENDLESS = {"sure": 1.0, "patience": 10**6, "least": 0.0}  # ask on, whatever is believed
SHOWN = (1, 2, 3, 4, 5, 6, 7, 8)
THINGS = 70


@torch.no_grad()
def foresight(vae: QueryVAE, bits: Tensor, labels: Tensor, draws: int = 64) -> float:
    """Mean log p(answers | class) per bit, in nats: exact without z, else the importance-weighted
    lower bound of that many draws."""
    found = []
    dice = generator(0, "foresight")
    for rows in torch.arange(len(bits), device="cpu").split(256):
        real, kinds = bits[rows], labels[rows]
        mean, spread = vae.encode(real, kinds)
        if not vae.latent:
            found.append(_likelihood(vae.decode(mean, kinds), real))
            continue
        weights = []
        for _ in range(draws):
            noise = torch.randn(mean.shape, generator=dice, dtype=torch.float32, device="cpu")
            z = mean + (spread / 2).exp() * noise
            proposed = -(noise.square() + spread).sum(1) / 2
            prior = -z.square().sum(1) / 2
            weights.append(_likelihood(vae.decode(z, kinds), real) + prior - proposed)
        found.append(torch.stack(weights).logsumexp(0) - math.log(draws))
    return float(torch.cat(found).mean()) / bits.shape[1]


def _likelihood(logits: Tensor, bits: Tensor) -> Tensor:
    return torch.nn.functional.logsigmoid(logits * (2 * bits - 1)).sum(1)


def right_after(chain: Chain, labels: Tensor, most: int) -> list[list[bool]]:
    """For each number of questions, 0 to `most`, whether each chain is right by then."""
    found = []
    for count in range(most + 1):
        ends = [beliefs[min(count, len(beliefs) - 1)] for beliefs in chain.posterior]
        guesses = [max(range(len(b)), key=b.__getitem__) for b in ends]
        found.append([g == int(y) for g, y in zip(guesses, labels, strict=True)])
    return found


def curve(
    name: str,
    knowledge: Knowledge,
    things: tuple[Tensor, Tensor],
    order: Sequence[int],
    **fields: Any,
) -> list[float]:
    """Accuracy after each number of questions with one order; random ones over two seeds."""
    bits, labels = things
    fields = {**ENDLESS, "most": max(SHOWN), **fields}
    seeds = range(2) if name == "random-chain" else range(1)
    chains = [
        registry.create("explainer", name, seed=s, **fields).ask(knowledge, bits, order)
        for s in seeds
    ]
    hits = torch.tensor([right_after(c, labels, fields["most"]) for c in chains], device="cpu")
    return hits.double().mean((0, 2)).tolist()


def stopped(knowledge: Knowledge, things: tuple[Tensor, Tensor]) -> dict[str, Any]:
    """The chains as they are by default: accuracy, questions asked, and why they ended."""
    bits, labels = things
    chain = registry.create("explainer", "information-pursuit").ask(knowledge, bits)
    hits = sum(p == int(y) for p, y in zip(chain.prediction, labels, strict=True))
    counts = sorted(len(asked) for asked in chain.asked)
    low, high = wilson(hits, len(labels))
    return {
        "accuracy": round(hits / len(labels), 4),
        "interval": [round(low, 4), round(high, 4)],
        "questions, mean": round(sum(counts) / len(counts), 2),
        "questions, median": counts[len(counts) // 2],
        "ended": {reason: chain.reason.count(reason) for reason in sorted(set(chain.reason))},
    }


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson's)."""
    z2 = 1.96**2
    middle = (hits + z2 / 2) / (count + z2)
    half = 1.96 * math.sqrt(hits * (count - hits) / count + z2 / 4) / (count + z2)
    return middle - half, middle + half


def measured(network: QueryNetwork, things: tuple[Tensor, Tensor]) -> dict[str, Any]:
    """Foresight on all things, and chains on the first of them."""
    knowledge = knowledge_of(network, **QUICK)
    some = (things[0][:THINGS], things[1][:THINGS])
    curves = {n: curve(n, knowledge, some, network.blueprint.order) for n in ORDERS}
    return {
        "log probability of an answer": round(foresight(network.vae, *things), 5),
        "accuracy after questions": {
            name: {str(k): round(found[k], 4) for k in SHOWN} for name, found in curves.items()
        },
        "with the stop rules": stopped(knowledge, some),
    }


def write_log(
    out: Path,
    network: QueryNetwork,
    control: QueryNetwork,
    things: tuple[Tensor, Tensor],
    facts: dict[str, Any],
) -> None:
    """The log beside the weights, measured on the file as it is read back."""
    blueprint = network.blueprint
    record = {
        "name": out.stem,
        "classes": len(blueprint.labels),
        "questions": len(blueprint.asked),
        "weights_digest": blueprint.digest,
        "parameters": sum(p.numel() for p in network.vae.parameters()),
        "measured_on": f"{len(things[1])} things that were not trained on, chains of the first"
        f" {min(THINGS, len(things[1]))}",
        "sampling": QUICK,
        "measured": {
            "trained": measured(network, things),
            "naive Bayes, as long": measured(control, things),
        },
        "versions": {"torch": torch.__version__},
        **facts,
    }
    write_bytes(out.with_suffix(".json"), (json.dumps(record, indent=1) + "\n").encode())
