"""Fills the tables of `metrics.md` and draws its pictures: does each metric distinguish the true
map from a map that ignores the network?

`python docs/metrics.py`, from an environment with the tests' requirements: the worlds and maps are
those of `tests/metrics/`, so the page shows what the tests assert. Two minutes; the page and its
pictures are committed.
"""

import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sightline import Case, Heatmap, Model, registry
from sightline.metric import judged
from sightline.ops.null_maps import NULLS, reference
from sightline.ops.resize import resize
from sightline.registry import create
from sightline.worlds import aviary
from sightline.worlds.miniatures import MINIATURES

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests" / "metrics"
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # of noise in the true map
SEEDS = (20, 21)
SIDE = 128  # of a bird in the strip

RANGES = {
    "adcc": "[0, 1]",
    "additive-exactness": "0 and up",
    "average-drop": "[0, 1]",
    "average-increase": "0 or 1; a share of pictures",
    "coherency": "[0, 1]",
    "complexity": "(0, 1]",
    "completeness": "0 and up",
    "data-randomisation": "[-1, 1]",
    "deletion": "[0, 1]",
    "distractor": "[0, 1]",
    "energy-pointing": "[0, 1]",
    "evaluations": "0 and up",
    "false-credit": "[0, 1]",
    "ilsvrc-localisation": "0 or 1; a share of pictures",
    "insertion": "[0, 1]",
    "max-box-acc": "[0, 1]",
    "minimality": "[0, 1]",
    "model-randomisation": "[-1, 1]",
    "necessity": "[0, 1]",
    "part-importance": "[-1, 1]",
    "part-iou": "[0, 1]",
    "pointing": "[0, 1]",
    "pxap": "[0, 1]",
    "runtime": "0 and up, in seconds",
    "saliency-metric": "-3.0 and up, in nats",
    "sensitivity": "0 and up",
    "sufficiency": "[0, 1]",
}


def tests(name: str) -> ModuleType:
    """A file of the metrics' tests, whose worlds are shown here."""
    spec = importlib.util.spec_from_file_location(f"shown_{Path(name).stem}", TESTS / name)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Sanity:
    """What one metric gives to the true map, its opposite, the baselines and noisy maps."""

    def __init__(self, worlds: ModuleType, name: str) -> None:
        self.worlds, self.name = worlds, name
        self.metric = worlds.metric_of(name)
        self.case, self.oracle, opposite = worlds.world(name)
        self.levels = {"knows": self.number(self.oracle), "opposite": self.number(opposite)}
        self.levels |= {n: self.number(reference(n, self.case.images)) for n in NULLS}

    def number(self, heat: Tensor) -> float:
        found = self.worlds.merit(self.metric, self.case, heat)
        return found if self.metric.direction == "higher" else -found

    def noisy(self) -> list[float]:
        """The number at each of `SHARES`, the mean over seeds."""
        found = []
        for share in SHARES:
            maps = [
                (1 - share) * self.oracle + share * self.worlds.noise(self.case, seed)
                for seed in SEEDS
            ]
            found.append(float(np.mean([self.number(heat) for heat in maps])))
        return found

    def row(self) -> str:
        """The line of the table."""
        return _row(self.name, *(_told(value) for value in self.levels.values()))


def _row(name: str, *cells: str) -> str:
    entry = registry.entry("metric", name)
    question = entry.question.partition("?")[0] + "?"
    return _line(f"`{name}`", question, entry.cls.direction, _range(entry), *cells)


def _range(entry: registry.Entry) -> str:
    """The numbers that a metric can give."""
    low, high = entry.cls.bounds or (-float("inf"), float("inf"))
    return RANGES.get(entry.name, f"[{low:g}, {high:g}]")


def missing(page: str) -> Iterator[tuple[str, str]]:
    """The name of a table and the row, for each metric without one on the page."""
    for name in registry.available("metric"):
        if f"| `{name}` |" in page:
            continue
        if "prefers-truth" in registry.entry("metric", name).claims:
            yield "pointing", Sanity(tests("test_sanity.py"), name).row()
        else:
            yield "own", _row(name, "its own tests", "", "", "")


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _top(*columns: str) -> list[str]:
    every = ("metric", "question", "better", "range", *columns)
    return [_line(*every), "|" + "---|" * len(every)]


def _told(value: float) -> str:
    if np.isnan(value):
        return "none"
    return f"{value:.3f}".replace("-0.000", "0.000")


def pointing(worlds: ModuleType) -> tuple[str, list[Sanity]]:
    """The table of the metrics that judge where a map points, and what they were asked."""
    asked = [Sanity(worlds, name) for name in worlds.POINTING]
    lines = [*_top("true map", "opposite", *NULLS), *(each.row() for each in asked)]
    return "\n".join(lines), asked


def own() -> str:
    """The table of the metrics with checks of their own."""
    lines = _top("must come out well", "", "must not", "")
    for name, check in CHECKS.items():
        (good, well), (bad, badly) = check(name)
        lines.append(_row(name, good, _told(well), bad, _told(badly)))
    return "\n".join(lines)


def sets() -> str:
    """The table of the metrics of sets of patches."""
    planted = tests("structure/test_sets.py")
    both, alone, needed = planted.BOTH, planted.ALONE, planted.NEEDED
    cases = [
        planted.case([both, alone]),
        planted.case([(*both, (1, 1)), (*alone, (1, 1))], (*needed, (1, 1))),
        planted.case([both[:1]], needed[:1]),
    ]
    lines = _top("the planted sets", "padded with a patch", "a patch missing", *NULLS)
    for name in planted.NAMES:
        metric = planted.metric(name)
        found = [float(metric(case).mean()) for case in cases]
        found += [float(level.mean()) for level in metric.null_levels(cases[0]).values()]
        lines.append(_row(name, *(_told(value) for value in found)))
    return "\n".join(lines)


# checks of their own: (what must come out well, its number), (what must not, its number)
Said = tuple[tuple[str, float], tuple[str, float]]


def _of(name: str, case: Case, **fields: object) -> float:
    return float(create("metric", name, **fields)(case).mean())


def _drop(name: str) -> Said:
    known = tests("faithfulness/test_shares.py")
    ones, none = torch.ones(1, *known.SIZE), torch.zeros(1, *known.SIZE)
    return ("a map of ones", known.drop(known.case(ones))), (
        "a map of zeros",
        known.drop(known.case(none)),
    )


def _completeness(name: str) -> Said:
    model, images = Model(MINIATURES["pooled-cnn"](), size=(32, 32)), _noise()
    found = [
        _of(name, judged(create("explainer", method), model, images, 1))
        for method in ("integrated-gradients", "gradient")
    ]
    return ("`integrated-gradients`", found[0]), ("`gradient`, which claims no sum", found[1])


def _exactness(name: str) -> Said:
    known = tests("faithfulness/test_shares.py")
    found = [known.exactness(method, *known.flattened())[0] for method in ("hires-cam", "grad-cam")]
    head = "on a flattened linear head"
    return (f"`hires-cam` {head}", found[0]), (f"`grad-cam` {head}", found[1])


def _coherency(name: str) -> Said:
    known = tests("quality/test_adcc.py")
    found = [_of(name, known.case(known.Fixed(turning=turning))) for turning in (False, True)]
    return ("the same map for every picture", found[0]), (
        "a map inverted each time",
        found[1],
    )


def _complexity(name: str) -> Said:
    known = tests("quality/test_adcc.py")
    case, dot = known.case(known.Fixed()), torch.zeros(2, *known.SIZE)
    dot[:, 5, 5] = 1
    found = [_of(name, case.with_heat(heat)) for heat in (dot, torch.ones_like(dot))]
    return ("one pixel", found[0]), ("a map of ones", found[1])


def _adcc(name: str) -> Said:
    known = tests("quality/test_adcc.py")
    found = float(known.harmonic(torch.tensor([[0.2, 0.9, 0.3]], dtype=torch.float64)))
    turned = _of(name, known.case(known.Fixed(turning=True)))
    text = "drop 0.2, coherency 0.9, complexity 0.3: 0.79162 by hand"
    return (text, found), ("a map inverted each time: no coherency", turned)


def _sensitivity(name: str) -> Said:
    known = tests("sanity/test_randomised.py")
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 2))
    steady = judged(create("explainer", "gradient"), Model(net, size=known.SIZE), _noise(), 1)
    wild = judged(known.Noise(), known.model(), _noise(), 1)
    return ("the gradient of a linear network", _of(name, steady, samples=4)), (
        "a map that any small change replaces",
        _of(name, wild, samples=4),
    )


def _model_randomisation(name: str) -> Said:
    known = tests("sanity/test_randomised.py")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 24 * 24, 2))
    images = _noise()[:, :, :24, :24]
    linear = judged(create("explainer", "gradient"), Model(net, size=(24, 24)), images, 1)
    blind = judged(known.Edges(), known.model(), _noise(), 1)
    found = [_of(name, case, similarity="rank-signed") for case in (linear, blind)]
    return ("the gradient of a linear network", found[0]), ("the picture's brightness", found[1])


def _data_randomisation(name: str) -> Said:
    known = tests("sanity/test_randomised.py")
    torch.manual_seed(0)
    nets = [
        Model(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 2)), size=known.SIZE)
        for _ in range(2)
    ]
    found = [
        _of(name, judged(method, nets[0], _noise(), 1), other=nets[1], similarity="rank-signed")
        for method in (create("explainer", "gradient"), known.Edges())
    ]
    return ("the gradient of two linear networks without common weights", found[0]), (
        "the picture's brightness",
        found[1],
    )


def _cost(name: str) -> Said:
    known = tests("cost/test_costs.py")
    found = [_of(name, known.case(method)) for method in ("gradient", "rise")]
    return ("`gradient`", found[0]), ("`rise`", found[1])


CHECKS: dict[str, Callable[[str], Said]] = {
    "adcc": _adcc,
    "additive-exactness": _exactness,
    "average-drop": _drop,
    "coherency": _coherency,
    "completeness": _completeness,
    "complexity": _complexity,
    "data-randomisation": _data_randomisation,
    "evaluations": _cost,
    "model-randomisation": _model_randomisation,
    "runtime": _cost,
    "sensitivity": _sensitivity,
}


def _noise() -> Tensor:
    return torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(5))


def plots(asked: list[Sanity], path: Path) -> None:
    """One small plot for each metric: its number against the share of noise."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = 4
    rows = -(-(len(asked) + 1) // columns)
    figure, places = pyplot.subplots(rows, columns, figsize=(12, 2.3 * rows), dpi=80)
    styles = dict(zip(NULLS, (":", "-.", (0, (1, 4)), (0, (6, 3))), strict=True))
    for place, one in zip(places.flat, asked, strict=False):
        place.plot(SHARES, one.noisy(), color="#1f4e79", marker="o", ms=3.5, lw=2, label="true map")
        place.axhline(one.levels["opposite"], color="#c0504d", ls="--", lw=1.4, label="opposite")
        for name, style in styles.items():
            place.axhline(one.levels[name], color="#7f7f7f", ls=style, lw=1.4, label=name)
        place.set_title(f"{one.name} ({one.metric.direction} is better)", fontsize=9)
        place.tick_params(labelsize=7)
        place.spines[["top", "right"]].set_visible(False)
    empty = places.flat[len(asked) :]
    for place in empty:
        place.axis("off")
    handles, labels = places.flat[0].get_legend_handles_labels()
    labels[0] = "true map with noise"
    empty[0].legend(handles, labels, loc="center", frameon=False, fontsize=9)
    figure.supxlabel("share of noise in the true map", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})
    pyplot.close(figure)


def strip(worlds: ModuleType, path: Path) -> None:
    """One bird under the maps that the metrics are asked about."""
    bird = aviary.render(aviary.sample(7, 3), SIDE, masks=True)
    images = torch.from_numpy(np.asarray(bird.image)).movedim(2, 0)[None].float() / 255
    knows = torch.from_numpy(np.asarray(bird.silhouette))[None].float()
    drawn = torch.rand((1, 1, 6, 6), generator=torch.Generator().manual_seed(20))
    noise = resize(drawn, (SIDE, SIDE))[:, 0]
    maps = [knows, 0.6 * knows + 0.4 * noise, 0.2 * knows + 0.8 * noise, noise, 1 - knows]
    maps += [reference(name, images) for name in ("centred blob", "edge map")]
    shown = [np.asarray(Heatmap(heat, images=images).overlay(0)) for heat in maps]
    Image.fromarray(np.concatenate(shown, 1)).convert("RGB").save(path, quality=85)


def tables() -> Iterator[tuple[str, str]]:
    """The name and text of each table of the page; the pictures are written on the way."""
    worlds = tests("test_sanity.py")
    table, asked = pointing(worlds)
    (HERE / "images").mkdir(exist_ok=True)
    plots(asked, HERE / "images" / "metrics-noise.png")
    strip(worlds, HERE / "images" / "metrics-maps.jpg")
    yield from (("pointing", table), ("own", own()), ("sets", sets()))


def main() -> None:
    page = HERE / "metrics.md"
    text = page.read_text("utf-8")
    for name, table in tables():
        block = rf"<!-- {name} -->\n.*?<!-- end -->"
        filled = f"<!-- {name} -->\n\n{table}\n\n<!-- end -->"
        text, count = re.subn(block, lambda _, new=filled: new, text, flags=re.DOTALL)
        assert count == 1, name
    page.write_text(text, "utf-8")
    print(f"{page.name}: {len(text.splitlines())} lines")


if __name__ == "__main__":
    main()
