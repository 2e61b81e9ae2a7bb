"""Other networks, batches and resolutions: our CPU time beside that of the libraries people use.

Run it on a quiet machine: `python benchmarks/scaling.py`. It writes `SCALING.md` and `scaling.png`
beside this file. The rules are those of `speed.py`; weights are random, and a cell is one run of
each side after one that warmed up (the two of a cell take turns, twice).
"""

import argparse
import datetime
import warnings
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import timm
import torch
import torchvision

import sightline as sl
from peers import BATCH, CLASS, Work
from speed import HERE, machine, network, pictures, seconds, versions

LAYERS = {
    "ResNet-18": "layer4",
    "ResNet-50": "layer4",
    "VGG-16": "features",
    "MobileNet-V2": "features",
    "DeiT-tiny": "",
}
WORK = ("Grad-CAM, batch 16", "SmoothGrad, 8 samples", "occlusion 32/16")


def built(name: str) -> torch.nn.Module:
    if name == "ResNet-18":
        return network()
    torch.manual_seed(0)
    if name == "DeiT-tiny":
        net = timm.create_model("deit_tiny_patch16_224", pretrained=False)
    else:
        arch = {"ResNet-50": "resnet50", "VGG-16": "vgg16", "MobileNet-V2": "mobilenet_v2"}[name]
        net = torchvision.models.get_model(arch, weights=None)
    return _settled(net)


def _settled(net: torch.nn.Module) -> torch.nn.Module:
    """With the statistics of what it sees; without them the scores of a deep network with random
    weights do not depend on the picture.
    """
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = None
    with torch.no_grad():
        net.train()(pictures(8))
    return net.eval()


def theirs(name: str, work: str, net: torch.nn.Module, x: torch.Tensor) -> Work | None:
    from captum import attr

    if work == WORK[0]:
        if not LAYERS[name]:
            return None  # it takes tokens for filters
        cam = attr.LayerGradCam(net, net.get_submodule(LAYERS[name]))
        stretch = attr.LayerAttribution.interpolate
        size = (x.shape[2], x.shape[3])
        return lambda: stretch(cam.attribute(x, target=CLASS), size, "bilinear")
    if work == WORK[1]:
        noisy = attr.NoiseTunnel(attr.Saliency(net))
        return lambda: noisy.attribute(
            x, target=CLASS, abs=False, nt_samples=8, nt_samples_batch_size=8, stdevs=0.15
        )
    hidden = attr.Occlusion(net)
    windows: dict[str, Any] = {"sliding_window_shapes": (3, 32, 32), "strides": (3, 16, 16)}
    return lambda: hidden.attribute(x, target=CLASS, perturbations_per_eval=BATCH, **windows)


def ours(work: str, net: torch.nn.Module, x: torch.Tensor, precision: str) -> Work:
    model = sl.Model(net, precision=precision)
    fields: dict[str, Any] = {}
    if work == WORK[1]:
        fields = {"samples": 8}
    elif work == WORK[2]:
        fields = {"window": 32, "stride": 16}
    name = {WORK[0]: "grad-cam", WORK[1]: "smooth-grad", WORK[2]: "occlusion"}[work]
    method = sl.create("explainer", name, **fields)
    method(model, x[:1], CLASS)
    return lambda: method(model, x, CLASS)


def cell(name: str, work: str) -> list[str]:
    """The ratios of exact and fast against captum."""
    net, x = built(name), pictures(BATCH if work == WORK[0] else 1)
    peer = theirs(name, work, built(name), x)
    if peer is None:
        return ["no peer", "no peer"]
    peer()
    found = []
    for precision in ("exact", "fast"):
        mine = ours(work, net, x, precision)
        ratios = [seconds(peer) / seconds(mine) for _ in range(2)]
        found.append(f"{median(ratios):.2f}x")
    return found


def curves() -> dict[str, list[tuple[float, float, float]]]:
    """Title -> (x, our milliseconds a picture, captum's) of Grad-CAM on ResNet-18."""
    net, plain = network(), network()
    found: dict[str, list[tuple[float, float, float]]] = {"batch": [], "side": []}
    for title, steps in (("batch", (1, 4, 16, 32)), ("side", (96, 128, 224, 320, 448))):
        for step in steps:
            n, side = (step, 224) if title == "batch" else (4, step)
            x = torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(1))
            mine = ours(WORK[0], net, x, "exact")
            peer = theirs("ResNet-18", WORK[0], plain, x)
            assert peer is not None
            peer(), mine()
            spent = [(seconds(mine), seconds(peer)) for _ in range(3)]
            own, other = (median(s[i] for s in spent) / n * 1000 for i in (0, 1))
            found[title].append((step, own, other))
    return found


def filters() -> list[tuple[float, float, float]]:
    """(filters, seconds of Ablation-CAM by suffix, by arithmetic) on one layer of so many."""
    found = []
    for count in (64, 128, 256, 512):
        net = torch.nn.Sequential(
            network().get_submodule("conv1"),
            torch.nn.Conv2d(64, count, 3, stride=8, padding=1),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(count, 20),
        ).eval()
        model, x = sl.Model(net, size=(224, 224)), pictures(1)
        method = sl.create("explainer", "ablation-cam", layer="2")
        pair = []
        for target in (sl.Class(CLASS, probability=True), sl.Class(CLASS)):
            method(model, x, target)
            work = partial(method, model, x, target)
            pair.append(median(seconds(work) for _ in range(5)))
        found.append((count, pair[0] * 1000, pair[1] * 1000))
    return found


def plot(path: Path) -> None:
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(10, 3.2), layout="constrained")
    axes = drawn.subplots(1, 3)
    shown = {**curves(), "filters": filters()}
    said = {
        "batch": ("pictures in a batch", "Grad-CAM, ms a picture", ("sightline", "captum")),
        "side": ("side of the picture, pixels", "Grad-CAM, ms a picture", ("sightline", "captum")),
        "filters": ("filters", "Ablation-CAM, ms", ("copies behind the layer", "arithmetic")),
    }
    for ax, (title, points) in zip(axes, shown.items(), strict=True):
        below, beside, names = said[title]
        for i, name in enumerate(names, 1):
            ax.plot([p[0] for p in points], [p[i] for p in points], marker="o", label=name)
        ax.set_xlabel(below)
        ax.set_ylabel(beside)
        ax.set_ylim(0)
        ax.legend(frameon=False)
    drawn.savefig(path, dpi=110)


def main() -> None:
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--out", type=Path, default=HERE)
    asked.add_argument("--only", default=",".join(LAYERS), help="networks, by commas")
    given = asked.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the peers' own
    plot(given.out / "scaling.png")
    lines = [
        "# Other networks, batches and resolutions",
        "",
        f"Written by `benchmarks/scaling.py`, {datetime.datetime.now(datetime.UTC).date()}. 224 px,"
        " random weights, one thread, CPU time, one process; captum's seconds over ours, exact and"
        " fast. Where bfloat16 gradients are not admitted, fast is exact.",
        "",
        f"Machine: {machine()}. {versions()}.",
        "",
        f"| network | {' | '.join(f'{w}: exact | fast' for w in WORK)} |",
        f"|---|{'---|' * 2 * len(WORK)}",
    ]
    for name in given.only.split(","):
        cells = [each for work in WORK for each in cell(name, work)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    lines += ["", "![CPU time by batch, resolution and number of filters](scaling.png)", ""]
    (given.out / "SCALING.md").write_text("\n".join(lines), "utf-8")


if __name__ == "__main__":
    main()
