"""The family of question chains: how a picture is read, asked and told; members say what to ask
next."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from csv import DictReader
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import (
    BadField,
    BadModel,
    FileProblem,
    NotExplainable,
    ShapeError,
    SightlineError,
)
from ...explainer import Explainer
from ...explanation import Explanation
from ...explanations.chain import Chain
from ...model import Model
from ...nets.query_vae import QUESTIONS, QueryBlueprint, QueryNetwork
from ...ops.pursuit.langevin import CAP, STEP
from ...shapes import Images
from ...target import Target
from .knowledge import Knowledge, knowledge_of
from .pursuit import Ending, Pick, pursue


@dataclass(frozen=True, kw_only=True)
class QuestionChain(Explainer):
    """A chain of questions about each picture, and the class that the answers lead to.

    weights: a query network that `python -m sightline.recipes.query_chains` wrote; None is the one
    that comes with `sightline:default`. answers: a table (CSV) of true answers instead of those
    read from the picture: a column `file` with the picture's name, and one column for each
    question, 1 for yes, 0 for no, empty for a question that cannot be asked.

    samples, chains, step, cap, burn_in: of the Langevin sampler; the paper's values. sure,
    patience: the chain ends when the highest probability was at least `sure` at `patience` steps
    (the count goes down where it was not); least: when no question has more expected information,
    in nats; entropy: when the entropy of the class probabilities is no higher, in nats; most:
    number of questions, None for all.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    probability: ClassVar[bool] = True
    gives: ClassVar[type[Explanation]] = Chain
    tiny: ClassVar[Mapping[str, Any]] = {"samples": 400, "chains": 16}

    weights: str | Path | None = None
    answers: str | Path | None = None
    samples: int = 12000
    chains: int = 256
    step: float = STEP
    cap: float = CAP
    burn_in: int = 20
    sure: float = 0.99
    patience: int = 5
    least: float = 1e-6
    entropy: float = 0.0
    most: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("weights", "answers"):
            value = getattr(self, name)
            object.__setattr__(self, name, str(value) if isinstance(value, Path) else value)
        counts = (self.samples, self.chains, self.patience)
        if min(counts) < 1 or self.burn_in < 0 or (self.most is not None and self.most < 0):
            raise BadField(
                "samples, chains and patience are at least 1, burn_in and most at least 0; got"
                f" {self!r}."
            )
        if not 0 < self.step < 2 or self.cap <= 0 or not 0 < self.sure <= 1:
            raise BadField(
                "a chain needs step in (0, 2), cap above 0 and sure in (0, 1]; got"
                f" {self.step}, {self.cap} and {self.sure}."
            )
        if self.least < 0 or self.entropy < 0:
            raise BadField(
                f"least and entropy are at least 0 nats; got {self.least}, {self.entropy}."
            )

    @abstractmethod
    def picks(self, knowledge: Knowledge, fixed: Sequence[int]) -> Pick:
        """How the next question is chosen. fixed: the order that comes with the network."""

    def reads(self, model: Model) -> tuple[str, ...]:
        try:
            return () if self.answers else self._network(model).blueprint.layers
        except SightlineError:  # `explain` says it, and other methods of the run go on
            return ()

    def fast(self) -> "QuestionChain":
        """A twentieth of the samples, from a quarter of the chains."""
        return replace(self, samples=max(1, self.samples // 20), chains=max(1, self.chains // 4))

    @final
    def explain(self, model: Model, images: Images, target: Target) -> Chain:
        network = self._network(model)
        blueprint = network.blueprint
        with torch.autocast(images.device.type, enabled=False):
            scores = model.outputs(images)
            if scores.shape[1] != len(blueprint.labels):
                raise BadModel(
                    f"the query network knows {len(blueprint.labels)} classes and {model.name} has"
                    f" {scores.shape[1]}; train one for it with `{QUESTIONS.recipe}`."
                )
            sure = network.read(model, images).cpu() if not self.answers else None
            bits = (
                self._true_answers(model, images, blueprint)
                if sure is None
                else (sure > 0.5).float()
            )
            knowledge = knowledge_of(network, **self._sampling)
            chain = self.ask(knowledge, bits, blueprint.order)
        seen = [int(k) for k in scores.argmax(1)]
        return replace(
            chain,
            model_class=seen,
            **_question_facts(blueprint, bits),
            **_confidences(chain, sure if blueprint.grid is None else None),
        )

    @final
    def ask(
        self,
        knowledge: Knowledge,
        answers: Float[Tensor, "thing bit"],
        order: Sequence[int] = (),
        *,
        questions: Sequence[str] = (),
        classes: Sequence[str] = (),
    ) -> Chain:
        """The chains of things whose bits are given (NaN for what cannot be asked), without a model
        or a picture: attributes, words of a text, columns of a table.

        Raises: ShapeError where the bits are not those of the questions.
        """
        needed = 1 + int(knowledge.questions.reads.max())
        if answers.shape[1] != needed:
            raise ShapeError(
                f"the questions read {needed} bits; got answers of shape {tuple(answers.shape)}."
            )
        ending = Ending(
            sure=self.sure,
            patience=self.patience,
            least=self.least,
            entropy=self.entropy,
            most=self.most,
        )
        picks = self.picks(knowledge, order)
        courses = [pursue(knowledge, bits, picks, ending) for bits in answers]
        digits = knowledge.questions.reads.shape[1]
        count, kinds = len(knowledge.questions), len(knowledge.prior)
        return Chain(
            questions=list(questions) or [f"question {i}" for i in range(count)],
            classes=list(classes) or [str(i) for i in range(kinds)],
            asked=[c.asked for c in courses],
            answers=[[_answer_text(code, digits) for code in c.codes] for c in courses],
            posterior=[[b.tolist() for b in c.beliefs] for c in courses],
            gains=[c.gains for c in courses],
            sureness=[[1.0] * len(c.asked) for c in courses],
            reason=[c.reason for c in courses],
        )

    @property
    def _sampling(self) -> dict[str, Any]:
        names = ("samples", "chains", "step", "cap", "burn_in", "seed")
        return {name: getattr(self, name) for name in names}

    def _network(self, model: Model) -> QueryNetwork:
        path = QUESTIONS.require(self.weights, model, self.registered_name)
        network = QUESTIONS.load(path)
        if network.blueprint.digest and not self.answers:
            if not model.differentiable:
                raise NotExplainable(
                    "this query network reads answers from layers, which the black box"
                    f" {model.name} does not have; give the `answers`, or train one that asks"
                    " for patches."
                )
            QUESTIONS.check(path, network.blueprint, model, ", or give the `answers`")
        return network

    def _true_answers(self, model: Model, images: Images, blueprint: QueryBlueprint) -> Tensor:
        """The true answers from the table, by the pictures' names."""
        files = model.origins.names(images)
        if files is None:
            raise NotExplainable(
                "answers are found by the pictures' file names, and these images came as tensors;"
                " give files, or use `.ask(knowledge, answers)`."
            )
        table = _table(Path(str(self.answers)).expanduser(), blueprint)
        names = [file if file in table else Path(file).name for file in files]
        if missing := [name for name in names if name not in table]:
            raise FileProblem(f"{self.answers} has no row for {missing[0]}; its column is `file`.")
        return torch.tensor([table[name] for name in names], dtype=torch.float32, device="cpu")


def _table(path: Path, blueprint: QueryBlueprint) -> dict[str, list[float]]:
    if blueprint.grid is not None:
        raise BadField(
            "this query network reads patches from the picture itself; leave `answers` out."
        )
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise FileProblem(f"{path} cannot be read as a table: {error}.") from None
    wanted = ("file", *blueprint.questions)
    if absent := [name for name in wanted if name not in (rows[0] if rows else {})]:
        raise FileProblem(f"{path} has no column {absent[0]!r}; expected `file` and all questions.")
    known = {"0": 0.0, "1": 1.0, "": float("nan")}
    if odd := {r[q].strip() for r in rows for q in blueprint.questions} - set(known):
        raise FileProblem(f"{path} holds {sorted(odd)[0]!r}; expected 1, 0 or nothing.")
    return {r["file"]: [known[r[q].strip()] for q in blueprint.questions] for r in rows}


def _answer_text(code: int, digits: int) -> str:
    return ("no", "yes")[code] if digits == 1 else f"{code:0{digits}b}"[::-1]


def _question_facts(blueprint: QueryBlueprint, bits: Tensor) -> dict[str, Any]:
    told: dict[str, Any] = {"classes": list(blueprint.labels)}
    if blueprint.grid is None:
        return {**told, "questions": list(blueprint.questions)}
    seen = ["".join(str(int(b)) for b in row) for row in bits]
    return {**told, "questions": [], "grid": blueprint.grid, "side": blueprint.side, "known": seen}


def _confidences(chain: Chain, sure: Tensor | None) -> dict[str, Any]:
    """How sure the reader was of each answer; without one nothing was in doubt."""
    if sure is None:
        return {}
    held = torch.maximum(sure, 1 - sure)
    return {"sureness": [[float(held[i, q]) for q in one] for i, one in enumerate(chain.asked)]}
