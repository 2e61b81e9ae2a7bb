"""Peak memory of every heatmap method that a peer has, ours beside the best of them.

`heatmaps.py` asks for these rows (`python benchmarks/heatmaps.py --only memory`). Each number is
that of a process of its own: `python benchmarks/heatmap_memory.py WHO:METHOD` prints the MiB that
16 pictures on a ResNet-18 took above what was held before, WHO being `ours` or a peer's name.
"""

import subprocess
import sys
import warnings
from collections.abc import Iterator

import torch

import sightline as sl
from peers import BATCH, CLASS, Work, peers
from speed import Row, network, peak_of, pictures

MEMORY = (
    "grad-cam",
    "hires-cam",
    "grad-cam++",
    "xgrad-cam",
    "layer-cam",
    "eigen-cam",
    "score-cam",
    "ablation-cam",
    "gradient",
    "input-x-gradient",
    "integrated-gradients",
    "smooth-grad",
    "guided-backprop",
    "deconvnet",
    "guided-grad-cam",
    "occlusion",
)


def memory(rounds: int) -> Iterator[Row]:
    """Peak of 16 pictures above what was held before, in a process of its own; the weights of our
    private copy set aside."""
    copied = sum(weight.numel() for weight in network().parameters()) * 4 / 2**20
    for name in MEMORY:
        used = {}
        for who in ("ours", "pytorch-grad-cam", "captum"):
            command = [sys.executable, __file__, f"{who}:{name}"]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode == 0:
                used[who] = float(done.stdout.split()[-1])
        theirs = {who: spent for who, spent in used.items() if who != "ours"}
        if "ours" not in used or not theirs:
            continue
        best = min(theirs, key=theirs.__getitem__)
        row = Row(name=f"peak memory, {name}, 16 pictures", against=best, wanted=1.0)
        row.ratios = [theirs[best] / (used["ours"] - copied)]
        row.note = (
            f"{used['ours']:.0f} MiB, {copied:.0f} of them the copy, against {theirs[best]:.0f} MiB"
        )
        yield row


def memory_of(words: str) -> None:
    who, name = words.split(":")
    net, x = network(), pictures(BATCH)
    if who == "ours":
        fields = {"occlusion": {"window": 32, "stride": 16}, "smooth-grad": {"samples": 50}}
        made = sl.create("explainer", name, **fields.get(name, {}))
        model = sl.Model(net)
        model.study((224, 224), 3)
        work: Work | None = lambda: made(model, x, CLASS)  # noqa: E731
    else:
        work = peers(net)[who](name, x)
        with torch.no_grad():
            net(x[:1])
    assert work is not None
    print(peak_of(work))


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the peers' own
    memory_of(sys.argv[1])
