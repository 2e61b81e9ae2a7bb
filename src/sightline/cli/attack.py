"""`sightline attack`: pictures in; pictures that fool the model out, with what they reached."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _options as options
from .console import (
    DONE,
    INTERRUPTED,
    WITH_ERRORS,
    json_to_stdout,
    progress,
    resume_hint,
    to_stderr,
    to_stdout,
    verb_context,
)
from .results import folders
from .results.folders import Command

if TYPE_CHECKING:
    from ..attack import Attack as Attacking
    from ..attacks.outcome import AttackOutcome
    from ..explainer import Explainer
    from ..model import Model
    from ..sample import Sample
    from .results.store import Run, Store

Attack = Annotated[
    str,
    typer.Option("--attack", help="A name of `sightline methods`: pgd, adv-edge, manipulation..."),
]
Method = Annotated[
    str | None,
    options.methods(
        "Explainers, separated by commas: the first is attacked too, by attacks that can; the"
        " others show how far that carries over. Default: grad-cam."
    ),
]
Target = Annotated[
    str | None,
    options.target(
        "The class to be taken for: a label, an index, class:LABEL, or top:1; a - before it"
        " means the class to leave. Default: what the attack aims at by itself, mostly the model's"
        " second choice."
    ),
]
Away = Annotated[
    bool, typer.Option("--away", help="Leave the target (default: the top class) for any other.")
]
Settings = Annotated[
    list[str] | None,
    options.settings("A parameter of the attack (epsilon=0.02), or of a method (rise.masks=500)."),
]


def attack(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="Files, folders, globs or other DATA.")
    ],
    model: options.Model = None,
    attack: Attack = "pgd",
    method: Method = None,
    target: Target = None,
    away: Away = False,
    settings: Settings = None,
    out: options.Out = None,
    overwrite: options.Overwrite = False,
    range: options.Range = None,
    device: options.Device = "auto",
    limit: options.Limit = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Find small changes that fool the model, and see whether the map shows them.

    Writes for each picture, in the model's frame and without loss, the picture before
    (NAME--before.png) and after (NAME--ATTACK.png), a figure of both with their maps
    (NAME--ATTACK--maps.png), and attack.json with all numbers. A run that was stopped goes on when
    the same command is given again.

    Example: sightline attack dog.jpg --model timm:resnet50 --attack adv-edge --method grad-cam
    """
    command = Command.of("attack", locals())
    with verb_context(quiet=quiet or json, debug=debug):
        from ..targets import notation
        from . import parse
        from .results import store

        net = parse.model(model, device=device, precision="exact", range=range)
        made, rest = parse.attack(attack, settings or ())
        explainers = parse.methods(net, method, settings=rest)
        aim = notation.target(net, target) if target is not None or away else None
        aim = -aim if aim is not None and away and not aim.negated else aim
        samples, absent = parse.pictures(net, images, limit)
        folder = folders.chosen(out, command)
        run = _run(net, made, aim, explainers)
        store.check(folder, run.settings, overwrite=overwrite)
        with folders.running(folder, command), store.opened(folder) as held:
            store.save_run(folder, run)
            done = _Done(net, made, aim, explainers, held, debug)
            for name, reason in absent:
                done.fail(name, reason)
            try:
                with progress("attacking", len(samples), quiet=quiet) as advance:
                    for sample in samples:
                        done.take(sample)
                        advance(sample.name)
            except KeyboardInterrupt:
                done.interrupted = True
            done.conclude(as_json=json)


def _run(model: "Model", made: "Attacking", aim: Any, explainers: "list[Explainer]") -> "Run":
    """What the results of a folder depend on."""
    from ..evaluation.plan import method_record, model_record
    from .results.store import Run

    facts = model_record(model)
    settings = {
        "weights": facts["weights"],
        "preprocessing": facts["preprocessing"],
        "attack": method_record(made),
        "methods": [method_record(e) for e in explainers],
        "target": "the attack's own" if aim is None else repr(aim),
    }
    return Run(settings=settings, model=model.display_name, title="")


class _Done:
    """What a run has finished so far: files, records and errors."""

    def __init__(
        self,
        model: "Model",
        made: "Attacking",
        aim: Any,
        explainers: "list[Explainer]",
        held: "Store",
        debug: bool,
    ) -> None:
        self.model, self.made, self.aim = model, made, aim
        self.explainers, self.held, self.debug = explainers, held, debug
        self.places: list[int] = []
        self.before = len(held)
        self.failed: dict[int, list[dict[str, Any]]] = {}  # behind so many of this command
        self.errors: list[str] = []
        self.came: dict[tuple[str, str], int] = {}
        self.interrupted = False

    def take(self, sample: "Sample") -> None:
        """Attacks one picture and keeps it, unless that is done. Raises: FileProblem where nothing
        further can be written, a SightlineError that every picture would meet."""
        from ..errors import BadImage, FileProblem, SightlineError
        from ..files.display import without_folders
        from .pictures.run import path_of
        from .results.store import key_of

        try:
            seen = (path_of(sample).name, sample.digest())
            self.came[seen] = self.came.get(seen, 0) + 1
            key = key_of(*seen, self.came[seen])
            place = self.held.find(key)
            self.places.append(self._attacked(sample, key) if place is None else place)
            self.errors += self.held.record(self.places[-1])["errors"]
        except BadImage as error:
            self.fail(sample.name, without_folders(str(error)))
        except FileProblem:
            raise
        except SightlineError as error:
            if not self.places and not self.failed:  # it would be the same for every picture
                raise
            self.fail(sample.name, without_folders(str(error)))
        except Exception as error:  # of one picture: the others go on
            if self.debug:
                raise
            self.fail(sample.name, f"{type(error).__name__}: {error}")

    def fail(self, name: str, reason: str) -> None:
        from ..files.display import without_folders

        name, reason = without_folders(name), without_folders(reason)
        self.failed.setdefault(len(self.places), []).append({"name": name, "error": reason})
        self.errors.append(f"{name}: {reason}")

    def _attacked(self, sample: "Sample", key: str) -> int:
        from ..attacks import outcome
        from .pictures.run import path_of

        images = self.model.prepare([sample.load(self.model.preprocess)])
        found = outcome.run(self.made, self.model, images, self.aim, self.explainers)
        name, stem = self.held.names(sample.name, path_of(sample), key)
        about = {"name": name, **self._written(stem, found), "error": None}
        refused = [f"{name}, {who}: {why}" for who, why in found.reasons.items()]
        return self.held.add(key, stem, about, refused)

    def _written(self, stem: str, found: "AttackOutcome") -> dict[str, Any]:
        """Writes the pictures; what is told of them."""
        from ..files.writing import write_bytes
        from ..pictures.reading import encode_png
        from ..views import paint
        from ..views.attack import picture

        name = self.made.registered_name
        row = found.rows()[0]
        labels = self.model.label(row["before"]["class"]), self.model.label(row["after"]["class"])
        row["before"]["label"], row["after"]["label"] = labels
        row["wanted_label"] = self.model.label(row["wanted"])
        drawn = {
            "before": encode_png(paint.as_bytes(_array(found.images))),
            name: encode_png(paint.as_bytes(_array(found.fooled))),
            f"{name}--maps": picture(found, 0, labels),
        }
        folder = self.held.folder
        files = {
            key: write_bytes(folder / f"{stem}--{key}.png", data).name
            for key, data in drawn.items()
        }
        return {**row, "passes": found.passes, "refused": found.reasons, "files": files}

    def records(self) -> list[dict[str, Any]]:
        """All that the folder holds: earlier pictures, then those of this command in order."""
        mine = set(self.places)
        told = [self.held.record(p)["record"] for p in range(self.before) if p not in mine]
        for k, place in enumerate(self.places):
            told += [*self.failed.get(k, ()), self.held.record(place)["record"]]
        return told + self.failed.get(len(self.places), [])

    def conclude(self, *, as_json: bool) -> None:
        """Writes attack.json and says what there is. Raises: typer.Exit where it is not all."""
        import json

        from .. import registry
        from ..explainers.contract.provenance import versions
        from ..files.display import displayed
        from ..files.writing import write_bytes
        from .results import store

        records = self.records()
        told = {  # shared, so without the folders of this machine
            "model": self.model.display_name,
            "weights_digest": self.model.digest,
            "attack": displayed(registry.to_json(self.made)),
            "methods": [displayed(registry.to_json(e)) for e in self.explainers],
            "versions": versions(),
            "pictures": records,
        }
        data = json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False)
        path = write_bytes(self.held.folder / store.ATTACK, data.encode())
        if as_json:
            json_to_stdout(told)
        else:
            for place in self.places:
                to_stdout(_line(self.held.record(place)["record"], self.made.keeps_class))
            to_stdout(f"All: {path}")
            for error in self.errors:
                to_stderr(f"not done: {error}")
        if self.interrupted:
            to_stderr(resume_hint(self.held.folder))
        status = INTERRUPTED if self.interrupted else WITH_ERRORS if self.errors else DONE
        if status:
            raise typer.Exit(status)


def _array(images: Any) -> Any:  # a tensor in, an array out; neither library is loaded for --help
    return images[0].cpu().permute(1, 2, 0).numpy()


def _line(record: dict[str, Any], keeps: bool) -> str:
    """What is told of a picture; keeps: whether the attack is to leave the class as it was."""
    before, after = record["before"], record["after"]
    word = "fooled" if record["success"] else "not fooled"
    if keeps:
        word = "class kept" if record["success"] else "class lost"
    elif record["already"]:
        word = "nothing to do"
    change = f"{before['label']} {before['probability']:.0%} -> {after['label']}"
    maps = "".join(
        f"; {name} rank correlation {numbers['rank_correlation']:.2f}"
        for name, numbers in record["maps"].items()
        if numbers["rank_correlation"] is not None
    )
    return f"{record['name']}: {word}, {change} {after['probability']:.0%}{maps}"
