"""Does the model know itself? Every torchvision classifier and the smallest member of every timm
source module.

python benchmarks/architectures.py --work DIR            runs what DIR/rows.jsonl lacks, then writes
the page python benchmarks/architectures.py --work DIR --only resnet18,vit_b_32 --fresh

Random weights, seeded, at the native size; parameters that start at zero get seeded noise first.
Each network runs in its own process with a time limit; what fails, or is not run, is a row with a
reason. Writes `docs/architectures.md`.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "architectures.md"
MEMORY = 20 << 30  # bytes that one network may use
CLASSES = 5
UNVERIFIED = "the layout was read from the shape"
PARTIAL = "a part of the score"
NOT_RUN = "not run yet"
Row = dict[str, Any]


def builders(work: Path) -> list[Row]:
    """Every network to look at, small ones first: source, name, parameters."""
    file = work / "builders.json"
    if not file.exists():
        found = [*_torchvision(), *_timm()]
        file.write_text(json.dumps(sorted(found, key=lambda row: row["parameters"])))
    return json.loads(file.read_text())


def _torchvision() -> Iterator[Row]:
    import torchvision

    for name in torchvision.models.list_models(module=torchvision.models):
        weights = next(iter(torchvision.models.get_model_weights(name)))
        yield {"source": "torchvision", "name": name, "parameters": weights.meta["num_params"]}


def _timm() -> Iterator[Row]:
    import timm
    from timm.models import _registry

    for module in sorted(_registry.list_modules()):
        names = timm.list_models(module=module, include_tags=False)
        sizes = {name: _parameters(name) for name in names}
        name = min(sizes, key=lambda n: (sizes[n] or float("inf"), n))
        yield {"source": f"timm {module}", "name": name, "parameters": sizes[name]}


def _parameters(name: str) -> int:
    """Counted without memory; with memory where a builder looks at its values."""
    import torch

    try:
        with torch.device("meta"):
            module = build("timm", name)
    except Exception:
        module = build("timm", name)
    return sum(p.numel() for p in module.parameters())


def build(source: str, name: str) -> Any:
    """The network with random weights."""
    if source == "torchvision":
        import torchvision

        extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        return torchvision.models.get_model(name, weights=None, **extra)
    import timm

    return timm.create_model(name, pretrained=False)


def native_size(source: str, name: str, module: Any) -> tuple[int, int, int]:
    """(channels, row, col): timm's configuration, torchvision's weights."""
    if source == "torchvision":
        import torchvision

        weights = next(iter(torchvision.models.get_model_weights(name)), None)
        crop = weights.transforms().crop_size if weights else [224]
        side = getattr(module, "image_size", crop[0])  # of the vision transformers
        return 3, side, side
    return tuple(module.pretrained_cfg["input_size"])


def examine(source: str, name: str) -> Row:
    """One row of the table; raises what the network raises."""
    import torch

    from sightline.model import Model

    torch.manual_seed(0)
    module = build(source, name)
    channels, *size = native_size(source, name, module)
    dice = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if not weight.any() and not name.endswith("bias"):  # noise in a bias drowns the picture
                weight.copy_(0.02 * torch.randn(weight.shape, generator=dice))
    before = state(module)
    clock, processor = time.perf_counter(), time.process_time()
    model = Model(module, size=(size[0], size[1]))
    found = model.study((size[0], size[1]), channels)
    row = {
        "seconds": time.perf_counter() - clock,
        "processor_seconds": time.process_time() - processor,
        "size": [channels, *size],
        "layer": found.spatial,
        "joint": found.joint,
        "layout": str(found.layout) if found.layout else None,
        "locality": found.layout.score if found.layout else None,
        "head": found.head,
        "classes": found.n_classes,
        "reason": found.reason,
        "notes": found.notes,
        "candidates": len(found.candidates),
        "attention": [len(found.attention), len(found.fused_attention)],
        "harmed": differences(before, state(module)),
    }
    if found.spatial:
        row["maps"] = list(grad_cam(model, (channels, *size)))
        row["harmed"] += differences(before, state(module))
    return row


def grad_cam(model: Any, shape: tuple[int, ...]) -> Iterator[str]:
    """The verdict on the signed native map of a few random classes, one picture."""
    import torch

    from sightline.errors import NotExplainable
    from sightline.registry import create

    dice = torch.Generator().manual_seed(1)
    image = torch.randn(1, *shape, generator=dice)
    classes = model.outputs(image).shape[1]
    for k in torch.randperm(classes, generator=dice)[:CLASSES].tolist():
        try:
            yield verdict(create("explainer", "grad-cam")(model, image, k).native[0])
        except NotExplainable as error:
            yield f"refused: {error}"


def verdict(native: Any) -> str:
    """`fine`, or what is wrong with a map."""
    import torch

    if not torch.isfinite(native).all():
        return "not finite"
    if not native.any():
        return "zero"
    spread = native.max() - native.min()
    return "fine" if spread > 1e-5 * native.abs().max() else "constant"


def state(module: Any) -> Row:
    """Everything about a network that an explainer must leave alone."""
    import torch

    def content(tensors: Any) -> str:
        found = hashlib.sha256()
        for tensor in tensors:
            found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return found.hexdigest()

    parts = dict(module.named_modules())
    return {
        "modules": [(name, id(part)) for name, part in parts.items()],
        "mode": [part.training for part in parts.values()],
        "hooks": [
            len(part._forward_hooks) + len(part._forward_pre_hooks) + len(part._backward_hooks)
            for part in parts.values()
        ],
        "weights": content(module.parameters()),
        "buffers": content(module.buffers()),
        "gradients": [p.grad is None for p in module.parameters()],
        "frozen": [p.requires_grad for p in module.parameters()],
        "attributes": [sorted(part.__dict__) for part in parts.values()],
        "random": hashlib.sha256(torch.get_rng_state().numpy()).hexdigest(),
    }


def differences(before: Row, after: Row) -> list[str]:
    """Names of what changed."""
    return [name for name in before if before[name] != after[name]]


def run(row: Row, seconds: int) -> Row:
    """One network in its own process, forked so that the libraries are imported once."""
    import timm  # noqa: F401
    import torchvision  # noqa: F401

    import sightline.model  # noqa: F401
    from sightline.registry import create

    create("explainer", "grad-cam")
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(row, sender))
    child.start()
    sender.close()
    try:
        found = receiver.recv() if receiver.poll(seconds) else {}
        failure = f"not finished in {seconds} s on this machine"
    except EOFError:
        found, failure = {}, "its process ended without an answer (out of memory?)"
    child.kill()
    child.join()
    return {**row, **(found or {"failure": failure})}


def _answer(row: Row, sender: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SIGHTLINE_CACHE"] = folder
        try:
            sender.send(examine(row["source"], row["name"]))
        except Exception as error:
            text = str(error).strip().splitlines() or ["no message"]
            sender.send({"failure": f"{type(error).__name__}: {text[0][:300]}"})


def outcome(row: Row) -> str:
    """What became of a network: fine, flat, refused, failed or silent.

    flat: a constant map from a layer of which it was said that place is not verified there. silent:
    a map that should not be trusted, without a word; or a network that was changed.
    """
    if "failure" in row:
        return "not run" if row["failure"] == NOT_RUN else "failed"
    if row["harmed"]:
        return "silent"
    if row["layer"] is None or all(v.startswith("refused") for v in row["maps"]):
        return "refused"
    wrong = {v for v in row["maps"] if v != "fine" and not v.startswith("refused")}
    if wrong == {"constant"} and UNVERIFIED in " ".join(row["notes"]):
        return "flat"
    return "silent" if wrong else "fine"


TOP = """# What networks look like to sightline

Generated by `benchmarks/architectures.py`; do not edit. Every torchvision classification builder
and the smallest member of every timm source module, at the native input size, with seeded random
weights (weights that start at zero get seeded noise first). Nothing is looked up by name: layer,
layout, head and attention are measured, by the procedure that `sightline inspect` uses.

{day}, torch {torch}, torchvision {torchvision}, timm {timm}.

| | networks |
|---|---|
{counts}

Processor seconds of the measurement, one thread: median {median:.1f}, largest {largest:.0f}.

- *locality*: correlation of place in the map with place in the picture.
- *attend*: modules that attend, of which fused.
- *maps*: Grad-CAM's signed map at the layer's resolution, for five random classes: `fine` is
  neither zero nor constant. A class whose score cannot change is refused with the reason given.

| {columns} |
|{rule}|
"""
COLUMNS = (
    "network", "from", "M weights", "size", "default layer", "layout", "locality", "head", "attend",
    "maps", "seconds", "remarks",
)  # fmt: skip


def page(rows: list[Row]) -> str:
    """The Markdown page."""
    import timm
    import torch
    import torchvision

    became = Counter(outcome(row) for row in rows)
    notes = [" ".join(row.get("notes", ())) for row in rows]
    counts = {
        "looked at": len(rows),
        "default layer found, class maps neither zero nor constant, unharmed": became["fine"],
        "among them, with one or more classes refused": sum(
            outcome(row) == "fine" and any(v != "fine" for v in row["maps"]) for row in rows
        ),
        "among them, place not verified at random weights, with a note": sum(
            outcome(row) == "fine" and UNVERIFIED in note
            for row, note in zip(rows, notes, strict=True)
        ),
        "maps flat, with a note that place is not verified": became["flat"],
        "refused with a reason": became["refused"],
        "failed with an error": became["failed"],
        "not run yet": became["not run"],
        "**silent failure**": became["silent"],
        "layer carries only a part of the score, with a warning": sum(PARTIAL in n for n in notes),
    }
    seconds = sorted(row.get("processor_seconds", 0.0) for row in rows)
    top = TOP.format(
        day=time.strftime("%Y-%m-%d"),
        torch=torch.__version__.split("+")[0],
        torchvision=torchvision.__version__.split("+")[0],
        timm=timm.__version__,
        counts="\n".join(f"| {what} | {n} |" for what, n in counts.items()),
        median=seconds[len(seconds) // 2],
        largest=seconds[-1],
        columns=" | ".join(COLUMNS),
        rule="|".join("---" for _ in COLUMNS),
    )
    rows = sorted(rows, key=lambda row: (row["source"], row["name"]))
    return top + "".join(f"| {' | '.join(_cells(row))} |\n" for row in rows)


def _cells(row: Row) -> list[str]:
    start = [row["name"], row["source"], f"{row['parameters'] / 1e6:.1f}"]
    if "failure" in row:
        return [*start, *[""] * 8, f"**{row['failure'].replace('|', '/')}**"]
    joint = ", ".join(f"`{name}`" for name in row["joint"] if name != row["layer"])
    remarks = [*row["notes"], f"with {joint}" if joint else "", row["reason"]]
    remarks += [f"**changed: {', '.join(row['harmed'])}**"] if row["harmed"] else []
    counts = Counter(v.split(":")[0] for v in row.get("maps", []))
    remarks += sorted({v.removeprefix("refused: ") for v in row.get("maps", []) if ":" in v})
    return [
        *start,
        "x".join(map(str, row["size"][1:])),
        f"`{row['layer']}`" if row["layer"] else "none",
        row["layout"] or "",
        f"{row['locality']:.2f}" if row["locality"] is not None else "",
        row["head"],
        "/".join(map(str, row["attention"])) if row["attention"][0] else "",
        ", ".join(what if n == CLASSES else f"{n} {what}" for what, n in counts.items()),
        f"{row['processor_seconds']:.1f}",
        "; ".join(filter(None, remarks)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, help="folder of finished rows, outside the repository")
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument(
        "--fresh", action="store_true", help="forget finished rows of the names chosen"
    )
    parser.add_argument("--failed", action="store_true", help="run again what is not fine")
    parser.add_argument("--seconds", type=int, default=900, help="time limit of one network")
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    everything = builders(given.work)
    file = given.work / "rows.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    done = {(r["source"], r["name"]): r for r in map(json.loads, lines)}
    names = set(given.only.split(",")) if given.only else None
    for row in everything:
        key = (row["source"], row["name"])
        again = given.fresh or (given.failed and key in done and outcome(done[key]) != "fine")
        if (names and row["name"] not in names) or (key in done and not again):
            continue
        done[key] = run(row, given.seconds)
        with file.open("a") as out:
            out.write(json.dumps(done[key]) + "\n")
        print(outcome(done[key]), *key, done[key].get("layer"), file=sys.stderr)
    listed = [done.get((r["source"], r["name"]), {**r, "failure": NOT_RUN}) for r in everything]
    given.page.parent.mkdir(parents=True, exist_ok=True)
    given.page.write_text(page(listed))


if __name__ == "__main__":
    main()
