"""Starting a run again from the `run.toml` that an earlier one wrote beside its results.

What a text cannot hold (a network of one's own, pictures that were handed over, a method around a
function) is asked for by name; what is made from the file is held against it before any work.
"""

import ast
import logging
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import registry
from .. import target as targets
from ..errors import BadField, BadModel, SightlineError
from ..explainer import Explainer
from ..metric import Metric
from ..model import Model
from ..target import Target
from ..targets import given, structured
from ..zoo import load
from .plan import SCHEMA, method_record, model_record, now

log = logging.getLogger("sightline")

_RANDOM = " (random weights, seed 0)"


@dataclass(frozen=True, kw_only=True)
class RunFile:
    """Which run was that? said: the file's content."""

    path: Path
    said: dict[str, Any]

    @property
    def model_name(self) -> str:
        """The model as it is loaded."""
        return self.said["model"]["name"]

    @property
    def precision(self) -> str:
        """`exact` or `fast`."""
        return self.said["model"]["precision"]

    @property
    def batch(self) -> int:
        """Images in one pass: the same numbers need the same size."""
        return self.said["batch"]

    @property
    def stability(self) -> bool:
        """Whether some pictures are measured again with other choices."""
        return self.said.get("stability", False)

    @property
    def limit(self) -> int | None:
        """How many pictures were taken, where that is known."""
        data = self.said["data"]
        return data.get("limit", data.get("pictures"))

    def data(self) -> str:
        """Where the pictures are. Raises: BadField where they had been handed over."""
        if "source" not in self.said["data"]:
            held = self.said["data"].get("handed_over", "pictures")
            raise BadField(f"{self.path} names no pictures: {held} were handed over. Give data=.")
        held = self.said["data"]
        if "source_bytes" in held:  # a name that is not UTF-8
            return os.fsdecode(bytes.fromhex(held["source_bytes"]))
        return held["source"]

    def model(self) -> Model:
        """The model by its name. Raises: BadModel, UnknownName where it has none."""
        name = self.model_name
        trained = not name.endswith(_RANDOM)
        try:
            return load(name.removesuffix(_RANDOM), trained, self.precision)
        except SightlineError as error:
            raise BadModel(f"the model of {self.path} is needed: {error} Give model=.") from None

    def check(self, model: Model) -> None:
        """Raises: BadModel where the model is not the one of the file. Other versions of the
        libraries are said: their numbers are equal to 1e-5."""
        was, is_ = self.said["model"], model_record(model)
        for what in ("weights", "preprocessing", "precision"):
            if was[what] != is_[what]:
                raise BadModel(
                    f"{model.name} is not the model of {self.path}: {what} {is_[what]}, there"
                    f" {was[what]}. Give model= as it was, or start a run of its own."
                )
        other = [n for n, v in now().items() if self.said["versions"].get(n) != v]
        if other:
            log.warning(
                "%s was made with other versions of %s: numbers are equal to 1e-5, not to the bit",
                self.path,
                ", ".join(other),
            )

    def methods(self) -> list[Explainer]:
        """The methods with their parameters. Raises: BadField for one that no text holds."""
        return [self._made("explainer", held) for held in self.said["methods"]]

    def metrics(self) -> list[Metric]:
        """The metrics with their parameters. Raises: BadField for one that no text holds."""
        return [self._made("metric", held) for held in self.said["metrics"]]

    def _made(self, kind: str, held: dict[str, Any]) -> Any:
        wanted = {"name": held["name"], "fields": held["fields"]}
        plural = "methods" if kind == "explainer" else "metrics"
        try:
            made = registry.from_json(kind, wanted)
            known = method_record(made)
            same = {part: known[part] for part in wanted} == wanted
        except (SightlineError, TypeError, ValueError, AttributeError) as error:
            raise BadField(
                f"{held['label']} of {self.path} cannot be made again ({error}). Give {plural}=."
            ) from None
        if not same:
            raise BadField(
                f"{held['label']} of {self.path} has parts that a text cannot hold. Give {plural}=."
            )
        return made

    def target(self) -> Target | None:
        """What was explained, None for each picture's label or top class. Raises: BadField."""
        text = self.said["target"]
        if not text.endswith(")"):
            return None
        try:
            made = _target(ast.parse(text, mode="eval").body)
        except (SyntaxError, ValueError, TypeError, AttributeError):
            made = None
        if made is None or repr(made) != text:
            raise BadField(f"the target {text} of {self.path} cannot be made again. Give target=.")
        return made


def _target(node: ast.expr) -> Target | None:
    """A target from its repr: a name of ours and plain values, nothing else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _target(node.operand)
        return None if inner is None else -inner
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return None
    rooms = (targets, given, structured)
    found = next((getattr(r, node.func.id) for r in rooms if hasattr(r, node.func.id)), None)
    if not isinstance(found, type) or not issubclass(found, Target):
        return None
    named = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg}
    return found(*(ast.literal_eval(value) for value in node.args), **named)


def read(path: Path) -> RunFile:
    """The run of that file. Raises: BadField for what is no run file of this version."""
    try:
        said = tomllib.loads(path.read_text("utf-8"))
        whole = all(k in said for k in ("model", "data", "batch", "methods", "metrics", "versions"))
    except (OSError, ValueError) as error:
        raise BadField(f"{path} cannot be read as a run file: {error}.") from None
    if not whole or said.get("schema") != SCHEMA:
        raise BadField(
            f"{path} is no run file of this version; expected the run.toml that `sightline"
            " evaluate` wrote beside its results."
        )
    return RunFile(path=path, said=said)
