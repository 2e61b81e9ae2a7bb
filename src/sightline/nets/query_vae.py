"""The conditional VAE of information pursuit: how the answers to all questions depend on each
other.

Paper: Chattopadhyay et al., TPAMI 2022: p(bits | z, y) = product of Bernoulli, z ~ N(0, I) of 100
dimensions; loss: the mean over bits of the binary cross-entropy plus beta KL / (number of bits),
beta 1. Deviations: layers are fully connected, as the authors' for attributes (512 and 128 wide;
for pictures they have convolutions), without batch normalisation; `latent` 0 leaves z out, which
is naive Bayes.

A file holds the network, what its questions are, and how their answers are read from a picture: by
a linear concept reader on the pooled maps of a classifier's layers, or as pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from ..artifact import Artifact, Tensors, filled
from ..errors import FileProblem
from ..model import Model
from ..network.calling.modules import blank
from ..ops.pursuit.questions import KnownBits, Questions
from ..ops.resize import resize
from ..shapes import AnyTensor, Images

RECIPE = "python -m sightline.recipes.query_chains"


@dataclass(frozen=True, kw_only=True)
class QueryBlueprint:
    """What a query network knows and asks.

    labels: of the classes; prior: their shares. questions: in words, one for each bit where `grid`
    is None; else the bits are the pixels of a picture of grid (rows, cols), brighter than
    `threshold`, and patches of `side` are asked for. order: questions in the order of the fixed
    chain. layers, digest: of the classifier off whose pooled maps a concept reader reads the
    answers. width: of the widest layer.
    """

    labels: tuple[str, ...]
    prior: tuple[float, ...]
    questions: tuple[str, ...] = ()
    grid: tuple[int, int] | None = None
    side: int = 3
    threshold: float = 0.5
    latent: int = 100
    width: int = 512
    order: tuple[int, ...] = ()
    layers: tuple[str, ...] = ()
    digest: str = ""

    @property
    def model(self) -> str:
        """The classifier's name, which is not stored."""
        return ""

    @property
    def bits(self) -> int:
        return self.grid[0] * self.grid[1] if self.grid else len(self.questions)

    @property
    def asked(self) -> Questions:
        """Which bits each question reads."""
        return (
            Questions.patches(*self.grid, self.side) if self.grid else Questions.single(self.bits)
        )


class QueryVAE(nn.Module):
    """The answers to all questions, given the class and z, what the class leaves open.

    Do not trust it far from what it was trained on: it answers for every class that it knows,
    and for no other.
    """

    def __init__(self, bits: int, classes: int, latent: int = 100, width: int = 512) -> None:
        super().__init__()
        self.latent, self.classes = latent, classes
        narrow = max(width // 4, 1)
        if latent:
            self.encoder = nn.Sequential(
                nn.Linear(bits + classes, width),
                nn.ReLU(),
                nn.Linear(width, narrow),
                nn.ReLU(),
                nn.Linear(narrow, 2 * latent),
            )
        self.decoder = nn.Sequential(
            nn.Linear(latent + classes, narrow),
            nn.ReLU(),
            nn.Linear(narrow, width),
            nn.ReLU(),
            nn.Linear(width, bits),
        )

    def encode(
        self, bits: Float[Tensor, "thing bit"], classes: Int[Tensor, " thing"]
    ) -> tuple[Float[Tensor, "thing _"], Float[Tensor, "thing _"]]:
        """Mean and log variance of z, (row, latent) each, for bits (row, bit)."""
        if not self.latent:
            return bits[:, :0], bits[:, :0]
        known = torch.cat([bits, functional.one_hot(classes, self.classes).to(bits)], 1)
        mean, spread = self.encoder(known).chunk(2, 1)
        return mean, spread

    def forward(
        self, places: Float[Tensor, "*any class n latent"]
    ) -> Float[Tensor, "*any class n bit"]:
        """Log odds (..., class, n, bit) of the bits, for z (..., class, n, latent)."""
        eye = torch.eye(self.classes, dtype=places.dtype, device=places.device)[:, None]
        return self.decoder(torch.cat([places, eye.expand(*places.shape[:-1], -1)], -1))

    @torch.no_grad()
    def pull(
        self, places: Float[Tensor, "class n latent"], known: KnownBits
    ) -> Float[Tensor, "class n latent"]:
        """The gradient of log p(what is told | z, class) + log N(z), for z (class, n, latent).

        In closed form, of the bits that are told alone: autograd takes several times as long.
        """
        first, second, third = (m for m in self.decoder if isinstance(m, nn.Linear))
        told = known.told.nonzero()[:, 0]
        if not len(told) or not self.latent:
            return -places
        own = first.weight[:, self.latent :].T[:, None] + first.bias
        into, out = first.weight[:, : self.latent], third.weight[told]
        low = (places @ into.T + own).relu()
        high = (low @ second.weight.T + second.bias).relu()
        signs = 2 * known.bits[told] - 1
        missed = torch.sigmoid(-signs * (high @ out.T + third.bias[told])) * signs
        back = (missed @ out) * (high > 0)
        back = (back @ second.weight) * (low > 0)
        return back @ into - places

    def decode(
        self, places: Float[Tensor, "thing latent"], classes: Int[Tensor, " thing"]
    ) -> Float[Tensor, "thing bit"]:
        """Log odds (row, bit), for z (row, latent) and one class for each row."""
        hot = functional.one_hot(classes, self.classes).to(places)
        return self.decoder(torch.cat([places, hot], -1))


def query_loss(
    network: QueryVAE,
    bits: Float[Tensor, "thing bit"],
    classes: Int[Tensor, " thing"],
    noise: Float[Tensor, "thing latent"],
    beta: float = 1.0,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of the bits plus beta KL / (number of bits); noise (row, latent)."""
    mean, spread = network.encode(bits, classes)
    logits = network.decode(mean + (spread / 2).exp() * noise, classes)
    divergence = (mean**2 + spread.exp() - 1 - spread).sum(1).mean() / 2
    missed = functional.binary_cross_entropy_with_logits(logits, bits)
    return missed + beta * divergence / bits.shape[1]


class ConceptReader(nn.Module):
    """A classifier's answer for each concept: a linear layer on the means and the highest values
    of its layers' maps.

    Do not trust it on parts that the classifier never needed: what its layers dropped is gone.
    """

    def __init__(self, features: int, bits: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, bits)

    def forward(
        self, maps: Sequence[Float[Tensor, "picture _ _ _"]]
    ) -> Float[Tensor, "picture bit"]:
        """Log odds (picture, bit) of yes, for each layer's maps (picture, filter, row, col)."""
        return self.linear(pooled(maps).to(self.linear.weight))


def pooled(maps: Sequence[Float[Tensor, "picture _ _ _"]]) -> Float[Tensor, "picture feature"]:
    """Means and highest values of all maps, (picture, feature)."""
    flat = [each.flatten(2) for each in maps]
    return torch.cat([part for each in flat for part in (each.mean(2), each.amax(2))], 1)


@dataclass(frozen=True, eq=False)
class QueryNetwork:
    """A trained VAE, its blueprint, and the reader of the answers, if they are not the pixels."""

    blueprint: QueryBlueprint
    vae: QueryVAE
    reader: ConceptReader | None = None

    @property
    def tensors(self) -> dict[str, AnyTensor]:
        """What a file holds, by name."""
        parts = {"vae": self.vae, "reader": self.reader}
        return {
            f"{name}.{key}": value
            for name, part in parts.items()
            if part is not None
            for key, value in part.state_dict().items()
        }

    def read(self, model: Model, images: Images) -> Float[Tensor, "batch bit"]:
        """The probability that each bit of each picture is 1, (picture, bit); pixels are sure.

        Raises: FileProblem where the file has no way to read answers from a picture.
        """
        print_ = self.blueprint
        if print_.grid is not None:
            return pixels(images, print_.grid, print_.threshold)
        if self.reader is None:
            raise FileProblem(
                "this query network was trained on a table and cannot read answers from a"
                " picture; give the `answers`, or call `.ask(knowledge, answers)`."
            )
        with torch.no_grad():
            maps = model.trace(images, read=print_.layers).maps
            return self.reader([maps[layer] for layer in print_.layers]).sigmoid()


def pixels(
    images: Images, grid: tuple[int, int], threshold: float = 0.5
) -> Float[Tensor, "batch cell"]:
    """The pictures in grey, as coarse as the grid, 1 where brighter: (picture, row * col)."""
    grey = images.mean(1, keepdim=True).float()
    if grey.shape[-2] >= grid[0] and grey.shape[-1] >= grid[1]:
        coarse = functional.adaptive_avg_pool2d(grey, grid)
    else:
        coarse = resize(grey, grid)
    return (coarse > threshold).float().flatten(1)


def _built(blueprint: QueryBlueprint, tensors: Tensors) -> QueryNetwork:
    counts = (blueprint.bits, len(blueprint.labels), blueprint.latent, blueprint.width)
    vae = filled(blank(lambda: QueryVAE(*counts)), tensors, "vae.")
    weight = tensors.get("reader.linear.weight")
    if weight is None:
        return QueryNetwork(blueprint, vae)
    reader = blank(lambda: ConceptReader(weight.shape[1], weight.shape[0]))
    return QueryNetwork(blueprint, vae, filled(reader, tensors, "reader."))


QUESTIONS = Artifact(
    kind="query-vae",
    section="blueprint",
    what="a query network",
    recipe=RECIPE,
    options="--model NAME --folder PICTURES",
    facts=QueryBlueprint,
    build=_built,
    shipped="aviary-questions.safetensors",
    half=True,
)
