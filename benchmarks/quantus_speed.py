"""What judging a map costs here and with Quantus: curves in CPU time of one thread, a table in the
time that a user waits with two.

Run it on a quiet machine: `python benchmarks/quantus_speed.py [--rounds 3] [--pictures 6]`; 50
pictures are the whole table. It writes `TRUST.md` beside this file. The rules are those of
`speed.py`. Their table is made by pytorch-grad-cam, captum and Quantus, method by method as a
script would do it.

Quantus counts every colour of a pixel as a value of its own, and lets a step have so many values
only as divide the area of the picture. Asked for steps of a 56th of the area it makes 168, one
forward each: that is what its users wait for. With its check off, 56 steps of three times as many
values can be had: rows of their own.
"""

import argparse
import datetime
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from statistics import median
from typing import Any

import numpy as np
import torch
import torchvision

import sightline as sl
from peers import SIZE, Work
from sightline.metric import judged
from sightline.worlds import aviary
from speed import HERE, Row, line, machine, network, pictures, seconds, versions

STEPS, SAMPLES, CLASS = 56, 10, 7
CAMS = {
    "grad-cam": "GradCAM",
    "grad-cam++": "GradCAMPlusPlus",
    "hires-cam": "HiResCAM",
    "xgrad-cam": "XGradCAM",
    "layer-cam": "LayerCAM",
    "eigen-cam": "EigenCAM",
}
METHODS = (*CAMS, "gradient", "input-x-gradient")
METRICS: dict[str, dict[str, Any]] = {
    "deletion": {"steps": STEPS},
    "pointing": {"tolerance": 0.0},
    "energy-pointing": {},
    "complexity": {},
    "sensitivity": {"samples": SAMPLES},
    "model-randomisation": {"draws": 1},  # as MPRT draws
}
QUIET = {"disable_warnings": True, "display_progressbar": False}


def flipping(forced: bool = False) -> Any:
    """Quantus' PixelFlipping with the fill of deletion; `forced` to 56 steps, its check off."""
    import quantus

    values = SIZE * SIZE // STEPS * (3 if forced else 1)
    made = quantus.PixelFlipping(
        features_in_step=values, perturb_baseline=0.0, normalise=False, **QUIET
    )
    if forced:
        made.custom_preprocess = lambda **_: None
    return made


def curve_rows(forced: bool) -> list[Row]:
    """The deletion curve of a given map, ours exact and fast."""
    rows, net, x = [], network(), pictures(1)
    heat = torch.rand(1, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    judge, theirs = sl.create("metric", "deletion", steps=STEPS), flipping(forced)
    asked = {"x_batch": x.numpy(), "y_batch": np.array([CLASS]), "a_batch": heat.numpy()}
    for precision, wanted in (("exact", 4.0), ("fast", 8.0)):
        model = sl.Model(network(), precision=precision)
        case = sl.Case(model, x, sl.Class(CLASS), sl.Heatmap(heat))
        judge(case)  # the execution copy is made before the clock runs
        name = f"deletion curve, {STEPS} steps, one picture, {precision}"
        row = Row(name=name, against="Quantus PixelFlipping, 168 steps", wanted=wanted)
        if forced:
            row.against, row.wanted = "Quantus PixelFlipping, forced to 56 steps", None
        row.ours, row.theirs = (lambda c=case: judge(c)), [lambda: theirs(model=net, **asked)]
        rows.append(row)
    return rows


# the table: 8 methods, 6 metrics


def birds(count: int) -> tuple[torch.Tensor, np.ndarray]:
    """Drawn birds and their silhouettes."""
    drawn = [aviary.render(aviary.sample(3, i), SIZE, masks=True) for i in range(count)]
    images = torch.from_numpy(np.stack([b.image for b in drawn])).movedim(3, 1).float() / 255
    return images, np.stack([np.asarray(b.silhouette, dtype=bool) for b in drawn])


def mobile() -> torch.nn.Module:
    """Random weights; those of the class are positive, since Quantus refuses maps of zeros."""
    torch.manual_seed(0)
    net = torchvision.models.mobilenet_v2(weights=None).eval()
    with torch.no_grad():
        net.classifier[1].weight[CLASS].abs_()
    return net


def our_table(precision: str, count: int) -> Work:
    """Each method explains all pictures, and each metric judges them."""
    images, masks = birds(count)
    model = sl.Model(mobile(), precision=precision)
    sl.create("explainer", "grad-cam")(model, images[:1], CLASS)
    truth = sl.Truth(masks=list(masks))

    def work() -> dict[tuple[str, str], float]:
        found = {}
        for name in METHODS:
            case = judged(sl.create("explainer", name), model, images, CLASS, truth)
            for metric, fields in METRICS.items():
                found[name, metric] = sl.create("metric", metric, **fields)(case).mean().item()
        return found

    return work


def explain_with(name: str) -> Callable[..., np.ndarray]:
    """A method of pytorch-grad-cam or captum as Quantus' `explain_func`."""

    def cam(model: Any, inputs: Any, targets: Any, **_: Any) -> np.ndarray:
        import pytorch_grad_cam
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        aimed = [ClassifierOutputTarget(int(t)) for t in targets]
        x = torch.as_tensor(inputs).float()
        with getattr(pytorch_grad_cam, CAMS[name])(model, [model.features[-1]]) as made:
            maps = made(x, aimed)[:, None]
        # a random network's clipped map is often zero, and Quantus then gives up the whole run
        return (
            maps
            if maps.any()
            else maps
            + np.linspace(1e-9, 2e-9, maps[0].size).reshape(maps[0].shape).astype(maps.dtype)
        )

    def gradient(model: Any, inputs: Any, targets: Any, **_: Any) -> np.ndarray:
        from captum import attr

        kind = attr.Saliency if name == "gradient" else attr.InputXGradient
        x = torch.as_tensor(inputs).float().requires_grad_()
        maps = kind(model).attribute(x, target=torch.as_tensor(targets))
        return maps.detach().sum(1, keepdim=True).numpy()

    return cam if name in CAMS else gradient


def their_table(count: int) -> Work:
    """The same with pytorch-grad-cam, captum and Quantus."""
    import quantus

    images, masks = birds(count)
    net, x, s = mobile(), images.numpy(), masks[:, None]
    y = np.full(count, CLASS)

    def work() -> dict[tuple[str, str], float]:
        judges = {
            "deletion": flipping(),
            "pointing": quantus.PointingGame(**QUIET),
            "energy-pointing": quantus.RelevanceMassAccuracy(**QUIET),
            "complexity": quantus.Complexity(**QUIET),
            "sensitivity": quantus.MaxSensitivity(nr_samples=SAMPLES, lower_bound=0.02, **QUIET),
            "model-randomisation": quantus.MPRT(
                similarity_func=quantus.correlation_spearman,
                skip_layers=True,
                return_last_correlation=True,
                **QUIET,
            ),
        }
        found = {}
        for name in METHODS:
            explain = explain_with(name)
            maps = explain(model=net, inputs=x, targets=y)
            for metric, judge in judges.items():
                one = 1 if metric == "model-randomisation" else count  # it mixes pictures else
                scores = judge(
                    model=net, x_batch=x, y_batch=y, a_batch=maps.copy(), s_batch=s,
                    explain_func=explain, batch_size=one,
                )  # fmt: skip
                found[name, metric] = float(np.mean(scores))
        return found

    return work


def table_rows(count: int) -> list[Row]:
    rows, theirs = [], their_table(count)
    for precision in ("exact", "fast"):
        shown = f"{count} picture{'s' * (count > 1)}"
        name = f"{len(METHODS)} methods x {len(METRICS)} metrics x {shown}, {precision}"
        row = Row(name=f"table of {name}", against="pytorch-grad-cam, captum and Quantus")
        row.wanted = 5.0 if precision == "exact" else None
        row.ours, row.theirs = our_table(precision, count), [theirs]
        rows.append(row)
    return rows


def waited(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(rows: list[Row], rounds: int, clock: Callable[[Work], float] = seconds) -> None:
    """Rows that have the same peer take turns with it once, so that it runs as seldom as it can."""
    for turn in range(rounds):
        spent = clock(rows[0].theirs[0])
        for row in rows:
            mine = clock(row.ours)
            row.ratios.append(spent / mine)
            print(f"{row.name}, round {turn + 1}: {spent:.2f} s / {mine:.2f} s", flush=True)


def page(rows: list[Row], rounds: int, count: int) -> str:
    today = datetime.datetime.now(datetime.UTC).date()
    missed = [r.name for r in rows if r.wanted and r.ratios and median(r.ratios) < r.wanted]
    return "\n".join(
        [
            "# What judging a map costs",
            "",
            f"Written by `benchmarks/quantus_speed.py`, {today}. Random weights, 224 px. A ratio is"
            " their seconds over ours, the median with the smallest and the largest in brackets."
            f" Curves: ResNet-18, one thread, CPU time, {rounds} rounds. Table: MobileNet-V2, drawn"
            f" birds, two threads, the time that passes, one round, asked for with {count}"
            f" picture{'s' * (count > 1)} (`--pictures 50` is the whole).",
            "",
            f"Machine: {machine()}. {versions()}, quantus {version('quantus')}.",
            "",
            f"Missed: {'; '.join(missed)}." if missed else "Nothing missed.",
            "",
            "| work | against | wanted | measured | |",
            "|---|---|---|---|---|",
            *map(line, rows),
            "",
            "Quantus counts each colour of a pixel as a value of its own and wants as many values"
            f" a step as divide the picture's area: steps of a {STEPS}th of the area are"
            f" {3 * STEPS}, one forward each, and so many its users wait for. With its check off"
            f" and three times the values a step it makes {STEPS}: then both sides do the same"
            " forwards, and the ratio cannot exceed what a forward costs there and here, plus their"
            " overhead.",
            "",
            f"The table: {', '.join(f'`{name}`' for name in METHODS)}, judged by"
            f" {', '.join(f'`{name}`' for name in METRICS)} with {STEPS} steps, {SAMPLES} samples"
            " and the fully random model (`PixelFlipping`, `PointingGame`,"
            " `RelevanceMassAccuracy`, `Complexity`, `MaxSensitivity`, and `MPRT` with"
            " `skip_layers`, a picture at a time since it correlates the pictures of a batch with"
            " each other; where a map of the random network is zero, as clipped ones often are, it"
            " gives up the run, so such maps are given values near 1e-9).",
            "",
        ]
    )


def main() -> None:
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--pictures", type=int, default=6)
    given = asked.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    curves, forced, table = curve_rows(False), curve_rows(True), table_rows(given.pictures)
    for rows in (curves, forced):
        measure(rows, given.rounds)
    curves += forced
    write(page([*curves, *table], given.rounds, given.pictures))  # the table takes its time
    torch.set_num_threads(2)
    measure(table, 1, waited)
    write(page([*curves, *table], given.rounds, given.pictures))


def write(text: str) -> None:
    (HERE / "TRUST.md").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
