"""Our methods against the libraries people use: ratios of CPU time, in one process and thread.

Run it on a quiet machine: `python benchmarks/speed.py [--rounds 5] [--only WORD] [--out FILE]`. It
writes `RESULTS.md` beside this file. Contenders take turns (A B A B ...), each round gives a ratio
(their seconds / ours), and the table shows the median with the smallest and the largest. A peer
that is not installed has its rows say so. The weights are random: time does not depend on them, but
how well bfloat16 does, and where its gradients are refused, a fast row is an exact one.
"""

import argparse
import datetime
import platform
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import torch
import torchvision

import sightline as sl
from peers import BATCH, CLASS, SIZE, GradCamLibrary, Work, peers

HERE = Path(__file__).parent
CHEAP = 10  # seconds
PEERS = {"pytorch-grad-cam": "grad-cam", "captum": "captum", "torchcam": "torchcam"}


@dataclass(kw_only=True)
class Row:
    """One line of the table: our work against the sum of their works."""

    name: str
    against: str = ""
    wanted: float | None = None
    ours: Work = print
    theirs: list[Work] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    note: str = ""

    def measure(self, rounds: int) -> None:
        """Take turns; a first round that was cheap only warmed up, and is not counted."""
        for turn in range(rounds + 1):
            spent = [seconds(work) for work in (self.ours, *self.theirs)]
            if turn or sum(spent) > CHEAP:
                self.ratios.append(sum(spent[1:]) / spent[0])
            if len(self.ratios) == rounds:
                return


def seconds(work: Work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def network() -> torch.nn.Module:
    """A ResNet-18 with seeded random weights and statistics."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    net = torchvision.models.resnet18(weights=None)
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            assert part.running_mean is not None and part.running_var is not None
            part.running_mean.normal_(0, 0.1, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
    return net.eval()


def pictures(n: int) -> torch.Tensor:
    return torch.rand(n, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


# what the peers do, as their documentation shows it


FIELDS = {
    "integrated-gradients": {"steps": 20},
    "smooth-grad": {"samples": 50},
    "occlusion": {"window": 32, "stride": 16},
}
OURS = ["grad-cam", "hires-cam", "gradient", *FIELDS, "score-cam"]


def ours(net: torch.nn.Module, methods: list[str], x: torch.Tensor, precision: str) -> Work:
    """One call for all methods; made ready (copies, layers) before the clock runs."""
    model = sl.Model(net, precision=precision)
    made = [sl.create("explainer", name, **FIELDS.get(name, {})) for name in methods]
    if precision == "fast":
        made = [method.fast() for method in made]
    for name in {"grad-cam", "gradient"} & set(methods) | {"grad-cam"}:
        sl.create("explainer", name)(model, x[:1], CLASS)
    if len(made) == 1:
        return lambda: made[0](model, x, CLASS)
    return lambda: sl.explain(model, x, method=made, target=CLASS)


# the table


class Bench:
    def __init__(self) -> None:
        self.net = network()
        self.peers = peers(network())
        self.one, self.many = pictures(1), pictures(BATCH)
        self.best: dict[str, tuple[str, Work]] = {}

    def rows(self, word: str) -> Iterator[Row]:
        """The rows whose name contains `word`, each made when it is its turn."""
        trio = "`grad-cam`, `hires-cam`, `gradient` on one picture"
        everything = "all seven methods on one picture"
        single = [
            ("Grad-CAM, batch 1", "grad-cam", "pytorch-grad-cam", 3.0, "exact"),
            ("Grad-CAM, batch 16", "grad-cam", "pytorch-grad-cam", 3.0, "exact"),
            ("Grad-CAM, batch 1", "grad-cam", "captum", 1.0, "exact"),
            ("Grad-CAM, batch 16", "grad-cam", "captum", 1.2, "exact"),
            ("Grad-CAM, batch 16", "grad-cam", "captum", 2.0, "fast"),
            ("Score-CAM, 512 filters", "score-cam", "pytorch-grad-cam", 1.25, "exact"),
            ("Score-CAM, 512 filters", "score-cam", "pytorch-grad-cam", 2.5, "fast"),
            ("occlusion 32/16", "occlusion", "captum", 1.25, "exact"),
            ("occlusion 32/16", "occlusion", "captum", None, "fast"),
            ("integrated gradients, 20 steps", "integrated-gradients", "captum", None, "exact"),
            ("integrated gradients, 20 steps", "integrated-gradients", "captum", None, "fast"),
            ("SmoothGrad, 50 samples", "smooth-grad", "captum", None, "exact"),
            ("SmoothGrad, 50 samples", "smooth-grad", "captum", None, "fast"),
        ]
        for name, method, peer, wanted, precision in single:
            if word in f"{name}, {precision}".lower():
                x = self.many if name.endswith("16") and method == "grad-cam" else self.one
                row = Row(name=f"{name}, {precision}", against=peer, wanted=wanted)
                yield self.row(row, method, x, precision)
        for name, methods, wanted, precision in (
            (trio, OURS[:3], 1.7, "exact"),
            (everything, OURS, 1.3, "exact"),
            (everything, OURS, 2.5, "fast"),
        ):
            if word in f"{name}, {precision}".lower():
                yield self.together(
                    Row(name=f"{name}, {precision}", wanted=wanted), methods, precision
                )

    def row(self, row: Row, method: str, x: torch.Tensor, precision: str) -> Row:
        theirs = self.peers[row.against](method, x) if row.against in self.peers else None
        if theirs is None:
            row.note = "the peer is not installed"
            return row
        row.ours, row.theirs = ours(self.net, [method], x, precision), [theirs]
        return row

    def together(self, row: Row, methods: list[str], precision: str) -> Row:
        """Our one call against separate runs of the fastest peer for each method."""
        found = {method: self.fastest(method) for method in methods}
        missing = [method for method, peer in found.items() if peer is None]
        if missing:
            row.note = f"no peer installed for {', '.join(missing)}"
            return row
        best = {method: peer for method, peer in found.items() if peer}
        row.against = "separate runs of " + ", ".join(f"{p} ({m})" for m, (p, _) in best.items())
        row.theirs = [work for _, work in best.values()]
        row.ours = ours(self.net, methods, self.one, precision)
        return row

    def fastest(self, method: str) -> tuple[str, Work] | None:
        """The peer that is fastest at a method, from one run each."""
        if method not in self.best:
            works = {n: work for n, peer in self.peers.items() if (work := peer(method, self.one))}
            if not works:
                return None
            timed = {n: seconds(work) if len(works) > 1 else 0.0 for n, work in works.items()}
            name = min(timed, key=timed.__getitem__)
            self.best[method] = name, works[name]
        return self.best[method]


# memory and start-up, each in a process of its own


def peak_memory(who: str) -> None:
    """Print the MiB that Score-CAM of one picture takes above what was held before it."""
    net, x = network(), pictures(1)
    if who == "ours":
        model = sl.Model(net)
        method = sl.create("explainer", "score-cam")
        sl.create("explainer", "grad-cam")(model, pictures(1)[..., ::8, ::8], CLASS)
        model = sl.Model(net)  # the execution copy belongs to what is measured
        work: Work | None = lambda: method(model, x, CLASS)  # noqa: E731
    else:
        work = GradCamLibrary(net)("score-cam", x)
        net(x)
    assert work is not None
    print(peak_of(work))


def peak_of(work: Work) -> float:
    """MiB that `work` takes at its peak above what is held before it; on Linux."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is held now
    held = _resident("VmRSS")
    work()
    return (_resident("VmHWM") - held) / 1024


def _resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def memory_row(rounds: int) -> Row:
    row = Row(name="peak memory of Score-CAM", against="pytorch-grad-cam", wanted=3.0)
    if not Path("/proc/self/clear_refs").exists():
        row.note = "measured on Linux only"
        return row
    try:
        import pytorch_grad_cam  # noqa: F401
    except ImportError:
        row.note = "the peer is not installed"
        return row
    used: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(min(rounds, 3)):
        for who, found in used.items():
            command = [sys.executable, __file__, "--memory-of", who]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found.append(float(done.stdout.split()[-1]))
    row.ratios = [t / o for o, t in zip(used["ours"], used["theirs"], strict=True)]
    row.note = f"{median(used['ours']):.0f} MiB against {median(used['theirs']):.0f} MiB"
    return row


FIRST_NOUN = (
    "import torch, time; t = time.process_time(); import sightline; sightline.Model;"
    " print(time.process_time() - t)"
)


def start_up(rounds: int) -> list[tuple[str, float, float]]:
    """What is started, seconds of CPU time (median), seconds allowed."""
    helps, imports = [], []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-c", "from sightline.cli.app import main; main()", "--help"]
        subprocess.run(command, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        helps.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        command = [sys.executable, "-c", FIRST_NOUN]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        imports.append(float(done.stdout))
    return [
        ("`sightline --help`", median(helps), 0.5),
        ("`import sightline` and its first noun, beyond torch", median(imports), 1.0),
    ]


# the page


def machine() -> str:
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    lines = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    known = {key.strip(): value.strip() for key, value in lines.items()}
    flags = known.get("flags", "").split()
    wanted = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
    found = [flag for flag in wanted if flag in flags]
    cores = torch.multiprocessing.cpu_count()
    return f"{known.get('model name', platform.machine())}, {cores} cores, {', '.join(found)}"


def versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for name in ("torch", "torchvision", "timm", *PEERS.values()):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def line(row: Row) -> str:
    wanted = "-" if row.wanted is None else f"{row.wanted:g}x"
    if not row.ratios:
        return f"| {row.name} | {row.against} | {wanted} | not measured | {row.note} |"
    middle = median(row.ratios)
    said = f"{middle:.2f}x ({min(row.ratios):.2f}-{max(row.ratios):.2f})"
    verdict = "" if row.wanted is None else "met" if middle >= row.wanted else "**missed**"
    verdict = "; ".join(part for part in (verdict, row.note) if part)
    return f"| {row.name} | {row.against} | {wanted} | {said} | {verdict} |"


def page(rows: list[Row], starts: list[tuple[str, float, float]], rounds: int) -> str:
    today = datetime.datetime.now(datetime.UTC).date()
    missed = [r.name for r in rows if r.wanted and r.ratios and median(r.ratios) < r.wanted]
    missed += [name for name, spent, allowed in starts if spent > allowed]
    return "\n".join(
        [
            "# How fast, against the libraries people use today",
            "",
            f"Written by `benchmarks/speed.py` (`make bench`), {today}. ResNet-18, 224 px, random"
            " weights, one thread, CPU time, one process. Contenders take turns; a ratio is their"
            f" seconds over ours, the median of {rounds} rounds with the smallest and the largest"
            " in brackets. Peers run as their documentation shows, at batch 16 where they have"
            " one; networks and CAM objects are ready before the clock runs.",
            "",
            f"Machine: {machine()}. {versions()}.",
            "",
            f"Missed: {'; '.join(missed)}." if missed else "Nothing missed.",
            "",
            "| work | against | wanted | measured | |",
            "|---|---|---|---|---|",
            *map(line, rows),
            "",
            "| start-up | allowed | measured (CPU time) | |",
            "|---|---|---|---|",
            *(
                f"| {name} | {allowed:g} s | {spent:.2f} s |"
                f" {'met' if spent <= allowed else '**missed**'} |"
                for name, spent, allowed in starts
            ),
            "",
        ]
    )


def main() -> None:
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--rounds", type=int, default=5)
    asked.add_argument("--only", default="", help="rows whose name contains this word")
    asked.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    asked.add_argument("--memory-of", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    given = asked.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the peers' own
    if given.memory_of:
        peak_memory(given.memory_of)
        return
    rows = []
    for row in Bench().rows(given.only.lower()):
        if row.theirs:
            row.measure(given.rounds)
        rows.append(row)
        print(line(row), flush=True)
    if given.only.lower() in "peak memory of score-cam":
        rows.append(memory_row(given.rounds))
        print(line(rows[-1]), flush=True)
    given.out.write_text(page(rows, start_up(given.rounds), given.rounds), encoding="utf-8")


if __name__ == "__main__":
    main()
