"""Writes one page for each registered method, from its own file, and a gallery.

`make docs` runs it. The pictures are maps of the same three drawn birds and,
where a folder of photographs and networks lies beside the project, of the same three photographs;
neither pages nor pictures are committed.
"""

import dataclasses
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sightline import registry, zoo
from sightline.cli.catalogue.facts import costs as costs_of_ours
from sightline.cli.catalogue.facts import record, shown
from sightline.errors import NotExplainable, SightlineWarning
from sightline.explanation import Explanation, Heatmap
from sightline.model import Model
from sightline.pictures.reading import Picture, encode_png
from sightline.worlds import aviary

DATA = Path(__file__).parents[2] / "shared" / "data"  # used where it is there
PHOTOGRAPHS = ("n02110341_0_train", "n02009912_0_train", "n04409515_0_val")
NETWORKS = {
    "mobilenet_v2_imagenet": "arch=torchvision:mobilenet_v2&pad_type=same&mean=0.5&std=0.5",
    "squeezenet1_1_imagenet": "arch=torchvision:squeezenet1_1&mean=0.485,0.456,0.406"
    "&std=0.229,0.224,0.225",
    "deit_tiny_patch16_224_imagenet": "arch=timm:deit_tiny_patch16_224&size=224&crop=0.875"
    "&mean=0.485,0.456,0.406&std=0.229,0.224,0.225",
}

CLAIMS = {
    "class-sensitive": "another class gives another map",
    "weight-sensitive": "other weights give another map",
    "scale-invariant": "scaling all class scores by a factor does not change the ranking of pixels",
    "complete": "the map sums to the score minus the baseline's score",
    "exact-on-linear": "on a linear model the map is exact",
    "exact-on-pooled-head": (
        "exact, up to a factor, where the head is average pooling plus one linear layer"
    ),
    "additive": "the map sums to the logit without its bias where one linear layer follows",
    "ignores-dead-input": "a pixel that the model ignores gets exactly zero",
    "non-negative": "no value is below zero",
    "prefers-truth": (
        "the true map scores better than its opposite, than noisier maps and than every baseline"
    ),
    "seed-stable": "another seed gives nearly the same map",
}
LEARNED = (
    "No picture here: this method needs a file that is trained for a network first, or parts that"
    " you name."
)
RESULTS = {"values", "native", "channels", "details"}  # explained beside the fields
ROOM = {"explainer": "Explainers", "metric": "Metrics", "attack": "Attacks", "recipe": "Recipes"}


def pages(*, costs: bool = True) -> dict[str, str]:
    """File name -> Markdown, for every registered name and the index."""
    entries = [registry.entry(kind, n) for kind in registry.ROOMS for n in registry.available(kind)]
    written = {f"{e.name}.md": page(e, costs=costs) for e in entries}
    index = ["# All methods", ""]
    for kind in dict.fromkeys(e.kind for e in entries):
        index += [f"## {ROOM[kind]}", "", "| name | question |", "|---|---|"]
        index += [
            f"| [`{e.name}`]({e.name}.md) | {e.question} |" for e in entries if e.kind == kind
        ]
        index += [""]
    return {**written, "index.md": "\n".join(index)}


def page(entry: registry.Entry, *, costs: bool = True) -> str:
    """The page of one method."""
    facts = record(entry, costs=costs)
    lines = [f"# `{entry.name}`", "", entry.question, ""]
    if entry.kind == "explainer":
        drawn = costs_of_ours().get(entry.name, {}) is not None
        lines += [f"![three birds under {entry.name}]({entry.name}.png)" if drawn else LEARNED, ""]
    lines += [*_body(entry), f"**Paper:** {_link(entry.paper)}", "", *_notes(entry)]
    lines += [*_fields(facts["fields"]), *_claims(entry.claims)]
    if facts["passes"]:
        spent = facts["passes"]
        lines += [
            "## Cost",
            "",
            f"{spent['forward']} images forward, {spent['backward']} backward and"
            f" {spent['copies']} copies through the part after a layer, to explain one",
        ]
        lines += ["picture of 128 px with the embedded network.", ""]
    if entry.kind == "metric":
        lines += ["## Reading it", "", f"{facts['direction'].capitalize()} is better.", ""]
    if entry.kind == "explainer":
        lines += [
            "## Use",
            "",
            "```sh",
            f"sightline explain dog.jpg --model timm:resnet50 --method {entry.name}",
        ]
        lines += [
            "```",
            "",
            "```python",
            f'sl.explain(model, "dog.jpg", method="{entry.name}")',
            "```",
            "",
        ]
    return "\n".join(lines)


def _body(entry: registry.Entry) -> Iterator[str]:
    """What follows the question, paragraph by paragraph, what is said of each name as a list."""
    whole = [" ".join(paragraph.split()) for paragraph in entry.doc.split("\n\n")]
    for paragraph in (whole[0].removeprefix(entry.question).strip(), *whole[1:]):
        if paragraph:
            yield from (*_listed(paragraph, entry), "")


def _listed(paragraph: str, entry: registry.Entry) -> list[str]:
    """The paragraph, with `cells: of the mask. rate: of Adam.` as one line for each name."""
    known = {field.name for field in dataclasses.fields(entry.cls)} | RESULTS
    names = "|".join(sorted(known, key=len, reverse=True))
    several = rf"(?:{names})(?:(?:, | and )(?:{names}))*"
    start = re.compile(rf"(?:^|(?<=[.;] ))({several})(?:, ([^:.;]{{1,40}}))?: ")
    found = list(start.finditer(paragraph))
    lines = []
    for each, after in zip(found, [*found[1:], None], strict=False):
        end = after.start() if after else len(paragraph)
        shown = re.sub(rf"({names})", r"`\1`", each[1]) + (f" ({each[2]})" if each[2] else "")
        text = paragraph[each.end() : end].strip().rstrip(";.")
        lines.append(f"- {shown}: {text}.")
    lead = paragraph[: found[0].start()].strip() if found else paragraph
    return [*([lead] if lead else []), *([""] if lead and lines else []), *lines]


def _notes(entry: registry.Entry) -> list[str]:
    """What the file says of its paper: the equation, every deviation, what is not confirmed."""
    paragraphs = [" ".join(p.split()) for p in entry.about.split("\n\n")[1:]]
    return [
        "## The paper, and what differs here",
        "",
        *(line for p in paragraphs for line in (p, "")),
    ]


def _fields(fields: dict[str, Any]) -> list[str]:  # Any: defaults of all types
    if not fields:
        return []
    rows = [f"| `{name}` | `{value!r}` |" for name, value in fields.items()]
    return ["## Parameters", "", "| field | default |", "|---|---|", *rows, ""]


def _claims(claims: tuple[str, ...]) -> list[str]:
    if not claims:
        return []
    return ["## Claims, each tested", "", *(f"- **{c}**: {CLAIMS.get(c, '')}" for c in claims), ""]


def _link(paper: str) -> str:
    links = {"arXiv": "https://arxiv.org/abs/", "doi": "https://doi.org/"}
    found = []
    for each in paper.split():
        start, _, number = each.partition(":")
        found.append(f"[{each}]({links[start]}{number})" if start in links else each)
    return " · ".join(found)


def pictures(folder: Path) -> None:
    """The map of every explainer on three birds and on three photographs, side by side."""
    birds = [Picture(b.image, b.species) for b in aviary.bundle(3)]
    photographs = _photographs()
    for name in registry.available("explainer"):
        explainer = registry.create("explainer", name)
        _save(folder / f"{name}.png", shown(explainer, birds))
        for network, taken in photographs.items():
            try:
                explainer.check(network)
                heat = explainer.fast()(network, taken)
            except NotExplainable:
                continue
            _save(folder / f"{name}--{network.name}.png", heat)


def _photographs() -> dict[Model, list[Path]]:
    """Three photographs and the networks that know them, where the data folder is beside us."""
    found = [DATA / "imagenet" / "photos" / f"{name}.jpg" for name in PHOTOGRAPHS]
    found = [path for path in found if path.exists()]
    networks = {}
    for name, told in NETWORKS.items():
        if found and (weights := DATA / "weights" / f"{name}.safetensors").exists():
            model = zoo.load(f"file:{weights}?{told}")
            model.name = name.removesuffix("_imagenet")
            networks[model] = found
    return networks


def _save(path: Path, found: Explanation | None) -> None:
    if isinstance(found, Heatmap):
        side = min(found.overlay(i).shape[0] for i in range(len(found)))
        shown = [
            np.asarray(Image.fromarray(found.overlay(i)).resize((side, side)))
            for i in range(len(found))
        ]
        path.write_bytes(encode_png(np.concatenate(shown, 1)))
    elif found is not None:
        found.take([0]).save(path)


def gallery(folder: Path) -> str:
    """All methods on the same pictures, one below the other, from the files in `folder`."""
    lines = ["# The same pictures under every method", ""]
    for name in registry.available("explainer"):
        entry = registry.entry("explainer", name)
        drawn = sorted(p.name for p in folder.glob(f"{name}.png"))
        drawn += sorted(p.name for p in folder.glob(f"{name}--*.png"))
        lines += [f"## [`{name}`]({name}.md)", "", entry.question, ""]
        lines += [] if drawn else [LEARNED, ""]
        for file in drawn:
            network = file.removesuffix(".png").partition("--")[2] or "the embedded network"
            lines += [f"{network}:", "", f"![{name}, {network}]({file})", ""]
    return "\n".join(lines)


def main(folder: Path) -> None:
    """Writes all pages and pictures into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore", SightlineWarning)  # an empty map is shown as one
    for name, text in pages().items():
        (folder / name).write_text(text, "utf-8")
    pictures(folder)
    (folder / "gallery.md").write_text(gallery(folder), "utf-8")
    print(f"{len(list(folder.glob('*.md')))} pages in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "methods")
