"""Heatmap methods against what they cost elsewhere: ratios of CPU time in one process and thread.

Run it on a quiet machine: `python benchmarks/heatmaps.py [--rounds 3] [--only WORD]`. It writes
`HEATMAPS.md` beside this file. The rules are those of `speed.py`. Full forwards are those of the
plain network, timed on one batch of 16 and counted as often as the method needs them. Rows on
trained networks need the folder of photographs and weights beside the project.
"""

import argparse
import datetime
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

import sightline as sl
from heatmap_memory import memory
from peers import BATCH, CLASS, GradCamLibrary, Work, peers
from rise_quality import PLAIN, equal_quality, plain_seconds
from sightline.worlds import aviary
from speed import HERE, Row, line, machine, network, pictures, seconds, versions

DATA = Path(__file__).parents[2] / "shared" / "data"
PHOTOGRAPHS = ("n02110341_0_train", "n02009912_0_train", "n04409515_0_val", "n01534433_1_val")
NETWORKS = {
    "MobileNetV2": ("mobilenet_v2_imagenet", "arch=torchvision:mobilenet_v2&pad_type=same"),
    "SqueezeNet": ("squeezenet1_1_imagenet", "arch=torchvision:squeezenet1_1"),
    "DeiT-tiny": ("deit_tiny_patch16_224_imagenet", "arch=timm:deit_tiny_patch16_224"),
}
HALF = "&mean=0.5&std=0.5"
IMAGENET = "&mean=0.485,0.456,0.406&std=0.229,0.224,0.225"
TEN = (
    "cam",
    "grad-cam",
    "grad-cam++",
    "hires-cam",
    "xgrad-cam",
    "layer-cam",
    "eigen-cam",
    "ablation-cam",
    "recipro-cam",
    "fd-cam",
)
THEIR_TEN = ("CAM", "GradCAM", "GradCAMpp", "XGradCAM", "LayerCAM") * 2


def method(name: str, precision: str, **fields: Any) -> sl.Explainer:
    made = sl.create("explainer", name, **fields)
    return made.fast() if precision == "fast" else made


def run(net: torch.nn.Module, precision: str, made: sl.Explainer, target: Any = CLASS) -> Work:
    """Our method on one picture, the network known to the model before the clock runs."""
    model, x = sl.Model(net, precision=precision), pictures(1)
    sl.create("explainer", "grad-cam")(model, x, CLASS)
    made(model, x, target)
    return lambda: made(model, x, target)


class FullForwards:
    """So many forwards of the plain network with the output of one layer changed by a hook."""

    def __init__(self, net: torch.nn.Module, layer: str, count: int) -> None:
        self.net, self.count, self.x = net, count, pictures(BATCH)
        self.layer = net.get_submodule(layer)

    def __call__(self) -> float:
        """Seconds for all of them, from one batch."""
        handle = self.layer.register_forward_hook(lambda m, i, o: o * 0.5)
        try:
            with torch.inference_mode():
                return seconds(lambda: self.net(self.x)) * self.count / BATCH
        finally:
            handle.remove()


def against_forwards(row: Row, ours: Work, theirs: FullForwards, rounds: int) -> Row:
    theirs()
    row.ratios = [theirs() / seconds(ours) for _ in range(rounds)]
    return row


def layer3(net: torch.nn.Module, rounds: int) -> Iterator[Row]:
    filters, places = 256, 14 * 14
    plans = {
        "Recipro-CAM": ("recipro-cam", {}, places + 1),
        "Shap-CAM, 4 orders": ("shap-cam", {"orders": 4}, 4 * (places + 1)),
        "FD-CAM": ("fd-cam", {}, 2 * filters),
        "Ablation-CAM": ("ablation-cam", {}, filters),
    }
    for title, (name, fields, count) in plans.items():
        for precision, wanted in (("exact", 5.0), ("fast", 10.0)):
            row = Row(name=f"{title} at layer3, {precision}", wanted=wanted)
            row.against = f"{count} full forwards"
            work = run(net, precision, method(name, precision, layer="layer3", **fields))
            yield against_forwards(row, work, FullForwards(net, "layer3", count), rounds)


def ablation(net: torch.nn.Module, rounds: int) -> Iterator[Row]:
    try:
        theirs = GradCamLibrary(network())("ablation-cam", pictures(1))
    except ImportError:
        return
    assert theirs is not None
    spent = seconds(theirs)
    for title, target, wanted in (
        ("closed form", CLASS, 200.0),
        ("by suffix", sl.Class(CLASS, probability=True), 40.0),
    ):
        row = Row(name=f"Ablation-CAM at the last layer, {title}", against="pytorch-grad-cam")
        row.wanted = wanted
        work = run(net, "exact", method("ablation-cam", "exact"), target)
        row.ratios = [spent / seconds(work) for _ in range(rounds)]
        row.note = "theirs timed once; the check of the head, once for a network, is not in it"
        yield row
    row = Row(name="Ablation-CAM at the last layer, closed form, with the check of the head")
    row.against, row.wanted = "pytorch-grad-cam", 200.0
    for _ in range(rounds):  # a network's first call checks
        model, x = sl.Model(network()), pictures(1)
        sl.create("explainer", "grad-cam")(model, x, CLASS)
        row.ratios.append(
            spent / seconds(partial(method("ablation-cam", "exact"), model, x, CLASS))
        )
    row.note = "theirs timed once; the first call of a network whose layers are known"
    yield row


def ten(net: torch.nn.Module, rounds: int) -> Iterator[Row]:
    try:
        from torchcam import methods
    except ImportError:
        return
    x, plain = pictures(1), network()

    def theirs() -> None:
        for name in THEIR_TEN:
            fields = {"fc_layer": "fc"} if name == "CAM" else {}
            with getattr(methods, name)(plain, "layer4", **fields) as cam:
                cam(CLASS, plain(x.clone().requires_grad_()))

    for precision, wanted in (("exact", 5.0), ("fast", 10.0)):
        model = sl.Model(net, precision=precision)
        made = [method(name, precision) for name in TEN]
        sl.explain(model, x, method=made, target=CLASS)
        row = Row(name=f"ten CAM maps of one picture, {precision}", wanted=wanted)
        row.against = "ten runs of torchcam (its five gradient and weight methods, twice)"
        row.ours = lambda m=model, e=made: sl.explain(m, x, method=e, target=CLASS)
        row.theirs = [theirs]
        row.measure(rounds)
        yield row


def occlusion(net: torch.nn.Module, rounds: int) -> Iterator[Row]:
    found = peers(network()).get("captum")
    theirs = found("occlusion", pictures(1)) if found else None
    if theirs is None:
        return
    for precision, wanted in (("exact", 2.5), ("fast", 5.0)):
        row = Row(name=f"occlusion 32/16, {precision}", against="captum", wanted=wanted)
        row.ours = run(net, precision, method("occlusion", precision, window=32, stride=16))
        row.theirs = [theirs]
        row.measure(rounds)
        yield row


# trained networks


def trained(name: str, precision: str = "exact") -> sl.Model | None:
    file, fields = NETWORKS[name]
    weights = DATA / "weights" / f"{file}.safetensors"
    if not weights.exists():
        return None
    colours = HALF if name == "MobileNetV2" else IMAGENET
    size = "&size=224&crop=0.875" if name == "DeiT-tiny" else ""
    return sl.load(f"file:{weights}?{fields}{colours}{size}", precision=precision)


def photographs(model: sl.Model) -> torch.Tensor:
    return model.prepare([DATA / "imagenet" / "photos" / f"{n}.jpg" for n in PHOTOGRAPHS])


def integrated(rounds: int) -> Iterator[Row]:
    """At no larger error of the sum than 50 Gauss-Legendre steps, picture by picture."""
    try:
        from captum.attr import IntegratedGradients
    except ImportError:
        return
    for name in ("ResNet-18", "sightline:default", "MobileNetV2", "SqueezeNet"):
        for precision, wanted in (("exact", 2.5), ("fast", 5.0)):
            model, images = subject(name, precision)
            if model is None:
                break
            row = Row(name=f"integrated gradients, {name}, {precision}", wanted=wanted)
            row.against = "captum, 50 steps, at no larger error of the sum"
            empty = model.mean.expand(1, *images.shape[1:])
            peer, errors, spent = IntegratedGradients(Normalised(model)), [], [0.0, 0.0]
            for x in images.split(1):
                error, theirs, ours = _at_equal_error(model, peer, x, empty)
                spent = [spent[0] + theirs, spent[1] + ours]
                errors.append(error)
                row.ratios.append(theirs / ours)
            row.note = (
                f"sum of all {spent[0] / spent[1]:.2f}x; captum's errors {median(errors):.3f}"
            )
            yield row


def subject(name: str, precision: str) -> tuple[sl.Model | None, torch.Tensor]:
    """A network and four pictures that it was made for, or None where its weights are not here."""
    if name == "ResNet-18":
        return sl.Model(network(), precision=precision), pictures(4)
    if name == "sightline:default":
        model = sl.load(name, precision=precision)
        return model, model.prepare([bird.image for bird in aviary.bundle(4)])
    found = trained(name, precision)
    return found, pictures(0) if found is None else photographs(found)


def _at_equal_error(
    model: sl.Model, peer: Any, x: torch.Tensor, empty: torch.Tensor
) -> tuple[float, float, float]:
    """The peer's relative error of the sum, its seconds, and ours at no larger error."""
    target = model.aim(x, None).indices(1)[0]
    rise = model.scores(x, target) - model.scores(empty.clone(), target)
    found: list[torch.Tensor] = []
    options = {"target": target, "n_steps": 50, "internal_batch_size": BATCH}
    theirs = seconds(lambda: found.append(peer.attribute(x, empty, **options)))
    error = max(abs(float(found[0].sum() / rise - 1)), 0.002)
    ours = method("integrated-gradients", "exact", tolerance=error)
    ours(model, x, target)
    return error, theirs, seconds(lambda: ours(model, x, target))


class Normalised(torch.nn.Module):
    """The plain network, fed in [0, 1]."""

    def __init__(self, model: sl.Model) -> None:
        super().__init__()
        self.net, self.mean, self.std = model.module, model.mean, model.std

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net((images - self.mean) / self.std)


def score_cam(rounds: int) -> Iterator[Row]:
    """Score-CAM fast against every filter by the peer, and how near the map is to the full one."""
    try:
        from pytorch_grad_cam import ScoreCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    except ImportError:
        return
    for name, wanted in (("MobileNetV2", 8.0), ("SqueezeNet", None), ("DeiT-tiny", None)):
        exact, fast = trained(name), trained(name, "fast")
        if exact is None or fast is None:
            return
        x, quick = photographs(exact), method("score-cam", "fast")
        full, found = method("score-cam", "exact")(exact, x).native, quick(fast, x)
        pairs = zip(full, found.native, strict=True)
        alike = [float(torch.corrcoef(torch.stack([a, b]).flatten(1))[0, 1]) for a, b in pairs]
        forwards = found.provenance["evaluations"]["forward"] / len(x)
        row = Row(name=f"Score-CAM, {name}, fast", wanted=wanted, against="pytorch-grad-cam")
        row.note = (
            f"{forwards:.0f} forwards a photograph; correlation with the exact map of every filter"
            f" {min(alike):.3f} to {max(alike):.3f} on {len(x)}"
        )
        if name != "DeiT-tiny":  # whose maps the peer cannot lay out by itself
            cam = ScoreCAM(Normalised(exact), [exact.module.get_submodule("features")])
            cam.batch_size, one = BATCH, x[:1]
            work: Work = partial(quick, fast, one)
            theirs: Work = partial(cam, one, [ClassifierOutputTarget(CLASS)])
            row.ratios = [seconds(theirs) / seconds(work)]
        yield row


def rise(rounds: int) -> Iterator[Row]:
    """So many of our masks as match the quality of 1000 plain ones, both timed."""
    model = trained("MobileNetV2")
    if model is None:
        return
    images, counts, told = photographs(model), [], []
    for image in images.split(1):
        count, _, mean = equal_quality(model, image, model.aim(image, None).indices(1)[0])
        counts.append(count)
        told.append(f"{count} (mean score {mean:.2f})")
    spent = plain_seconds(Normalised(model), images[:1])
    for precision, wanted in (("exact", 4.0), ("fast", 16.0)):
        ours = trained("MobileNetV2", precision)
        assert ours is not None
        row = Row(name=f"RISE at equal map quality, MobileNetV2, {precision}", wanted=wanted)
        row.against = f"{PLAIN} plain masks"
        row.note = f"masks as good as {PLAIN}: {', '.join(told)}"
        for image, count in zip(images.split(1), counts, strict=True):
            made = method("rise", precision, masks=count, agreement=1.0)
            made(ours, image, CLASS)
            row.ratios.append(spent / seconds(partial(made, ours, image, CLASS)))
        yield row


SECTIONS: dict[str, Callable[[int], Iterator[Row]]] = {
    "ablation": lambda rounds: ablation(network(), rounds),
    "layer3": lambda rounds: layer3(network(), rounds),
    "ten": lambda rounds: ten(network(), rounds),
    "occlusion": lambda rounds: occlusion(network(), rounds),
    "integrated": integrated,
    "score": score_cam,
    "rise": rise,
    "memory": memory,
}


def page(rows: list[Row]) -> str:
    today = datetime.datetime.now(datetime.UTC).date()
    missed = [r.name for r in rows if r.wanted and r.ratios and median(r.ratios) < r.wanted]
    return "\n".join(
        [
            "# What every heatmap costs",
            "",
            f"Written by `benchmarks/heatmaps.py`, {today}. ResNet-18, 224 px, random weights where"
            " no other network is named; one thread, CPU time, one process. A ratio is their"
            " seconds over ours, the median with the smallest and the largest in brackets.",
            "",
            f"Machine: {machine()}. {versions()}.",
            "",
            f"Missed: {'; '.join(missed)}." if missed else "Nothing missed.",
            "",
            "| work | against | wanted | measured | |",
            "|---|---|---|---|---|",
            *map(line, rows),
            "",
        ]
    )


def main() -> None:
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--only", default="", help=f"one of {', '.join(SECTIONS)}")
    asked.add_argument("--out", type=Path, default=HERE / "HEATMAPS.md")
    given = asked.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the peers' own
    rows = []
    for name, section in SECTIONS.items():
        if given.only in ("", name):
            for row in section(given.rounds):
                rows.append(row)
                print(line(row), flush=True)
    given.out.write_text(page(rows), "utf-8")


if __name__ == "__main__":
    main()
