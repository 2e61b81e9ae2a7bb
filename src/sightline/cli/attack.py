"""`sightline attack`: pictures in; pictures that fool the model out, with what they reached."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _options as options
from ._habits import DONE, INTERRUPTED, WITH_ERRORS, habits, progress, say, tell, tell_json

if TYPE_CHECKING:
    from ..attack import Attack as Attacking
    from ..attacks.outcome import Outcome
    from ..explainer import Explainer
    from ..model import Model

Attack = Annotated[
    str,
    typer.Option("--attack", help="A name of `sightline methods`: pgd, adv-edge, manipulation..."),
]
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        help="Explainers, separated by commas: the first is attacked too, by attacks that can; the"
        " others show how far that carries over. Default: grad-cam.",
        show_default=False,
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        help="The class to be taken for: a label, an index, class:LABEL, or top:1; a - before it"
        " means the class to leave. Default: what the attack aims at by itself, mostly the model's"
        " second choice.",
        show_default=False,
    ),
]
Away = Annotated[
    bool, typer.Option("--away", help="Leave the target (default: the top class) for any other.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="A parameter of the attack (epsilon=0.02), or of a method (rise.masks=500).",
        show_default=False,
    ),
]


def attack(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="Files, folders or globs.")
    ],
    model: options.Model = None,
    attack: Attack = "pgd",
    method: Method = None,
    target: Target = None,
    away: Away = False,
    settings: Settings = None,
    out: options.Out = Path("sightline-attack"),
    range: options.Range = None,
    device: options.Device = "auto",
    limit: options.Limit = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """How little must a picture change for the model to err, and does the map give it away?

    Writes for each picture, in the model's frame and without loss, the picture before
    (NAME--before.png) and after (NAME--ATTACK.png), a figure of both with their maps
    (NAME--ATTACK--maps.png), and attack.json with all numbers.

    Example: sightline attack dog.jpg --model timm:resnet50 --attack adv-edge --method grad-cam
    """
    with habits(quiet=quiet or json, debug=debug):
        from ..targets import written
        from . import _settings

        net = _settings.model(model, device=device, precision="exact", range=range)
        made, rest = _attacking(attack, settings or ())
        explainers = _settings.methods(net, method, settings=rest)
        aim = written.target(net, target) if target is not None or away else None
        aim = -aim if aim is not None and away and not aim.negated else aim
        files, absent = _settings.paths(images, limit)
        done = _Done(net, made, aim, explainers, out, debug)
        for name, reason in absent:
            done.fail(name, reason)
        try:
            with progress("attacking", len(files), quiet=quiet or json) as advance:
                for file in files:
                    if not done.take(file):
                        break
                    advance(file.name)
        except KeyboardInterrupt:
            done.interrupted = True
        done.conclude(as_json=json)


def _attacking(name: str, settings: Sequence[str]) -> "tuple[Attacking, list[str]]":
    """The attack with its parameters, and the settings that are not its own."""
    from typing import get_type_hints

    from .. import registry
    from ..errors import BadField
    from . import _settings

    entry = registry.entry("attack", name)
    hints = get_type_hints(entry.cls)
    own: dict[str, Any] = {}
    rest: list[str] = []
    for text in settings:
        left, equals, value = text.partition("=")
        owner, dot, field = left.strip().rpartition(".")
        known = field in registry.to_json(entry.cls())["fields"]
        if not equals or not known or (dot and not _same(owner, entry.name)):
            rest.append(text)
            continue
        try:
            own[field] = _settings.typed(value.strip(), hints[field])
        except ValueError:
            kind = str(getattr(hints[field], "__name__", hints[field]))
            raise BadField(f"{entry.name}.{field} is {kind}; got {value!r}.") from None
    return registry.create("attack", name, **own), rest


def _same(given: str, name: str) -> bool:
    return given.lower().replace("_", "-").replace("-", "") == name.replace("-", "")


class _Done:
    """What a run has finished so far: files, records and errors."""

    def __init__(
        self,
        model: "Model",
        made: "Attacking",
        aim: Any,
        explainers: "list[Explainer]",
        out: Path,
        debug: bool,
    ) -> None:
        self.model, self.made, self.aim = model, made, aim
        self.explainers, self.out, self.debug = explainers, out, debug
        self.records: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self.stems: set[str] = set()
        self.interrupted = False

    def take(self, file: Path) -> bool:
        """Attacks one picture and writes it; False where nothing further can be written."""
        from ..attacks import outcome
        from ..errors import BadImage, FileProblem, SightlineError

        try:
            images = self.model.prepare(file)
            found = outcome.run(self.made, self.model, images, self.aim, self.explainers)
            self._write(file, found)
        except BadImage as error:
            self.fail(file.name, str(error))
        except FileProblem as error:
            self.fail(file.name, str(error))
            return False
        except SightlineError as error:
            if not self.records:  # it would be the same for every picture
                raise
            self.fail(file.name, str(error))
        except Exception as error:  # of one picture: the others go on
            if self.debug:
                raise
            self.fail(file.name, f"{type(error).__name__}: {error}")
        return True

    def fail(self, name: str, reason: str) -> None:
        self.records.append({"name": name, "error": reason})
        self.errors.append(f"{name}: {reason}")

    def _write(self, file: Path, found: "Outcome") -> None:
        from ..images import encode_png
        from ..ops.files import write_bytes
        from ..views import paint
        from ..views.attacked.figure import picture

        name = self.made.registered_name
        stem, k = file.stem, 1
        while stem in self.stems:
            stem, k = f"{file.stem}-{k + 1}", k + 1
        self.stems.add(stem)
        row = found.rows()[0]
        labels = self.model.label(row["before"]["class"]), self.model.label(row["after"]["class"])
        row["before"]["label"], row["after"]["label"] = labels
        row["wanted_label"] = self.model.label(row["wanted"])
        drawn = {
            "before": encode_png(paint.as_bytes(_array(found.images))),
            name: encode_png(paint.as_bytes(_array(found.fooled))),
            f"{name}--maps": picture(found, 0, labels),
        }
        files = {
            key: str(write_bytes(self.out / f"{stem}--{key}.png", data))
            for key, data in drawn.items()
        }
        about = {"name": file.name, **row, "passes": found.passes, "refused": found.reasons}
        self.records.append({**about, "files": files, "error": None})
        self.errors += [f"{file.name}, {who}: {why}" for who, why in found.reasons.items()]

    def conclude(self, *, as_json: bool) -> None:
        """Writes attack.json and says what there is. Raises: typer.Exit where it is not all."""
        import json

        from .. import registry
        from ..explainer import versions
        from ..ops.files import write_bytes

        told = {
            "model": self.model.name,
            "weights_digest": self.model.digest,
            "attack": registry.to_json(self.made),
            "methods": [registry.to_json(e) for e in self.explainers],
            "versions": versions(),
            "pictures": self.records,
        }
        data = json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False)
        path = write_bytes(self.out / "attack.json", data.encode())
        if as_json:
            tell_json(told)
        else:
            keeps = self.made.registered_name == "manipulation"
            for record in (r for r in self.records if not r["error"]):
                tell(_line(record, keeps))
            tell(f"All: {path}")
            for error in self.errors:
                say(f"not done: {error}")
        if self.interrupted:
            say("interrupted; everything finished is kept")
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
